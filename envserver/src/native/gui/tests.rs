//! Tests of the screens: what clicks do, and that none makes or loses items.

use super::*;
use crate::native::item::Item;

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
    for kind in [GuiKind::Inventory, GuiKind::CraftingTable] {
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

/// Worth of a stack in quarter planks, which every recipe used here conserves.
fn worth(slot: &Slot) -> u64 {
    slot.map_or(0, |stack| {
        let each = match stack.item {
            Item::Log => 16,
            Item::Planks => 4,
            Item::Stick => 2,
            Item::CraftingTable => 16,
            Item::WoodenPickaxe => 16,
            _ => 1_000_000,
        };
        each * u64::from(stack.count)
    })
}

#[test]
fn no_clicks_make_or_lose_items() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut inventory = Inventory::empty();
    for (index, item) in
        [Item::Log, Item::Planks, Item::Stick, Item::Dirt, Item::StonePickaxe].iter().enumerate()
    {
        inventory.slots[index * 7] = stack(*item, item.max_stack());
    }
    let mut thrown = 0;
    let mut crafted = 0;
    let total = |gui: &Gui, inventory: &Inventory| {
        inventory.slots.iter().chain(&gui.grid).chain([&gui.carried]).map(worth).sum::<u64>()
    };
    let mut gui = Gui::open(GuiKind::CraftingTable);
    let before = total(&gui, &inventory);
    for click in 0..20_000 {
        let places: Vec<_> = gui.places().collect();
        let place = places[random(places.len() as u64) as usize];
        let held = [keys::ATTACK, keys::USE, keys::ATTACK | keys::SNEAK, keys::HOTBAR[random(9) as usize]];
        let mut held = held[random(4) as usize];
        if random(200) == 0 {
            held = keys::DROP;
        }
        let effects = press(&mut gui, &mut inventory, place, held);
        thrown += effects.thrown.iter().map(|stack| worth(&Some(*stack))).sum::<u64>();
        crafted += effects.events.len();
        if random(50) == 0 {
            let kind = if random(2) == 0 { GuiKind::Inventory } else { GuiKind::CraftingTable };
            let left = std::mem::replace(&mut gui, Gui::open(kind)).close(&mut inventory);
            thrown += left.iter().map(|stack| worth(&Some(*stack))).sum::<u64>();
        }
        assert_eq!(total(&gui, &inventory) + thrown, before, "click {click}: {held:#x} on {place:?}");
        let stacks = inventory.slots.iter().chain(&gui.grid).chain([&gui.carried]).flatten();
        assert!(stacks.into_iter().all(|stack| (1..=stack.item.max_stack()).contains(&stack.count)));
    }
    assert!(crafted > 20, "{crafted} crafts");
}
