//! The convolution and its weight gradient with 16 multiplications where the direct way has 36: Winograd's F(2x2, 3x3)
//! (Lavin and Gray 2016, arXiv 1509.09308, section 4.1), for images of even height and width in blocks.
//!
//! A tile is four results and the 4x4 inputs they read. Inputs, weights and results' gradients become 16 numbers each,
//! between which convolution is a product; the transforms are additions.

use std::mem::MaybeUninit;

use super::grid::{BLOCK, Grid};
use super::kernels::Finish;
use crate::ops::simd::{Kernel, Level, Simd};

/// Numbers a tile becomes.
pub(super) const POINTS: usize = 16;
/// Tiles convolved together: their transforms and a block's weights fit the nearest cache.
const TILES: usize = 8;
/// Tiles whose weight gradients are summed in registers before they join the total.
const GRADIENT_TILES: usize = 16;

/// G w Gᵀ of sixteen 3x3 weights.
pub(super) fn weights_to_points(w: &[[f32; BLOCK]; 9]) -> [[f32; BLOCK]; POINTS] {
    let mut rows = [[0.0; BLOCK]; 12];
    let mut points = [[0.0; BLOCK]; POINTS];
    for lane in 0..BLOCK {
        let spread = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
        for k in 0..3 {
            let column = spread(w[k][lane], w[3 + k][lane], w[6 + k][lane]);
            (0..4).for_each(|r| rows[3 * r + k][lane] = column[r]);
        }
        for r in 0..4 {
            let row = spread(rows[3 * r][lane], rows[3 * r + 1][lane], rows[3 * r + 2][lane]);
            (0..4).for_each(|k| points[4 * r + k][lane] = row[k]);
        }
    }
    points
}

/// Gᵀ p G: from the gradient of the points to that of a 3x3 weight.
pub(super) fn points_to_weight(p: [f32; POINTS]) -> [f32; 9] {
    let gather = |a: f32, b: f32, c: f32, d: f32| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
    let mut rows = [[0.0; 4]; 3];
    for k in 0..4 {
        let column = gather(p[k], p[4 + k], p[8 + k], p[12 + k]);
        (0..3).for_each(|r| rows[r][k] = column[r]);
    }
    let mut w = [0.0; 9];
    for (r, row) in rows.iter().enumerate() {
        w[3 * r..3 * r + 3].copy_from_slice(&gather(row[0], row[1], row[2], row[3]));
    }
    w
}

// The transforms use no closures over vectors: those would not be compiled for the instruction set of their caller.

/// Bᵀ d B of a 4x4 window, a vector of channels each, to places `pitch` apart.
#[inline(always)]
unsafe fn input_to_points<S: Simd>(s: S, from: *const f32, row: usize, to: *mut f32, pitch: usize) {
    // By column, then by row.
    let mut columns = [[s.splat(0.0); 4]; 4];
    // SAFETY: the caller's window and places.
    unsafe {
        for (k, b) in columns.iter_mut().enumerate() {
            let d = load_four(s, from.add(k * BLOCK), row);
            *b = [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])];
        }
        let [a, b, c, d] = columns;
        for r in 0..4 {
            let to = to.add(4 * r * pitch);
            s.store(to, s.sub(a[r], c[r]));
            s.store(to.add(pitch), s.add(b[r], c[r]));
            s.store(to.add(2 * pitch), s.sub(c[r], b[r]));
            s.store(to.add(3 * pitch), s.sub(b[r], d[r]));
        }
    }
}

/// Four vectors, `pitch` apart.
#[inline(always)]
unsafe fn load_four<S: Simd>(s: S, from: *const f32, pitch: usize) -> [S::V; 4] {
    // SAFETY: the caller's places.
    unsafe {
        [s.load(from), s.load(from.add(pitch)), s.load(from.add(2 * pitch)), s.load(from.add(3 * pitch))]
    }
}

