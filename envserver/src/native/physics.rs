//! Bodies among blocks: axis-aligned boxes moved exactly, one axis after the other, however fast they are.

use super::block::Block;
use super::voxels::Voxels;

/// The game's motion of walking bodies: take-off speed and gravity in metres per tick, and the shares of speed that a tick
/// leaves (Java 1.16).
pub(crate) const JUMP: f64 = 0.42;
pub(crate) const GRAVITY: f64 = 0.08;
pub(crate) const FALL_DRAG: f64 = 0.98;
pub(crate) const GROUND_DRAG: f64 = 0.6 * 0.91;
pub(crate) const AIR_DRAG: f64 = 0.91;
pub(crate) const WATER_DRAG: f64 = 0.8;
pub(crate) const LAVA_DRAG: f64 = 0.5;

/// Gap kept between a body and a block, so that touching does not count as overlapping.
const SKIN: f64 = 1e-7;

/// An axis-aligned box that moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    /// Centre of the bottom face, metres.
    pub(crate) position: [f64; 3],
    /// Metres per tick.
    pub(crate) velocity: [f64; 3],
    pub(crate) half_width: f64,
    pub(crate) height: f64,
    pub(crate) on_ground: bool,
    /// The last move was stopped sideways.
    pub(crate) blocked: bool,
}

impl Body {
    pub(crate) fn new(position: [f64; 3], half_width: f64, height: f64) -> Self {
        Self { position, velocity: [0.0; 3], half_width, height, on_ground: false, blocked: false }
    }

    /// Lower and upper corner.
    pub(crate) fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        let [x, y, z] = self.position;
        let w = self.half_width;
        ([x - w, y, z - w], [x + w, y + self.height, z + w])
    }

    /// Whether the box overlaps the unit cell.
    pub(crate) fn overlaps(&self, cell: [i32; 3]) -> bool {
        let (low, high) = self.bounds();
        (0..3).all(|axis| {
            let from = f64::from(cell[axis]);
            low[axis] < from + 1.0 && high[axis] > from
        })
    }

    /// Whether the box overlaps a block of that kind.
    pub(crate) fn touches(&self, voxels: &Voxels, block: Block) -> bool {
        let (low, high) = self.bounds();
        any_cell(low, high, |x, y, z| voxels.get(x, y, z) == block)
    }

    /// Moves by the velocity, clipped at solid blocks; a stopped component becomes 0.
    pub(crate) fn advance(&mut self, voxels: &Voxels) {
        let wanted = self.velocity;
        let moved_y = self.advance_axis(voxels, 1, wanted[1]);
        // The longer horizontal component first, as the game does.
        let order = if wanted[0].abs() >= wanted[2].abs() { [0, 2] } else { [2, 0] };
        self.blocked = false;
        for axis in order {
            if self.advance_axis(voxels, axis, wanted[axis]) != wanted[axis] {
                self.velocity[axis] = 0.0;
                self.blocked = true;
            }
        }
        let stopped = moved_y != wanted[1];
        self.on_ground = stopped && wanted[1] < 0.0;
        if stopped {
            self.velocity[1] = 0.0;
        }
    }

    /// Moves along one axis as far as nothing solid is in the way; returns the distance.
    fn advance_axis(&mut self, voxels: &Voxels, axis: usize, distance: f64) -> f64 {
        if distance == 0.0 {
            return 0.0;
        }
        let (mut low, mut high) = self.bounds();
        // Sides that touch are not in the way.
        for side in (0..3).filter(|side| *side != axis) {
            low[side] += SKIN;
            high[side] -= SKIN;
        }
        let edge = if distance > 0.0 { high[axis] } else { low[axis] };
        let mut allowed = distance;
        if distance > 0.0 {
            low[axis] = edge - SKIN;
            high[axis] = edge + distance;
        } else {
            high[axis] = edge + SKIN;
            low[axis] = edge + distance;
        }
        any_cell(low, high, |x, y, z| {
            if voxels.get(x, y, z).is_solid() {
                let cell = f64::from([x, y, z][axis]);
                // A body that is already inside a block may leave it.
                if distance > 0.0 && cell >= edge - 2.0 * SKIN {
                    allowed = allowed.min((cell - edge - SKIN).max(0.0));
                } else if distance < 0.0 && cell + 1.0 <= edge + 2.0 * SKIN {
                    allowed = allowed.max((cell + 1.0 + SKIN - edge).min(0.0));
                }
            }
            false
        });
        self.position[axis] += allowed;
        allowed
    }
}

/// Whether `test` holds for any cell between two corners.
fn any_cell(low: [f64; 3], high: [f64; 3], mut test: impl FnMut(i32, i32, i32) -> bool) -> bool {
    let floor = |value: f64| value.floor() as i32;
    for y in floor(low[1])..=floor(high[1]) {
        for z in floor(low[2])..=floor(high[2]) {
            for x in floor(low[0])..=floor(high[0]) {
                if test(x, y, z) {
                    return true;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor_and_wall() -> Voxels {
        let mut voxels = Voxels::empty(16);
        for z in -8..8 {
            for x in -8..8 {
                voxels.set(x, 0, z, Block::Stone);
            }
            voxels.set(4, 1, z, Block::Stone);
            voxels.set(4, 2, z, Block::Stone);
        }
        voxels
    }

    #[test]
    fn nothing_tunnels_however_fast() {
        let voxels = floor_and_wall();
        for speed in [0.3, 3.0, 50.0] {
            let mut body = Body::new([0.5, 3.0, 0.5], 0.3, 1.8);
            body.velocity = [0.0, -speed, 0.0];
            for _ in 0..20 {
                body.velocity[1] = -speed;
                body.advance(&voxels);
            }
            assert!(body.on_ground && (body.position[1] - 1.0).abs() < 1e-5, "{:?}", body.position);
            body.velocity = [speed * 10.0, 0.0, 0.0];
            for _ in 0..20 {
                body.velocity[0] = speed;
                body.advance(&voxels);
            }
            assert!(body.blocked && (body.position[0] - 3.7).abs() < 1e-5, "{:?}", body.position);
        }
    }

    #[test]
    fn sliding_along_a_wall_is_free() {
        let voxels = floor_and_wall();
        let mut body = Body::new([3.7 - 1e-7, 1.0 + 1e-7, 0.0], 0.3, 1.8);
        body.velocity = [0.2, -0.1, 0.2];
        body.advance(&voxels);
        assert!(body.blocked && body.on_ground);
        assert!((body.position[2] - 0.2).abs() < 1e-9);
    }
}
