//! The overworld: plains, forest, hills, desert and water over caves and ores, by the game's numbers.
//!
//! Integer arithmetic only, as in the grove. The period is the same; the land has the sea at 63 and
//! sixty blocks of underground. Made in the game's order: ground, caves, ores, lava, plants.
//!
//! # Layout
//! - here: the layers of the ground by biome
//! - [`biomes`]: height, temperature and moisture of every column
//! - [`caves`]: tunnels, ravines, pools of lava
//! - [`ores`]: veins by depth
//! - [`plants`]: trees, grass, flowers, cacti

mod biomes;
mod caves;
mod ores;
mod plants;

use super::super::block::Block;
use super::super::voxels::{PERIOD, Voxels};
use super::hash;
use biomes::{Biome, Map};

/// Height of the volume in blocks.
pub(in crate::native) const HEIGHT: usize = 128;
/// The y of the topmost water block is one below.
const SEA_LEVEL: i32 = 63;
/// Above this hills are bare, and above [`SNOW_LINE`] white, give or take a block.
const TREE_LINE: i32 = 84;
const SNOW_LINE: i32 = 88;
/// Bedrock may reach up to here.
const BEDROCK_TOP: i32 = 4;

/// Fills an emptied volume of [`HEIGHT`] with the land of a seed; `rebuild` must follow.
pub(super) fn make(voxels: &mut Voxels, seed: u64) {
    let map = Map::new(seed);
    lay_ground(voxels, &map);
    caves::carve(voxels, seed);
    ores::scatter(voxels, seed);
    caves::pour_lava(voxels, seed);
    plants::grow(voxels, seed, &map);
}

fn lay_ground(voxels: &mut Voxels, map: &Map) {
    let side = PERIOD as usize;
    for (ground, column) in voxels.ground.iter_mut().zip(&map.columns) {
        *ground = column.ground as u8;
    }
    let deepest = map.columns.iter().map(|column| column.ground).min().unwrap_or(0) - 8;
    let highest = map.columns.iter().map(|column| column.ground).max().unwrap_or(0).max(SEA_LEVEL);
    for y in 0..=highest {
        for z in 0..side {
            let row = voxels.row_mut(y as usize, z);
            if (BEDROCK_TOP + 1..deepest).contains(&y) {
                row.fill(Block::Stone as u8);
                continue;
            }
            let columns = &map.columns[z * side..(z + 1) * side];
            for (x, (cell, column)) in row.iter_mut().zip(columns).enumerate() {
                let bits = column.bits;
                *cell = match y {
                    0 => Block::Bedrock,
                    1..=BEDROCK_TOP if hash(bits, 60, y, x as i32) % 5 >= y as u64 => Block::Bedrock,
                    _ => ground_block(y, column.ground, column.biome, bits),
                } as u8;
            }
        }
    }
}

/// What lies at height `y` of a column with the top of its ground at `top`.
fn ground_block(y: i32, top: i32, biome: Biome, bits: u64) -> Block {
    let depth = top - y;
    let thickness = 3 + (bits & 1) as i32;
    if depth < 0 {
        return if y < SEA_LEVEL { Block::Water } else { Block::Air };
    }
    let rough = (bits >> 8 & 3) as i32;
    match biome {
        Biome::Desert if depth <= thickness => Block::Sand,
        Biome::Desert if depth <= thickness + 4 => Block::Sandstone,
        Biome::Beach if depth <= thickness => Block::Sand,
        Biome::Water if depth <= 2 && bits >> 4 & 7 == 0 => Block::Gravel,
        Biome::Water if depth <= thickness => Block::Sand,
        Biome::Hills if top >= SNOW_LINE + rough / 2 && depth <= 1 => Block::Snow,
        Biome::Hills if top >= TREE_LINE + rough => Block::Stone,
        _ if depth == 0 => Block::Grass,
        _ if depth <= thickness => Block::Dirt,
        _ => Block::Stone,
    }
}

#[cfg(test)]
mod tests;
