//! Tests of the screens: what clicks do, and that none makes or loses items.

use super::*;
use crate::native::item::Item;
use crate::world::EventKind;

fn stack(item: Item, count: u8) -> Slot {
    Some(Stack::new(item, count))
}

/// Moves the cursor onto a slot and presses.
fn press(gui: &mut Gui, inventory: &mut Inventory, place: Place, held: u32) -> GuiEffects {
    let centre = gui.centre(place);
    let action = Action {
        keys: held,
        yaw_delta: (centre[0] - gui.cursor[0]) / PIXELS_PER_DEGREE,
        pitch_delta: (centre[1] - gui.cursor[1]) / PIXELS_PER_DEGREE,
    };
    gui.tick(&action, held, inventory)
}

#[test]
fn the_cursor_finds_every_slot() {
    for kind in [GuiKind::Inventory, GuiKind::CraftingTable, GuiKind::Furnace] {
        let mut gui = Gui::open(kind);
        for place in gui.places() {
            gui.cursor = gui.centre(place);
            assert_eq!(gui.hovered(), Some(place));
        }
    }
}

#[test]
fn the_cursor_moves_with_the_mouse_and_stays_on_the_screen() {
    let mut gui = Gui::open(GuiKind::Inventory);
    let mut inventory = Inventory::empty();
    gui.tick(&Action { keys: 0, pitch_delta: -3.0, yaw_delta: 6.0 }, 0, &mut inventory);
    assert_eq!(gui.cursor, [360.0, 160.0]);
    gui.tick(&Action { keys: 0, pitch_delta: 180.0, yaw_delta: -180.0 }, 0, &mut inventory);
    assert_eq!(gui.cursor, [0.0, 359.0]);
}

#[test]
fn a_log_becomes_planks_and_a_table_by_clicks() {
    let mut gui = Gui::open(GuiKind::Inventory);
    let mut inventory = Inventory::empty();
    inventory.slots[0] = stack(Item::Log, 2);
    press(&mut gui, &mut inventory, Place::Inventory(0), keys::USE);
    assert_eq!((gui.carried, inventory.slots[0]), (stack(Item::Log, 1), stack(Item::Log, 1)));
    press(&mut gui, &mut inventory, Place::Grid(3), keys::ATTACK);
    let effects = press(&mut gui, &mut inventory, Place::Result, keys::ATTACK);
    let planks = Event { kind: EventKind::CraftItem, item: "planks", quantity: 4 };
    assert_eq!((effects.events.as_slice(), gui.carried), ([planks].as_slice(), stack(Item::Planks, 4)));
    for place in 0..4 {
        press(&mut gui, &mut inventory, Place::Grid(place), keys::USE);
    }
    assert_eq!((gui.carried, gui.result()), (None, stack(Item::CraftingTable, 1)));
    let effects = press(&mut gui, &mut inventory, Place::Result, keys::ATTACK | keys::SNEAK);
    assert_eq!(effects.events[0].item, "crafting_table");
    assert_eq!((gui.result(), inventory.slots[1]), (None, stack(Item::CraftingTable, 1)));
}

#[test]
fn buttons_take_put_swap_and_throw() {
    let mut gui = Gui::open(GuiKind::Inventory);
    let mut inventory = Inventory::empty();
    inventory.slots[9] = stack(Item::Dirt, 5);
    inventory.slots[10] = stack(Item::Sand, 2);
    press(&mut gui, &mut inventory, Place::Inventory(9), keys::USE);
    assert_eq!((gui.carried, inventory.slots[9]), (stack(Item::Dirt, 3), stack(Item::Dirt, 2)));
    press(&mut gui, &mut inventory, Place::Inventory(10), keys::ATTACK);
    assert_eq!((gui.carried, inventory.slots[10]), (stack(Item::Sand, 2), stack(Item::Dirt, 3)));
    press(&mut gui, &mut inventory, Place::Inventory(20), keys::USE);
    assert_eq!((gui.carried, inventory.slots[20]), (stack(Item::Sand, 1), stack(Item::Sand, 1)));
    gui.cursor = [5.0, 5.0];
    let effects = gui.tick(&Action::NOOP, keys::ATTACK, &mut inventory);
    assert_eq!((effects.thrown, gui.carried), (vec![Stack::new(Item::Sand, 1)], None));
    press(&mut gui, &mut inventory, Place::Inventory(10), keys::ATTACK | keys::SNEAK);
    assert_eq!((inventory.slots[10], inventory.slots[0]), (None, stack(Item::Dirt, 3)));
    press(&mut gui, &mut inventory, Place::Inventory(20), keys::HOTBAR[4]);
    assert_eq!((inventory.slots[20], inventory.slots[4]), (None, stack(Item::Sand, 1)));
    let effects = press(&mut gui, &mut inventory, Place::Inventory(0), keys::DROP);
    assert_eq!((effects.thrown, inventory.slots[0]), (vec![Stack::new(Item::Dirt, 1)], stack(Item::Dirt, 2)));
}

