//! The weight gradient of a convolution in tiles: products of transformed inputs and transformed gradients.

use super::{BLOCK, POINTS, gradient_to_points, input_to_points};
use crate::ops::format::F32;
use crate::ops::simd::{Kernel, Level, Simd};
use crate::ops::stack::grid::Grid;

/// Tiles whose weight gradients are summed in registers before they join the total.
const GRADIENT_TILES: usize = 16;

/// Adds an image's weight gradient to `dw`, `[output block][point][input][16]`. The grid is the input's, bordered.
pub(in crate::ops::stack) fn weight_gradient(
    level: Level,
    grid: &Grid,
    x: &[f32],
    grad: &[f32],
    dw: &mut [f32],
) {
    let gradient = Grid { blocks: dw.len() / (grid.blocks * BLOCK * BLOCK * POINTS), ..*grid };
    assert!(grid.border == 1 && grid.h.is_multiple_of(2) && grid.w.is_multiple_of(2));
    assert!(x.len() >= grid.len() && grad.len() >= gradient.len());
    let mut points = Vec::with_capacity((grid.blocks + gradient.blocks) * POINTS * GRADIENT_TILES * BLOCK);
    level.run(WeightGradient { grid: *grid, gradient, x, grad, dw, points: points.as_mut_ptr() });
}

struct WeightGradient<'a> {
    grid: Grid,
    gradient: Grid,
    x: &'a [f32],
    grad: &'a [f32],
    dw: &'a mut [f32],
    /// `[point][input blocks, then output blocks][GRADIENT_TILES][16]`: the tiles at work, transformed.
    points: *mut f32,
}

impl Kernel for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (g, across) = (self.grid, self.grid.w / 2);
        let tiles = across * (g.h / 2);
        let all = g.blocks + self.gradient.blocks;
        let pitch = all * GRADIENT_TILES * BLOCK;
        for first in (0..tiles).step_by(GRADIENT_TILES) {
            let count = GRADIENT_TILES.min(tiles - first);
            // SAFETY: `weight_gradient` checks the sizes; windows of tiles inside the image lie inside its border.
            unsafe {
                for (block, p) in (0..all).flat_map(|b| (0..count).map(move |p| (b, p))) {
                    let (y, x) = ((first + p) / across * 2, (first + p) % across * 2);
                    let to = self.points.add((block * GRADIENT_TILES + p) * BLOCK);
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        let (row, to) = (g.row() * BLOCK, to.add(lane));
                        if let Some(block) = block.checked_sub(g.blocks) {
                            let from = self.grad.as_ptr().add(self.gradient.at(block, y) + x * BLOCK + lane);
                            gradient_to_points(s, from, row, to, pitch);
                        } else {
                            let at = block * g.plane() + (y * g.row() + x) * BLOCK + lane;
                            input_to_points::<S, F32>(s, self.x.as_ptr().add(at), row, (to, pitch), &[]);
                        }
                    }
                }
                for point in 0..POINTS {
                    let inputs = self.points.add(point * pitch);
                    let grads = inputs.add(g.blocks * GRADIENT_TILES * BLOCK);
                    for (o, i) in (0..self.gradient.blocks).flat_map(|o| (0..g.blocks).map(move |i| (o, i))) {
                        let (x, d) =
                            (inputs.add(i * GRADIENT_TILES * BLOCK), grads.add(o * GRADIENT_TILES * BLOCK));
                        let at = ((o * POINTS + point) * g.blocks + i) * BLOCK * BLOCK;
                        let dw = self.dw.as_mut_ptr().add(at);
                        if S::LANES == 16 {
                            outer::<S, 16, 1>(s, x, d, count, dw);
                        } else {
                            for k in (0..BLOCK).step_by(4) {
                                outer::<S, 4, 2>(s, x.add(k), d, count, dw.add(k * BLOCK));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds the outer products of K inputs with 16 gradients, summed over `count` tiles.
#[inline(always)]
unsafe fn outer<S: Simd, const K: usize, const V: usize>(
    s: S,
    x: *const f32,
    d: *const f32,
    count: usize,
    dw: *mut f32,
) {
    let mut acc = [[s.splat(0.0); V]; K];
    // SAFETY: the caller's tiles and K rows of `dw`.
    unsafe {
        for p in 0..count {
            let mut grads = [s.splat(0.0); V];
            for (v, to) in grads.iter_mut().enumerate() {
                *to = s.load(d.add(p * BLOCK + v * S::LANES));
            }
            for (k, acc) in acc.iter_mut().enumerate() {
                let value = s.splat(*x.add(p * BLOCK + k));
                for (a, d) in acc.iter_mut().zip(grads) {
                    *a = s.fma(value, d, *a);
                }
            }
        }
        for (k, acc) in acc.iter().enumerate() {
            for (v, a) in acc.iter().enumerate() {
                let to = dw.add(k * BLOCK + v * S::LANES);
                s.store(to, s.add(s.load(to), *a));
            }
        }
    }
}
