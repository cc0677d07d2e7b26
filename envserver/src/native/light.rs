//! Light of every cell of a volume: from the sky and from blocks that shine, 0 to 15 each.
//!
//! The light of the sky falls straight down undimmed through clear cells; any other step costs one,
//! leaves and water more. What results is the only field that obeys these rules, so it does not
//! depend on the order of edits. An edit first takes away what may have come by way of the changed
//! cell, then lets light flow back in from the rim.

use super::block::Block;
use super::voxels::PERIOD;

const SIDE: usize = PERIOD as usize;
const LAYER: usize = SIDE * SIDE;
const FULL: u8 = 15;
/// Bytes past the end that four-byte loads at the last cell may touch.
const PADDING: usize = 16;

/// What entering a block costs, by number; from [`FULL`] on nothing passes.
static DIMMING: [u8; Block::SLOTS] = {
    let mut table = [0; Block::SLOTS];
    let mut number = 0;
    while number < Block::ALL.len() {
        table[number] = match Block::ALL[number] {
            Block::Leaves => 1,
            Block::Water => 2,
            Block::Air | Block::Glass | Block::Torch => 0,
            Block::TallGrass | Block::Flower | Block::Sapling | Block::DeadBush => 0,
            _ => FULL,
        };
        number += 1;
    }
    table
};

fn dimming(block: u8) -> u8 {
    DIMMING[usize::from(block) % Block::SLOTS]
}

fn emission(block: u8) -> u8 {
    Block::from_u8(block).light()
}

/// Which of a cell's two lights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sky,
    Blocks,
}

impl Kind {
    fn shift(self) -> u32 {
        match self {
            Kind::Sky => 4,
            Kind::Blocks => 0,
        }
    }
}

/// The light field.
#[derive(Clone, Debug, Default)]
pub(super) struct Light {
    /// The sky's light in the upper four bits, that of blocks in the lower; padded.
    cells: Vec<u8>,
    /// Cells whose light has yet to spread, by level.
    open: [Vec<u32>; 16],
    /// Cells whose light is gone, with what it was.
    fading: Vec<(u32, u8)>,
}

