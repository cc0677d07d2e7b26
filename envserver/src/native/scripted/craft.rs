//! Crafting through the screens by moving the cursor and clicking: planks, a crafting table, sticks; then the table is
//! placed and a wooden pickaxe made on it.

use vpt_proto::keys;

use super::press;
use crate::mouse::{FASTEST, towards};
use crate::native::block::Block;
use crate::native::env::State;
use crate::native::gui::{Gui, PIXELS_PER_DEGREE, Place};
use crate::native::inventory::{HOTBAR, Inventory, SLOTS};
use crate::native::item::{Item, Slot, Stack};
use crate::native::look::{angles_to, wrap_degrees};
use crate::native::scene::GuiKind;
use crate::world::Action;

/// How far from a slot's middle a click still lands on it for sure, pixels.
const ON_SLOT: f32 = 6.0;

/// Gaze at which a table is placed on the ground ahead, degrees.
const PLACING_PITCH: f32 = 50.0;

const TABLE: [(usize, Item); 4] =
    [(0, Item::Planks), (1, Item::Planks), (2, Item::Planks), (3, Item::Planks)];
const STICKS: [(usize, Item); 2] = [(0, Item::Planks), (2, Item::Planks)];
const PICKAXE: [(usize, Item); 5] =
    [(0, Item::Planks), (1, Item::Planks), (2, Item::Planks), (4, Item::Stick), (7, Item::Stick)];

const MORE_STICKS: [(usize, Item); 2] = [(0, Item::Planks), (3, Item::Planks)];
const STONE: [(usize, Item); 5] = pickaxe_of(Item::Cobblestone);
const IRON: [(usize, Item); 5] = pickaxe_of(Item::IronIngot);
const DIAMOND: [(usize, Item); 5] = pickaxe_of(Item::Diamond);
const FURNACE: [(usize, Item); 8] = {
    let stone = Item::Cobblestone;
    [(0, stone), (1, stone), (2, stone), (3, stone), (5, stone), (6, stone), (7, stone), (8, stone)]
};

const fn pickaxe_of(head: Item) -> [(usize, Item); 5] {
    [(0, head), (1, head), (2, head), (4, Item::Stick), (7, Item::Stick)]
}

/// What crafting asks for in this tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// This action.
    Act(Action),
    /// Nothing to craft now.
    Nothing,
}

/// The next action towards a crafting table and a pickaxe; collecting `logs` first is not crafting's business.
pub(crate) fn next(state: &State, logs: u32) -> Step {
    if let Some(gui) = &state.gui {
        return match wish_at_the_start(gui, &state.inventory) {
            Some((place, buttons)) => Step::Act(click(state, gui, place, buttons)),
            None => Step::Nothing,
        };
    }
    let have = |item| count(&state.inventory, item);
    if have(Item::WoodenPickaxe) > 0 {
        return Step::Nothing;
    }
    if have(Item::Stick) >= 2 && have(Item::Planks) >= 3 {
        return go_to(state, Item::CraftingTable, Block::CraftingTable);
    }
    // Sticks are made after the table only: who has some, had one, unless leaves have dropped them.
    let made_sticks = have(Item::Stick) > 0 && have(Item::Planks) > 0;
    let had_table = have(Item::CraftingTable) > 0 || made_sticks;
    let ready = have(Item::Log) >= logs || have(Item::Planks) >= 4;
    // A jump or fall would go on behind the screen.
    if ready && !had_table && state.player.body.on_ground {
        return Step::Act(press(state, keys::INVENTORY));
    }
    Step::Nothing
}

pub(super) fn count(inventory: &Inventory, item: Item) -> u32 {
    inventory
        .slots
        .iter()
        .flatten()
        .filter(|stack| stack.item == item)
        .map(|stack| u32::from(stack.count))
        .sum()
}

