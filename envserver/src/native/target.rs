//! Which block the crosshair is on: a ray through the cells of the volume.

use super::block::Block;
use super::voxels::Voxels;

/// How far a player reaches, metres from the eye.
pub(crate) const REACH: f64 = 4.5;

/// The block a ray meets first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    /// The block.
    pub(crate) cell: [i32; 3],
    /// The free cell the ray came from, where a block would be placed.
    pub(crate) before: [i32; 3],
    /// Distance from the ray's start, metres.
    pub(crate) distance: f64,
}

/// The first block that can be hit (neither air nor a liquid; plants and torches fill their cell) within `reach` along a unit vector.
pub(crate) fn first_block(voxels: &Voxels, from: [f64; 3], along: [f64; 3], reach: f64) -> Option<Hit> {
    first_such(voxels, from, along, reach, |block| !matches!(block, Block::Air | Block::Water | Block::Lava))
}

/// The first block that is such, within `reach` along a unit vector.
pub(crate) fn first_such(
    voxels: &Voxels,
    from: [f64; 3],
    along: [f64; 3],
    reach: f64,
    such: impl Fn(Block) -> bool,
) -> Option<Hit> {
    let mut cell = from.map(|value| value.floor() as i32);
    let mut before = cell;
    let step = along.map(|value| if value > 0.0 { 1 } else { -1 });
    let per_cell = along.map(|value| if value == 0.0 { f64::INFINITY } else { 1.0 / value.abs() });
    let mut next = [0, 1, 2].map(|axis| {
        let fraction = from[axis] - f64::from(cell[axis]);
        let gap = if along[axis] > 0.0 { 1.0 - fraction } else { fraction };
        if along[axis] == 0.0 { f64::INFINITY } else { gap * per_cell[axis] }
    });
    let mut distance = 0.0;
    loop {
        if such(voxels.get(cell[0], cell[1], cell[2])) {
            return Some(Hit { cell, before, distance });
        }
        let axis = if next[0] <= next[1] && next[0] <= next[2] {
            0
        } else if next[1] <= next[2] {
            1
        } else {
            2
        };
        distance = next[axis];
        if distance > reach {
            return None;
        }
        before = cell;
        cell[axis] += step[axis];
        next[axis] += per_cell[axis];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::look::direction;

    #[test]
    fn the_first_block_within_reach_is_hit() {
        let mut voxels = Voxels::empty(16);
        voxels.set(0, 5, 4, Block::Log);
        voxels.set(0, 5, 2, Block::Water);
        voxels.set(0, 5, 3, Block::Lava);
        let eye = [0.5, 5.5, 0.5];
        let hit = first_block(&voxels, eye, direction(0.0, 0.0), REACH).unwrap();
        assert_eq!((hit.cell, hit.before, hit.distance), ([0, 5, 4], [0, 5, 3], 3.5));
        assert_eq!(first_block(&voxels, eye, direction(0.0, 0.0), 3.4), None);
        assert_eq!(first_block(&voxels, eye, direction(90.0, 0.0), REACH), None);
        for small in [Block::Torch, Block::TallGrass, Block::DeadBush] {
            voxels.set(0, 5, 3, small);
            assert_eq!(first_block(&voxels, eye, direction(0.0, 0.0), REACH).unwrap().cell, [0, 5, 3]);
        }
        voxels.set(0, 5, 3, Block::Air);
        voxels.set(-2, 5, 0, Block::Log);
        assert_eq!(first_block(&voxels, eye, direction(90.0, 0.0), REACH).unwrap().cell, [-2, 5, 0]);
        let below = first_block(&voxels, eye, direction(0.0, 90.0), 20.0).unwrap();
        assert_eq!((below.cell, below.before), ([0, -1, 0], [0, 0, 0]));
    }
}
