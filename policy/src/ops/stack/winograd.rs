//! The convolution and its weight gradient with 16 multiplications where the direct way has 36: Winograd's F(2x2, 3x3)
//! (Lavin and Gray 2016, arXiv 1509.09308, section 4.1), for images of even height and width in blocks.
//!
//! A tile is four results and the 4x4 inputs they read. Inputs, weights and results' gradients become 16 numbers each,
//! between which convolution is a product; the transforms are additions.

mod convolution;
mod weight_gradient;

pub(super) use convolution::{Packed, convolve};
pub(super) use weight_gradient::weight_gradient;

use super::grid::BLOCK;
use crate::ops::format::Format;
use crate::ops::simd::Simd;

/// Numbers a tile becomes.
pub(super) const POINTS: usize = 16;
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

/// Bᵀ d B of a 4x4 window, a vector of channels each, to places a pitch apart; each point is multiplied with its scale
/// where the format has scales.
#[inline(always)]
unsafe fn input_to_points<S: Simd, F: Format>(
    s: S,
    from: *const f32,
    row: usize,
    (to, pitch): (*mut F::Element, usize),
    scales: &[f32],
) {
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
            let points = [s.sub(a[r], c[r]), s.add(b[r], c[r]), s.sub(c[r], b[r]), s.sub(b[r], d[r])];
            for (k, v) in points.iter().enumerate() {
                let point = 4 * r + k;
                let v = if F::SCALED { s.mul(*v, s.splat(*scales.get_unchecked(point))) } else { *v };
                F::store(s, to.add(point * pitch), v);
            }
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
