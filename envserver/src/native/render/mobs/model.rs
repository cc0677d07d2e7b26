//! The shapes of mobs: boxes on joints, in sixteenths of a block, and how they swing.

use std::sync::OnceLock;

use super::super::super::fixed_trig::sin_cos_degrees;
use super::super::super::mob::Kind;
use super::skin::{self, Bone};

pub(super) const TEXELS_PER_BLOCK: f32 = 16.0;
/// Degrees of the legs' cycle per unit of stride, and their widest swing.
const CYCLE: f32 = 38.17;
const WIDEST: f32 = 80.0;

/// A face's texels, row by row from the top.
type Texels = Vec<[u8; 3]>;

/// One box of a mob.
#[derive(Debug)]
pub(super) struct Part {
    /// What it turns about, from the middle between the feet.
    pub(super) joint: [f32; 3],
    /// Lowest corner, from the joint, and size.
    pub(super) low: [f32; 3],
    pub(super) size: [f32; 3],
    /// Pitch, yaw and roll at rest, degrees.
    rest: [f32; 3],
    /// Which way it swings with the stride: 1 or -1, 0 not at all.
    swing: f32,
    /// Sideways legs swing by yaw.
    sideways: bool,
    /// Low and high face of each axis.
    faces: [[Texels; 2]; 3],
}

impl Part {
    /// Pitch, yaw and roll at a point of the stride.
    pub(super) fn angles(&self, stride: f32, pace: f32) -> [f32; 3] {
        if self.swing == 0.0 || pace <= 0.0 {
            return self.rest;
        }
        let (_, cos) = sin_cos_degrees(stride * CYCLE);
        let by = self.swing * cos * WIDEST * pace;
        let [pitch, yaw, roll] = self.rest;
        if self.sideways { [pitch, yaw + by * 0.4, roll] } else { [pitch + by, yaw, roll] }
    }

    /// The texel of a face at a point from the lowest corner.
    pub(super) fn texel(&self, axis: usize, high: bool, point: [f32; 3]) -> [u8; 3] {
        let (across, down) = plane(axis);
        let (wide, tall) = (self.size[across] as usize, self.size[down] as usize);
        let at = |value: f32, limit: usize| (value.max(0.0) as usize).min(limit - 1);
        let (u, v) = (at(point[across], wide), tall - 1 - at(point[down], tall));
        self.faces[axis][usize::from(high)][v * wide + u]
    }
}

/// The axes that a face across `axis` runs along: across and, from the top, down.
fn plane(axis: usize) -> (usize, usize) {
    match axis {
        0 => (2, 1),
        1 => (0, 2),
        _ => (0, 1),
    }
}

/// A box before it has its skin.
struct Shape {
    bone: Bone,
    joint: [f32; 3],
    low: [f32; 3],
    size: [f32; 3],
    rest: [f32; 3],
    swing: f32,
}

impl Shape {
    const fn new(bone: Bone, joint: [f32; 3], low: [f32; 3], size: [f32; 3]) -> Self {
        Self { bone, joint, low, size, rest: [0.0; 3], swing: 0.0 }
    }

    fn dress(self, kind: Kind) -> Part {
        let Self { bone, joint, low, size, rest, swing } = self;
        let face = |axis: usize, high: bool| {
            let (across, down) = plane(axis);
            let (wide, tall) = (size[across] as usize, size[down] as usize);
            let place = skin::Place { kind, bone, axis, high, wide, tall };
            (0..wide * tall).map(|at| skin::texel(&place, at % wide, at / wide)).collect()
        };
        let faces = [0, 1, 2].map(|axis| [face(axis, false), face(axis, true)]);
        Part { joint, low, size, rest, swing, sideways: kind == Kind::Spider, faces }
    }
}

/// The parts of a kind of mob.
pub(super) fn parts(kind: Kind) -> &'static [Part] {
    static MODELS: OnceLock<Vec<Vec<Part>>> = OnceLock::new();
    let models = MODELS.get_or_init(|| {
        Kind::ALL.into_iter().map(|kind| shapes(kind).into_iter().map(|s| s.dress(kind)).collect()).collect()
    });
    &models[kind as usize]
}

