//! Where a screen's slots lie, and which of them the cursor is on.

use super::{Gui, Place};
use crate::native::armour::PARTS;
use crate::native::inventory::{HOTBAR, SLOTS};
use crate::native::scene::GuiKind;

/// The space the cursor moves in, pixels.
pub(super) const SCREEN: [f32; 2] = [640.0, 360.0];
/// The panel's size and top left corner in that space.
const PANEL_SIZE: [i32; 2] = [176, 166];
const PANEL: [i32; 2] = [(640 - PANEL_SIZE[0]) / 2, (360 - PANEL_SIZE[1]) / 2];
const PITCH: i32 = 18;

impl Gui {
    /// Slots on a side of the crafting grid; a furnace has none.
    pub(crate) fn side(&self) -> usize {
        match self.kind {
            GuiKind::Inventory => 2,
            GuiKind::CraftingTable => 3,
            GuiKind::Furnace => 0,
        }
    }

    /// Every slot of the screen.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let grid = match self.kind {
            GuiKind::Furnace => 2,
            GuiKind::Inventory | GuiKind::CraftingTable => self.side() * self.side(),
        };
        let carried = (0..SLOTS).map(Place::Inventory);
        let worn = if self.kind == GuiKind::Inventory { PARTS } else { 0 };
        let other = (worn > 0).then_some(Place::Offhand);
        let made = (0..grid).map(Place::Grid).chain([Place::Result]);
        carried.chain(made).chain((0..worn).map(Place::Armour)).chain(other)
    }

    /// Top left corner of a slot in the panel.
    pub(crate) fn corner(&self, place: Place) -> (i32, i32) {
        let cell = |index: usize, side: usize| ((index % side) as i32 * PITCH, (index / side) as i32 * PITCH);
        let (grid, result) = match self.kind {
            GuiKind::Inventory => ((98, 18), (154, 28)),
            GuiKind::CraftingTable => ((30, 17), (124, 35)),
            // Input above, the fire between, fuel below.
            GuiKind::Furnace => ((56, 17), (116, 35)),
        };
        let (from, offset) = match place {
            Place::Inventory(index) if index < HOTBAR => ((8, 142), cell(index, HOTBAR)),
            Place::Inventory(index) => ((8, 84), cell(index - HOTBAR, HOTBAR)),
            Place::Grid(index) if self.kind == GuiKind::Furnace => (grid, (0, 2 * PITCH * index as i32)),
            Place::Grid(index) => (grid, cell(index, self.side())),
            Place::Result => (result, (0, 0)),
            Place::Armour(index) => ((8, 8), (0, PITCH * index as i32)),
            Place::Offhand => ((77, 62), (0, 0)),
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

    /// Whether the cursor is beside the panel.
    pub(super) fn outside(&self) -> bool {
        (0..2).any(|axis| {
            let offset = self.cursor[axis] as i32 - PANEL[axis];
            !(0..PANEL_SIZE[axis]).contains(&offset)
        })
    }
}
