//! Where an episode starts: a standable place that satisfies the task, found by a counter-based search.

use super::block::Block;
use super::path;
use super::voxels::Voxels;
use crate::task::SpawnRule;

/// Places looked at in one generated world.
const PLACES: u64 = 2048;
/// How near to a trunk the straight way has to lead, metres.
const NEAR: f64 = 1.0;

/// A starting position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spawn {
    /// Centre of the feet.
    pub(crate) feet: [f64; 3],
    /// Degrees within ±180.
    pub(crate) yaw: f32,
}

/// A well-mixed number from a key and a counter.
pub(crate) fn mix(key: u64, counter: u64) -> u64 {
    let mut h = key ^ counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    h ^ (h >> 31)
}

/// A place in this world that the rule allows, if one is found.
pub(crate) fn find(voxels: &Voxels, seed: u64, rule: &SpawnRule) -> Option<Spawn> {
    let key = mix(seed, 0x5350_4157_4e00);
    let feet = (0..PLACES).find_map(|place| {
        let bits = mix(key, place);
        let (x, z) = ((bits & 127) as i32, (bits >> 7 & 127) as i32);
        let feet = stand_at(voxels, x, z)?;
        let [low, high] = match rule.trunk_distance {
            None => return Some(feet),
            Some(range) => range.map(f64::from),
        };
        let (distance, trunk) = nearest_trunk(voxels, feet)?;
        let wanted = (low..=high).contains(&distance);
        (wanted && leads_to(voxels, feet, trunk)).then_some(feet)
    })?;
    // 24 bits are exact in f32.
    let share = (mix(key, u64::MAX) >> 40) as f32 / (1 << 24) as f32;
    let yaw = if rule.random_yaw { share * 360.0 - 180.0 } else { 0.0 };
    Some(Spawn { feet, yaw })
}

/// Feet on the ground of a column, if a person can stand there under the open sky.
fn stand_at(voxels: &Voxels, x: i32, z: i32) -> Option<[f64; 3]> {
    let ground = voxels.ground_height(x, z);
    let free = (ground + 1..voxels.height()).all(|y| {
        let block = voxels.get(x, y, z);
        block == Block::Air || block.is_plant()
    });
    (free && voxels.get(x, ground, z).is_solid())
        .then(|| [f64::from(x) + 0.5, f64::from(ground) + 1.0, f64::from(z) + 0.5])
}

/// Horizontal distance from a position to the middle of a trunk, metres.
pub(crate) fn distance_to(feet: [f64; 3], trunk: [i32; 3]) -> f64 {
    let (dx, dz) = (f64::from(trunk[0]) + 0.5 - feet[0], f64::from(trunk[2]) + 0.5 - feet[2]);
    (dx * dx + dz * dz).sqrt()
}

/// The nearest trunk and its distance, the world repeating.
fn nearest_trunk(voxels: &Voxels, feet: [f64; 3]) -> Option<(f64, [i32; 3])> {
    let near = feet.map(|value| value as f32);
    let trunks = voxels.trees.iter().map(|base| {
        let base = Voxels::nearest_copy(*base, near);
        (distance_to(feet, base), base)
    });
    trunks.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Whether one can walk straight to a trunk and arrive about level with its base.
pub(crate) fn leads_to(voxels: &Voxels, feet: [f64; 3], base: [i32; 3]) -> bool {
    let goal = [f64::from(base[0]) + 0.5, f64::from(base[2]) + 0.5];
    path::walk(voxels, feet, goal, NEAR).is_some_and(|level| (level - base[1]).abs() <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn chop_starts_three_to_ten_blocks_from_the_nearest_trunk() {
        let rule = Task::resolve("chop").unwrap().spawn;
        let mut yaws = Vec::new();
        for seed in 0..24 {
            let voxels = Voxels::generate(seed);
            let spawn = find(&voxels, seed, &rule).unwrap();
            let (distance, trunk) = nearest_trunk(&voxels, spawn.feet).unwrap();
            assert!((3.0..=10.0).contains(&distance), "seed {seed}: {distance}");
            assert!(leads_to(&voxels, spawn.feet, trunk));
            let [x, y, z] = spawn.feet.map(|value| value.floor() as i32);
            assert!(voxels.get(x, y - 1, z).is_solid() && voxels.get(x, y, z) == Block::Air);
            yaws.push(spawn.yaw);
        }
        assert!(yaws.iter().any(|yaw| *yaw < -60.0) && yaws.iter().any(|yaw| *yaw > 60.0));
    }

    #[test]
    fn impossible_rules_find_nothing() {
        let rule = SpawnRule { random_yaw: false, trunk_distance: Some([300.0, 400.0]) };
        assert_eq!(find(&Voxels::generate(1), 1, &rule), None);
    }
}
