//! Mobs: boxes with skins, each pixel's ray met with each box it may meet, drawn over the finished view of the blocks.
//!
//! One path for all machines: plain single operations on f32, so that the pixels are the same everywhere.

mod model;
mod skin;

use super::super::fixed_trig::sin_cos_degrees;
use super::super::scene::{MobView, Scene};
use super::view::{LIGHT_BOTTOM, LIGHT_X, LIGHT_Z, SKY_SLOPE, View};
use model::{Part, TEXELS_PER_BLOCK};

/// Nearer than this nothing of a mob is drawn, in blocks of depth.
const NEAREST: f32 = 0.05;
/// Farthest that any part of a mob is from the middle of its body, blocks.
const REACH: f32 = 2.0;
/// Shares of red in a mob that was hurt, and of white in a creeper about to go off.
const RED: f32 = 0.42;
const WHITE: f32 = 0.55;
/// How much a creeper swells.
const SWELL: f32 = 0.22;

/// A part of a mob in the world: a box on axes of its own.
struct Block3<'a> {
    part: &'a Part,
    /// Where its joint is seen from the eye, blocks.
    joint: [f32; 3],
    /// Its axes in the world, unit vectors.
    axes: [[f32; 3]; 3],
    /// Blocks per texel.
    scale: f32,
    /// Light of each face: low and high of each axis.
    light: [[f32; 2]; 3],
}

/// What colours every texel of a mob.
#[derive(Clone, Copy)]
struct Tint {
    bright: f32,
    red: f32,
    white: f32,
    burning: bool,
    /// For flames: another number every few ticks.
    flicker: u32,
}

/// Draws every mob of the scene; true if any was in view, and then `nearest` are the depths with the mobs.
pub(super) fn draw(
    view: &View,
    scene: &Scene<'_>,
    depths: &[f32],
    nearest: &mut Vec<f32>,
    out: &mut [u8],
) -> bool {
    let mut any = false;
    for mob in scene.mobs.iter().filter(|mob| in_view(view, scene, mob)) {
        if !any {
            nearest.clear();
            nearest.extend_from_slice(depths);
            any = true;
        }
        draw_mob(view, scene, mob, nearest, out);
    }
    any
}

/// Whether some of a mob may be in the frame.
fn in_view(view: &View, scene: &Scene<'_>, mob: &MobView) -> bool {
    let offset: [f32; 3] =
        std::array::from_fn(|k| mob.feet[k] + if k == 1 { 0.8 } else { 0.0 } - scene.eye[k]);
    let depth = dot(offset, view.forward);
    let (aside, above) = (dot(offset, view.right), dot(offset, view.up));
    let (last_column, first_row) = (view.columns[view.width - 1], view.rows[0]);
    // The frame's edges lean outwards; a ball that touches them leans with them.
    let within = |off: f32, edge: f32| off.abs() - REACH * (1.0 + edge) < edge * depth.max(0.0);
    (-REACH..view.far + REACH).contains(&depth) && within(aside, last_column) && within(above, first_row)
}

