//! Straight lines through the world: whether one sees another past the blocks, and where a line meets a box.

use crate::native::block::Block;
use crate::native::physics::Body;
use crate::native::target::first_such;
use crate::native::voxels::Voxels;

/// Whether nothing solid lies between two points.
pub(crate) fn clear(voxels: &Voxels, from: [f64; 3], to: [f64; 3]) -> bool {
    let way = [0, 1, 2].map(|axis| to[axis] - from[axis]);
    let length = (way[0] * way[0] + way[1] * way[1] + way[2] * way[2]).sqrt();
    if length < 1e-6 {
        return true;
    }
    let along = way.map(|part| part / length);
    first_such(voxels, from, along, length, Block::is_solid).is_none()
}

/// How far along a unit vector from a point a body is met, if it is met ahead; 0 from within.
pub(crate) fn distance_to(body: &Body, from: [f64; 3], along: [f64; 3]) -> Option<f64> {
    let (low, high) = body.bounds();
    let (mut enter, mut leave) = (0.0_f64, f64::INFINITY);
    for axis in 0..3 {
        let (a, b) = (low[axis] - from[axis], high[axis] - from[axis]);
        if along[axis] == 0.0 {
            if a > 0.0 || b < 0.0 {
                return None;
            }
            continue;
        }
        let (near, far) = (a / along[axis], b / along[axis]);
        enter = enter.max(near.min(far));
        leave = leave.min(near.max(far));
    }
    (enter <= leave).then_some(enter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_hide_and_plants_do_not() {
        let mut voxels = Voxels::empty(16);
        let (here, there) = ([0.5, 5.5, 0.5], [6.5, 6.5, 3.5]);
        assert!(clear(&voxels, here, there) && clear(&voxels, here, here));
        voxels.set(3, 5, 1, Block::TallGrass);
        voxels.set(3, 6, 2, Block::Torch);
        assert!(clear(&voxels, here, there));
        for y in 4..8 {
            for z in 0..4 {
                voxels.set(3, y, z, Block::Glass);
            }
        }
        assert!(!clear(&voxels, here, there));
    }

    #[test]
    fn a_line_meets_the_box_before_it() {
        let body = Body::new([0.0, 0.0, 4.0], 0.5, 2.0);
        let ahead = [0.0, 0.0, 1.0];
        assert_eq!(distance_to(&body, [0.0, 1.0, 0.0], ahead), Some(3.5));
        assert_eq!(distance_to(&body, [0.0, 1.0, 4.2], ahead), Some(0.0));
        for from in [[0.6, 1.0, 0.0], [0.0, 2.1, 0.0], [0.0, 1.0, 5.0]] {
            assert_eq!(distance_to(&body, from, ahead), None, "{from:?}");
        }
    }
}
