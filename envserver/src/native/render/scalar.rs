//! The reference ray caster: one ray at a time, plain code. `wide` must give the same bits.
//!
//! A ray moves from cell to cell; the distance field says how large a box around the cell is
//! free, and the ray leaps to where it leaves that box.

use super::super::textures::{FACES, HOLE, TEXELS};
use super::view::{LEAST, LIGHT, LIGHT_BOTTOM, LIGHT_X, LIGHT_Z, SKY_SLOPE, SLANT_CAP};
use super::{ACROSS, CROSSED, Cast, OPEN_SKY, PIERCED};

/// A ray in the eye's frame; one unit of `t` is one block of depth, not of length.
struct Ray {
    direction: [f32; 3],
    inverse: [f32; 3],
    /// Whether each component points up its axis.
    ascends: [bool; 3],
    length: f32,
    far: f32,
}

/// Where a ray met a block.
struct Hit {
    depth: f32,
    /// The axis of the face it met, or [`ACROSS`].
    axis: usize,
    /// The cell, relative to the eye's block.
    cell: [i32; 3],
    index: usize,
}

/// Draws a rectangle of pixels: colours (RGB) and depths.
pub(super) fn draw(
    cast: &Cast<'_>,
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    out: &mut [u8],
    depths: &mut [f32],
) {
    for row in rows {
        for column in columns.clone() {
            let ray = aim(cast, column, row);
            let hit = march(cast, &ray);
            let pixel = row * cast.view.width + column;
            out[pixel * 3..pixel * 3 + 3].copy_from_slice(&shade(cast, &ray, hit.as_ref()));
            depths[pixel] = hit.map_or(f32::INFINITY, |hit| hit.depth);
        }
    }
}

fn aim(cast: &Cast<'_>, column: usize, row: usize) -> Ray {
    let view = cast.view;
    let (a, b) = (view.columns[column], view.rows[row]);
    let direction: [f32; 3] = std::array::from_fn(|axis| {
        let raw = (view.forward[axis] + view.right[axis] * a) + view.up[axis] * b;
        if raw.abs() > LEAST { raw } else { LEAST.copysign(raw) }
    });
    let [x, y, z] = direction;
    let length = ((x * x + y * y) + z * z).sqrt();
    Ray {
        direction,
        inverse: direction.map(|component| 1.0 / component),
        ascends: direction.map(|component| component > 0.0),
        length,
        far: view.far / length,
    }
}

/// The smaller of two numbers, as the vector instruction chooses.
fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger, likewise.
fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn march(cast: &Cast<'_>, ray: &Ray) -> Option<Hit> {
    let view = cast.view;
    let mut cell = [0; 3];
    let (mut depth, mut axis) = (0.0, 1);
    if view.base[1] >= view.top {
        // From above the volume the ray starts where it enters.
        if ray.ascends[1] {
            return None;
        }
        depth = ((view.top - view.base[1]) as f32 - view.origin[1]) * ray.inverse[1];
        cell = std::array::from_fn(|k| (view.origin[k] + ray.direction[k] * depth).floor() as i32);
        cell[1] = view.top - 1 - view.base[1];
    }
    loop {
        if !(0..view.top).contains(&(view.base[1] + cell[1])) || depth >= ray.far {
            return None;
        }
        let index = cast.index(cell);
        let half = if ray.ascends[1] { cast.cells() } else { 0 };
        let mut distance = i32::from(cast.distance[half + index]);
        if distance == 0 {
            let hit = meet(cast, ray, Hit { depth, axis, cell, index });
            if hit.is_some() {
                return hit;
            }
            // Past this cell nothing is known but that the ray leaves it.
            distance = 1;
        }
        let reach = distance - 1;
        let exit: [f32; 3] = std::array::from_fn(|k| {
            let bound = if ray.ascends[k] { cell[k] + distance } else { cell[k] - reach };
            (bound as f32 - view.origin[k]) * ray.inverse[k]
        });
        depth = least(exit[0], least(exit[1], exit[2]));
        axis = if depth == exit[0] {
            0
        } else if depth == exit[1] {
            1
        } else {
            2
        };
        for (k, cell) in cell.iter_mut().enumerate() {
            let step = if ray.ascends[k] { distance } else { -distance };
            *cell = if k == axis {
                *cell + step
            } else {
                let at = (view.origin[k] + ray.direction[k] * depth).floor() as i32;
                // In y only the cells ahead are known to be free.
                let (back, ahead) = match (k, ray.ascends[1]) {
                    (1, true) => (0, reach),
                    (1, false) => (-reach, 0),
                    _ => (-reach, reach),
                };
                at.min(*cell + ahead).max(*cell + back)
            };
        }
    }
}

