//! What happens by itself: three blocks of every section around the player are looked at each tick, as in the game.
//! Grass spreads and dies, saplings become trees, leaves that hang on no log fall.
//!
//! Only where there is light to grow by: the always bright grove stays as it was made. Which blocks are looked at
//! follows from seed, tick and section alone.

use super::State;
use crate::native::block::Block;
use crate::native::liquid::flows::Spot;
use crate::native::liquid::{SIDES, beside};
use crate::native::sky::Sky;
use crate::native::spawn::mix;
use crate::native::terrain;

/// Sections looked at from the player's own: so many to each side, and above and below.
const SIDEWAYS: i32 = 2;
const UPRIGHT: i32 = 1;
/// Blocks of a section looked at in a tick.
const PICKS: u64 = 3;
/// Light that plants grow by.
const BRIGHT: u8 = 9;
/// What the sky's light loses by night.
const NIGHT: u8 = 11;
/// Steps through leaves to the farthest log that holds one.
const HOLDS: usize = 6;
/// One look in so many makes a tree of a sapling: the game takes two of one in seven.
const SAPLING_ODDS: u64 = 14;
const KEY: u64 = 0x4752_4f57;

const UP: [i32; 3] = [0, 1, 0];

/// Light from the sky and from blocks together.
#[derive(Clone, Copy)]
struct Hour {
    /// What the sky's light has lost.
    darkness: u8,
}

impl State {
    /// One tick of growing and withering.
    pub(super) fn grow(&mut self) {
        if !self.voxels.has_light() {
            return;
        }
        let day = u16::from(Sky::at(self.ticks).step);
        let hour = Hour { darkness: (u16::from(NIGHT) * (60 - day) / 60) as u8 };
        let key = mix(mix(self.seed, KEY), self.ticks);
        let [x, y, z] = self.player.body.position.map(|value| (value.floor() as i32) >> 4);
        let levels = (y - UPRIGHT).max(0)..(y + UPRIGHT + 1).min(self.voxels.height() >> 4);
        for (sy, sz) in levels.flat_map(|sy| (z - SIDEWAYS..=z + SIDEWAYS).map(move |sz| (sy, sz))) {
            for sx in x - SIDEWAYS..=x + SIDEWAYS {
                // Copies of a section are one section.
                let section = Spot::of([sx << 4, sy << 4, sz << 4]);
                let bits = mix(key, section.number());
                for pick in 0..PICKS {
                    let place = (bits >> (16 * pick)) as i32;
                    let inside = [place & 15, place >> 4 & 15, place >> 8 & 15];
                    self.look_at(beside([sx << 4, sy << 4, sz << 4], inside), mix(bits, pick), hour);
                }
            }
        }
    }

    fn look_at(&mut self, cell: [i32; 3], bits: u64, hour: Hour) {
        match self.at(cell) {
            Block::Grass => self.tend_grass(cell, bits, hour),
            Block::Leaves if !self.loose.is_empty() => self.wither(cell),
            Block::Sapling if bits.is_multiple_of(SAPLING_ODDS) && self.is_bright(beside(cell, UP), hour) => {
                self.raise_tree(cell, bits >> 8);
            }
            _ => {}
        }
    }

    fn is_bright(&self, [x, y, z]: [i32; 3], hour: Hour) -> bool {
        let (sky, blocks) = self.voxels.light(x, y, z);
        sky.saturating_sub(hour.darkness).max(blocks) >= BRIGHT
    }

    /// Grass dies under what shuts it in, and spreads to dirt near by that light falls on.
    fn tend_grass(&mut self, cell: [i32; 3], bits: u64, hour: Hour) {
        let above = beside(cell, UP);
        let drowned = self.at(above) == Block::Water && self.flows.fill(above).eighths() == 8;
        if self.at(above).is_opaque() || drowned {
            return self.set(cell, Block::Dirt);
        }
        if !self.is_bright(above, hour) {
            return;
        }
        for seed in 0..4 {
            let bits = mix(bits, seed);
            let part = |shift: u32, sides: u64| ((bits >> shift) % sides) as i32;
            let to = beside(cell, [part(0, 3) - 1, part(16, 5) - 3, part(32, 3) - 1]);
            let over = self.at(beside(to, UP));
            if self.at(to) == Block::Dirt && !over.is_opaque() && over != Block::Water {
                self.set(to, Block::Grass);
            }
        }
    }

    /// A log or leaves went: leaves near by may hang on nothing now.
    pub(super) fn loosen(&mut self, cell: [i32; 3]) {
        if !self.voxels.has_light() {
            return;
        }
        let reach = HOLDS as i32;
        for dy in -reach..=reach {
            let left = reach - dy.abs();
            for dz in -left..=left {
                let left = left - dz.abs();
                for dx in -left..=left {
                    let near = beside(cell, [dx, dy, dz]);
                    if self.at(near) == Block::Leaves {
                        self.loose.insert(Spot::of(near));
                    }
                }
            }
        }
    }

    /// Loose leaves fall, leaving what broken ones do, unless there is still a log that holds them.
    fn wither(&mut self, cell: [i32; 3]) {
        if self.loose.remove(&Spot::of(cell)) && !self.hangs(cell) {
            self.set(cell, Block::Air);
            self.leave(cell, Block::Leaves, None);
        }
    }

    /// Whether leaves lead from leaves to a log.
    fn hangs(&self, leaves: [i32; 3]) -> bool {
        let mut seen = vec![leaves];
        let mut from = 0;
        for _ in 0..HOLDS {
            let until = seen.len();
            for at in from..until {
                for way in SIDES.into_iter().chain([UP, [0, -1, 0]]) {
                    let next = beside(seen[at], way);
                    match self.at(next) {
                        Block::Log => return true,
                        Block::Leaves if !seen.contains(&next) => seen.push(next),
                        _ => {}
                    }
                }
            }
            from = until;
        }
        false
    }

    /// An oak in a sapling's place, if there is room for one and nobody stands in it.
    fn raise_tree(&mut self, sapling: [i32; 3], bits: u64) {
        let mut parts = Vec::new();
        terrain::oak(sapling, bits, |cell, block| parts.push((cell, block)));
        let room = |block: Block| block.is_plant() || matches!(block, Block::Air | Block::Leaves);
        let free = parts.iter().all(|(cell, block)| {
            let open = *block != Block::Log || room(self.at(*cell));
            open && cell[1] < self.voxels.height() && !self.player.body.overlaps(*cell)
        });
        if !free {
            return;
        }
        for (cell, block) in parts {
            if block != Block::Leaves || self.at(cell) == Block::Air {
                self.set(cell, block);
            }
        }
    }
}

#[cfg(test)]
mod tests;
