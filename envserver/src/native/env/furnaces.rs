//! Furnaces in the running world: opened by use, burning on behind a closed screen, emptied when broken.

use super::State;
use crate::native::block::Block;
use crate::native::gui::Gui;
use crate::native::scene::GuiKind;
use crate::native::voxels::Voxels;
use crate::world::{Event, EventKind};

/// The one name of a place in a world that repeats.
fn place_of(cell: [i32; 3]) -> [i32; 3] {
    Voxels::nearest_copy(cell, [0.0; 3])
}

impl State {
    pub(super) fn open_furnace(&mut self, cell: [i32; 3]) {
        let place = place_of(cell);
        let mut gui = Gui::open(GuiKind::Furnace);
        gui.furnace = Some(place);
        gui.show_furnace(self.furnaces.at(place));
        self.gui = Some(gui);
    }

    /// One tick of every furnace, the open one between the player's click and what the screen shows of it.
    pub(super) fn tick_furnaces(&mut self) {
        let open = self.gui.as_ref().and_then(|gui| Some((gui.furnace?, gui.grid)));
        if let Some((place, grid)) = open {
            self.furnaces.at(place).slots.copy_from_slice(&grid[..3]);
        }
        for (place, lit) in self.furnaces.tick() {
            self.set(place, if lit { Block::LitFurnace } else { Block::Furnace });
        }
        if let (Some(gui), Some((place, _))) = (&mut self.gui, open) {
            gui.show_furnace(self.furnaces.at(place));
        }
    }

    /// What a broken furnace held falls out. What the player had put in counts as dropped, so that taking it up again
    /// earns nothing; a result that was never taken is still to be earned.
    pub(super) fn scatter_furnace(&mut self, cell: [i32; 3], events: &mut Vec<Event>) {
        let Some(furnace) = self.furnaces.remove(place_of(cell)) else { return };
        for stack in furnace.slots[..2].iter().flatten() {
            let quantity = u32::from(stack.count);
            events.push(Event { kind: EventKind::Drop, item: stack.item.name(), quantity });
        }
        self.spawn_drop(cell, furnace.slots.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