/// Takes a table or furnace in hand, places it in front, and opens it; or turns to the one placed before.
pub(super) fn go_to(state: &State, item: Item, block: Block) -> Step {
    let target = state.player.target(&state.voxels);
    let [x, y, z] = target.map_or([0, -1, 0], |hit| hit.cell);
    let opens = |found: Block| found == block || (block == Block::Furnace && found == Block::LitFurnace);
    if opens(state.voxels.get(x, y, z)) {
        return Step::Act(press(state, keys::USE));
    }
    let holds = |slot: &usize| state.inventory.slots[*slot].is_some_and(|stack| stack.item == item);
    let Some(slot) = (0..HOTBAR).find(holds) else {
        return look_for(state, opens);
    };
    if state.inventory.selected != slot {
        return Step::Act(press(state, keys::HOTBAR[slot]));
    }
    // A click on something that opens would open it.
    let opens_other =
        matches!(state.voxels.get(x, y, z), Block::CraftingTable | Block::Furnace | Block::LitFurnace);
    let room = !opens_other && target.is_some_and(|hit| !state.player.body.overlaps(hit.before));
    let pitch_delta = towards(PLACING_PITCH - state.player.pitch, 2.0);
    if pitch_delta != 0.0 {
        return Step::Act(Action { keys: 0, pitch_delta, yaw_delta: 0.0 });
    }
    if room {
        return Step::Act(press(state, keys::USE));
    }
    Step::Act(Action { keys: 0, pitch_delta: 0.0, yaw_delta: FASTEST })
}

/// Turns to such a block within reach.
fn look_for(state: &State, such: impl Fn(Block) -> bool) -> Step {
    let eye = state.player.eye();
    let from = eye.map(|value| value.floor() as i32);
    let around = -3..=3;
    let cells = around.clone().flat_map(|dy| {
        let around = around.clone();
        around
            .clone()
            .flat_map(move |dz| around.clone().map(move |dx| [from[0] + dx, from[1] + dy, from[2] + dz]))
    });
    let mut tables = cells.filter(|[x, y, z]| such(state.voxels.get(*x, *y, *z)));
    let Some(table) = tables.next() else { return Step::Nothing };
    let (yaw, pitch) = angles_to(eye, table.map(|value| f64::from(value) + 0.5));
    let yaw_delta = towards(wrap_degrees(yaw - state.player.yaw), 1.0);
    let pitch_delta = towards(pitch - state.player.pitch, 1.0);
    if yaw_delta == 0.0 && pitch_delta == 0.0 {
        // Something is in the way: what comes next is for chopping to decide.
        return Step::Nothing;
    }
    Step::Act(Action { keys: 0, pitch_delta, yaw_delta })
}

/// What the grid is to hold: slot by slot.
fn plan(gui: &Gui, inventory: &Inventory) -> &'static [(usize, Item)] {
    let everything = |item| {
        let carried = gui.carried.filter(|stack| stack.item == item);
        count(inventory, item) + carried.map_or(0, |stack| u32::from(stack.count))
    };
    let on_grid = gui.grid.iter().any(Option::is_some);
    match gui.kind {
        GuiKind::CraftingTable if everything(Item::WoodenPickaxe) == 0 => &PICKAXE,
        GuiKind::CraftingTable | GuiKind::Furnace => &[],
        GuiKind::Inventory if everything(Item::CraftingTable) == 0 => &TABLE,
        GuiKind::Inventory if everything(Item::Stick) < 2 && (on_grid || everything(Item::Planks) >= 5) => {
            &STICKS
        }
        GuiKind::Inventory => &[],
    }
}

/// Which slot to click next and with which buttons towards the first pickaxe.
pub(super) fn wish_at_the_start(gui: &Gui, inventory: &Inventory) -> Option<(Place, u32)> {
    wish(gui, inventory, plan(gui, inventory))
}

/// As [`wish`], for the whole road.
pub(super) fn wish_on_the_road(gui: &Gui, inventory: &Inventory) -> Option<(Place, u32)> {
    wish(gui, inventory, road_plan(gui, inventory))
}

