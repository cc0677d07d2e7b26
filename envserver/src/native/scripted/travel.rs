//! Going where a block is and digging it out: follows a [`route`](super::route), one step after the other, with the tool
//! in hand that is quickest for what is in the way.

use vpt_proto::keys;

use super::route::{Cell, Ground, cells_of, find, offset};
use crate::mouse::towards;
use crate::native::block::Block;
use crate::native::env::State;
use crate::native::inventory::HOTBAR;
use crate::native::item::Item;
use crate::native::look::{angles_to, wrap_degrees};
use crate::native::mining;
use crate::native::voxels::Voxels;
use crate::world::Action;

/// Ticks without progress after which a way is looked for anew.
const PATIENCE: u32 = 60;
/// Ticks between two searches for a way.
const REST: u64 = 40;
/// How near the middle of a cell the feet have to come, blocks.
const ARRIVED: f64 = 0.25;
/// The player walks while the way lies within this angle, degrees.
const WALK_WITHIN: f32 = 25.0;

/// A player on the way to a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Travel {
    goal: Option<Cell>,
    way: Vec<Cell>,
    /// Steps taken.
    at: usize,
    idle: u32,
    seen: (Cell, u64),
    /// Until when no other way is looked for.
    resting: u64,
}

impl Travel {
    /// The next action towards digging out `goal`; none once it is gone, or when no way leads there.
    pub(crate) fn next(&mut self, state: &State, goal: Cell) -> Option<Action> {
        let goal = Voxels::nearest_copy(goal, state.player.body.position.map(|value| value as f32));
        let feet = feet_of(state);
        let gone = !state.voxels.get(goal[0], goal[1], goal[2]).is_solid();
        if gone && (feet == goal || offset(feet, [0, 1, 0]) == goal) {
            return None;
        }
        self.watch(state, feet);
        self.keep_pace(state, feet);
        let lost = self.goal != Some(goal) || self.idle > PATIENCE || self.at + 1 >= self.way.len();
        if lost && state.ticks >= self.resting {
            self.resting = state.ticks + REST;
            // Where no way leads and none is needed, digging goes on: an interruption would begin it anew.
            if self.plan(state, feet, goal).is_none() && !is_aimed_at(state, goal) {
                return None;
            }
        }
        match self.way.get(self.at + 1) {
            Some(to) => Some(step(state, self.way[self.at], *to)),
            None => dig_first(state, &[goal]),
        }
    }

    fn plan(&mut self, state: &State, feet: Cell, goal: Cell) -> Option<()> {
        let dig = |block: Block| quickest(state, block).map(|(_, ticks)| ticks);
        let ground = Ground { voxels: &state.voxels, dig: &dig };
        (self.goal, self.at, self.idle) = (Some(goal), 0, 0);
        self.way = find(&ground, feet, goal).unwrap_or_default();
        if self.way.is_empty() {
            return None;
        }
        Some(())
    }

    /// Notes where on the way the feet are.
    fn keep_pace(&mut self, state: &State, feet: Cell) {
        if !state.player.body.on_ground {
            return;
        }
        let ahead = self.way.iter().skip(self.at).take(3).position(|cell| *cell == feet);
        if let Some(steps) = ahead
            && (steps == 0 || is_at(state, feet))
        {
            self.at += steps;
        }
    }

    fn watch(&mut self, state: &State, feet: Cell) {
        let now = (feet, state.mining.state().1);
        self.idle = if now == self.seen { self.idle + 1 } else { 0 };
        self.seen = now;
    }
}

fn is_aimed_at(state: &State, goal: Cell) -> bool {
    state.player.target(&state.voxels).is_some_and(|hit| hit.cell == goal)
}

/// The cell that the feet are in.
pub(super) fn feet_of(state: &State) -> Cell {
    let [x, y, z] = state.player.body.position;
    [x.floor() as i32, (y + 1e-3).floor() as i32, z.floor() as i32]
}

fn is_at(state: &State, cell: Cell) -> bool {
    let [x, _, z] = state.player.body.position;
    let off = |value: f64, cell: i32| (value - f64::from(cell) - 0.5).abs();
    off(x, cell[0]) < ARRIVED && off(z, cell[2]) < ARRIVED
}

