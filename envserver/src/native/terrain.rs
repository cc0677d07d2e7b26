//! Terrain from a seed: here the grove, rolling hills, ponds with sand, ores, and an oak forest; in
//! [`overworld`] a land of many kinds. Integer arithmetic only, so that every machine makes the same world.

pub(super) mod overworld;

use super::block::Block;
use super::voxels::{PERIOD, Voxels};
use crate::task::Terrain;

/// Height of a grove in blocks.
pub const HEIGHT: usize = 64;
/// The y of the topmost water block.
pub const WATER_LEVEL: i32 = 19;

/// Trees are placed at most one to a square of this side, away from the square's border.
const TREE_SQUARE: i32 = 8;
const LOWEST_GROUND: i32 = 16;

impl Voxels {
    /// The grove made from a seed.
    pub fn generate(seed: u64) -> Self {
        let mut voxels = Self::empty(HEIGHT);
        voxels.regenerate(seed);
        voxels
    }

    /// Replaces the whole world by a land of the given kind, keeping the allocations where the heights agree.
    pub fn remake(&mut self, terrain: Terrain, seed: u64) {
        let height = match terrain {
            Terrain::Grove => HEIGHT,
            Terrain::Overworld => overworld::HEIGHT,
        };
        if self.height() != height as i32 {
            *self = Self::empty(height);
        }
        match terrain {
            Terrain::Grove => self.regenerate(seed),
            Terrain::Overworld => {
                self.clear();
                overworld::make(self, seed);
                self.rebuild();
                self.shine();
            }
        }
    }

    /// Replaces the whole world by the grove made from a seed, keeping the allocations.
    pub fn regenerate(&mut self, seed: u64) {
        self.clear();
        lay_ground(self, seed);
        scatter_veins(self, seed);
        plant_trees(self, seed);
        self.rebuild();
    }
}

/// A well-mixed number from a seed, a purpose and a lattice point.
fn hash(seed: u64, purpose: u64, x: i32, z: i32) -> u64 {
    let point = (u64::from(x as u32) << 32) | u64::from(z as u32);
    let mut h =
        seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ point.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    h ^ (h >> 31)
}

/// Smooth noise, 0 to 65,535, over lattice cells of `1 << shift` blocks; repeats with the world.
fn smooth_noise(seed: u64, purpose: u64, shift: i32, x: i32, z: i32) -> i32 {
    let cell = 1 << shift;
    let cells = (PERIOD >> shift) - 1;
    let corner = |i: i32, j: i32| {
        (hash(seed, purpose, ((x >> shift) + i) & cells, ((z >> shift) + j) & cells) & 0xffff) as i64
    };
    // 3t² - 2t³ with t in 0..1024ths.
    let ease = |value: i32| {
        let t = (i64::from(value & (cell - 1)) << 10) >> shift;
        (t * t * (3 * 1024 - 2 * t)) >> 20
    };
    let (u, v) = (ease(x), ease(z));
    let mix = |a: i64, b: i64, t: i64| a + (((b - a) * t) >> 10);
    mix(mix(corner(0, 0), corner(1, 0), u), mix(corner(0, 1), corner(1, 1), u), v) as i32
}

fn ground_at(seed: u64, x: i32, z: i32) -> i32 {
    let hills = smooth_noise(seed, 1, 5, x, z) * 11;
    let knolls = smooth_noise(seed, 2, 4, x, z) * 5;
    let bumps = smooth_noise(seed, 3, 3, x, z) * 2;
    LOWEST_GROUND + ((hills + knolls + bumps) >> 16)
}

fn lay_ground(voxels: &mut Voxels, seed: u64) {
    let side = PERIOD as usize;
    for z in 0..PERIOD {
        for x in 0..PERIOD {
            voxels.ground[z as usize * side + x as usize] = ground_at(seed, x, z) as u8;
        }
    }
    let highest = i32::from(voxels.ground.iter().copied().max().unwrap_or(0)).max(WATER_LEVEL);
    for y in 0..=highest {
        for z in 0..side {
            let tops: [u8; PERIOD as usize] =
                voxels.ground[z * side..(z + 1) * side].try_into().expect("a row has one period of columns");
            for (cell, &top) in voxels.row_mut(y as usize, z).iter_mut().zip(&tops) {
                *cell = ground_block(y, i32::from(top)) as u8;
            }
        }
    }
}

/// What generation puts at height `y` of a column whose ground is at `top`.
fn ground_block(y: i32, top: i32) -> Block {
    let beach = top <= WATER_LEVEL;
    match (top - y, beach) {
        _ if y == 0 => Block::Bedrock,
        (depth, _) if depth < 0 && y <= WATER_LEVEL => Block::Water,
        (depth, _) if depth < 0 => Block::Air,
        (0..=2, true) => Block::Sand,
        (0, false) => Block::Grass,
        (1..=3, false) => Block::Dirt,
        _ => Block::Stone,
    }
}

