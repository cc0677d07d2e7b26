//! The ray caster many rays at a time, as packets of neighbouring pixels: one text for every vector width.
//!
//! Step for step what `scalar` does, in the same order of operations; see there for the why of each step. Everything
//! is inlined into `draw` of [`avx2`] and of [`avx512`], which is what lets the compiler use their instructions. Unsafe
//! code of this crate is here and below only: vector instructions, gathers, wide stores.
//!
//! # Layout
//! - here: packets over the frame, marching rays
//! - [`lanes`]: the arithmetic they need; [`avx2`], [`avx512`]: that of each width
//! - [`meet`]: what is seen in a cell; [`shade`]: its colour

pub(super) mod avx2;
pub(super) mod avx512;
mod lanes;
mod meet;
mod shade;

use super::super::block::Block;
use super::Cast;
use super::view::LEAST;
use lanes::Lanes;

/// Implements operators of a vector type by intrinsics.
macro_rules! operator {
    ($kind:ident, $($operator:ident $function:ident $intrinsic:ident),+) => {
        $(impl $operator for $kind {
            type Output = Self;

            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                unsafe { Self($intrinsic(self.0, other.0)) }
            }
        })+
    };
}
use operator;

#[derive(Clone, Copy)]
struct Rays<L: Lanes> {
    direction: [L::F; 3],
    inverse: [L::F; 3],
    /// Where the component points up its axis.
    ascends: [L::M; 3],
    length: L::F,
    far: L::F,
}

#[derive(Clone, Copy)]
struct Hits<L: Lanes> {
    /// Lanes that met a block.
    found: L::M,
    depth: L::F,
    axis: L::I,
    cell: [L::I; 3],
    index: L::I,
    /// The block's number.
    block: L::I,
}

impl<L: Lanes> Hits<L> {
    /// Takes over the lanes that `met` has found.
    #[inline(always)]
    fn keep(&mut self, met: &Hits<L>) {
        let found = met.found;
        self.found = self.found | found;
        self.depth = L::pick(found, met.depth, self.depth);
        self.axis = L::whole_pick(found, met.axis, self.axis);
        self.index = L::whole_pick(found, met.index, self.index);
        self.block = L::whole_pick(found, met.block, self.block);
        for k in 0..3 {
            self.cell[k] = L::whole_pick(found, met.cell[k], self.cell[k]);
        }
    }
}

/// Draws the largest part of the frame that whole packets cover and returns its width and height.
#[inline(always)]
fn draw<L: Lanes>(cast: &Cast<'_>, out: &mut [u8], depths: &mut [f32]) -> (usize, usize) {
    let (width, height) = (cast.view.width, cast.view.height);
    let (across, down) = (width / L::PACKET.0 * L::PACKET.0, height / L::PACKET.1 * L::PACKET.1);
    assert!(out.len() >= width * height * 3 && depths.len() >= width * height);
    assert!(cast.view.columns.len() >= width && cast.view.rows.len() >= height);
    // What the masked gathers below rely on: indices stay below these sizes, plus three bytes.
    assert!(cast.distance.len() >= 2 * cast.cells() + 3 && cast.blocks.len() >= cast.cells() + 3);
    assert!(cast.light.is_none_or(|light| light.len() >= cast.cells() + 3));
    assert!(cast.ground.len() >= (1 << 14) + 3 && cast.block_count == Block::SLOTS);
    for row in (0..down).step_by(L::PACKET.1) {
        for column in (0..across).step_by(L::PACKET.0) {
            let rays = aim::<L>(cast, column, row);
            let hits = march(cast, &rays);
            let colours = shade::shade(cast, &rays, &hits);
            let depth = L::pick(hits.found, hits.depth, L::splat(f32::INFINITY));
            let first = row * width + column;
            // SAFETY: the packet's pixels lie inside the buffers, by the asserts above.
            unsafe {
                L::store(
                    out.as_mut_ptr().add(first * 3),
                    depths.as_mut_ptr().add(first),
                    width,
                    colours,
                    depth,
                );
            }
        }
    }
    (across, down)
}

#[inline(always)]
fn aim<L: Lanes>(cast: &Cast<'_>, column: usize, row: usize) -> Rays<L> {
    let view = cast.view;
    // SAFETY: whole packets lie within the frame, for which there are so many offsets, see `draw`.
    let (a, b) = unsafe { (L::columns(&view.columns[column]), L::rows(&view.rows[row])) };
    let (least, zero, one) = (L::splat(LEAST), L::splat(0.0), L::splat(1.0));
    let (mut direction, mut inverse, mut ascends) = ([zero; 3], [zero; 3], [L::nowhere(); 3]);
    for k in 0..3 {
        let flat = L::splat(view.forward[k]) + L::splat(view.right[k]) * a;
        let raw = flat + L::splat(view.up[k]) * b;
        direction[k] = L::pick(L::gt(L::abs(raw), least), raw, L::with_sign(least, raw));
        inverse[k] = one / direction[k];
        ascends[k] = L::gt(direction[k], zero);
    }
    let [x, y, z] = direction;
    let length = L::sqrt((x * x + y * y) + z * z);
    Rays { direction, inverse, ascends, length, far: L::splat(view.far) / length }
}

