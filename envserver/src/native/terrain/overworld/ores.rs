//! Veins by depth: the game's counts, sizes and heights for each chunk of 16x16 columns.

use super::super::super::block::Block;
use super::super::super::voxels::{PERIOD, Voxels};
use super::super::hash;

const CHUNK: i32 = 16;

struct Vein {
    block: Block,
    /// Veins a chunk.
    count: i32,
    /// Blocks a vein, at most.
    size: i32,
    /// Veins start below this y.
    below: i32,
}

/// In the game's order: pockets of earth first, so that ores are not lost to them.
const VEINS: [Vein; 6] = [
    Vein { block: Block::Dirt, count: 5, size: 33, below: 128 },
    Vein { block: Block::Gravel, count: 4, size: 33, below: 128 },
    Vein { block: Block::CoalOre, count: 20, size: 17, below: 128 },
    Vein { block: Block::IronOre, count: 20, size: 9, below: 64 },
    Vein { block: Block::GoldOre, count: 2, size: 9, below: 32 },
    Vein { block: Block::DiamondOre, count: 1, size: 8, below: 16 },
];

/// Puts veins into stone, wherever they start.
pub(super) fn scatter(voxels: &mut Voxels, seed: u64) {
    let chunks = (PERIOD / CHUNK) * (PERIOD / CHUNK);
    for vein in &VEINS {
        for chunk in 0..chunks {
            for number in 0..vein.count {
                let bits = hash(seed, 150 + vein.block as u64, chunk, number);
                let corner = [chunk % (PERIOD / CHUNK) * CHUNK, chunk / (PERIOD / CHUNK) * CHUNK];
                let start = [
                    corner[0] + (bits & 15) as i32,
                    ((bits >> 8 & 0xffff) as i32 * vein.below) >> 16,
                    corner[1] + (bits >> 4 & 15) as i32,
                ];
                lay(voxels, vein, start, bits);
            }
        }
    }
}

/// A lump grown block by block: each next one beside a random one of the last few.
fn lay(voxels: &mut Voxels, vein: &Vein, start: [i32; 3], mut bits: u64) {
    let mut recent = [start; 4];
    for step in 0..vein.size {
        bits = hash(bits, 151, step, 0);
        let mut at = recent[(bits >> 20 & 3) as usize];
        if step > 0 {
            at[(bits % 3) as usize] += if bits & 0x100 == 0 { 1 } else { -1 };
        }
        if voxels.get(at[0], at[1], at[2]) == Block::Stone {
            voxels.put(at[0], at[1], at[2], vein.block);
        }
        recent[step as usize & 3] = at;
    }
}