/// Random walks through stone that leave ore, dirt and gravel behind.
fn scatter_veins(voxels: &mut Voxels, seed: u64) {
    let kinds = [
        (Block::CoalOre, 60, 9, 22),
        (Block::IronOre, 40, 6, 18),
        (Block::DiamondOre, 8, 5, 8),
        (Block::Gravel, 20, 14, 22),
        (Block::Dirt, 20, 14, 22),
    ];
    for (block, veins, length, highest) in kinds {
        for vein in 0..veins {
            let mut bits = hash(seed, 10 + block as u64, vein, 0);
            let mut at =
                [(bits & 127) as i32, 1 + ((bits >> 7) & 0xff) as i32 % highest, (bits >> 16 & 127) as i32];
            for step in 0..length {
                if voxels.get(at[0], at[1], at[2]) == Block::Stone {
                    voxels.put(at[0], at[1], at[2], block);
                }
                bits = hash(bits, 30, step, 0);
                at[(bits % 3) as usize] += if bits & 8 == 0 { 1 } else { -1 };
            }
        }
    }
}

fn plant_trees(voxels: &mut Voxels, seed: u64) {
    for square_z in 0..PERIOD / TREE_SQUARE {
        for square_x in 0..PERIOD / TREE_SQUARE {
            let bits = hash(seed, 50, square_x, square_z);
            let room = (TREE_SQUARE - 2) as u64;
            let x = square_x * TREE_SQUARE + 1 + (bits % room) as i32;
            let z = square_z * TREE_SQUARE + 1 + (bits / room % room) as i32;
            // Denser and thinner stretches of wood: 45 % to 90 % of the squares have a tree.
            let density = 45 + ((smooth_noise(seed, 51, 5, x, z) * 45) >> 16);
            let ground = voxels.ground_height(x, z);
            if (bits >> 32) % 100 < density as u64 && ground > WATER_LEVEL {
                plant_oak(voxels, [x, ground + 1, z], bits >> 40);
            }
        }
    }
}

/// Puts an oak where it is planted; leaves only where there is air.
fn plant_oak(voxels: &mut Voxels, base: [i32; 3], bits: u64) {
    oak(base, bits, |[x, y, z], block| {
        if block != Block::Leaves || voxels.get(x, y, z) == Block::Air {
            voxels.put(x, y, z, block);
        }
    });
    voxels.trees.push(base);
}

/// The blocks of an oak, leaves first: a trunk of four to six, two wide layers of leaves, two narrow ones.
pub(super) fn oak(base: [i32; 3], bits: u64, mut place: impl FnMut([i32; 3], Block)) {
    let [x, y, z] = base;
    let trunk = 4 + (bits % 3) as i32;
    let top = y + trunk;
    // Never lower than a person's head, so that one can walk up to any trunk on level ground.
    for layer in (top - 3).max(y + 2)..=top {
        let reach = if layer >= top - 1 { 1 } else { 2 };
        for dz in -reach..=reach {
            for dx in -reach..=reach {
                let corner = dx * dx == reach * reach && dz * dz == reach * reach;
                let trimmed = layer == top || hash(bits, 52, dx + 8 * layer, dz) & 1 == 0;
                if !(corner && trimmed) {
                    place([x + dx, layer, z + dz], Block::Leaves);
                }
            }
        }
    }
    for height in y..top {
        place([x, height, z], Block::Log);
    }
    place([x, y - 1, z], Block::Dirt);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let (mut first, second) = (Voxels::generate(5), Voxels::generate(5));
        assert_eq!(first.block_bytes(), second.block_bytes());
        assert_eq!(first.trees, second.trees);
        first.regenerate(6);
        assert_ne!(first.block_bytes(), second.block_bytes());
        first.regenerate(5);
        assert_eq!(first.block_bytes(), second.block_bytes());
        assert_eq!(first.distance_bytes(), second.distance_bytes());
    }

    #[test]
    fn every_world_has_ground_and_a_forest() {
        for seed in 0..8 {
            let voxels = Voxels::generate(seed);
            assert!(voxels.trees.len() > 80, "seed {seed}: {} trees", voxels.trees.len());
            for &[x, y, z] in &voxels.trees {
                assert!((0..4).all(|up| voxels.get(x, y + up, z) == Block::Log), "tree at {x} {y} {z}");
                assert!(voxels.get(x, y - 1, z).is_solid());
            }
            for column in 0..PERIOD {
                assert_eq!(voxels.get(column, 0, 7), Block::Bedrock);
                let ground = voxels.ground_height(column, 7);
                assert!(voxels.get(column, ground, 7).is_solid());
                assert!(ground + 12 < voxels.height());
            }
        }
    }

    #[test]
    fn the_ground_joins_at_the_wrap() {
        for seed in 0..8 {
            for across in 0..PERIOD {
                let (west, east) = (ground_at(seed, -1, across), ground_at(seed, 0, across));
                assert_eq!(west, ground_at(seed, PERIOD - 1, across));
                assert!((west - east).abs() <= 3, "a cliff at the wrap: {west} {east}");
            }
        }
    }
}
