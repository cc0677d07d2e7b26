//! Crafting through the screens: planks and a crafting table, by moving the cursor and clicking.

use vpt_proto::keys;

use super::mouse::towards;
use super::press;
use crate::native::env::State;
use crate::native::gui::{Gui, PIXELS_PER_DEGREE, Place};
use crate::native::inventory::Inventory;
use crate::native::item::Item;
use crate::world::Action;

/// How far from a slot's middle a click still lands on it for sure, pixels.
const ON_SLOT: f32 = 6.0;

/// What crafting asks for in this tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// This action.
    Act(Action),
    /// Nothing to craft now.
    Nothing,
}

/// The next action towards a crafting table: collecting `logs` first is not crafting's business.
pub(crate) fn next(state: &State, logs: u32) -> Step {
    let Some(gui) = &state.gui else {
        let has_table = count(&state.inventory, Item::CraftingTable) > 0;
        let ready = count(&state.inventory, Item::Log) >= logs || count(&state.inventory, Item::Planks) >= 4;
        // A jump or fall would go on behind the screen.
        return if ready && !has_table && state.player.body.on_ground {
            Step::Act(press(state, keys::INVENTORY))
        } else {
            Step::Nothing
        };
    };
    match wish(gui, &state.inventory) {
        Some((place, button)) => Step::Act(click(state, gui, place, button)),
        None => Step::Nothing,
    }
}

fn count(inventory: &Inventory, item: Item) -> u32 {
    inventory
        .slots
        .iter()
        .flatten()
        .filter(|stack| stack.item == item)
        .map(|stack| u32::from(stack.count))
        .sum()
}

/// Which slot to click next and with which buttons; nothing when the screen can be closed.
fn wish(gui: &Gui, inventory: &Inventory) -> Option<(Place, u32)> {
    if let Some(made) = gui.result()
        && matches!(made.item, Item::Planks | Item::CraftingTable)
        && gui.carried.is_none_or(|stack| stack.item != Item::Log)
    {
        return Some((Place::Result, keys::ATTACK | keys::SNEAK));
    }
    let first_free = (0..gui.side() * gui.side()).find(|index| gui.grid[*index].is_none());
    let slot_with = |item: Item, least: u8| {
        let holds = |index: &usize| {
            inventory.slots[*index].is_some_and(|stack| stack.item == item && stack.count >= least)
        };
        (0..inventory.slots.len()).find(holds).map(Place::Inventory)
    };
    let table = count(inventory, Item::CraftingTable) > 0;
    match gui.carried.map(|stack| stack.item) {
        Some(Item::Log) => Some((Place::Grid(first_free?), keys::ATTACK)),
        Some(Item::Planks) if !table => Some((Place::Grid(first_free?), keys::USE)),
        Some(_) => None,
        None if table => None,
        None => {
            let pick_up = slot_with(Item::Log, 1).or_else(|| slot_with(Item::Planks, 4))?;
            Some((pick_up, keys::ATTACK))
        }
    }
}

/// Moves the cursor onto a slot, then clicks.
fn click(state: &State, gui: &Gui, place: Place, buttons: u32) -> Action {
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
