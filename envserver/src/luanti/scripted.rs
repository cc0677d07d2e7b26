//! The scripted player: chops, and for tasks that pay for a stone pickaxe goes all the way there.

use vpt_proto::keys;

use super::chop::{Chop, angles};
use super::craft::{Clicks, PLANKS, Recipe, STICKS, STONE_PICKAXE, WOODEN_PICKAXE, find};
use super::report::State;
use crate::mouse::towards;
use crate::native::look::wrap_degrees;
use crate::task::Task;
use crate::world::Action;

/// Cobblestones and sticks of a stone pickaxe.
const COBBLE: u32 = 3;
/// Slots that a number key takes in hand.
const HOTBAR: usize = 8;

/// A player for one episode.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripted {
    chop: Chop,
    /// Whether it crafts what it can.
    crafts: bool,
    clicks: Clicks,
    /// Keys that were held in the last action: some act only when pressed anew.
    held: u32,
}

impl Scripted {
    /// A player for that task.
    pub(super) fn for_task(task: &Task) -> Self {
        let crafts = task.rewards.iter().any(|rule| rule.item == "stone_pickaxe");
        Self { crafts, ..Self::default() }
    }

    /// The next action; `cursor` is where a screen's cursor is in a window of 640x360, if one is open.
    pub(super) fn next(&mut self, state: &State, cursor: Option<[f32; 2]>) -> Action {
        let action = self.decide(state, cursor);
        self.held = action.keys;
        action
    }

    fn decide(&mut self, state: &State, cursor: Option<[f32; 2]>) -> Action {
        if let Some(cursor) = cursor {
            if let Some(action) = self.clicks.next(cursor) {
                return action;
            }
            return match recipe(state).filter(|_| self.crafts).and_then(|recipe| Clicks::of(recipe, state)) {
                Some(clicks) => {
                    self.clicks = clicks;
                    Action::NOOP
                }
                None => self.press(keys::INVENTORY),
            };
        }
        self.clicks = Clicks::default();
        if !self.crafts {
            return self.chop.next(state);
        }
        if recipe(state).is_some_and(|recipe| Clicks::of(recipe, state).is_some()) {
            return self.press(keys::INVENTORY);
        }
        match pickaxe(state, "pick_wood") {
            Some(_) if pickaxe(state, "pick_stone").is_some() => Action::NOOP,
            Some(slot) => self.dig_down(state, slot),
            None => self.chop.next(state),
        }
    }

    /// Takes the pickaxe in hand, looks straight down and digs.
    fn dig_down(&self, state: &State, slot: usize) -> Action {
        if state.hand != slot as f64 && slot < HOTBAR {
            return self.press(keys::HOTBAR[slot]);
        }
        let pitch_delta = towards(88.0 - state.pitch, 2.0);
        if pitch_delta != 0.0 {
            return Action { keys: 0, pitch_delta, yaw_delta: 0.0 };
        }
        let [x, y, z] = state.pos;
        let is_dug = state.pointed.as_ref().is_none_or(|pointed| f64::from(pointed.at[1]) < y - 1.2);
        if !is_dug {
            return Action { keys: keys::ATTACK, ..Action::NOOP };
        }
        // It stands on the edge of its hole, or falls: a step to the hole's middle.
        let (yaw, _) = angles(state.pos, [x.round(), y, z.round()]);
        let yaw_delta = towards(wrap_degrees(yaw - state.yaw), 10.0);
        Action { keys: if yaw_delta == 0.0 { keys::FORWARD } else { 0 }, pitch_delta: 0.0, yaw_delta }
    }

    /// Presses keys that act when pressed: released first if they are still held.
    fn press(&self, mask: u32) -> Action {
        if self.held & mask == 0 { Action { keys: mask, ..Action::NOOP } } else { Action::NOOP }
    }
}

fn pickaxe(state: &State, end: &str) -> Option<usize> {
    state.slots.iter().position(|(name, _)| name.ends_with(end))
}

/// What to craft next on the way from a log to a stone pickaxe, if there is enough for it.
fn recipe(state: &State) -> Option<&'static Recipe> {
    let count = |end| find(state, end).map_or(0, |(_, count)| count);
    if pickaxe(state, "pick_stone").is_some() {
        return None;
    }
    if pickaxe(state, "pick_wood").is_some() {
        return (count(":cobble") >= COBBLE).then_some(&STONE_PICKAXE);
    }
    match (count(":stick"), count("wood"), count("tree")) {
        (2.., 3.., _) => Some(&WOODEN_PICKAXE),
        // A plank gives four sticks, a log four planks: one log is enough for both pickaxes.
        (0..2, 4.., _) => Some(&STICKS),
        (_, _, 1..) => Some(&PLANKS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Pointed;
    use super::*;

    fn state(slots: &[(&str, f64)]) -> State {
        let mut slots: Vec<_> = slots.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        slots.resize(32, (String::new(), 0.0));
        State { slots, ..State::default() }
    }

    #[test]
    fn one_log_leads_to_the_stone_pickaxe() {
        let next = |slots: &[(&str, f64)]| recipe(&state(slots)).map(|recipe| recipe.rows[0].0);
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[("default:pine_tree", 1.0)]), Some("tree"));
        assert_eq!(next(&[("default:pine_wood", 4.0)]), Some("wood"));
        assert_eq!(next(&[("default:pine_wood", 3.0), ("default:stick", 4.0)]), Some("wood"));
        let with_pickaxe = [("default:pick_wood", 1.0), ("default:stick", 2.0), ("default:cobble", 3.0)];
        assert_eq!(next(&with_pickaxe), Some(":cobble"));
        assert_eq!(next(&with_pickaxe[..2]), None);
    }

    #[test]
    fn it_opens_the_screen_once_and_closes_it_when_nothing_is_left_to_craft() {
        let task = Task::resolve("stone").unwrap();
        let mut player = Scripted::for_task(&task);
        let log = state(&[("default:tree", 1.0)]);
        assert_eq!(player.next(&log, None).keys, keys::INVENTORY);
        assert_eq!(player.next(&log, Some([320.0, 180.0])), Action::NOOP);
        assert_ne!(player.next(&log, Some([320.0, 180.0])), Action::NOOP);
        let mut chopper = Scripted::for_task(&Task::resolve("chop").unwrap());
        assert_eq!(chopper.next(&log, Some([320.0, 180.0])).keys, keys::INVENTORY);
        assert_eq!(chopper.next(&log, Some([320.0, 180.0])).keys, 0);
    }

    #[test]
    fn with_a_pickaxe_it_digs_down() {
        let mut player = Scripted::for_task(&Task::resolve("stone").unwrap());
        let slots = [("", 0.0), ("default:pick_wood", 1.0), ("default:stick", 2.0)];
        let mut at = State { hand: 0.0, ..state(&slots) };
        assert_eq!(player.next(&at, None).keys, keys::HOTBAR[1]);
        at.hand = 1.0;
        assert!(player.next(&at, None).pitch_delta > 0.0);
        at.pitch = 88.0;
        // Nothing below: on an edge, it goes on.
        assert_eq!(player.next(&at, None).keys, keys::FORWARD);
        at.pointed = Some(Pointed { at: [0, -1, 0], name: "default:dirt".to_owned() });
        assert_eq!(player.next(&at, None).keys, keys::ATTACK);
    }
}
