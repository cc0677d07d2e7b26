//! The inventory and crafting table screens: a cursor moved by the mouse, slots clicked with it.
//!
//! Left takes, puts and swaps stacks, right takes half or puts one, shift moves a stack to the other part, number
//! keys swap with the hotbar, Q throws one, a click outside the panel throws what is carried.

use vpt_proto::keys;

use super::inventory::{HOTBAR, Inventory, SLOTS, pour, take};
use super::item::{Slot, Stack};
use super::recipe;
use super::scene::GuiKind;
use crate::world::{Action, Event, EventKind};

/// The space the cursor moves in, pixels.
const SCREEN: [f32; 2] = [640.0, 360.0];
/// Cursor pixels per degree of mouse movement.
pub(crate) const PIXELS_PER_DEGREE: f32 = 2400.0 / 360.0;
/// The panel's size and top left corner in that space.
const PANEL_SIZE: [i32; 2] = [176, 166];
const PANEL: [i32; 2] = [(640 - PANEL_SIZE[0]) / 2, (360 - PANEL_SIZE[1]) / 2];
const PITCH: i32 = 18;

/// A slot of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of the player's 36.
    Inventory(usize),
    /// One of the crafting grid's, row by row.
    Grid(usize),
    /// What the grid crafts.
    Result,
}

/// An open screen.
#[derive(Clone, Debug)]
pub(crate) struct Gui {
    pub(crate) kind: GuiKind,
    pub(crate) grid: [Slot; 9],
    pub(crate) carried: Slot,
    /// In the 640x360 space.
    pub(crate) cursor: [f32; 2],
}

/// What a tick in a screen leaves for the world to do.
#[derive(Debug, Default)]
pub(crate) struct GuiEffects {
    pub(crate) events: Vec<Event>,
    /// Stacks to throw into the world.
    pub(crate) thrown: Vec<Stack>,
}

impl Gui {
    /// Opens a screen with the cursor in the middle.
    pub(crate) fn open(kind: GuiKind) -> Self {
        Self { kind, grid: [None; 9], carried: None, cursor: [SCREEN[0] / 2.0, SCREEN[1] / 2.0] }
    }

    /// Slots on a side of the crafting grid.
    pub(crate) fn side(&self) -> usize {
        match self.kind {
            GuiKind::Inventory => 2,
            GuiKind::CraftingTable => 3,
        }
    }

    /// What the grid crafts now.
    pub(crate) fn result(&self) -> Slot {
        let side = self.side();
        recipe::craft(&self.grid[..side * side], side)
    }