/// What a ray that enters a cell with a block sees there, if it does not go on.
fn meet(cast: &Cast<'_>, ray: &Ray, met: Hit) -> Option<Hit> {
    if !cast.airy {
        return Some(met);
    }
    let block = u32::from(cast.blocks[met.index]) & 31;
    let is = |blocks: u32| blocks >> block & 1 == 1;
    if is(cast.passed) {
        return None;
    }
    if is(CROSSED) {
        return meet_pictures(cast, ray, &met);
    }
    let is_near = met.depth <= cast.view.level_depths[1];
    let through = (is(PIERCED) || is(cast.leafy) && is_near) && look_up(cast, ray, &met) & HOLE != 0;
    (!through).then_some(met)
}

/// Two upright pictures stand on the diagonals of the cell: the nearer that has no hole where it is met.
fn meet_pictures(cast: &Cast<'_>, ray: &Ray, met: &Hit) -> Option<Hit> {
    let from: [f32; 3] = std::array::from_fn(|k| cast.view.origin[k] - met.cell[k] as f32);
    let [dx, dy, dz] = ray.direction;
    let first = (from[2] - from[0]) / (dx - dz);
    let second = ((1.0 - from[0]) - from[2]) / (dx + dz);
    [least(first, second), most(first, second)].into_iter().find_map(|depth| {
        let (x, y) = (from[0] + dx * depth, from[1] + dy * depth);
        let inside = depth > 0.0 && (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y);
        let hit = Hit { depth, axis: ACROSS, ..*met };
        (inside && look_up(cast, ray, &hit) & HOLE == 0).then_some(hit)
    })
}

fn shade(cast: &Cast<'_>, ray: &Ray, hit: Option<&Hit>) -> [u8; 3] {
    let elevation = (ray.direction[1] / ray.length * SKY_SLOPE).clamp(0.0, 1.0);
    let (texel, light, fog) = match hit {
        None => (0, 0.0, 1.0),
        Some(hit) => {
            let view = cast.view;
            let away = hit.depth * ray.length * (1.0 / view.far);
            let fog = (away - view.fog_start) * (1.0 / (1.0 - view.fog_start));
            (look_up(cast, ray, hit), face_light(cast, ray, hit), fog.clamp(0.0, 1.0))
        }
    };
    let keep = light * (1.0 - fog);
    std::array::from_fn(|channel| {
        let (horizon, zenith) = (cast.view.horizon[channel], cast.view.zenith[channel]);
        let sky = horizon + (zenith - horizon) * elevation;
        let colour = (texel >> (8 * channel) & 255) as f32;
        (colour * keep + sky * fog) as i32 as u8
    })
}

fn face_light(cast: &Cast<'_>, ray: &Ray, hit: &Hit) -> f32 {
    let facing = match (hit.axis, ray.ascends[1]) {
        (0, _) => LIGHT_X,
        (1, true) => LIGHT_BOTTOM,
        (1, false) => 1.0,
        _ => LIGHT_Z,
    };
    let mut before = hit.cell;
    if hit.axis < ACROSS {
        before[hit.axis] -= if ray.ascends[hit.axis] { 1 } else { -1 };
    }
    if let Some(light) = cast.light {
        let is_above = cast.view.base[1] + before[1] >= cast.view.top;
        let both = if is_above { OPEN_SKY } else { light[cast.clamped_index(before)] };
        return facing * cast.view.brightness[usize::from(both)];
    }
    let ground = i32::from(cast.ground[cast.column(before)]);
    let below = ground - (cast.view.base[1] + before[1]) + 1;
    facing * LIGHT[below.clamp(0, 7) as usize]
}

fn look_up(cast: &Cast<'_>, ray: &Ray, hit: &Hit) -> u32 {
    let view = cast.view;
    let point: [f32; 3] = std::array::from_fn(|k| view.origin[k] + ray.direction[k] * hit.depth);
    let (u, v) = match hit.axis {
        0 => (point[2], -point[1]),
        1 => (point[0], point[2]),
        _ => (point[0], -point[1]),
    };
    let texel = |at: f32| ((at - at.floor()) * 16.0) as i32 as usize & 15;
    let face = match (hit.axis, ray.ascends[1]) {
        (1, true) => 2,
        (1, false) => 0,
        _ => 1,
    };
    // A face seen at a slant is coarser along one direction: take the mean of both.
    let slant = match ray.inverse.get(hit.axis) {
        Some(inverse) => least(ray.length * inverse.abs(), SLANT_CAP),
        None => 1.0,
    };
    let wide = hit.depth * (slant * 0.5 + 0.5);
    let level = view.level_depths.iter().filter(|&&from| wide > from).count();
    let place = texel(v) * 16 + texel(u);
    let at = |count: usize, block: usize| ((level * count + block) * FACES + face) * TEXELS + place;
    match cast.special.cells.iter().position(|&cell| cell == hit.index as i32) {
        Some(slot) => cast.special.texels[at(cast.special.cells.len(), slot)],
        None => cast.textures[at(cast.block_count, usize::from(cast.blocks[hit.index]))],
    }
}
