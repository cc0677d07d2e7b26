//! The whole road: from bare hands to the diamond pickaxe. Decides by what is carried what comes next: wood, a table, a
//! pickaxe of the next material, stone, iron and a furnace, diamonds.

use vpt_proto::keys;

use super::chop::Chop;
use super::craft::{self, Step, count};
use super::dig::Dig;
use super::press;
use super::route::Cell;
use super::travel::{Travel, feet_of};
use crate::mouse::towards;
use crate::native::block::{Block, Tool};
use crate::native::env::State;
use crate::native::gui::{Gui, Place};
use crate::native::inventory::{HOTBAR, SLOTS};
use crate::native::item::Item;
use crate::native::scene::GuiKind;
use crate::world::Action;

/// Logs that last for the whole way: a table, sticks for four pickaxes, fuel.
const LOGS: u32 = 8;
/// Cobblestone for a pickaxe and a furnace.
const STONES: u32 = 11;
/// Ingots or diamonds in a pickaxe.
const IN_A_PICKAXE: u32 = 3;
/// How far away a table of one's own is fetched from, blocks.
const FETCH: i32 = 5;
/// Ticks in which a table is put down and opened where there is room, and of digging where there is none.
const CRAMPED: u32 = 70;
const DIGGING: u32 = 60;
/// Gaze while digging room, degrees.
const AHEAD: f32 = 25.0;
/// Ticks of chopping without a log after which it is done another way.
const FRUITLESS: u64 = 300;
/// Hotbar slots that are kept free of what is of no use.
const SPARE: usize = 2;
/// Ticks between two throws.
const TIDY: u64 = 400;

/// A player on the road.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    chop: Chop,
    log: Dig,
    /// Logs carried, and since when that many.
    logs: (u32, u64),
    stone: Dig,
    iron: Dig,
    diamond: Dig,
    fetch: Travel,
    /// Until when no rubbish is thrown away.
    tidy: u64,
    /// Ticks spent on putting down and opening something.
    cramped: u32,
}

impl Default for Road {
    fn default() -> Self {
        Self {
            chop: Chop::default(),
            log: Dig::only(Block::Log, Item::Log, LOGS),
            logs: (0, 0),
            stone: Dig::only(Block::Stone, Item::Cobblestone, STONES),
            iron: Dig::only(Block::IronOre, Item::IronOre, IN_A_PICKAXE),
            diamond: Dig::only(Block::DiamondOre, Item::Diamond, IN_A_PICKAXE),
            fetch: Travel::default(),
            tidy: 0,
            cramped: 0,
        }
    }
}

/// The tier of the best pickaxe carried; 0 without one.
fn tier(state: &State) -> u8 {
    let pickaxes = [
        (Item::DiamondPickaxe, 4),
        (Item::IronPickaxe, 3),
        (Item::StonePickaxe, 2),
        (Item::WoodenPickaxe, 1),
    ];
    pickaxes.into_iter().find(|(item, _)| count(&state.inventory, *item) > 0).map_or(0, |(_, tier)| tier)
}

impl Road {
    /// The next action.
    pub(crate) fn next(&mut self, state: &State) -> Action {
        if let Some(gui) = &state.gui {
            self.cramped = 0;
            let wish = match gui.kind {
                GuiKind::Furnace => return smelt(state, gui),
                GuiKind::Inventory if gui.carried.is_none() && to_hand(state).is_some() => to_hand(state),
                _ if tier(state) == 0 => craft::wish_at_the_start(gui, &state.inventory),
                _ => craft::wish_on_the_road(gui, &state.inventory),
            };
            return match wish {
                Some((place, buttons)) => craft::click(state, gui, place, buttons),
                None => press(state, keys::INVENTORY),
            };
        }
        if state.ticks >= self.tidy
            && let Some(action) = throw_rubbish(state)
        {
            // What lands before the feet comes back: it must not become a game.
            if action.holds(keys::DROP) {
                self.tidy = state.ticks + TIDY;
            }
            return action;
        }
        let have = |item| count(&state.inventory, item);
        let ready = match tier(state) {
            0 => return self.first_pickaxe(state),
            1 => have(Item::Cobblestone) >= STONES,
            2 if have(Item::IronIngot) >= IN_A_PICKAXE => true,
            2 if have(Item::Furnace) == 0
                && !near(state, Block::Furnace)
                && !near(state, Block::LitFurnace) =>
            {
                have(Item::Cobblestone) >= 8
            }
            2 => false,
            3 => have(Item::Diamond) >= IN_A_PICKAXE,
            _ => true,
        };
        if ready && tier(state) < 4 {
            return self.at_table(state);
        }
        self.gather(state)
    }