/// A g of a pair.
#[inline(always)]
fn spread<S: Simd>(s: S, a: S::V, b: S::V) -> [S::V; 4] {
    [a, s.add(a, b), s.sub(a, b), s.sub(s.splat(0.0), b)]
}

/// A g Aᵀ of a 2x2 gradient.
#[inline(always)]
unsafe fn gradient_to_points<S: Simd>(s: S, from: *const f32, row: usize, to: *mut f32, pitch: usize) {
    // SAFETY: the caller's window and places.
    unsafe {
        let left = spread(s, s.load(from), s.load(from.add(row)));
        let right = spread(s, s.load(from.add(BLOCK)), s.load(from.add(row + BLOCK)));
        for r in 0..4 {
            let points = spread(s, left[r], right[r]);
            for (k, v) in points.iter().enumerate() {
                s.store(to.add((4 * r + k) * pitch), *v);
            }
        }
    }
}

/// Aᵀ m of four.
#[inline(always)]
fn gather<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
    [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
}

/// Aᵀ m A of 16 products: the four results, row by row.
#[inline(always)]
unsafe fn points_to_results<S: Simd>(s: S, from: *const f32, pitch: usize) -> [S::V; 4] {
    let mut columns = [[s.splat(0.0); 2]; 4];
    for (k, column) in columns.iter_mut().enumerate() {
        // SAFETY: the caller's places.
        *column = gather(s, unsafe { load_four(s, from.add(k * pitch), 4 * pitch) });
    }
    let [a, b, c, d] = columns;
    let [top, bottom] = [gather(s, [a[0], b[0], c[0], d[0]]), gather(s, [a[1], b[1], c[1], d[1]])];
    [top[0], top[1], bottom[0], bottom[1]]
}

/// As the direct convolution, with weights `[output block][point][input][16]`. The grid is the input's, bordered.
pub(super) fn convolve(
    level: Level,
    grid: &Grid,
    x: &[f32],
    panels: &[f32],
    then: Finish<'_>,
    out: &mut [f32],
) {
    let blocks = panels.len() / (grid.blocks * BLOCK * BLOCK * POINTS);
    assert!(
        grid.border == 1 && grid.h.is_multiple_of(2) && grid.w.is_multiple_of(2) && x.len() >= grid.len()
    );
    assert!(out.len() == blocks * BLOCK * grid.h * grid.w);
    assert!(then.bias.is_empty() || then.bias.len() == blocks * BLOCK);
    let mut inputs = Vec::with_capacity(grid.blocks * POINTS * TILES * BLOCK);
    level.run(Convolution { grid: *grid, x, panels, blocks, then, out, inputs: inputs.as_mut_ptr() });
}

struct Convolution<'a> {
    grid: Grid,
    x: &'a [f32],
    panels: &'a [f32],
    blocks: usize,
    then: Finish<'a>,
    out: &'a mut [f32],
    /// `[point][input block][TILES][16]`: the tiles at work, transformed.
    inputs: *mut f32,
}

impl Kernel for Convolution<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let g = self.grid;
        let across = g.w / 2;
        let tiles = across * (g.h / 2);
        let mut first = 0;
        while first < tiles {
            let count = if first + TILES <= tiles { TILES } else { 1 };
            // SAFETY: `convolve` checks the sizes; windows of tiles inside the image lie inside its border.
            unsafe {
                for block in 0..g.blocks {
                    for p in 0..count {
                        let (y, x) = ((first + p) / across * 2, (first + p) % across * 2);
                        let from = self.x.as_ptr().add(block * g.plane() + (y * g.row() + x) * BLOCK);
                        let to = self.inputs.add((block * TILES + p) * BLOCK);
                        for lane in (0..BLOCK).step_by(S::LANES) {
                            let pitch = g.blocks * TILES * BLOCK;
                            input_to_points(s, from.add(lane), g.row() * BLOCK, to.add(lane), pitch);
                        }
                    }
                }
                match (S::LANES, count) {
                    (16, TILES) => self.tiles::<S, TILES, 1>(s, first, TILES),
                    (16, _) => self.tiles::<S, 1, 1>(s, first, 1),
                    (_, TILES) => self.tiles::<S, 4, 2>(s, first, TILES),
                    _ => self.tiles::<S, 1, 2>(s, first, 1),
                }
            }
            first += count;
        }
    }
}