fn shapes(kind: Kind) -> Vec<Shape> {
    let boxed = Shape::new;
    match kind {
        Kind::Cow => {
            let mut shapes = vec![
                boxed(Bone::Body, [0.0; 3], [-6.0, 11.0, -9.0], [12.0, 10.0, 18.0]),
                boxed(Bone::Head, [0.0, 20.0, 8.0], [-4.0, -4.0, 0.0], [8.0, 8.0, 6.0]),
                boxed(Bone::Horn, [0.0, 20.0, 8.0], [-5.0, 2.0, 2.0], [1.0, 3.0, 1.0]),
                boxed(Bone::Horn, [0.0, 20.0, 8.0], [4.0, 2.0, 2.0], [1.0, 3.0, 1.0]),
            ];
            shapes.extend(four_legs([3.9, 12.0], [6.0, -7.0]));
            shapes
        }
        Kind::Pig => {
            let mut shapes = vec![
                boxed(Bone::Body, [0.0; 3], [-5.0, 6.0, -8.0], [10.0, 8.0, 16.0]),
                boxed(Bone::Head, [0.0, 12.0, 6.0], [-4.0, -4.0, 0.0], [8.0, 8.0, 8.0]),
                boxed(Bone::Snout, [0.0, 12.0, 6.0], [-2.0, -3.0, 8.0], [4.0, 3.0, 1.0]),
            ];
            shapes.extend(four_legs([2.9, 6.0], [5.0, -6.0]));
            shapes
        }
        Kind::Zombie => {
            let limb = |bone, x: f32, y: f32, top: f32, pitch: f32, swing: f32| Shape {
                rest: [pitch, 0.0, 0.0],
                swing,
                ..boxed(bone, [x, y, 0.0], [-2.0, top - 12.0, -2.0], [4.0, 12.0, 4.0])
            };
            vec![
                boxed(Bone::Body, [0.0; 3], [-4.0, 12.0, -2.0], [8.0, 12.0, 4.0]),
                boxed(Bone::Head, [0.0, 24.0, 0.0], [-4.0, 0.0, -4.0], [8.0, 8.0, 8.0]),
                limb(Bone::Leg, 2.0, 12.0, 0.0, 0.0, 1.0),
                limb(Bone::Leg, -2.0, 12.0, 0.0, 0.0, -1.0),
                // Stretched out ahead.
                limb(Bone::Arm, 6.0, 22.0, 2.0, -84.0, 0.08),
                limb(Bone::Arm, -6.0, 22.0, 2.0, -88.0, -0.08),
            ]
        }
        Kind::Creeper => {
            let mut shapes = vec![
                boxed(Bone::Body, [0.0; 3], [-4.0, 6.0, -2.0], [8.0, 12.0, 4.0]),
                boxed(Bone::Head, [0.0, 18.0, 0.0], [-4.0, 0.0, -4.0], [8.0, 8.0, 8.0]),
            ];
            shapes.extend(four_legs([2.0, 6.0], [4.0, -4.0]));
            shapes
        }
        Kind::Spider => {
            let mut shapes = vec![
                boxed(Bone::Head, [0.0, 9.0, 3.0], [-4.0, -4.0, 0.0], [8.0, 8.0, 8.0]),
                boxed(Bone::Body, [0.0, 9.0, 0.0], [-3.0, -3.0, -3.0], [6.0, 6.0, 6.0]),
                boxed(Bone::Abdomen, [0.0, 9.0, -3.0], [-5.0, -4.0, -12.0], [10.0, 8.0, 12.0]),
            ];
            for (pair, splay) in [42.0, 14.0, -14.0, -42.0].into_iter().enumerate() {
                let z = 2.0 - 1.4 * pair as f32;
                let swing = if pair % 2 == 0 { 1.0 } else { -1.0 };
                // Out from the body and down to the ground.
                let leg = |side: f32| Shape {
                    rest: [0.0, -side * splay, -side * 32.0],
                    swing: swing * side,
                    ..boxed(
                        Bone::Leg,
                        [side * 3.0, 9.5, z],
                        [if side > 0.0 { 0.0 } else { -16.0 }, -1.0, -1.0],
                        [16.0, 2.0, 2.0],
                    )
                };
                shapes.extend([leg(1.0), leg(-1.0)]);
            }
            shapes
        }
    }
}

/// Four legs from a height, so far to the sides, ahead and behind; opposite corners swing together.
fn four_legs([aside, height]: [f32; 2], [front, back]: [f32; 2]) -> impl Iterator<Item = Shape> {
    [(aside, front, 1.0), (-aside, front, -1.0), (aside, back, -1.0), (-aside, back, 1.0)].into_iter().map(
        move |(x, z, swing)| Shape {
            swing,
            ..Shape::new(Bone::Leg, [x, height, z], [-2.0, -height, -2.0], [4.0, height, 4.0])
        },
    )
}