    fn pickaxe_slot(&self, state: &State) -> Option<usize> {
        let is_pickaxe = |slot: &usize| {
            let tool = state.inventory.slots[*slot].and_then(|stack| stack.item.tool());
            tool.is_some_and(|tool| tool.kind == Tool::Pickaxe)
        };
        (0..HOTBAR).rfind(is_pickaxe)
    }

    fn first_pickaxe(&mut self, state: &State) -> Action {
        match craft::next(state, LOGS) {
            Step::Act(action) => action,
            Step::Nothing => self.wood(state),
        }
    }

    /// Chops; where that has brought nothing for long, by the way to a log that digs through what is between.
    fn wood(&mut self, state: &State) -> Action {
        let logs = count(&state.inventory, Item::Log);
        if logs != self.logs.0 {
            self.logs = (logs, state.ticks);
        }
        let dug = if state.ticks > self.logs.1 + FRUITLESS { self.log.next(state) } else { None };
        dug.unwrap_or_else(|| self.chop.next(state))
    }

    /// Digs for what the next pickaxe is made of; a table that stands by comes along.
    fn gather(&mut self, state: &State) -> Action {
        let have = |item| count(&state.inventory, item);
        if have(Item::CraftingTable) == 0
            && let Some(table) = nearby(state, Block::CraftingTable)
            && let Some(action) = self.fetch.next(state, table)
        {
            return action;
        }
        let dug = match tier(state) {
            1 => self.stone.next(state),
            2 if have(Item::IronOre) + have(Item::IronIngot) >= IN_A_PICKAXE
                || (have(Item::IronOre) == 0 && furnace_at_work(state)) =>
            {
                return self.use_block(state, Item::Furnace, Block::Furnace);
            }
            2 if have(Item::Furnace) == 0 && have(Item::Cobblestone) < 8 => self.stone.next(state),
            2 => self.iron.next(state),
            3 => self.diamond.next(state),
            _ => None,
        };
        dug.unwrap_or_else(|| self.chop.next(state))
    }

    /// Goes to a table and opens it; makes one where there is none.
    fn at_table(&mut self, state: &State) -> Action {
        let have = |item| count(&state.inventory, item);
        if have(Item::CraftingTable) == 0 && !near(state, Block::CraftingTable) {
            let wood = have(Item::Planks) + 4 * have(Item::Log) >= 4;
            return if wood { press(state, keys::INVENTORY) } else { self.chop.next(state) };
        }
        self.use_block(state, Item::CraftingTable, Block::CraftingTable)
    }

    fn use_block(&mut self, state: &State, item: Item, block: Block) -> Action {
        if to_hand(state).is_some() {
            return press(state, keys::INVENTORY);
        }
        // Where there is no room all around, some is made.
        self.cramped += 1;
        if self.cramped > CRAMPED {
            self.cramped %= CRAMPED + DIGGING;
            let slot = self.pickaxe_slot(state);
            if let Some(slot) = slot.filter(|slot| *slot != state.inventory.selected) {
                return press(state, keys::HOTBAR[slot]);
            }
            let pitch_delta = towards(AHEAD - state.player.pitch, 3.0);
            return Action { keys: keys::ATTACK, pitch_delta, yaw_delta: 0.0 };
        }
        match craft::go_to(state, item, block) {
            Step::Act(action) => action,
            Step::Nothing => Action { keys: keys::BACK, ..Action::NOOP },
        }
    }
}

