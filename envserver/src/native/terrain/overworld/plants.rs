//! What grows on the land: oaks, tall grass and flowers, cacti and dead bushes in the desert.

use super::super::super::block::Block;
use super::super::super::voxels::{PERIOD, Voxels};
use super::super::{hash, plant_oak};
use super::biomes::{Biome, Column, Map};
use super::{SEA_LEVEL, TREE_LINE};

/// Trees are placed at most one to a square of this side.
const SQUARE: i32 = 4;

/// Plants everything.
pub(super) fn grow(voxels: &mut Voxels, seed: u64, map: &Map) {
    plant_trees(voxels, seed, map);
    for z in 0..PERIOD {
        for x in 0..PERIOD {
            let column = map.at(x, z);
            let above = column.ground + 1;
            if voxels.get(x, above, z) == Block::Air {
                let soil = voxels.get(x, column.ground, z);
                sprout(voxels, column, soil, [x, above, z]);
            }
        }
    }
}

fn plant_trees(voxels: &mut Voxels, seed: u64, map: &Map) {
    for square_z in 0..PERIOD / SQUARE {
        for square_x in 0..PERIOD / SQUARE {
            let bits = hash(seed, 160, square_x, square_z);
            // Never on the square's far rows, so that trunks stand at least two blocks apart.
            let (x, z) = (square_x * SQUARE + (bits % 3) as i32, square_z * SQUARE + (bits >> 8) as i32 % 3);
            let column = map.at(x, z);
            let percent = match column.biome {
                Biome::Forest => 32,
                Biome::Hills if column.ground < TREE_LINE => 8,
                Biome::Plains => 3,
                _ => 0,
            };
            let fertile = voxels.get(x, column.ground, z) == Block::Grass && column.ground >= SEA_LEVEL;
            if (bits >> 32) % 100 < percent && fertile {
                plant_oak(voxels, [x, column.ground + 1, z], bits >> 40);
            }
        }
    }
}

/// The small plant of a column, by its biome's odds, in thousandths.
fn sprout(voxels: &mut Voxels, column: &Column, soil: Block, at: [i32; 3]) {
    let chance = (column.bits >> 32) % 1000;
    let (grass, flowers) = match (column.biome, soil) {
        (Biome::Plains, Block::Grass) => (120, 22),
        (Biome::Forest, Block::Grass) => (60, 12),
        (Biome::Hills, Block::Grass) => (50, 8),
        (Biome::Desert, Block::Sand) => return sprout_in_sand(voxels, chance, column.bits, at),
        _ => return,
    };
    let [x, y, z] = at;
    if chance < grass {
        voxels.put(x, y, z, Block::TallGrass);
    } else if chance < grass + flowers {
        voxels.put(x, y, z, Block::Flower);
    }
}

fn sprout_in_sand(voxels: &mut Voxels, chance: u64, bits: u64, at: [i32; 3]) {
    let [x, y, z] = at;
    if chance < 8 {
        voxels.put(x, y, z, Block::DeadBush);
    } else if chance < 16 {
        // A cactus touches nothing at its sides.
        for up in 0..1 + (bits >> 50) as i32 % 3 {
            let beside = [(1, 0), (-1, 0), (0, 1), (0, -1)];
            if beside.iter().any(|(dx, dz)| voxels.get(x + dx, y + up, z + dz).is_solid()) {
                return;
            }
            voxels.put(x, y + up, z, Block::Cactus);
        }
    }
}
