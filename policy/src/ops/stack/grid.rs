//! The layout of an image inside a stack: blocks of 16 channels, each block's pixels row by row, a pixel's 16 channels
//! together; with or without a border of zeros.

use std::ops::Range;

use crate::ops::norm::Moments;
use crate::ops::simd::{Kernel, Level, Simd};

/// Channels of a block.
pub(super) const BLOCK: usize = 16;

/// Where the pixels of an image lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) blocks: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    /// 1 with a border of one pixel, else 0.
    pub(super) border: usize,
}

impl Grid {
    pub(super) fn new(channels: usize, h: usize, w: usize) -> Self {
        Self { blocks: channels / BLOCK, h, w, border: 0 }
    }
    pub(super) fn bordered(self) -> Self {
        Self { border: 1, ..self }
    }
    /// Pixels from one row to the next.
    pub(super) fn row(&self) -> usize {
        self.w + 2 * self.border
    }
    /// Values of a block.
    pub(super) fn plane(&self) -> usize {
        (self.h + 2 * self.border) * self.row() * BLOCK
    }
    pub(super) fn len(&self) -> usize {
        self.blocks * self.plane()
    }
    /// Where row `y` of a block begins.
    pub(super) fn at(&self, block: usize, y: usize) -> usize {
        block * self.plane() + ((y + self.border) * self.row() + self.border) * BLOCK
    }
}

/// `to = (from - mean) * inv_std * gain + bias`, a gain and a bias per channel; `to` lies as `grid` says, `from` without border.
/// Returns the largest absolute value.
pub(super) fn affine_into(
    level: Level,
    grid: &Grid,
    from: &[f32],
    m: Moments,
    affine: &[f32],
    to: &mut [f32],
) -> f32 {
    let channels = grid.blocks * BLOCK;
    assert!(
        from.len() == channels * grid.h * grid.w && to.len() >= grid.len() && affine.len() == 2 * channels
    );
    let largest = level.run(Affine { grid: *grid, from, m, affine, to });
    // A vector maximum passes over what is not a number; moments do not.
    if m.mean.is_finite() && m.inv_std.is_finite() { largest } else { f32::NAN }
}

struct Affine<'a> {
    grid: Grid,
    from: &'a [f32],
    m: Moments,
    affine: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Affine<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let g = self.grid;
        let (mean, inv) = (s.splat(self.m.mean), s.splat(self.m.inv_std));
        let (zero, mut largest) = (s.splat(0.0), s.splat(0.0));
        for block in 0..g.blocks {
            for lane in (0..BLOCK).step_by(S::LANES) {
                let c = block * BLOCK + lane;
                for y in 0..g.h {
                    // SAFETY: lengths are checked by `affine_into`.
                    unsafe {
                        let scale = s.mul(s.load(self.affine.as_ptr().add(c)), inv);
                        let shift = s.load(self.affine.as_ptr().add(g.blocks * BLOCK + c));
                        let from = self.from.as_ptr().add((block * g.h + y) * g.w * BLOCK + lane);
                        let to = self.to.as_mut_ptr().add(g.at(block, y) + lane);
                        for x in 0..g.w {
                            let v = s.sub(s.load(from.add(x * BLOCK)), mean);
                            let v = s.fma(v, scale, shift);
                            s.store(to.add(x * BLOCK), v);
                            largest = s.max(largest, s.max(v, s.sub(zero, v)));
                        }
                    }
                }
            }
        }
        s.max_lane(largest)
    }
}

/// Copies an image, into a border where `grid` has one; where `positive` is given, only values at which it is above 0,
/// elsewhere 0.
pub(super) fn copy_into(level: Level, grid: &Grid, from: &[f32], positive: Option<&[f32]>, to: &mut [f32]) {
    let len = grid.blocks * BLOCK * grid.h * grid.w;
    assert!(from.len() == len && to.len() >= grid.len() && positive.is_none_or(|p| p.len() == len));
    level.run(Copy { grid: *grid, from, positive: positive.unwrap_or(from), masked: positive.is_some(), to });
}

struct Copy<'a> {
    grid: Grid,
    from: &'a [f32],
    positive: &'a [f32],
    masked: bool,
    to: &'a mut [f32],
}

impl Kernel for Copy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.grid;
        let zero = s.splat(0.0);
        for row in 0..g.blocks * g.h {
            let at = row * g.w * BLOCK;
            // SAFETY: lengths are checked by `copy_into`; a row is a multiple of 16 values.
            unsafe {
                let (from, positive) = (self.from.as_ptr().add(at), self.positive.as_ptr().add(at));
                let to = self.to.as_mut_ptr().add(g.at(row / g.h, row % g.h));
                for i in (0..g.w * BLOCK).step_by(S::LANES) {
                    let v = s.load(from.add(i));
                    let v = if self.masked { s.select_gt(s.load(positive.add(i)), zero, v, zero) } else { v };
                    s.store(to.add(i), v);
                }
            }
        }
    }
}

/// `to = a + b`.
pub(super) fn add_into(level: Level, a: &[f32], b: &[f32], to: &mut [f32]) {
    assert!(a.len() == b.len() && a.len() == to.len());
    level.run(Sum { a: a.as_ptr(), b, to });
}

/// `to += b`.
pub(super) fn accumulate(level: Level, b: &[f32], to: &mut [f32]) {
    assert!(b.len() == to.len());
    level.run(Sum { a: to.as_ptr(), b, to });
}

