//! The map of an overworld: how high each column is and which biome it belongs to.
//!
//! Elevation, temperature and moisture are noises stretched to their full range over the world, so
//! that a world as small as this has low and high, cold and hot land all the same.

use super::super::super::voxels::PERIOD;
use super::super::{hash, smooth_noise};
use super::SEA_LEVEL;

const SIDE: usize = PERIOD as usize;
/// Elevation above which there are hills.
const HILLS_FROM: i32 = 49_000;

/// What a column of the land is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Biome {
    /// Under water.
    Water,
    /// Sand along the water.
    Beach,
    /// Grass and few trees.
    Plains,
    /// Oaks close together.
    Forest,
    /// Sand and cacti.
    Desert,
    /// High land, white at the top.
    Hills,
}

/// One column of the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) biome: Biome,
    /// The y of the top block of the ground.
    pub(super) ground: i32,
    /// Random bits of its own.
    pub(super) bits: u64,
}

/// The map, `[z * 128 + x]`.
pub(super) struct Map {
    pub(super) columns: Vec<Column>,
}

impl Map {
    pub(super) fn new(seed: u64) -> Self {
        let elevation = stretched(seed, [(101, 6, 5), (102, 5, 4), (103, 4, 1)]);
        let temperature = stretched(seed, [(111, 6, 4), (112, 5, 2), (113, 3, 1)]);
        let moisture = stretched(seed, [(121, 6, 3), (122, 5, 3), (123, 3, 1)]);
        let columns = (0..SIDE * SIDE)
            .map(|at| {
                let (x, z) = ((at % SIDE) as i32, (at / SIDE) as i32);
                let ground = ground_at(seed, elevation[at], x, z);
                let biome = classify(ground, elevation[at], temperature[at], moisture[at]);
                Column { biome, ground, bits: hash(seed, 130, x, z) }
            })
            .collect();
        Self { columns }
    }

    pub(super) fn at(&self, x: i32, z: i32) -> &Column {
        let wrap = |value: i32| (value & (PERIOD - 1)) as usize;
        &self.columns[wrap(z) * SIDE + wrap(x)]
    }
}

/// A sum of noises (purpose, lattice shift, weight), stretched so that it spans 0 to 65,535.
fn stretched(seed: u64, octaves: [(u64, i32, i32); 3]) -> Vec<i32> {
    let mut field: Vec<i32> = (0..PERIOD)
        .flat_map(|z| (0..PERIOD).map(move |x| (x, z)))
        .map(|(x, z)| {
            octaves
                .iter()
                .map(|(purpose, shift, weight)| smooth_noise(seed, *purpose, *shift, x, z) * weight)
                .sum()
        })
        .collect();
    let low = field.iter().copied().min().unwrap_or(0);
    let range = (field.iter().copied().max().unwrap_or(0) - low).max(1);
    for value in &mut field {
        *value = (i64::from(*value - low) * 65_535 / i64::from(range)) as i32;
    }
    field
}

fn classify(ground: i32, elevation: i32, temperature: i32, moisture: i32) -> Biome {
    if ground < SEA_LEVEL - 1 {
        Biome::Water
    } else if elevation >= HILLS_FROM {
        Biome::Hills
    } else if ground <= SEA_LEVEL + 1 && elevation < 18_500 {
        Biome::Beach
    } else if temperature > 41_000 && moisture < 40_000 {
        Biome::Desert
    } else if moisture > 30_000 {
        Biome::Forest
    } else {
        Biome::Plains
    }
}

/// The elevation's curve through sea floor, shore, lowland and hills, with bumps upon it.
fn ground_at(seed: u64, elevation: i32, x: i32, z: i32) -> i32 {
    const CURVE: [(i32, i32); 7] =
        [(0, 53), (11_000, 60), (14_000, 63), (17_500, 64), (40_000, 69), (HILLS_FROM, 74), (65_535, 96)];
    let after = CURVE.iter().position(|(at, _)| elevation < *at).unwrap_or(CURVE.len() - 1).max(1);
    let ((low, from), (high, to)) = (CURVE[after - 1], CURVE[after]);
    // In 256ths of a block.
    let base = from * 256 + (to - from) * 256 * (elevation - low) / (high - low);
    let knolls = smooth_noise(seed, 104, 4, x, z) - 32_768;
    let bumps = smooth_noise(seed, 105, 3, x, z) - 32_768;
    // Flat by the shore, rough in the hills: 0 to 6 blocks up and down.
    let rough = ((elevation - 17_000).max(0) / 8_000).min(5);
    (base + knolls * rough / 192 + bumps * rough.min(3) / 512) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_land_joins_at_the_wrap() {
        for seed in 0..8 {
            let map = Map::new(seed);
            for across in 0..PERIOD {
                let apart = |a: &Column, b: &Column| (a.ground - b.ground).abs();
                assert!(apart(map.at(-1, across), map.at(0, across)) <= 5, "seed {seed}, row {across}");
                assert!(apart(map.at(across, PERIOD - 1), map.at(across, PERIOD)) <= 5);
            }
        }
    }

    #[test]
    fn every_biome_occurs_and_heights_are_within_bounds() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..20 {
            for column in Map::new(seed).columns {
                *counts.entry(column.biome).or_insert(0) += 1;
                assert!((50..=106).contains(&column.ground), "seed {seed}: {}", column.ground);
            }
        }
        println!("{counts:?}");
        assert!(counts.len() == 6 && counts.values().all(|count| *count > 20 * 16_384 / 100), "{counts:?}");
    }
}
