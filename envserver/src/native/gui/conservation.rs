//! A hundred thousand random actions in the screens: items are neither made nor lost except as recipes say.

use std::collections::BTreeMap;

use super::*;
use crate::native::furnace::smelted;
use crate::native::inventory::SLOTS;
use crate::native::spawn::mix;
use crate::world::EventKind;

/// How many there are of each item in each state of wear.
type Tally = BTreeMap<(Item, u16), i64>;

fn count<'a>(slots: impl IntoIterator<Item = &'a Slot>) -> Tally {
    let mut tally = Tally::new();
    for stack in slots.into_iter().flatten() {
        assert!((1..=stack.item.max_stack()).contains(&stack.count), "{stack:?}");
        *tally.entry((stack.item, stack.worn)).or_default() += i64::from(stack.count);
    }
    tally
}

fn held(gui: &Gui, inventory: &Inventory) -> Tally {
    count(inventory.all().chain(&gui.grid).chain([&gui.carried]))
}

fn add(tally: &mut Tally, item: Item, worn: u16, number: i64) {
    let entry = tally.entry((item, worn)).or_default();
    *entry += number;
    if *entry == 0 {
        tally.remove(&(item, worn));
    }
}

/// What crafting the reported items from the grid before must have changed.
fn apply_crafts(tally: &mut Tally, before: &Gui, events: &[Event]) {
    let mut grid = before.clone();
    for event in events {
        assert_eq!(event.kind, EventKind::CraftItem);
        let made = grid.result().expect("only what the grid makes is reported");
        assert_eq!(event.item, made.item.name());
        if before.kind == GuiKind::Furnace {
            assert!((1..=u32::from(made.count)).contains(&event.quantity));
            continue;
        }
        assert_eq!(event.quantity, u32::from(made.count));
        for slot in &mut grid.grid {
            if let Some(used) = take(slot, 1) {
                add(tally, used.item, used.worn, -1);
            }
        }
        add(tally, made.item, 0, i64::from(made.count));
    }
}

/// A furnace's tick makes one of one at most, and burns one fuel at most.
fn tick_furnace(gui: &mut Gui, furnace: &mut Furnace) {
    furnace.slots.copy_from_slice(&gui.grid[..3]);
    let (before, was_lit) = (count(&furnace.slots), furnace.is_lit());
    let [input, fuel, result] = furnace.slots;
    furnace.tick();
    let mut expected = before;
    if furnace.slots[2] != result {
        let input = input.expect("something was smelted");
        add(&mut expected, input.item, input.worn, -1);
        add(&mut expected, smelted(input.item).expect("a recipe"), 0, 1);
    }
    if furnace.slots[1] != fuel {
        let fuel = fuel.expect("something was burnt");
        assert!(!was_lit || furnace.gauges()[0] == 14, "fuel is used when the fire is out");
        add(&mut expected, fuel.item, fuel.worn, -1);
    }
    assert_eq!(count(&furnace.slots), expected);
    gui.show_furnace(furnace);
}

fn fill(inventory: &mut Inventory, round: u64) {
    let items = [
        Item::Log,
        Item::Planks,
        Item::Stick,
        Item::Cobblestone,
        Item::Coal,
        Item::IronOre,
        Item::IronIngot,
        Item::Diamond,
        Item::Sand,
        Item::WoodenPickaxe,
        Item::IronAxe,
        Item::IronHelmet,
        Item::DiamondLeggings,
        Item::DiamondBoots,
    ];
    for index in 0..SLOTS {
        let bits = mix(round, index as u64);
        let item = items[(bits >> 8) as usize % items.len()];
        let number = 1 + (bits >> 16) % u64::from(item.max_stack());
        let worn = if item.durability().is_some() { (bits >> 32 & 3) as u16 } else { 0 };
        let stack = Stack { worn, ..Stack::new(item, number as u8) };
        inventory.slots[index] = (bits & 3 != 0).then_some(stack);
    }
}