struct Sum<'a> {
    /// As long as the others; may be `to` itself.
    a: *const f32,
    b: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let to = self.to.as_mut_ptr();
        for i in (0..self.b.len()).step_by(S::LANES) {
            let n = (self.b.len() - i).min(S::LANES);
            // SAFETY: n values are left in all three.
            unsafe {
                if n == S::LANES {
                    s.store(to.add(i), s.add(s.load(self.a.add(i)), s.load(self.b.as_ptr().add(i))));
                } else {
                    let v = s.add(
                        s.load_first(self.a.add(i), n, 0.0),
                        s.load_first(self.b.as_ptr().add(i), n, 0.0),
                    );
                    s.store_first(to.add(i), v, n);
                }
            }
        }
    }
}

/// 3x3 max-pool of stride 2 of an image without border; `argmax` receives the place in the window, `3 * row + column`,
/// of equal values the first.
pub(super) fn pool(level: Level, grid: &Grid, from: &[f32], to: &mut [f32], argmax: Option<&mut [u8]>) {
    let len = grid.blocks * BLOCK * grid.h.div_ceil(2) * grid.w.div_ceil(2);
    assert!(grid.border == 0 && from.len() >= grid.len() && to.len() == len);
    assert!(argmax.as_ref().is_none_or(|a| a.len() == len));
    level.run(Pool { grid: *grid, from, to, argmax });
}

struct Pool<'a> {
    grid: Grid,
    from: &'a [f32],
    to: &'a mut [f32],
    argmax: Option<&'a mut [u8]>,
}

impl Kernel for Pool<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let g = self.grid;
        let (oh, ow) = (g.h.div_ceil(2), g.w.div_ceil(2));
        for (block, oy) in (0..g.blocks).flat_map(|b| (0..oh).map(move |y| (b, y))) {
            let rows = usize::from(oy == 0)..3.min(g.h + 1 - 2 * oy);
            for ox in 0..ow {
                let inside = rows.len() == 3 && ox > 0 && 2 * ox + 1 < g.w;
                // SAFETY: the rows exist, and with `inside` all three columns.
                unsafe {
                    if inside {
                        self.pixel(s, (block, oy, ox), 0..3, 0..3);
                    } else {
                        let columns = usize::from(ox == 0)..3.min(g.w + 1 - 2 * ox);
                        self.pixel(s, (block, oy, ox), rows.clone(), columns);
                    }
                }
            }
        }
    }
}

impl Pool<'_> {
    /// # Safety
    /// Rows and columns of the window must lie in the image.
    #[inline(always)]
    unsafe fn pixel<S: Simd>(
        &mut self,
        s: S,
        (block, oy, ox): (usize, usize, usize),
        rows: Range<usize>,
        columns: Range<usize>,
    ) {
        let g = self.grid;
        let out = ((block * g.h.div_ceil(2) + oy) * g.w.div_ceil(2) + ox) * BLOCK;
        // The window's corner; it may lie outside, where nothing is read.
        let corner = (block * g.plane() + 2 * oy * g.row() * BLOCK + 2 * ox * BLOCK)
            .wrapping_sub((g.row() + 1) * BLOCK);
        let corner = self.from.as_ptr().wrapping_add(corner);
        let mut codes = [0.0f32; BLOCK];
        for lane in (0..BLOCK).step_by(S::LANES) {
            let mut best = s.splat(f32::NEG_INFINITY);
            let mut code = s.splat(0.0);
            for r in rows.clone() {
                for k in columns.clone() {
                    // SAFETY: the caller's promise.
                    let v = unsafe { s.load(corner.wrapping_add((r * g.row() + k) * BLOCK + lane)) };
                    if self.argmax.is_some() {
                        code = s.select_gt(v, best, s.splat((3 * r + k) as f32), code);
                    }
                    // Not `max`: a NaN must come through.
                    best = s.select_gt(best, v, best, v);
                }
            }
            // SAFETY: `to` has a pixel per output, `codes` room for one.
            unsafe {
                s.store(self.to.as_mut_ptr().add(out + lane), best);
                s.store(codes.as_mut_ptr().add(lane), code);
            }
        }
        if let Some(argmax) = &mut self.argmax {
            for (a, c) in argmax[out..][..BLOCK].iter_mut().zip(codes) {
                // SAFETY: a code is one of 0..9; a checked conversion would not become vector instructions.
                *a = unsafe { c.to_int_unchecked::<i32>() } as u8;
            }
        }
    }
}

/// Gradient of [`pool`] into a bordered image of the size before the pool; the border may receive nothing.
pub(super) fn unpool(grid: &Grid, grad: &[f32], argmax: &[u8], to: &mut [f32]) {
    let (oh, ow) = (grid.h.div_ceil(2), grid.w.div_ceil(2));
    assert!(grid.border == 1 && to.len() >= grid.len());
    to[..grid.len()].fill(0.0);
    let row = grid.row() * BLOCK;
    let tap: [usize; 16] = std::array::from_fn(|t| t / 3 * row + t % 3 * BLOCK);
    for (out, (grad, codes)) in grad.chunks_exact(BLOCK).zip(argmax.chunks_exact(BLOCK)).enumerate() {
        let (block, oy, ox) = (out / (oh * ow), out / ow % oh, out % ow);
        // The border makes the window's first corner (2y - 1, 2x - 1) come to (2y, 2x).
        let window = &mut to[block * grid.plane() + 2 * oy * row + 2 * ox * BLOCK..];
        for (lane, (g, code)) in grad.iter().zip(codes).enumerate() {
            window[tap[usize::from(*code & 15)] + lane] += g;
        }
    }
}
