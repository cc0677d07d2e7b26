//! The inventory, crafting table and furnace screens: a cursor moved by the mouse, slots clicked with it.
//!
//! Left takes, puts and swaps stacks, right takes half or puts one, held over several slots they spread what is
//! carried, a double click collects, shift moves a stack to the other part, number keys swap with the hotbar and the swap key with
//! the other hand, Q throws one (with sprint all), a click outside the panel throws what is carried.

mod drag;
mod layout;
mod moves;

use vpt_proto::keys;

use self::drag::Drag;
use self::layout::SCREEN;
use super::furnace::{Furnace, burn_ticks};
use super::inventory::{HOTBAR, Inventory, take};
use super::item::{Item, Slot, Stack};
use super::recipe;
use super::scene::GuiKind;
use crate::world::{Action, Event};

/// Cursor pixels per degree of mouse movement.
pub(crate) const PIXELS_PER_DEGREE: f32 = 2400.0 / 360.0;
/// Two clicks on a slot less than this many ticks apart are a double click.
const DOUBLE_CLICK: u8 = 5;

/// A slot of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of the player's 36.
    Inventory(usize),
    /// One of the crafting grid's, row by row; of a furnace, 0 is the input and 1 the fuel.
    Grid(usize),
    /// What the grid crafts or the furnace made.
    Result,
    /// One of four for armour, from the head down.
    Armour(usize),
    /// What the other hand holds.
    Offhand,
}

impl Place {
    /// A number of its own, for hashing.
    fn number(self) -> u64 {
        match self {
            Self::Inventory(index) => index as u64,
            Self::Grid(index) => 64 + index as u64,
            Self::Result => 128,
            Self::Armour(index) => 129 + index as u64,
            Self::Offhand => 160,
        }
    }
}