/// What the grid is to hold on the road to the diamond pickaxe.
fn road_plan(gui: &Gui, inventory: &Inventory) -> &'static [(usize, Item)] {
    let have = |item: Item| {
        let slots = inventory.slots.iter().chain(&gui.grid).chain([&gui.carried]).flatten();
        slots.filter(|stack| stack.item == item).map(|stack| u32::from(stack.count)).sum::<u32>()
    };
    if gui.kind == GuiKind::Inventory {
        return if have(Item::CraftingTable) == 0 { &TABLE } else { &[] };
    }
    let pickaxes = [
        (Item::DiamondPickaxe, Item::Diamond, &DIAMOND),
        (Item::IronPickaxe, Item::IronIngot, &IRON),
        (Item::StonePickaxe, Item::Cobblestone, &STONE),
        (Item::WoodenPickaxe, Item::Planks, &PICKAXE),
    ];
    let worth = pickaxes.iter().position(|(made, _, _)| have(*made) > 0).unwrap_or(pickaxes.len());
    if let Some(next) = pickaxes[..worth].iter().position(|(_, of, _)| have(*of) >= 3) {
        // Sticks for all pickaxes to come: planks may have become fuel by then.
        let sticks = 2 * (next as u32 + 1);
        let more = have(Item::Stick) < sticks && have(Item::Planks) + 4 * have(Item::Log) >= 2;
        return if more { &MORE_STICKS } else { pickaxes[next].2 };
    }
    let furnace = have(Item::Furnace) == 0 && have(Item::Cobblestone) >= 8 && have(Item::IronIngot) < 3;
    if furnace && have(Item::StonePickaxe) > 0 { &FURNACE } else { &[] }
}

/// Which slot to click next and with which buttons; nothing when the screen can be closed.
fn wish(gui: &Gui, inventory: &Inventory, plan: &[(usize, Item)]) -> Option<(Place, u32)> {
    let missing = || plan.iter().filter(|(cell, _)| gui.grid[*cell].is_none());
    let made = gui.result().map(|stack| stack.item);
    let carried = gui.carried.map(|stack| stack.item);
    if (made == Some(Item::Planks) && carried != Some(Item::Log))
        || (made.is_some() && made != Some(Item::Planks) && missing().next().is_none())
    {
        return Some((Place::Result, keys::ATTACK | keys::SNEAK));
    }
    let slot_of =
        |slot: Slot| (0..SLOTS).find(|index| inventory.slots[*index].map(|s| s.item) == slot.map(|s| s.item));
    if let Some(item) = carried {
        if item == Item::Log {
            return Some((Place::Grid(0), keys::ATTACK));
        }
        return match missing().find(|(_, wanted)| *wanted == item) {
            Some((cell, _)) => Some((Place::Grid(*cell), keys::USE)),
            // Put down what is in the way of picking up something else.
            None if missing().next().is_some() => Some((Place::Inventory(slot_of(None)?), keys::ATTACK)),
            None => None,
        };
    }
    let short =
        count(inventory, Item::Planks) < plan.iter().filter(|(_, item)| *item == Item::Planks).count() as u32;
    let logs =
        (gui.kind == GuiKind::Inventory || short) && !plan.is_empty() && gui.grid.iter().all(Option::is_none);
    let wanted = logs.then_some(Item::Log).into_iter().chain(missing().map(|(_, item)| *item));
    let slot = wanted.filter_map(|item| slot_of(Some(Stack::new(item, 1)))).next()?;
    Some((Place::Inventory(slot), keys::ATTACK))
}

/// Moves the cursor onto a slot, then clicks.
pub(super) fn click(state: &State, gui: &Gui, place: Place, buttons: u32) -> Action {
    let centre = gui.centre(place);
    let [dx, dy] = [0, 1].map(|axis| centre[axis] - gui.cursor[axis]);
    if dx.abs() <= ON_SLOT && dy.abs() <= ON_SLOT {
        return if state.held_before & (keys::ATTACK | keys::USE) == 0 {
            Action { keys: buttons, ..Action::NOOP }
        } else {
            Action::NOOP
        };
    }
    let tolerance = ON_SLOT / PIXELS_PER_DEGREE;
    let degrees = |pixels: f32| towards(pixels / PIXELS_PER_DEGREE, tolerance);
    Action { keys: 0, pitch_delta: degrees(dy), yaw_delta: degrees(dx) }
}
