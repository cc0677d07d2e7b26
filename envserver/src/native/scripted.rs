//! The scripted player: reads the state of play, acts only as a person could.
//!
//! Its behaviour is meant to be imitated from frames by a small network with little memory: a simple function of
//! what is in view, few key combinations, mouse movements only by the amounts the policy's camera bins decode to.

mod chop;
mod craft;
mod dig;
mod road;
mod route;
mod travel;

use vpt_proto::keys;

use super::env::State;
use super::item::Item;
use crate::task::Task;
use crate::world::Action;
use chop::Chop;
use craft::Step;
use dig::Dig;
use road::Road;

/// Logs after which a crafting player goes on to craft.
const LOGS_TO_CRAFT: u32 = 3;

/// The scripted player.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    chop: Chop,
    dig: Dig,
    /// For tasks that pay for what comes after the wooden pickaxe.
    road: Option<Road>,
    crafts: bool,
    /// What was advised for which tick: asking twice changes nothing.
    last: Option<(u64, Action)>,
}

impl Scripted {
    /// A player for that task: it crafts if the task pays for crafted things.
    pub(crate) fn for_task(task: &Task) -> Self {
        let crafts = task.rewards.iter().any(|rule| rule.item == Item::CraftingTable.name());
        let beyond = [Item::StonePickaxe, Item::Furnace, Item::IronPickaxe, Item::DiamondPickaxe];
        let pays = |item: &Item| task.rewards.iter().any(|rule| rule.item == item.name());
        let road = beyond.iter().any(pays).then(Road::default);
        Self { crafts, dig: Dig::for_task(task), road, ..Self::default() }
    }

    /// The next action.
    pub(crate) fn advise(&mut self, state: &State) -> Action {
        if let Some((tick, action)) = self.last
            && tick == state.ticks
        {
            return action;
        }
        let action = self.decide(state);
        self.last = Some((state.ticks, action));
        action
    }

    fn decide(&mut self, state: &State) -> Action {
        if let Some(road) = &mut self.road {
            return road.next(state);
        }
        let step = if self.crafts { craft::next(state, LOGS_TO_CRAFT) } else { Step::Nothing };
        match step {
            Step::Act(action) => action,
            Step::Nothing if state.gui.is_some() => press(state, keys::INVENTORY),
            Step::Nothing => self.dig.next(state).unwrap_or_else(|| self.chop.next(state)),
        }
    }
}

/// Presses keys that act when pressed: released first if they are still held.
fn press(state: &State, mask: u32) -> Action {
    if state.held_before & mask == 0 { Action { keys: mask, ..Action::NOOP } } else { Action::NOOP }
}