/// An open screen.
#[derive(Clone, Debug)]
pub(crate) struct Gui {
    pub(crate) kind: GuiKind,
    /// Of a furnace: a copy of its input, fuel and result, brought up to date every tick.
    pub(crate) grid: [Slot; 9],
    pub(crate) carried: Slot,
    /// In the 640x360 space.
    pub(crate) cursor: [f32; 2],
    /// The furnace it shows.
    pub(crate) furnace: Option<[i32; 3]>,
    /// The furnace's flame and arrow, pixels.
    pub(crate) gauges: [u8; 2],
    drag: Option<Drag>,
    /// The slot of the last left click and the ticks since.
    last_click: Option<(Place, u8)>,
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
        Self {
            kind,
            grid: [None; 9],
            carried: None,
            cursor: [SCREEN[0] / 2.0, SCREEN[1] / 2.0],
            furnace: None,
            gauges: [0; 2],
            drag: None,
            last_click: None,
        }
    }

    /// Shows what a furnace holds now.
    pub(crate) fn show_furnace(&mut self, furnace: &Furnace) {
        if self.grid[..3] != furnace.slots {
            // A drag remembers what its slots held, which is true no more.
            self.drag = None;
        }
        self.grid[..3].copy_from_slice(&furnace.slots);
        self.gauges = furnace.gauges();
    }

    /// Whether a slot may hold an item: fuel slots are particular, and those for armour.
    fn accepts(&self, place: Place, item: Item) -> bool {
        match place {
            Place::Grid(1) if self.kind == GuiKind::Furnace => burn_ticks(item) > 0,
            Place::Result => false,
            Place::Armour(index) => item.armour().is_some_and(|piece| piece.part as usize == index),
            Place::Inventory(_) | Place::Grid(_) | Place::Offhand => true,
        }
    }

    /// What the grid crafts now, or what the furnace made.
    pub(crate) fn result(&self) -> Slot {
        if self.kind == GuiKind::Furnace {
            return self.grid[2];
        }
        let side = self.side();
        recipe::craft(&self.grid[..side * side], side)
    }

    /// What lies in a slot.
    pub(crate) fn content(&self, place: Place, inventory: &Inventory) -> Slot {
        match place {
            Place::Inventory(index) => inventory.slots[index],
            Place::Grid(index) => self.grid[index],
            Place::Result => self.result(),
            Place::Armour(index) => inventory.armour[index],
            Place::Offhand => inventory.offhand,
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
        self.last_click =
            self.last_click.filter(|(_, age)| age + 1 < DOUBLE_CLICK).map(|(at, age)| (at, age + 1));
        for (button, right) in [(keys::ATTACK, false), (keys::USE, true)] {
            if pressed & button != 0 {
                self.drag = None;
                self.press(right, action.holds(keys::SNEAK), inventory, &mut effects);
            }
        }
        self.type_keys(action, pressed, inventory, &mut effects);
        let button = self.drag.as_ref().map(|drag| if drag.right { keys::USE } else { keys::ATTACK });
        match (button, hovered) {
            (Some(button), _) if !action.holds(button) => self.drag = None,
            (Some(_), Some(place)) => self.drag_over(place, inventory),
            _ => {}
        }
        effects
    }

    /// A mouse button goes down.
    fn press(&mut self, right: bool, shift: bool, inventory: &mut Inventory, effects: &mut GuiEffects) {
        let before = self.last_click.take();
        let Some(place) = self.hovered() else {
            if self.outside() {
                effects.thrown.extend(take(&mut self.carried, if right { 1 } else { u8::MAX }));
            }
            return;
        };
        if shift {
            return self.quick_move(place, inventory, effects);
        }
        if place == Place::Result {
            return self.take_result(right, effects);
        }
        let empty = self.content(place, inventory).is_none();
        if !right && before.is_some_and(|(at, _)| at == place) && self.carried.is_some() && empty {
            return self.collect(inventory);
        }
        if !right {
            self.last_click = Some((place, 0));
        }
        if !self.begin_drag(place, right, inventory) {
            self.click(place, right, inventory);
        }
    }

    /// Number keys, the swap key and the drop key act on the slot under an empty cursor.
    fn type_keys(
        &mut self,
        action: &Action,
        pressed: u32,
        inventory: &mut Inventory,
        effects: &mut GuiEffects,
    ) {
        let (Some(place), None) = (self.hovered(), self.carried) else { return };
        if let Some(number) = (0..HOTBAR).find(|index| pressed & keys::HOTBAR[*index] != 0) {
            self.drag = None;
            self.swap_with(place, Place::Inventory(number), inventory, effects);
        } else if pressed & keys::SWAP_HANDS != 0 {
            self.drag = None;
            self.swap_with(place, Place::Offhand, inventory, effects);
        }
        if pressed & keys::DROP != 0 {
            self.drag = None;
            self.throw_from(place, action.holds(keys::SPRINT), inventory, effects);
        }
    }

    /// Closes the screen: what it holds goes back to the inventory; what does not fit is returned. A furnace keeps its
    /// own.
    pub(crate) fn close(mut self, inventory: &mut Inventory) -> Vec<Stack> {
        if self.kind == GuiKind::Furnace {
            self.grid = [None; 9];
        }
        let held = self.grid.iter_mut().filter_map(Option::take).chain(self.carried.take());
        held.filter_map(|stack| inventory.add(stack)).collect()
    }

    /// Feeds everything that decides the future to a hash.
    pub(crate) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        add(self.kind as u64);
        self.grid.iter().chain([&self.carried]).for_each(|slot| add(Stack::bits(*slot)));
        self.cursor.iter().for_each(|value| add(u64::from(value.to_bits())));
        if let Some((place, age)) = self.last_click {
            add(place.number() << 8 | u64::from(age));
        }
        if let Some(drag) = &self.drag {
            drag.hash_into(add);
        }
    }

    /// The slot itself; the result has none.
    fn slot<'a>(&'a mut self, place: Place, inventory: &'a mut Inventory) -> Option<&'a mut Slot> {
        match place {
            Place::Inventory(index) => inventory.slots.get_mut(index),
            Place::Grid(index) => self.grid.get_mut(index),
            Place::Result => None,
            Place::Armour(index) => inventory.armour.get_mut(index),
            Place::Offhand => Some(&mut inventory.offhand),
        }
    }

    /// A click where no drag can begin: takes, swaps, or does nothing.
    fn click(&mut self, place: Place, right: bool, inventory: &mut Inventory) {
        let there = self.content(place, inventory);
        match (self.carried, there) {
            (None, Some(stack)) => {
                let count = if right { stack.count.div_ceil(2) } else { stack.count };
                self.carried = self.slot(place, inventory).and_then(|slot| take(slot, count));
            }
            (Some(hand), Some(stack)) if !hand.stacks_with(stack) && self.accepts(place, hand.item) => {
                if let Some(slot) = self.slot(place, inventory) {
                    *slot = Some(hand);
                    self.carried = Some(stack);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod conservation;
#[cfg(test)]
mod tests;
