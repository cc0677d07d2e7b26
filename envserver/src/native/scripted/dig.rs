//! Digging for what a task pays: the nearest block of a paid kind that the tools at hand can harvest, then the next.

use super::route::{Cell, offset};
use super::travel::{Travel, feet_of};
use crate::native::block::Block;
use crate::native::env::State;
use crate::native::inventory::HOTBAR;
use crate::native::item::Item;
use crate::native::mining;
use crate::task::Task;
use crate::world::Action;

/// How far around the player blocks are looked for: half the world's period.
const AROUND: i32 = 63;
/// Ticks after which a block that has not been got is given up for another.
const PATIENCE: u64 = 1200;
/// Ticks between two looks around that found nothing.
const REST: u64 = 100;

/// A player who digs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dig {
    /// What is dug for, what it drops, and how many of that pay.
    wanted: Vec<(Block, Item, u32)>,
    goal: Option<(Cell, u64)>,
    given_up: Vec<Cell>,
    resting: u64,
    travel: Travel,
}

impl Dig {
    /// A player who digs for one kind of block until that many of what it drops are carried.
    pub(crate) fn only(block: Block, item: Item, most: u32) -> Self {
        Self { wanted: vec![(block, item, most)], ..Self::default() }
    }

    /// A player who digs for what the task pays and pickaxes bring.
    pub(crate) fn for_task(task: &Task) -> Self {
        let dug = |block: &Block| block.harvest_tier() > 0 && *block != Block::LitFurnace;
        let wanted = Block::ALL.into_iter().filter(dug).filter_map(|block| {
            let item = block.drop_name().and_then(Item::from_name)?;
            let rule = task.rewards.iter().find(|rule| rule.item == item.name())?;
            Some((block, item, rule.max.unwrap_or(u32::MAX)))
        });
        Self { wanted: wanted.collect(), ..Self::default() }
    }

    /// The next action; none when there is nothing to dig for.
    pub(crate) fn next(&mut self, state: &State) -> Option<Action> {
        let wanted = self.harvestable(state);
        if wanted.is_empty() {
            return None;
        }
        if let Some((goal, since)) = self.goal {
            let [x, y, z] = goal;
            let there = wanted.contains(&state.voxels.get(x, y, z));
            if there && state.ticks < since + PATIENCE {
                if let Some(action) = self.travel.next(state, goal) {
                    return Some(action);
                }
                self.given_up.push(goal);
            } else if there {
                self.given_up.push(goal);
            }
            self.goal = None;
        }
        if state.ticks >= self.resting {
            self.goal = self.nearest(state, &wanted).map(|cell| (cell, state.ticks));
            self.resting = if self.goal.is_none() { state.ticks + REST } else { 0 };
        }
        self.goal.map(|(goal, _)| self.travel.next(state, goal).unwrap_or(Action::NOOP))
    }

    /// The kinds still wanted that the tools in the hotbar can harvest.
    fn harvestable(&self, state: &State) -> Vec<Block> {
        let have = |item: Item| {
            let stacks = state.inventory.slots.iter().flatten().filter(|stack| stack.item == item);
            stacks.map(|stack| u32::from(stack.count)).sum::<u32>()
        };
        let held = |slot: usize| state.inventory.slots[slot].map(|stack| stack.item);
        let can = |block: Block| (0..HOTBAR).any(|slot| mining::can_harvest(block, held(slot)));
        let wanted = self.wanted.iter().filter(|(block, item, max)| have(*item) < *max && can(*block));
        wanted.map(|(block, _, _)| *block).collect()
    }

    fn nearest(&self, state: &State, wanted: &[Block]) -> Option<Cell> {
        let feet = feet_of(state);
        let across = -AROUND..=AROUND;
        let cells = across.clone().flat_map(|dy| {
            let across = across.clone();
            across.clone().flat_map(move |dz| across.clone().map(move |dx| [dx, dy, dz]))
        });
        let distance = |by: &Cell| by.iter().map(|value| value * value).sum::<i32>();
        let is_wanted = |by: &Cell| {
            let [x, y, z] = offset(feet, *by);
            wanted.contains(&state.voxels.get(x, y, z)) && !self.given_up.contains(&[x, y, z])
        };
        let inside = |by: &Cell| (1..state.voxels.height()).contains(&(feet[1] + by[1]));
        cells.filter(inside).filter(is_wanted).min_by_key(distance).map(|by| offset(feet, by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Stack;

    #[test]
    fn paid_ores_are_dug_as_the_tools_allow() {
        let text = "name = 'ores'\nepisode_steps = 4000\n\
                    [[rewards]]\nitem = 'cobblestone'\nmax = 3\nreward = 1.0\n\
                    [[rewards]]\nitem = 'iron_ore'\nmax = 1\nreward = 1.0\n";
        let task = Task::parse(text).unwrap();
        for (pickaxe, iron) in [(Item::WoodenPickaxe, 0), (Item::StonePickaxe, 1)] {
            let mut state = State::for_test(5, &task);
            state.inventory.slots[0] = Some(Stack::new(pickaxe, 1));
            let mut dig = Dig::for_task(&task);
            for _ in 0..2500 {
                let action = dig.next(&state).unwrap_or(Action::NOOP);
                state.step_for_test(&action);
            }
            let count = |item: Item| {
                let stacks = state.inventory.slots.iter().flatten().filter(|stack| stack.item == item);
                stacks.map(|stack| u32::from(stack.count)).sum::<u32>()
            };
            assert!(count(Item::Cobblestone) >= 3, "{pickaxe:?}: {}", count(Item::Cobblestone));
            assert!(count(Item::IronOre) >= iron, "{pickaxe:?}");
            assert!(iron == 1 || count(Item::IronOre) == 0);
        }
    }

    #[test]
    fn a_task_that_pays_for_wood_alone_sends_nobody_underground() {
        let mut state = State::for_test(5, &Task::resolve("wood").unwrap());
        state.inventory.slots[0] = Some(Stack::new(Item::StonePickaxe, 1));
        assert_eq!(Dig::for_task(&Task::resolve("wood").unwrap()).next(&state), None);
    }
}
