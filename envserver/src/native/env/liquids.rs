//! Water and lava in the running world: stirred by every change beside them, moved on when they are due, hard where
//! they meet, and pulling at who is in them.

use super::State;
use crate::native::block::Block;
use crate::native::liquid::{Basin, Fill, Liquid, SIDES, beside};
use crate::native::voxels::Voxels;

/// Metres per tick that a current adds to what is in it.
const WATER_PULL: f64 = 0.014;
const LAVA_PULL: f64 = 0.007 / 3.0;

impl State {
    fn basin(&self) -> Basin<'_> {
        Basin { voxels: &self.voxels, flows: &self.flows }
    }

    /// A cell has changed: it and the liquids around it will be looked at, and lava that touches water now is hard.
    pub(super) fn stir(&mut self, cell: [i32; 3]) {
        let around = SIDES.into_iter().chain([[0; 3], [0, 1, 0], [0, -1, 0]]);
        for [x, y, z] in around.map(|side| beside(cell, side)) {
            let Some(liquid) = Liquid::of(self.voxels.get(x, y, z)) else { continue };
            let hard = if liquid == Liquid::Lava { self.basin().hardened([x, y, z]) } else { None };
            match hard {
                Some(block) => self.set([x, y, z], block),
                None => self.flows.note([x, y, z], liquid, self.ticks),
            }
        }
    }

    /// One tick of all that flows.
    pub(super) fn tick_liquids(&mut self) {
        if self.flows.is_still() {
            return;
        }
        for (spot, liquid) in self.flows.take_due(self.ticks) {
            // What floats off should land where the player can see it.
            let near = self.player.body.position.map(|value| value as f32);
            self.flow(Voxels::nearest_copy(spot.cell(), near), liquid);
        }
    }

    /// A cell's liquid finds its level, then flows on.
    fn flow(&mut self, cell: [i32; 3], liquid: Liquid) {
        let Some(mut fill) = self.basin().fill(liquid, cell) else { return };
        if fill != Fill::Source {
            let fed = self.basin().fed(liquid, cell);
            match fed {
                None => return self.set(cell, Block::Air),
                Some(fed) if fed != fill => self.put(cell, liquid.block(), Some(fed)),
                Some(_) => {}
            }
            fill = fed.unwrap_or(fill);
        }
        for (to, fill) in self.basin().outflow(liquid, cell, fill) {
            self.pour(liquid, to, fill);
        }
    }

    /// Liquid comes to a cell: it washes away small things, or burns them, and is stone where lava falls onto water.
    fn pour(&mut self, liquid: Liquid, cell: [i32; 3], fill: Fill) {
        let [x, y, z] = cell;
        let there = self.voxels.get(x, y, z);
        if liquid == Liquid::Lava && there == Block::Water {
            return self.set(cell, Block::Stone);
        }
        if liquid == Liquid::Water && there != Block::Air {
            self.leave(cell, there, None);
        }
        self.put(cell, liquid.block(), Some(fill));
    }

    /// The current takes a swimmer along.
    pub(super) fn drift(&mut self) {
        for (liquid, strength) in [(Liquid::Water, WATER_PULL), (Liquid::Lava, LAVA_PULL)] {
            if self.flows.has_none() || !self.player.body.touches(&self.voxels, liquid.block()) {
                continue;
            }
            let (low, high) = self.player.body.bounds();
            let cells = |axis: usize| low[axis].floor() as i32..=high[axis].floor() as i32;
            let mut pull = [0.0; 3];
            for y in cells(1) {
                for (z, x) in cells(2).flat_map(|z| cells(0).map(move |x| (z, x))) {
                    let current = self.basin().current(liquid, [x, y, z]);
                    pull = [0, 1, 2].map(|axis| pull[axis] + current[axis]);
                }
            }
            let length = (pull[0] * pull[0] + pull[2] * pull[2]).sqrt();
            if length > 0.0 {
                for axis in [0, 2] {
                    self.player.body.velocity[axis] += strength * pull[axis] / length;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