/// The hotbar slot that digs a block soonest (and gets its drop), and the ticks it takes.
fn quickest(state: &State, block: Block) -> Option<(usize, u32)> {
    let slots = (0..HOTBAR).filter_map(|slot| {
        let held: Option<Item> = state.inventory.slots[slot].map(|stack| stack.item);
        let ticks = mining::ticks(block, held)?;
        // Of equal tools the one in hand.
        Some((ticks, slot != state.inventory.selected, slot))
    });
    slots.min().map(|(ticks, _, slot)| (slot, ticks))
}

/// One step of a way: digs what is in it, then walks.
fn step(state: &State, from: Cell, to: Cell) -> Action {
    if let Some(action) = dig_first(state, &cells_of(from, to)) {
        return action;
    }
    let player = &state.player;
    let place = [f64::from(to[0]) + 0.5, player.eye()[1], f64::from(to[2]) + 0.5];
    let (yaw, _) = angles_to(player.eye(), place);
    let yaw_error = wrap_degrees(yaw - player.yaw);
    let pitch_error = 20.0 - player.pitch;
    let mut action =
        Action { keys: 0, yaw_delta: towards(yaw_error, 3.0), pitch_delta: towards(pitch_error, 15.0) };
    if yaw_error.abs() < WALK_WITHIN && !is_at(state, to) {
        action.keys |= keys::FORWARD;
        if to[1] > feet_of(state)[1] {
            action.keys |= keys::JUMP;
        }
    }
    action
}

/// Digs the first of these cells that is not free.
fn dig_first(state: &State, cells: &[Cell]) -> Option<Action> {
    let solid = |cell: &&Cell| state.voxels.get(cell[0], cell[1], cell[2]).is_solid();
    let cell = *cells.iter().find(solid)?;
    let block = state.voxels.get(cell[0], cell[1], cell[2]);
    if let Some((slot, _)) = quickest(state, block)
        && slot != state.inventory.selected
    {
        return Some(super::press(state, keys::HOTBAR[slot]));
    }
    let player = &state.player;
    let (yaw, pitch) = angles_to(player.eye(), cell.map(|value| f64::from(value) + 0.5));
    let (yaw_error, pitch_error) = (wrap_degrees(yaw - player.yaw), pitch - player.pitch);
    let on_it = player.target(&state.voxels).is_some_and(|hit| cells.contains(&hit.cell));
    if on_it {
        return Some(Action { keys: keys::ATTACK, ..Action::NOOP });
    }
    let (yaw_delta, pitch_delta) = (towards(yaw_error, 2.0), towards(pitch_error, 2.0));
    // Aimed well and yet on something else: that is in the way.
    let held = if yaw_delta == 0.0 && pitch_delta == 0.0 { keys::ATTACK } else { 0 };
    Some(Action { keys: held, yaw_delta, pitch_delta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Stack;
    use crate::task::Task;

    /// The block of that kind nearest to the player, as the crow flies.
    fn nearest(state: &State, block: Block) -> Option<Cell> {
        let from = feet_of(state);
        let cells = (1..state.voxels.height())
            .flat_map(|y| (-40..40).flat_map(move |x| (-40..40).map(move |z| [from[0] + x, y, from[2] + z])));
        let distance = |cell: &Cell| (0..3).map(|axis| (cell[axis] - from[axis]).pow(2)).sum::<i32>();
        cells.filter(|[x, y, z]| state.voxels.get(*x, *y, *z) == block).min_by_key(distance)
    }

    #[test]
    fn ores_deep_below_are_reached_dug_out_and_picked_up() {
        let task = Task::resolve("wood").unwrap();
        let mut got = 0;
        for seed in 0..6 {
            let mut state = State::for_test(seed, &task);
            state.inventory.slots[3] = Some(Stack::new(Item::IronPickaxe, 1));
            let mut travel = Travel::default();
            for (ore, item) in [(Block::IronOre, Item::IronOre), (Block::DiamondOre, Item::Diamond)] {
                let Some(goal) = nearest(&state, ore) else { continue };
                let has = |state: &State| state.inventory.slots.iter().flatten().any(|s| s.item == item);
                let began = state.ticks;
                while !has(&state) && state.ticks < began + 2000 {
                    let action = travel.next(&state, goal).unwrap_or(Action::NOOP);
                    state.step_for_test(&action);
                }
                got += usize::from(has(&state));
            }
        }
        assert_eq!(got, 12);
    }
}
