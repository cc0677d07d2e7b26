//! Whether a person can walk from here to there in a straight line, jumping up single steps.

use super::block::Block;
use super::player::HALF_WIDTH;
use super::voxels::Voxels;

/// Deepest step down that is taken, blocks.
const DEEPEST_STEP: i32 = 2;
/// Distance between the places looked at, metres.
const STRIDE: f64 = 0.25;

/// Walks from `feet` towards `goal` (x, z) until `near` metres from it; the feet's level there, or `None` where
/// the line leads through a wall, into water, or off a cliff.
pub(crate) fn walk(voxels: &Voxels, feet: [f64; 3], goal: [f64; 2], near: f64) -> Option<i32> {
    let (dx, dz) = (goal[0] - feet[0], goal[1] - feet[2]);
    let distance = (dx * dx + dz * dz).sqrt();
    let mut level = (feet[1] + 1e-3).floor() as i32;
    let mut behind = [feet[0], feet[2]];
    let strides = ((distance - near).max(0.0) / STRIDE).ceil() as usize;
    for stride in 0..=strides {
        let along = (stride as f64 * STRIDE).min((distance - near).max(0.0));
        let share = if distance > 0.0 { along / distance } else { 0.0 };
        let here = [feet[0] + dx * share, feet[2] + dz * share];
        if touches(voxels, here, level, Block::is_solid) {
            // A step up: room above it, and above where the jump starts.
            let room = !touches(voxels, here, level + 1, Block::is_solid)
                && !touches(voxels, here, level + 2, Block::is_solid)
                && !touches(voxels, behind, level + 2, Block::is_solid);
            if !room {
                return None;
            }
            level += 1;
        } else if touches(voxels, here, level + 1, Block::is_solid) {
            return None;
        }
        let mut fallen = 0;
        while !touches(voxels, here, level - 1, Block::is_solid) {
            level -= 1;
            fallen += 1;
            if fallen > DEEPEST_STEP {
                return None;
            }
        }
        if touches(voxels, here, level, |block| matches!(block, Block::Water | Block::Lava)) {
            return None;
        }
        behind = here;
    }
    Some(level)
}

/// Whether a block of the layer `y` under a body at (x, z) is such.
fn touches(voxels: &Voxels, at: [f64; 2], y: i32, such: impl Fn(Block) -> bool) -> bool {
    let reach = |value: f64| (value - HALF_WIDTH).floor() as i32..=(value + HALF_WIDTH).floor() as i32;
    reach(at[1]).any(|z| reach(at[0]).any(|x| such(voxels.get(x, y, z))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_walls_cliffs_and_water_are_told_apart() {
        let mut voxels = Voxels::empty(16);
        for z in 0..12 {
            for x in 0..5 {
                voxels.set(x, 5, z, Block::Grass);
            }
        }
        let feet = [2.5, 6.0, 1.5];
        let goal = [2.5, 10.5];
        assert_eq!(walk(&voxels, feet, goal, 1.0), Some(6));
        voxels.set(2, 6, 6, Block::Dirt);
        assert_eq!(walk(&voxels, feet, goal, 1.0), Some(6), "up a step and down again");
        voxels.set(2, 8, 5, Block::Leaves);
        assert_eq!(walk(&voxels, feet, goal, 1.0), None, "no room to jump");
        voxels.set(2, 8, 5, Block::Air);
        voxels.set(2, 7, 6, Block::Dirt);
        assert_eq!(walk(&voxels, feet, goal, 1.0), None, "a wall");
        voxels.set(2, 7, 6, Block::Air);
        voxels.set(2, 6, 9, Block::Water);
        assert_eq!(walk(&voxels, feet, goal, 1.0), None, "water");
        assert_eq!(walk(&voxels, feet, [2.5, 7.0], 0.5), Some(7));
        assert_eq!(walk(&voxels, feet, [20.5, 1.5], 1.0), None, "off the edge");
    }
}