impl Light {
    /// One byte a cell: the sky's light in the upper four bits, that of blocks in the lower; padded.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.cells
    }

    /// Recomputes the light of all `blocks`, a padded volume.
    pub(super) fn rebuild(&mut self, blocks: &[u8]) {
        let cells = blocks.len() / LAYER * LAYER;
        self.cells.clear();
        self.cells.resize(cells + PADDING, 0);
        let blocks = &blocks[..cells];
        let lowest = self.fall(blocks);
        self.open_shafts(&lowest);
        self.spread(blocks, Kind::Sky);
        // Rows that shine are few: look for them before looking at cells.
        for (row, content) in blocks.chunks_exact(SIDE).enumerate() {
            if content.iter().any(|block| SHINES[usize::from(*block) % Block::SLOTS]) {
                for (x, block) in content.iter().enumerate() {
                    self.raise(Kind::Blocks, row * SIDE + x, emission(*block));
                }
            }
        }
        self.spread(blocks, Kind::Blocks);
    }

    /// Corrects the field after the block at `index` has changed from `before` to what it is now.
    pub(super) fn edit(&mut self, blocks: &[u8], index: usize, before: Block) {
        let now = blocks[index];
        if dimming(now) == dimming(before as u8) && emission(now) == before.light() {
            return;
        }
        let blocks = &blocks[..self.cells.len() - PADDING];
        for kind in [Kind::Sky, Kind::Blocks] {
            self.fade(blocks, kind, index);
            self.spread(blocks, kind);
        }
    }

    fn get(&self, kind: Kind, index: usize) -> u8 {
        self.cells[index] >> kind.shift() & 15
    }

    fn put(&mut self, kind: Kind, index: usize, level: u8) {
        let cell = &mut self.cells[index];
        *cell = *cell & !(15 << kind.shift()) | level << kind.shift();
    }

    /// Gives a cell at least a level, which then has yet to spread.
    fn raise(&mut self, kind: Kind, index: usize, level: u8) {
        if level > self.get(kind, index) {
            self.put(kind, index, level);
            self.open[usize::from(level)].push(index as u32);
        }
    }

    /// Lights every cell that sees the sky straight above; the lowest such y of each column.
    fn fall(&mut self, blocks: &[u8]) -> Vec<u8> {
        let height = blocks.len() / LAYER;
        let mut lowest = vec![height as u8; LAYER];
        for y in (0..height).rev() {
            let mut any = false;
            for z in 0..SIDE {
                let start = y * LAYER + z * SIDE;
                let content = &blocks[start..start + SIDE];
                let columns = &mut lowest[z * SIDE..(z + 1) * SIDE];
                let lights = &mut self.cells[start..start + SIDE];
                let mut costs = [0; SIDE];
                // Above the land there is nothing to look up.
                if content.iter().fold(0, |all, block| all | block) != 0 {
                    for (cost, block) in costs.iter_mut().zip(content) {
                        *cost = dimming(*block);
                    }
                }
                let mut falling = 0;
                for ((cost, lowest), light) in costs.iter().zip(columns).zip(lights) {
                    let falls = u8::from(*lowest == y as u8 + 1 && *cost == 0);
                    *lowest -= falls;
                    *light = falls * (FULL << 4);
                    falling |= falls;
                }
                any |= falling != 0;
            }
            if !any {
                break;
            }
        }
        lowest
    }

    /// Marks the cells from which the sky's light can spread: sides of shafts, and their floors.
    fn open_shafts(&mut self, lowest: &[u8]) {
        let at = |x: usize, z: usize| usize::from(lowest[(z & (SIDE - 1)) * SIDE + (x & (SIDE - 1))]);
        for z in 0..SIDE {
            for x in 0..SIDE {
                let own = at(x, z);
                let west_east = at(x.wrapping_sub(1), z).max(at(x + 1, z));
                let rim = west_east.max(at(x, z.wrapping_sub(1))).max(at(x, z + 1)).max(own + 1);
                let top = (self.cells.len() - PADDING) / LAYER;
                for y in own..rim.min(top) {
                    self.open[usize::from(FULL)].push((y * LAYER + z * SIDE + x) as u32);
                }
            }
        }
    }

    /// Lets all open light flow on, the brightest first.
    fn spread(&mut self, blocks: &[u8], kind: Kind) {
        for level in (1..=FULL).rev() {
            while let Some(index) = self.open[usize::from(level)].pop() {
                let index = index as usize;
                if self.get(kind, index) != level {
                    continue;
                }
                for (next, is_below) in neighbours(index, blocks.len()) {
                    let reached = passed(kind, level, is_below, dimming(blocks[next]));
                    self.raise(kind, next, reached);
                }
            }
        }
    }

    /// Takes away the light that may have come by way of a cell, and opens the rim it can flow back from.
    fn fade(&mut self, blocks: &[u8], kind: Kind, index: usize) {
        let mut sources = Vec::new();
        self.fading.clear();
        self.fading.push((index as u32, self.get(kind, index)));
        self.put(kind, index, 0);
        let mut at = 0;
        while let Some(&(index, level)) = self.fading.get(at) {
            at += 1;
            let index = index as usize;
            let own = match kind {
                Kind::Blocks => emission(blocks[index]),
                Kind::Sky if index + LAYER >= blocks.len() => {
                    passed(kind, FULL, true, dimming(blocks[index]))
                }
                Kind::Sky => 0,
            };
            if own > 0 {
                sources.push((index, own));
            }
            for (next, is_below) in neighbours(index, blocks.len()) {
                let there = self.get(kind, next);
                // What is brighter than that has another source.
                if there > 0 && there == passed(kind, level, is_below, dimming(blocks[next])) {
                    self.put(kind, next, 0);
                    self.fading.push((next as u32, there));
                } else if there > 0 {
                    self.open[usize::from(there)].push(next as u32);
                }
            }
        }
        for (index, own) in sources {
            self.raise(kind, index, own);
        }
    }
}

static SHINES: [bool; Block::SLOTS] = {
    let mut table = [false; Block::SLOTS];
    let mut number = 0;
    while number < Block::ALL.len() {
        table[number] = matches!(Block::ALL[number], Block::Lava | Block::Torch | Block::LitFurnace);
        number += 1;
    }
    table
};

/// The level that arrives in a neighbour.
fn passed(kind: Kind, level: u8, is_below: bool, dimming: u8) -> u8 {
    if kind == Kind::Sky && is_below && level == FULL && dimming == 0 {
        return FULL;
    }
    level.saturating_sub(dimming.max(1))
}