/// Holds a button down over one slot after another.
fn drag(gui: &mut Gui, inventory: &mut Inventory, places: &[Place], button: u32) {
    press(gui, inventory, places[0], button);
    for place in &places[1..] {
        let centre = gui.centre(*place);
        let action = Action {
            keys: button,
            yaw_delta: (centre[0] - gui.cursor[0]) / PIXELS_PER_DEGREE,
            pitch_delta: (centre[1] - gui.cursor[1]) / PIXELS_PER_DEGREE,
        };
        gui.tick(&action, 0, inventory);
    }
    gui.tick(&Action::NOOP, 0, inventory);
}

#[test]
fn a_left_drag_spreads_evenly_and_a_right_drag_one_each() {
    let mut gui = Gui::open(GuiKind::CraftingTable);
    let mut inventory = Inventory::empty();
    gui.carried = stack(Item::Planks, 14);
    gui.grid[1] = stack(Item::Planks, 63);
    gui.grid[3] = stack(Item::Stick, 1);
    let row = [0, 1, 2, 3, 1, 5].map(Place::Grid);
    drag(&mut gui, &mut inventory, &row, keys::ATTACK);
    // Four slots can take planks, three each; the second has room for one only.
    let counts = [0, 1, 2, 3, 5].map(|cell: usize| gui.grid[cell].map_or(0, |stack| stack.count));
    assert_eq!((counts, gui.carried), ([3, 64, 3, 1, 3], stack(Item::Planks, 4)));
    let bottom = [6, 7, 8, 6].map(Place::Grid);
    drag(&mut gui, &mut inventory, &bottom, keys::USE);
    assert_eq!(gui.grid[6..], [stack(Item::Planks, 1); 3]);
    assert_eq!(gui.carried, stack(Item::Planks, 1));
    // After release, moving the mouse spreads nothing more.
    assert!(gui.drag.is_none());
}

#[test]
fn a_drag_meets_no_more_slots_than_it_has_items() {
    let mut gui = Gui::open(GuiKind::CraftingTable);
    let mut inventory = Inventory::empty();
    gui.carried = stack(Item::Dirt, 2);
    drag(&mut gui, &mut inventory, &[0, 1, 2, 4].map(Place::Grid), keys::ATTACK);
    assert_eq!(gui.grid[..3], [stack(Item::Dirt, 1), stack(Item::Dirt, 1), None]);
    assert_eq!((gui.grid[4], gui.carried), (None, None));
}

#[test]
fn a_double_click_collects_broken_stacks_first() {
    let mut gui = Gui::open(GuiKind::CraftingTable);
    let mut inventory = Inventory::empty();
    inventory.slots[0] = stack(Item::Dirt, 10);
    inventory.slots[5] = stack(Item::Dirt, 64);
    inventory.slots[20] = stack(Item::Dirt, 7);
    gui.grid[4] = stack(Item::Dirt, 3);
    let place = Place::Inventory(0);
    press(&mut gui, &mut inventory, place, keys::ATTACK);
    press(&mut gui, &mut inventory, place, keys::ATTACK);
    assert_eq!((gui.carried, gui.grid[4]), (stack(Item::Dirt, 64), None));
    assert_eq!((inventory.slots[5], inventory.slots[20]), (stack(Item::Dirt, 20), None));
    press(&mut gui, &mut inventory, place, keys::ATTACK);
    for _ in 0..5 {
        gui.tick(&Action::NOOP, 0, &mut inventory);
    }
    press(&mut gui, &mut inventory, place, keys::ATTACK);
    assert_eq!(gui.carried, stack(Item::Dirt, 64), "too slow: taken up again, nothing collected");
    assert_eq!(inventory.slots[5], stack(Item::Dirt, 20));
}