/// Where the rays are at a depth, along one axis, as whole cells.
#[inline(always)]
fn cell_at<L: Lanes>(origin: f32, direction: L::F, depth: L::F) -> L::I {
    L::whole(L::floor(L::splat(origin) + direction * depth))
}

/// The place in the volume's arrays of cells relative to the eye's block.
#[inline(always)]
fn index_of<L: Lanes>(base: [i32; 3], cell: [L::I; 3]) -> L::I {
    let period = L::whole_splat(127);
    let x = (cell[0] + L::whole_splat(base[0])) & period;
    let y = cell[1] + L::whole_splat(base[1]);
    let z = (cell[2] + L::whole_splat(base[2])) & period;
    L::shl::<14>(y) | L::shl::<7>(z) | x
}

#[inline(always)]
fn march<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>) -> Hits<L> {
    let view = cast.view;
    let none = L::whole_splat(0);
    let mut cell = [none; 3];
    let mut depth = L::splat(0.0);
    let mut axis = L::whole_splat(1);
    let mut active = !L::nowhere();
    let mut hits = Hits { found: L::nowhere(), depth, axis, cell, index: none, block: none };
    if view.base[1] >= view.top {
        active = !rays.ascends[1];
        depth = L::splat((view.top - view.base[1]) as f32 - view.origin[1]) * rays.inverse[1];
        cell = [
            cell_at::<L>(view.origin[0], rays.direction[0], depth),
            L::whole_splat(view.top - 1 - view.base[1]),
            cell_at::<L>(view.origin[2], rays.direction[2], depth),
        ];
    }
    let half = L::whole_pick(rays.ascends[1], L::whole_splat(cast.cells() as i32), none);
    loop {
        let y = cell[1] + L::whole_splat(view.base[1]);
        active = active & L::within(y, view.top) & L::lt(depth, rays.far);
        if !L::any(active) {
            return hits;
        }
        let index = index_of::<L>(view.base, cell);
        let place = index + half;
        let mut distance = match L::common(place) {
            // Near the eye the rays of a packet are in the same cell: one load is cheaper than a gather.
            Some(place) => L::whole_splat(i32::from(cast.distance[place as usize])),
            // SAFETY: active lanes have y inside the volume, so the index is below `cast.cells()`, and either half of
            // the field is that long.
            None => unsafe { L::bytes(cast.distance, place, active) },
        };
        let found = active & L::whole_eq(distance, none);
        if L::any(found) {
            // SAFETY: found lanes are active, see above.
            let block = unsafe { L::bytes(cast.blocks, index, found) };
            let mut met = Hits { found, depth, axis, cell, index, block };
            if cast.airy {
                met = meet::meet(cast, rays, &met);
                // Lanes that go on leave their cell.
                distance = L::whole_most(distance, L::whole_splat(1));
            }
            hits.keep(&met);
            active = active & !met.found;
            if !L::any(active) {
                return hits;
            }
        }
        (depth, axis) = leap(cast, rays, &mut cell, distance);
    }
}

/// Moves every ray to where it leaves the free cube around its cell.
#[inline(always)]
fn leap<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, cell: &mut [L::I; 3], distance: L::I) -> (L::F, L::I) {
    let origin = cast.view.origin;
    let none = L::whole_splat(0);
    let reach = distance - L::whole_splat(1);
    let (back, backward) = (none - reach, none - distance);
    let mut exit = [L::splat(0.0); 3];
    for k in 0..3 {
        let bound = L::real(cell[k] + L::whole_pick(rays.ascends[k], distance, back));
        exit[k] = (bound - L::splat(origin[k])) * rays.inverse[k];
    }
    let depth = L::least(exit[0], L::least(exit[1], exit[2]));
    let is_x = L::eq(depth, exit[0]);
    let is_y = !is_x & L::eq(depth, exit[1]);
    let leaves = [is_x, is_y, !(is_x | is_y)];
    for k in 0..3 {
        let stepped = cell[k] + L::whole_pick(rays.ascends[k], distance, backward);
        let at = cell_at::<L>(origin[k], rays.direction[k], depth);
        // In y only the cells ahead are known to be free.
        let (back, ahead) = match k {
            1 => (L::whole_pick(rays.ascends[1], none, back), L::whole_pick(rays.ascends[1], reach, none)),
            _ => (back, reach),
        };
        let within = L::whole_most(L::whole_least(at, cell[k] + ahead), cell[k] + back);
        cell[k] = L::whole_pick(leaves[k], stepped, within);
    }
    let rest = L::whole_pick(is_y, L::whole_splat(1), L::whole_splat(2));
    (depth, L::whole_pick(is_x, none, rest))
}