/// The cells beside one, wrapping in x and z, and whether each is the one below.
fn neighbours(index: usize, cells: usize) -> impl Iterator<Item = (usize, bool)> {
    let (x, z) = (index & (SIDE - 1), index & (LAYER - SIDE));
    let across = |step: usize| (index - x + (x.wrapping_add(step) & (SIDE - 1)), false);
    let along = |step: usize| (index - z + (z.wrapping_add(step) & (LAYER - SIDE)), false);
    let beside = [across(1), across(SIDE - 1), along(SIDE), along(LAYER - SIDE)];
    let below = index.checked_sub(LAYER).map(|below| (below, true));
    let above = (index + LAYER < cells).then_some((index + LAYER, false));
    beside.into_iter().chain(below).chain(above)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::native::voxels::Voxels;
    use crate::task::Terrain;

    fn next(state: &mut u32, below: i32) -> i32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*state >> 8) % below as u32) as i32
    }

    fn rebuilt(voxels: &Voxels) -> Vec<u8> {
        let mut light = Light::default();
        light.rebuild(voxels.block_bytes());
        light.cells
    }

    #[test]
    fn blocks_that_shine_are_in_the_table() {
        for block in Block::ALL {
            assert_eq!(SHINES[block as usize], block.light() > 0);
            assert_eq!(DIMMING[block as usize] == FULL, block.is_opaque(), "{}", block.name());
        }
    }

    #[test]
    fn a_torch_in_a_sealed_room_fades_by_one_a_step() {
        let mut voxels = Voxels::empty(32);
        for y in 0..32 {
            for z in 0..SIDE {
                voxels.row_mut(y, z).fill(Block::Stone as u8);
            }
        }
        for x in 100..150 {
            voxels.put(x, 9, 5, Block::Air);
        }
        voxels.rebuild();
        voxels.shine();
        assert_eq!(voxels.light(120, 9, 5), (0, 0));
        voxels.set(120, 9, 5, Block::Torch);
        for step in 0..16 {
            let level = 14_u8.saturating_sub(step);
            assert_eq!(voxels.light(120 + i32::from(step), 9, 5), (0, level), "over the wrap as well");
            assert_eq!(voxels.light(120 - i32::from(step), 9, 5), (0, level));
        }
        voxels.set(124, 9, 5, Block::Stone);
        assert_eq!(voxels.light(125, 9, 5), (0, 0));
        voxels.set(120, 9, 5, Block::Air);
        assert!(voxels.light_bytes().unwrap().iter().all(|light| *light == 0));
    }

    #[test]
    fn the_sky_lights_a_shaft_and_what_lies_beside_it() {
        let mut voxels = Voxels::empty(16);
        voxels.shine();
        assert_eq!(voxels.light(3, 0, 3), (15, 0));
        for z in -4..5 {
            for x in -4..5 {
                voxels.set(x, 8, z, Block::Planks);
            }
        }
        assert_eq!(voxels.light(0, 7, 0), (10, 0), "five steps from the edge");
        voxels.set(0, 8, 0, Block::Glass);
        assert_eq!(voxels.light(0, 1, 0), (15, 0));
        voxels.set(0, 8, 0, Block::Leaves);
        assert_eq!(voxels.light(0, 7, 0), (13, 0));
        assert_eq!(voxels.light(0, 99, 0), (15, 0), "above the volume");
    }

    #[test]
    fn edits_leave_the_light_a_rebuild_would() {
        let mut voxels = Voxels::empty(128);
        voxels.remake(Terrain::Overworld, 4);
        let mut state = 11;
        let palette =
            [Block::Air, Block::Stone, Block::Torch, Block::Leaves, Block::Water, Block::Lava, Block::Air];
        let mut worst = 0.0_f64;
        for round in 0..400 {
            let (x, z) = (next(&mut state, 24) - 12, next(&mut state, 24) - 12);
            let y = match round % 3 {
                0 => next(&mut state, 128),
                _ => voxels.ground_height(x, z) + next(&mut state, 12) - 6,
            };
            let started = Instant::now();
            voxels.set(x, y, z, palette[next(&mut state, 7) as usize]);
            worst = worst.max(started.elapsed().as_secs_f64());
            if round % 40 == 39 {
                assert!(voxels.light_bytes().unwrap() == rebuilt(&voxels), "round {round}");
            }
        }
        println!("slowest edit: {:.3} ms", worst * 1e3);
    }
}