impl Convolution<'_> {
    #[inline(always)]
    unsafe fn tiles<S: Simd, const P: usize, const V: usize>(&mut self, s: S, first: usize, count: usize) {
        let g = self.grid;
        let across = g.w / 2;
        let floor = s.splat(if self.then.relu { 0.0 } else { f32::NEG_INFINITY });
        // Written before it is read; zeroing it would cost a tenth of the work.
        let mut products = MaybeUninit::<[f32; POINTS * TILES * BLOCK]>::uninit();
        let products = products.as_mut_ptr().cast::<f32>();
        for block in 0..self.blocks {
            for point in 0..POINTS {
                // SAFETY: `inputs` holds `count` tiles, `panels` all points of this block.
                unsafe {
                    let weights =
                        self.panels.as_ptr().add((block * POINTS + point) * g.blocks * BLOCK * BLOCK);
                    let inputs = self.inputs.add(point * g.blocks * TILES * BLOCK);
                    for p in (0..count).step_by(P) {
                        let to = products.add((point * TILES + p) * BLOCK);
                        product::<S, P, V>(s, inputs.add(p * BLOCK), g.blocks, weights, to);
                    }
                }
            }
            for p in 0..count {
                let (y, x) = ((first + p) / across * 2, (first + p) % across * 2);
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: the tile's four results exist in `out`.
                    unsafe {
                        let bias = match self.then.bias {
                            [] => s.splat(0.0),
                            bias => s.load(bias.as_ptr().add(block * BLOCK + lane)),
                        };
                        let sums = points_to_results(s, products.add(p * BLOCK + lane), TILES * BLOCK);
                        for (k, sum) in sums.into_iter().enumerate() {
                            let at = ((block * g.h + y + k / 2) * g.w + x + k % 2) * BLOCK + lane;
                            let sum = s.add(sum, bias);
                            // `select_gt` rather than `max`: a NaN must come through.
                            s.store(self.out.as_mut_ptr().add(at), s.select_gt(floor, sum, floor, sum));
                        }
                    }
                }
            }
        }
    }
}

/// Products of P tiles' inputs with a point's weights, summed over the inputs.
#[inline(always)]
unsafe fn product<S: Simd, const P: usize, const V: usize>(
    s: S,
    mut inputs: *const f32,
    blocks: usize,
    mut weights: *const f32,
    to: *mut f32,
) {
    let mut acc = [[s.splat(0.0); V]; P];
    // SAFETY: the caller's P tiles and 16 weights of every input.
    unsafe {
        for _ in 0..blocks {
            for k in 0..BLOCK {
                let mut w = [s.splat(0.0); V];
                for (v, w) in w.iter_mut().enumerate() {
                    *w = s.load(weights.add(k * BLOCK + v * S::LANES));
                }
                for (p, acc) in acc.iter_mut().enumerate() {
                    let value = s.splat(*inputs.add(p * BLOCK + k));
                    for (a, w) in acc.iter_mut().zip(w) {
                        *a = s.fma(value, w, *a);
                    }
                }
            }
            inputs = inputs.add(TILES * BLOCK);
            weights = weights.add(BLOCK * BLOCK);
        }
        for (p, acc) in acc.iter().enumerate() {
            for (v, a) in acc.iter().enumerate() {
                s.store(to.add(p * BLOCK + v * S::LANES), *a);
            }
        }
    }
}

/// Adds an image's weight gradient to `dw`, `[output block][point][input][16]`. The grid is the input's, bordered.
pub(super) fn weight_gradient(level: Level, grid: &Grid, x: &[f32], grad: &[f32], dw: &mut [f32]) {
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
                            input_to_points(s, self.x.as_ptr().add(at), row, to, pitch);
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