/// One random tick: mostly on slots, buttons often held on, sometimes beside everything.
fn random_action(gui: &Gui, bits: u64, before: u32) -> (Action, u32) {
    let places: Vec<_> = gui.places().collect();
    // Grid and result are wanted more often than their share.
    let near = if bits >> 20 & 1 == 0 { 0 } else { SLOTS };
    let place = places[near + (bits >> 24) as usize % (places.len() - near)];
    let goal = if bits & 31 == 0 { [3.0, 3.0] } else { gui.centre(place) };
    let buttons = [
        keys::ATTACK,
        keys::ATTACK,
        keys::USE,
        keys::ATTACK | keys::SNEAK,
        keys::HOTBAR[(bits >> 50) as usize % 9],
        0,
        if bits >> 48 & 7 == 0 { keys::DROP } else { keys::SWAP_HANDS },
        if bits >> 48 & 15 == 0 { keys::DROP | keys::SPRINT } else { 0 },
    ];
    let dragging = before & (keys::ATTACK | keys::USE);
    let held = if bits >> 40 & 3 == 0 { dragging } else { buttons[(bits >> 44) as usize % 8] };
    // A double click stays where it is.
    let stay = bits >> 56 & 7 == 0;
    let delta = |axis: usize| if stay { 0.0 } else { (goal[axis] - gui.cursor[axis]) / PIXELS_PER_DEGREE };
    let action = Action { keys: held, pitch_delta: delta(1), yaw_delta: delta(0) };
    let held_on = bits >> 40 & 3 == 0;
    (action, if held_on { 0 } else { held })
}

#[test]
fn a_hundred_thousand_actions_make_and_lose_nothing() {
    let mut inventory = Inventory::empty();
    let mut furnace = Furnace::default();
    let mut gui = Gui::open(GuiKind::Inventory);
    let (mut worn_ticks, mut other_hand) = (0, 0);
    let (mut crafts, mut smelts, mut thrown, mut held_before) = (0, 0, 0, 0);
    for step in 0..100_000_u64 {
        let bits = mix(0x0047_5549, step);
        if step % 2000 == 0 {
            fill(&mut inventory, step);
        }
        if step % 60 == 0 {
            let mut expected = held(&gui, &inventory);
            let was_furnace = gui.kind == GuiKind::Furnace;
            for slot in gui.grid.iter().flatten().filter(|_| was_furnace) {
                add(&mut expected, slot.item, slot.worn, -i64::from(slot.count));
            }
            let left = gui.close(&mut inventory);
            let left: Vec<_> = left.into_iter().map(Some).collect();
            assert_eq!(count(inventory.all().chain(&left)), expected, "closing at {step}");
            let kinds = [GuiKind::Inventory, GuiKind::CraftingTable, GuiKind::Furnace];
            gui = Gui::open(kinds[(step / 60 % 3) as usize]);
            if gui.kind == GuiKind::Furnace {
                gui.show_furnace(&furnace);
            }
        }
        let mut expected = held(&gui, &inventory);
        let before = gui.clone();
        let (action, pressed) = random_action(&gui, bits, held_before);
        held_before = action.keys;
        let effects = gui.tick(&action, pressed, &mut inventory);
        apply_crafts(&mut expected, &before, &effects.events);
        crafts += effects.events.iter().filter(|_| gui.kind != GuiKind::Furnace).count();
        smelts += effects.events.iter().filter(|_| gui.kind == GuiKind::Furnace).count();
        thrown += effects.thrown.len();
        for stack in effects.thrown {
            add(&mut expected, stack.item, stack.worn, -i64::from(stack.count));
        }
        for (part, worn) in inventory.armour.iter().enumerate().filter_map(|(at, slot)| Some((at, (*slot)?)))
        {
            assert_eq!(worn.item.armour().map(|piece| piece.part as usize), Some(part), "step {step}");
            worn_ticks += 1;
        }
        other_hand += usize::from(inventory.offhand.is_some());
        assert_eq!(held(&gui, &inventory), expected, "step {step}: {action:?} in {:?}", before.kind);
        if gui.kind == GuiKind::Furnace {
            for _ in 0..20 {
                tick_furnace(&mut gui, &mut furnace);
            }
        }
    }
    println!("{crafts} crafts, {smelts} smelted stacks taken, {thrown} stacks thrown");
    assert!(crafts > 200 && smelts > 50 && thrown > 100, "{crafts} {smelts} {thrown}");
    assert!(worn_ticks > 1000 && other_hand > 1000, "{worn_ticks} {other_hand}");
}