#[test]
fn shift_sorts_into_a_furnace_and_its_result_comes_out() {
    let mut gui = Gui::open(GuiKind::Furnace);
    let mut inventory = Inventory::empty();
    let items = [Item::IronOre, Item::Coal, Item::Planks, Item::Log, Item::Dirt];
    for (index, item) in items.into_iter().enumerate() {
        inventory.slots[index] = stack(item, 5);
        press(&mut gui, &mut inventory, Place::Inventory(index), keys::ATTACK | keys::SNEAK);
    }
    assert_eq!(gui.grid[..3], [stack(Item::IronOre, 5), stack(Item::Coal, 5), None]);
    let left = [2, 3, 9].map(|index: usize| inventory.slots[index]);
    assert_eq!(left, [stack(Item::Planks, 5), stack(Item::Log, 5), stack(Item::Dirt, 5)]);
    gui.grid[2] = stack(Item::IronIngot, 5);
    let effects = press(&mut gui, &mut inventory, Place::Result, keys::USE);
    let took = |quantity| [Event { kind: EventKind::CraftItem, item: "iron_ingot", quantity }];
    assert_eq!((effects.events.as_slice(), gui.carried), (took(3).as_slice(), stack(Item::IronIngot, 3)));
    press(&mut gui, &mut inventory, Place::Result, keys::ATTACK);
    assert_eq!((gui.carried, gui.grid[2]), (stack(Item::IronIngot, 5), None));
    press(&mut gui, &mut inventory, Place::Grid(1), keys::ATTACK);
    assert_eq!((gui.carried, gui.grid[1]), (stack(Item::IronIngot, 5), stack(Item::Coal, 5)), "no fuel");
    assert!(gui.close(&mut inventory).is_empty());
    assert_eq!(inventory.slots[0], stack(Item::IronIngot, 5));
    assert!(
        !inventory.slots.iter().flatten().any(|stack| stack.item == Item::Coal),
        "a furnace keeps its own"
    );
}

#[test]
fn keys_throw_whole_stacks_and_take_results() {
    let mut gui = Gui::open(GuiKind::Inventory);
    let mut inventory = Inventory::empty();
    inventory.slots[9] = stack(Item::Dirt, 5);
    let effects = press(&mut gui, &mut inventory, Place::Inventory(9), keys::DROP | keys::SPRINT);
    assert_eq!((effects.thrown, inventory.slots[9]), (vec![Stack::new(Item::Dirt, 5)], None));
    gui.grid[0] = stack(Item::Log, 2);
    inventory.slots[1] = stack(Item::Dirt, 1);
    press(&mut gui, &mut inventory, Place::Result, keys::HOTBAR[1]);
    assert_eq!(gui.grid[0], stack(Item::Log, 2), "a result goes into an empty slot only");
    press(&mut gui, &mut inventory, Place::Result, keys::HOTBAR[2]);
    assert_eq!((gui.grid[0], inventory.slots[2]), (stack(Item::Log, 1), stack(Item::Planks, 4)));
    let effects = press(&mut gui, &mut inventory, Place::Result, keys::DROP);
    assert_eq!((effects.thrown, gui.grid[0]), (vec![Stack::new(Item::Planks, 4)], None));
    assert_eq!(effects.events[0].item, "planks");
}

#[test]
fn armour_goes_where_it_belongs_and_nowhere_else() {
    let mut gui = Gui::open(GuiKind::Inventory);
    let mut inventory = Inventory::empty();
    assert_eq!((gui.corner(Place::Armour(2)), gui.corner(Place::Offhand)), ((8, 44), (77, 62)));
    inventory.slots[9] = stack(Item::IronBoots, 1);
    inventory.slots[10] = stack(Item::DiamondBoots, 1);
    let shift = keys::ATTACK | keys::SNEAK;
    press(&mut gui, &mut inventory, Place::Inventory(9), shift);
    assert_eq!((inventory.slots[9], inventory.armour[3]), (None, stack(Item::IronBoots, 1)));
    // The place is taken: the second pair only changes rows.
    press(&mut gui, &mut inventory, Place::Inventory(10), shift);
    assert_eq!((inventory.slots[10], inventory.slots[0]), (None, stack(Item::DiamondBoots, 1)));
    press(&mut gui, &mut inventory, Place::Inventory(0), keys::ATTACK);
    press(&mut gui, &mut inventory, Place::Armour(0), keys::ATTACK);
    assert_eq!((gui.carried, inventory.armour[0]), (stack(Item::DiamondBoots, 1), None), "no hat of boots");
    press(&mut gui, &mut inventory, Place::Armour(3), keys::ATTACK);
    assert_eq!((gui.carried, inventory.armour[3]), (stack(Item::IronBoots, 1), stack(Item::DiamondBoots, 1)));
    press(&mut gui, &mut inventory, Place::Offhand, keys::ATTACK);
    assert_eq!((gui.carried, inventory.offhand), (None, stack(Item::IronBoots, 1)));
    press(&mut gui, &mut inventory, Place::Armour(3), keys::SWAP_HANDS);
    assert_eq!(
        (inventory.armour[3], inventory.offhand),
        (stack(Item::IronBoots, 1), stack(Item::DiamondBoots, 1))
    );
    press(&mut gui, &mut inventory, Place::Armour(3), shift);
    press(&mut gui, &mut inventory, Place::Offhand, shift);
    let back = [inventory.slots[0], inventory.slots[1]];
    assert_eq!(back, [stack(Item::IronBoots, 1), stack(Item::DiamondBoots, 1)]);
    // Tables have no place for armour.
    let mut gui = Gui::open(GuiKind::CraftingTable);
    press(&mut gui, &mut inventory, Place::Inventory(0), shift);
    assert_eq!(inventory.armour, [None; 4]);
}
