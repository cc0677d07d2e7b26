//! Crafting in the game's inventory screen: recipes as clicks, and the mouse movements between them.

use std::collections::VecDeque;

use vpt_proto::keys;

use super::report::State;
use crate::mouse::towards;
use crate::world::Action;

/// Pixels of a window of 640x360 that a degree moves the cursor.
const PIXELS_PER_DEGREE: f32 = 2400.0 / 360.0;
/// Near enough to the middle of a slot, degrees; a slot is three wide.
const ON_SLOT: f32 = 0.8;
/// Slots of the player's own in the screen.
const SLOTS: usize = 32;
const COLUMNS: usize = 8;

/// Somewhere to click in the inventory screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One of the player's own slots.
    Own(usize),
    /// A cell of the grid: column and row.
    Grid(usize, usize),
    /// Where the crafted item appears.
    Result,
}

impl Place {
    /// Its middle in a window of 640x360; the game lays its screens out a little differently in smaller ones, within a slot.
    fn middle(self) -> [f32; 2] {
        match self {
            Self::Own(slot) => [
                231.0 + 25.5 * (slot % COLUMNS) as f32,
                [204.5, 231.0, 255.0, 279.0][(slot / COLUMNS).min(3)],
            ],
            Self::Grid(column, row) => [275.0 + 25.5 * column as f32, 92.5 + 24.0 * row as f32],
            Self::Result => [377.0, 116.5],
        }
    }
}

/// A place and the mouse button pressed there.
type Click = (Place, u32);

/// What goes where in the grid.
pub(super) struct Recipe {
    /// Items of the game's, by the end of their names, with the cells that each goes into.
    pub(super) rows: &'static [(&'static str, &'static [(usize, usize)])],
}

/// Planks of a log.
pub(super) const PLANKS: Recipe = Recipe { rows: &[("tree", &[(0, 0)])] };
/// Sticks of a plank.
pub(super) const STICKS: Recipe = Recipe { rows: &[("wood", &[(0, 0)])] };
const HANDLE: &[(usize, usize)] = &[(1, 1), (1, 2)];
const HEAD: &[(usize, usize)] = &[(0, 0), (1, 0), (2, 0)];
/// A pickaxe of wood.
pub(super) const WOODEN_PICKAXE: Recipe = Recipe { rows: &[("wood", HEAD), (":stick", HANDLE)] };
/// A pickaxe of stone.
pub(super) const STONE_PICKAXE: Recipe = Recipe { rows: &[(":cobble", HEAD), (":stick", HANDLE)] };

/// How many of an item, by the end of its name, the player has in one slot, and in which: the fullest.
pub(super) fn find(state: &State, end: &str) -> Option<(usize, u32)> {
    let slots = state.slots.iter().take(SLOTS).enumerate();
    // Tools of wood are no wood.
    let matching = slots.filter(|(_, (name, _))| name.ends_with(end) && !name.contains("pick_"));
    matching.map(|(slot, (_, count))| (slot, *count as u32)).max_by_key(|(_, count)| *count)
}

/// Clicks that are still to be made in the open screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Clicks {
    queue: VecDeque<Click>,
    pressed: bool,
}

impl Clicks {
    /// The clicks that craft a recipe once; none when something for it is missing.
    pub(super) fn of(recipe: &Recipe, state: &State) -> Option<Self> {
        let (take, one) = (keys::ATTACK, keys::USE);
        let mut queue = VecDeque::new();
        for (item, cells) in recipe.rows {
            let (slot, count) = find(state, item)?;
            if (count as usize) < cells.len() {
                return None;
            }
            queue.push_back((Place::Own(slot), take));
            queue.extend(cells.iter().map(|(column, row)| (Place::Grid(*column, *row), one)));
            if count as usize > cells.len() {
                queue.push_back((Place::Own(slot), take));
            }
        }
        let free = state.slots.iter().take(SLOTS).position(|(name, _)| name.is_empty())?;
        queue.extend([(Place::Result, take), (Place::Own(free), take)]);
        Some(Self { queue, pressed: false })
    }

    /// The next action with the cursor at a place of a window of 640x360; none when all is done.
    pub(super) fn next(&mut self, cursor: [f32; 2]) -> Option<Action> {
        let (place, button) = *self.queue.front()?;
        if self.pressed {
            self.pressed = false;
            self.queue.pop_front();
            return Some(Action::NOOP);
        }
        let middle = place.middle();
        let errors = [0, 1].map(|axis| (middle[axis] - cursor[axis]) / PIXELS_PER_DEGREE);
        let [yaw_delta, pitch_delta] = errors.map(|error| towards(error, ON_SLOT));
        self.pressed = yaw_delta == 0.0 && pitch_delta == 0.0;
        Some(Action { keys: if self.pressed { button } else { 0 }, pitch_delta, yaw_delta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(slots: &[(&str, f64)]) -> State {
        let mut slots: Vec<_> = slots.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        slots.resize(SLOTS, (String::new(), 0.0));
        State { slots, ..State::default() }
    }

    #[test]
    fn a_recipe_is_laid_out_taken_and_put_away() {
        let state = state(&[("default:wood", 3.0), ("default:stick", 4.0), ("default:pick_wood", 1.0)]);
        let clicks = Clicks::of(&WOODEN_PICKAXE, &state).unwrap().queue;
        assert_eq!(clicks[0], (Place::Own(0), keys::ATTACK));
        // All planks are used, so nothing is put back; two sticks are.
        assert_eq!((clicks[4].0, clicks[7].0), (Place::Own(1), Place::Own(1)));
        assert_eq!((clicks[8].0, clicks[9].0, clicks.len()), (Place::Result, Place::Own(3), 10));
        assert!(Clicks::of(&STONE_PICKAXE, &state).is_none() && Clicks::of(&PLANKS, &state).is_none());
    }

    #[test]
    fn the_cursor_comes_to_the_slot_and_clicks_once() {
        let mut clicks = Clicks::of(&PLANKS, &state(&[("default:tree", 1.0)])).unwrap();
        let mut cursor = [320.0, 180.0];
        let mut pressed = Vec::new();
        for _ in 0..60 {
            let Some(action) = clicks.next(cursor) else { break };
            cursor = [
                cursor[0] + action.yaw_delta * PIXELS_PER_DEGREE,
                cursor[1] + action.pitch_delta * PIXELS_PER_DEGREE,
            ];
            if action.keys != 0 {
                pressed.push((cursor, action.keys));
            }
        }
        assert_eq!(
            pressed.iter().map(|(_, keys)| *keys).collect::<Vec<_>>(),
            [keys::ATTACK, keys::USE, keys::ATTACK, keys::ATTACK]
        );
        let middle = Place::Result.middle();
        assert!((pressed[2].0[0] - middle[0]).abs() < 8.0 && (pressed[2].0[1] - middle[1]).abs() < 8.0);
    }
}