/// In the inventory's screen: the slot of something that has to be at hand and is not, and the key that swaps it with
/// something of less use.
fn to_hand(state: &State) -> Option<(Place, u32)> {
    let slots = &state.inventory.slots;
    let needed = |item: Item| {
        matches!(item, Item::CraftingTable | Item::Furnace)
            || item.tool().is_some_and(|t| t.kind == Tool::Pickaxe)
    };
    let in_hotbar = |item: Item| slots[..HOTBAR].iter().flatten().any(|stack| stack.item == item);
    let from = (HOTBAR..SLOTS)
        .find(|slot| slots[*slot].is_some_and(|stack| needed(stack.item) && !in_hotbar(stack.item)))?;
    let to = (0..HOTBAR).rev().find(|slot| slots[*slot].is_none_or(|stack| !needed(stack.item)))?;
    Some((Place::Inventory(from), keys::HOTBAR[to]))
}

/// Whether a furnace within reach burns or has burnt something.
fn furnace_at_work(state: &State) -> bool {
    near(state, Block::LitFurnace)
}

fn near(state: &State, block: Block) -> bool {
    nearby(state, block).is_some()
}

fn nearby(state: &State, block: Block) -> Option<Cell> {
    let [x, y, z] = feet_of(state);
    let around = -FETCH..=FETCH;
    let cells = around.clone().flat_map(|dy| {
        let around = around.clone();
        around.clone().flat_map(move |dz| around.clone().map(move |dx| [x + dx, y + dy, z + dz]))
    });
    let distance = |cell: &Cell| [cell[0] - x, cell[1] - y, cell[2] - z].iter().map(|v| v * v).sum::<i32>();
    cells.filter(|[x, y, z]| state.voxels.get(*x, *y, *z) == block).min_by_key(distance)
}

/// In a furnace's screen: ore in, wood under it, wait, ingots out.
fn smelt(state: &State, gui: &Gui) -> Action {
    let inventory = &state.inventory;
    let slot_of =
        |item: Item| (0..SLOTS).find(|slot| inventory.slots[*slot].is_some_and(|stack| stack.item == item));
    let quick = |place| craft::click(state, gui, place, keys::ATTACK | keys::SNEAK);
    let [input, fuel, result] = [gui.grid[0], gui.grid[1], gui.grid[2]];
    if let (None, Some(slot)) = (input, slot_of(Item::IronOre)) {
        return quick(Place::Inventory(slot));
    }
    if input.is_some() && fuel.is_none() && gui.gauges[0] == 0 {
        if let Some(slot) = slot_of(Item::Coal).or(slot_of(Item::Planks)) {
            return quick(Place::Inventory(slot));
        }
        return press(state, keys::INVENTORY);
    }
    match (input, result) {
        (None, Some(_)) => quick(Place::Result),
        // What is left of the wood is worth taking along.
        (None, None) if fuel.is_some() => quick(Place::Grid(1)),
        (None, None) => press(state, keys::INVENTORY),
        _ => Action::NOOP,
    }
}

/// Throws away what fills the hotbar and is of no use.
fn throw_rubbish(state: &State) -> Option<Action> {
    let slots = &state.inventory.slots;
    if slots[..HOTBAR].iter().filter(|slot| slot.is_none()).count() >= SPARE {
        return None;
    }
    let useful = |item: Item| {
        let outdone = item == Item::WoodenPickaxe && count(&state.inventory, Item::StonePickaxe) > 0;
        let made = [
            Item::Log,
            Item::Planks,
            Item::Stick,
            Item::CraftingTable,
            Item::Cobblestone,
            Item::Furnace,
            Item::IronOre,
            Item::IronIngot,
            Item::Diamond,
            Item::Coal,
        ];
        !outdone && (item.tool().is_some() || made.contains(&item))
    };
    let rubbish = (0..HOTBAR).find(|slot| slots[*slot].is_some_and(|stack| !useful(stack.item)))?;
    if state.inventory.selected != rubbish {
        return Some(press(state, keys::HOTBAR[rubbish]));
    }
    Some(press(state, keys::DROP | keys::SPRINT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn the_road_leads_to_the_diamond_pickaxe() {
        let task = Task::resolve("diamond_pickaxe").unwrap();
        // Leaves drop a stick before the first table in 41; 32 digs its table up where no way leads to it.
        for seed in [0, 1, 2, 3, 32, 41] {
            let mut state = State::for_test(seed, &task);
            let mut road = Road::default();
            while tier(&state) < 4 {
                let tick = state.step_for_test(&road.next(&state));
                assert!(!tick.died && state.ticks < 24_000, "seed {seed}: tier {}", tier(&state));
            }
        }
    }
}