    /// Every slot of the screen.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let grid = self.side() * self.side();
        let carried = (0..SLOTS).map(Place::Inventory);
        carried.chain((0..grid).map(Place::Grid)).chain([Place::Result])
    }

    /// Top left corner of a slot in the panel.
    pub(crate) fn corner(&self, place: Place) -> (i32, i32) {
        let cell = |index: usize, side: usize| ((index % side) as i32 * PITCH, (index / side) as i32 * PITCH);
        let (grid, result) = match self.kind {
            GuiKind::Inventory => ((98, 18), (154, 28)),
            GuiKind::CraftingTable => ((30, 17), (124, 35)),
        };
        let (from, offset) = match place {
            Place::Inventory(index) if index < HOTBAR => ((8, 142), cell(index, HOTBAR)),
            Place::Inventory(index) => ((8, 84), cell(index - HOTBAR, HOTBAR)),
            Place::Grid(index) => (grid, cell(index, self.side())),
            Place::Result => (result, (0, 0)),
        };
        (from.0 + offset.0, from.1 + offset.1)
    }

    /// Centre of a slot in the 640x360 space.
    pub(crate) fn centre(&self, place: Place) -> [f32; 2] {
        let (x, y) = self.corner(place);
        [(PANEL[0] + x + 8) as f32, (PANEL[1] + y + 8) as f32]
    }

    /// The slot under the cursor.
    pub(crate) fn hovered(&self) -> Option<Place> {
        let [x, y] = [0, 1].map(|axis| self.cursor[axis] as i32 - PANEL[axis]);
        self.places().find(|place| {
            let (left, top) = self.corner(*place);
            (left - 1..left + 17).contains(&x) && (top - 1..top + 17).contains(&y)
        })
    }

    fn outside(&self) -> bool {
        (0..2).any(|axis| {
            let offset = self.cursor[axis] as i32 - PANEL[axis];
            !(0..PANEL_SIZE[axis]).contains(&offset)
        })
    }

    /// What lies in a slot.
    pub(crate) fn content(&self, place: Place, inventory: &Inventory) -> Slot {
        match place {
            Place::Inventory(index) => inventory.slots[index],
            Place::Grid(index) => self.grid[index],
            Place::Result => self.result(),
        }
    }

    /// One tick: the mouse moves the cursor, then freshly `pressed` keys and buttons act.
    pub(crate) fn tick(&mut self, action: &Action, pressed: u32, inventory: &mut Inventory) -> GuiEffects {
        let moved = [action.yaw_delta, action.pitch_delta].map(|degrees| degrees * PIXELS_PER_DEGREE);
        for axis in 0..2 {
            self.cursor[axis] = (self.cursor[axis] + moved[axis]).clamp(0.0, SCREEN[axis] - 1.0);
        }
        let mut effects = GuiEffects::default();
        let hovered = self.hovered();
        for (button, right) in [(keys::ATTACK, false), (keys::USE, true)] {
            if pressed & button == 0 {
                continue;
            }
            match hovered {
                Some(place) if action.holds(keys::SNEAK) => self.quick_move(place, inventory, &mut effects),
                Some(Place::Result) => self.take_result(&mut effects),
                Some(place) => self.click(place, right, inventory),
                None if self.outside() => {
                    let thrown = take(&mut self.carried, if right { 1 } else { u8::MAX });
                    effects.thrown.extend(thrown);
                }
                None => {}
            }
        }
        let number = (0..HOTBAR).find(|index| pressed & keys::HOTBAR[*index] != 0);
        if let (Some(place), Some(number), None) = (hovered, number, self.carried) {
            self.swap_with_hotbar(place, number, inventory);
        }
        if pressed & keys::DROP != 0
            && let Some(slot) = hovered.and_then(|place| self.slot(place, inventory))
        {
            effects.thrown.extend(take(slot, 1));
        }
        effects
    }

    /// Closes the screen: what it holds goes back to the inventory; what does not fit is returned.
    pub(crate) fn close(mut self, inventory: &mut Inventory) -> Vec<Stack> {
        let held = self.grid.iter_mut().filter_map(Option::take).chain(self.carried.take());
        held.filter_map(|stack| inventory.add(stack)).collect()
    }

    /// The slot itself; the result has none.
    fn slot<'a>(&'a mut self, place: Place, inventory: &'a mut Inventory) -> Option<&'a mut Slot> {
        match place {
            Place::Inventory(index) => inventory.slots.get_mut(index),
            Place::Grid(index) => self.grid.get_mut(index),
            Place::Result => None,
        }
    }

    fn click(&mut self, place: Place, right: bool, inventory: &mut Inventory) {
        let mut carried = self.carried;
        if let Some(slot) = self.slot(place, inventory) {
            match (carried, *slot) {
                (None, Some(stack)) => {
                    carried = take(slot, if right { stack.count.div_ceil(2) } else { stack.count });
                }
                (Some(hand), Some(stack)) if hand.item != stack.item => {
                    *slot = Some(hand);
                    carried = Some(stack);
                }
                (Some(_), _) => {
                    let part = take(&mut carried, if right { 1 } else { u8::MAX });
                    let rest = part.and_then(|part| pour(part, slot));
                    if let Some(rest) = rest {
                        carried = join(carried, rest);
                    }
                }
                (None, None) => {}
            }
        }
        self.carried = carried;
    }

    fn take_result(&mut self, effects: &mut GuiEffects) {
        let Some(made) = self.result() else { return };
        let mut carried = self.carried;
        if pour(made, &mut carried).is_none() {
            self.carried = carried;
            self.consume(made, effects);
        }
    }

    /// Takes one of every ingredient and reports what was made.
    fn consume(&mut self, made: Stack, effects: &mut GuiEffects) {
        for slot in &mut self.grid {
            take(slot, 1);
        }
        let quantity = u32::from(made.count);
        effects.events.push(Event { kind: EventKind::CraftItem, item: made.item.name(), quantity });
    }

    fn quick_move(&mut self, place: Place, inventory: &mut Inventory, effects: &mut GuiEffects) {
        if place == Place::Result {
            // As often as the ingredients last and the product fits whole.
            while let Some(made) = self.result() {
                let mut after = inventory.clone();
                if after.add(made).is_some() {
                    break;
                }
                *inventory = after;
                self.consume(made, effects);
            }
            return;
        }
        let Some(stack) = self.slot(place, inventory).and_then(Option::take) else { return };
        let range = match place {
            Place::Inventory(index) if index < HOTBAR => HOTBAR..SLOTS,
            Place::Inventory(_) => 0..HOTBAR,
            Place::Grid(_) | Place::Result => 0..SLOTS,
        };
        let rest = inventory.add_within(stack, range);
        if let Some(slot) = self.slot(place, inventory) {
            *slot = rest;
        }
    }

    fn swap_with_hotbar(&mut self, place: Place, number: usize, inventory: &mut Inventory) {
        match place {
            Place::Inventory(index) => inventory.slots.swap(index, number),
            Place::Grid(index) => std::mem::swap(&mut self.grid[index], &mut inventory.slots[number]),
            Place::Result => {}
        }
    }
}

/// Puts back what a slot refused.
fn join(carried: Slot, rest: Stack) -> Slot {
    let count = carried.map_or(0, |stack| stack.count) + rest.count;
    Some(Stack::new(rest.item, count))
}

#[cfg(test)]
mod tests;