fn draw_mob(view: &View, scene: &Scene<'_>, mob: &MobView, nearest: &mut [f32], out: &mut [u8]) {
    let [x, y, z] = mob.feet.map(|at| at.clamp(-1e7, 1e7));
    let middle = [x, y + 0.5, z].map(|at| at.floor() as i32);
    let lit = view.brightness_of(scene.voxels.light(middle[0], middle[1], middle[2]));
    let flashes = (mob.fuse * 10.0) as u32 % 2 == 1;
    let tint = Tint {
        bright: if mob.burning { lit.max(0.8) } else { lit },
        red: if mob.hurt { RED } else { 0.0 },
        white: if flashes { WHITE } else { 0.0 },
        burning: mob.burning,
        flicker: (scene.time / 2) as u32,
    };
    for part in model::parts(mob.kind) {
        draw_part(view, &place(scene, mob, part), tint, nearest, out);
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Turns two components by an angle.
fn turn(vector: &mut [f32; 3], (from, to): (usize, usize), degrees: f32) {
    let (sin, cos) = sin_cos_degrees(degrees);
    let (a, b) = (vector[from], vector[to]);
    vector[from] = a * cos - b * sin;
    vector[to] = a * sin + b * cos;
}

/// Where a part of a mob is, and how it is turned.
fn place<'a>(scene: &Scene<'_>, mob: &MobView, part: &'a Part) -> Block3<'a> {
    let swell = 1.0 + SWELL * mob.fuse * mob.fuse;
    let scale = swell / TEXELS_PER_BLOCK;
    let fallen = 90.0 * (mob.dying * 1.6).min(1.0);
    // A mob's x is its left, z ahead.
    let (sin, cos) = sin_cos_degrees(mob.yaw);
    let into_world = |mut vector: [f32; 3]| {
        turn(&mut vector, (0, 1), fallen);
        let [x, y, z] = vector;
        [x * cos - z * sin, y, x * sin + z * cos]
    };
    let [pitch, yaw, roll] = part.angles(mob.stride, mob.pace);
    let axes: [[f32; 3]; 3] = std::array::from_fn(|axis| {
        let mut unit = [0.0; 3];
        unit[axis] = 1.0;
        turn(&mut unit, (0, 1), roll);
        turn(&mut unit, (1, 2), pitch);
        turn(&mut unit, (2, 0), yaw);
        into_world(unit)
    });
    let joint = into_world(part.joint);
    let joint = std::array::from_fn(|k| mob.feet[k] - scene.eye[k] + joint[k] * scale);
    let light = axes.map(|[x, y, z]| {
        [-1.0, 1.0].map(|side| {
            let from_y = if y * side > 0.0 { 1.0 } else { LIGHT_BOTTOM };
            x * x * LIGHT_X + y * y * from_y + z * z * LIGHT_Z
        })
    });
    Block3 { part, joint, axes, scale, light }
}

/// The pixels that a box may cover: columns and rows, `None` where it is behind the eye.
fn frame_of(view: &View, block: &Block3<'_>) -> Option<[std::ops::Range<usize>; 2]> {
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    let (mut before, mut behind) = (0, 0);
    for corner in 0..8 {
        let mut point = block.joint;
        for axis in 0..3 {
            let at = block.part.low[axis] + if corner >> axis & 1 == 1 { block.part.size[axis] } else { 0.0 };
            for (k, part) in point.iter_mut().enumerate() {
                *part += block.axes[axis][k] * at * block.scale;
            }
        }
        let (pixel, depth) = view.project(point, [0.0; 3]);
        if depth < NEAREST {
            behind += 1;
            continue;
        }
        before += 1;
        for k in 0..2 {
            low[k] = low[k].min(pixel[k]);
            high[k] = high[k].max(pixel[k]);
        }
    }
    let limits = [view.width, view.height];
    match (before, behind) {
        (0, _) => None,
        // Partly behind the eye: it may be anywhere.
        (_, 1..) => Some(limits.map(|limit| 0..limit)),
        _ => Some([0, 1].map(|k| {
            let bound = |at: f32| at.clamp(0.0, limits[k] as f32) as usize;
            bound(low[k])..bound(high[k] + 1.0)
        })),
    }
}

fn draw_part(view: &View, block: &Block3<'_>, tint: Tint, nearest: &mut [f32], out: &mut [u8]) {
    let Some([columns, rows]) = frame_of(view, block) else { return };
    let into = |vector: [f32; 3]| block.axes.map(|axis| dot(vector, axis) / block.scale);
    let from = into(block.joint).map(|part| -part);
    let (ahead, right, up) = (into(view.forward), into(view.right), into(view.up));
    for y in rows {
        let row = view.rows[y];
        let lifted: [f32; 3] = std::array::from_fn(|k| ahead[k] + up[k] * row);
        for x in columns.clone() {
            let column = view.columns[x];
            let along: [f32; 3] = std::array::from_fn(|k| lifted[k] + right[k] * column);
            let Some((depth, axis)) = meet(block.part, from, along) else { continue };
            let pixel = y * view.width + x;
            if depth < NEAREST || depth >= nearest[pixel] {
                continue;
            }
            let point: [f32; 3] = std::array::from_fn(|k| from[k] + along[k] * depth - block.part.low[k]);
            let high = along[axis] < 0.0;
            let texel = block.part.texel(axis, high, point);
            let light = block.light[axis][usize::from(high)];
            nearest[pixel] = depth;
            let place = point.map(|at| at as i32 as u32);
            let colour = shine(tint, texel, light, place);
            let rgb = through_fog(view, colour, depth, (column, row));
            out[pixel * 3..pixel * 3 + 3].copy_from_slice(&rgb);
        }
    }
}

/// Where a ray in a part's own texels enters its box: the depth and the axis of the face.
fn meet(part: &Part, from: [f32; 3], along: [f32; 3]) -> Option<(f32, usize)> {
    let (mut enter, mut leave, mut axis) = (f32::NEG_INFINITY, f32::INFINITY, 0);
    for k in 0..3 {
        let step = if along[k].abs() < 1e-9 { 1e-9 } else { along[k] };
        let (a, b) = ((part.low[k] - from[k]) / step, (part.low[k] + part.size[k] - from[k]) / step);
        let (near, far) = if a < b { (a, b) } else { (b, a) };
        if near > enter {
            (enter, axis) = (near, k);
        }
        if far < leave {
            leave = far;
        }
    }
    (enter < leave).then_some((enter, axis))
}

/// A texel in the light, hurt, about to go off, in flames.
fn shine(tint: Tint, texel: [u8; 3], light: f32, [x, y, z]: [u32; 3]) -> [f32; 3] {
    if tint.burning
        && let Some(flame) = skin::flame(x + z, y, tint.flicker)
    {
        return flame;
    }
    let lit = texel.map(|channel| f32::from(channel) * light * tint.bright);
    let to_white = 255.0 * tint.bright.max(0.5);
    let [red, green, blue] = lit.map(|channel| channel + (to_white - channel) * tint.white);
    let keep = 1.0 - tint.red;
    [red * keep + 255.0 * tint.bright.max(0.3) * tint.red, green * keep, blue * keep]
}

fn through_fog(view: &View, colour: [f32; 3], depth: f32, (column, row): (f32, f32)) -> [u8; 3] {
    let length = (1.0 + column * column + row * row).sqrt();
    let away = depth * length / view.far;
    let fog = ((away - view.fog_start) / (1.0 - view.fog_start)).clamp(0.0, 1.0);
    let rise = view.forward[1] + view.right[1] * column + view.up[1] * row;
    let elevation = (rise / length * SKY_SLOPE).clamp(0.0, 1.0);
    std::array::from_fn(|k| {
        let sky = view.horizon[k] + (view.zenith[k] - view.horizon[k]) * elevation;
        (colour[k] * (1.0 - fog) + sky * fog) as u8
    })
}
