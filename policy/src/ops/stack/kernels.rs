//! The two loops a stack spends its time in: the convolution and its weight gradient, 16 output channels at a time;
//! here the direct way, for frames and images of odd sizes.
//!
//! Each multiplies a vector of channels by single values of the other operand, which the processor broadcasts as it
//! loads them; accumulators stay in registers over a tile of pixels or of input channels.

use std::ops::Range;

use super::grid::{BLOCK, Grid};
use super::winograd::{self, POINTS};
use crate::ops::simd::{Kernel, Level, Simd};
use crate::ops::storage::SharedMut;
use crate::ops::tasks::each;
use crate::precision::Precision;

/// The bordered image a convolution reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Blocks of 16 channels.
    Blocks(Grid),
    /// Three channels, a pixel's together (a frame); the grid's blocks do not count.
    Frame(Grid),
}

impl Source {
    pub(super) fn grid(&self) -> &Grid {
        match self {
            Self::Blocks(grid) | Self::Frame(grid) => grid,
        }
    }
    pub(super) fn channels(&self) -> usize {
        match self {
            Self::Blocks(grid) => grid.blocks * BLOCK,
            Self::Frame(_) => 3,
        }
    }
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Blocks(grid) => grid.len(),
            Self::Frame(grid) => (grid.h + 2) * grid.row() * 3,
        }
    }
    /// Where the runs of neighbouring values begin that an output reads, relative to its window's corner: a run is one
    /// tap's 16 channels, or a frame's three taps of a row.
    pub(super) fn runs(&self) -> Vec<usize> {
        match self {
            Self::Blocks(g) => {
                (0..g.blocks * 9).map(|r| r / 9 * g.plane() + (r % 9 / 3 * g.row() + r % 3) * BLOCK).collect()
            }
            Self::Frame(g) => (0..3).map(|r| r * g.row() * 3).collect(),
        }
    }
    /// Whether the image falls into whole 2x2 tiles, which take fewer multiplications.
    pub(super) fn in_tiles(&self) -> bool {
        matches!(self, Self::Blocks(g) if g.h % 2 == 0 && g.w % 2 == 0)
    }
    /// Position of a weight within an output block's panel.
    pub(super) fn step(&self, channel: usize, tap: usize) -> usize {
        match self {
            Self::Blocks(_) => (channel / BLOCK * 9 + tap) * BLOCK + channel % BLOCK,
            Self::Frame(_) => tap * 3 + channel,
        }
    }
}

/// Length of the gradient of the packed weights of `outputs` channels.
pub(super) fn packed_len(source: &Source, outputs: usize) -> usize {
    outputs * source.channels() * if source.in_tiles() { POINTS } else { 9 }
}

/// A convolution's weights in the order that its kernel reads them.
pub(super) enum Panels {
    /// `[output block][step][16]`.
    Direct(Vec<f32>),
    /// Transformed for tiles.
    Tiles(winograd::Packed),
}

/// Lays weights out; `index` finds the weight of (output, input, tap). Only convolutions in tiles know other precisions
/// than f32.
pub(super) fn pack(
    source: &Source,
    precision: Precision,
    outputs: usize,
    weights: &[f32],
    index: impl Fn(usize, usize, usize) -> usize,
) -> Panels {
    let inputs = source.channels();
    if source.in_tiles() {
        return Panels::Tiles(winograd::Packed::new(precision, (outputs, inputs), weights, index));
    }
    let mut panels = vec![0.0; outputs * inputs * 9];
    for (block, panel) in panels.chunks_exact_mut(inputs * 9 * BLOCK).enumerate() {
        for (i, tap) in (0..inputs).flat_map(|i| (0..9).map(move |tap| (i, tap))) {
            let to = &mut panel[source.step(i, tap) * BLOCK..][..BLOCK];
            for (lane, to) in to.iter_mut().enumerate() {
                *to = weights[index(block * BLOCK + lane, i, tap)];
            }
        }
    }
    Panels::Direct(panels)
}

/// From the order of the kernels, `[output block][point or step][input][16]`, to `[Co, Ci, 3, 3]`: a gradient's way back.
pub(super) fn unpack(source: &Source, outputs: usize, panels: &[f32], to: &mut [f32]) {
    let inputs = source.channels();
    for (at, taps) in to.chunks_exact_mut(9).enumerate() {
        let (o, i) = (at / inputs, at % inputs);
        let (block, lane) = (o / BLOCK, o % BLOCK);
        if source.in_tiles() {
            let points = std::array::from_fn(|t| panels[((block * POINTS + t) * inputs + i) * BLOCK + lane]);
            taps.copy_from_slice(&winograd::points_to_weight(points));
        } else {
            let step = |tap| block * inputs * 9 + source.step(i, tap);
            taps.iter_mut().enumerate().for_each(|(tap, t)| *t = panels[step(tap) * BLOCK + lane]);
        }
    }
    debug_assert_eq!(to.len(), outputs * inputs * 9);
}

/// What is done to a sum before it is stored.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a> {
    /// Per output channel; empty for none.
    pub(super) bias: &'a [f32],
    pub(super) relu: bool,
}

impl Finish<'_> {
    /// Of a vector of sums of the output channels from `at` on.
    #[inline(always)]
    pub(super) unsafe fn apply<S: Simd>(&self, s: S, sum: S::V, at: usize) -> S::V {
        let floor = s.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        // SAFETY: the caller's channels, of which there is a bias each.
        let bias =
            if self.bias.is_empty() { s.splat(0.0) } else { unsafe { s.load(self.bias.as_ptr().add(at)) } };
        let sum = s.add(sum, bias);
        // `select_gt` rather than `max`: a NaN must come through.
        s.select_gt(floor, sum, floor, sum)
    }
}

/// An image that a convolution reads.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// Bordered.
    pub(super) values: &'a [f32],
    /// The largest absolute value, for weights that are bytes; otherwise without meaning.
    pub(super) largest: f32,
}

/// Who convolves.
#[derive(Clone, Copy)]
pub(super) struct Workers {
    /// Their instructions.
    pub(super) level: Level,
    /// The most threads that share the work.
    pub(super) parts: usize,
}

/// Convolves a bordered image into `out`, blocks of channels without border.
pub(super) fn convolve(
    workers: Workers,
    source: &Source,
    x: Input<'_>,
    panels: &Panels,
    then: Finish<'_>,
    out: &mut [f32],
) {
    let grid = source.grid();
    let panels = match panels {
        Panels::Tiles(weights) => return winograd::convolve(workers, grid, x, weights, then, out),
        Panels::Direct(panels) => panels,
    };
    let x = x.values;
    let steps = source.channels() * 9;
    let blocks = panels.len() / (steps * BLOCK);
    assert!(x.len() >= source.len() && out.len() == blocks * BLOCK * grid.h * grid.w);
    assert!(then.bias.is_empty() || then.bias.len() == blocks * BLOCK);
    let runs = source.runs();
    let out = SharedMut::new(out.as_mut_ptr());
    let parts = workers.parts.min(grid.h);
    each(parts, usize::MAX, |part| {
        let rows = part * grid.h / parts..(part + 1) * grid.h / parts;
        workers.level.run(Convolution { source, x, panels, runs: &runs, blocks, then, rows, out });
    });
}

struct Convolution<'a> {
    source: &'a Source,
    x: &'a [f32],
    panels: &'a [f32],
    runs: &'a [usize],
    blocks: usize,
    then: Finish<'a>,
    rows: Range<usize>,
    /// Written at the rows.
    out: SharedMut<f32>,
}

impl Kernel for Convolution<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: sizes are checked by `convolve`; a block is two vectors where a vector is half of one.
        unsafe {
            match (self.source, S::LANES) {
                (Source::Blocks(_), 16) => self.rows::<S, 16, 1, 16, 16>(s),
                (Source::Blocks(_), _) => self.rows::<S, 4, 2, 16, 16>(s),
                (Source::Frame(_), 16) => self.rows::<S, 16, 1, 9, 3>(s),
                (Source::Frame(_), _) => self.rows::<S, 4, 2, 9, 3>(s),
            }
        }
    }
}

impl Convolution<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, const P: usize, const V: usize, const L: usize, const STRIDE: usize>(
        &self,
        s: S,
    ) {
        let g = *self.source.grid();
        let panel = self.runs.len() * L * BLOCK;
        for block in 0..self.blocks {
            for y in self.rows.clone() {
                let mut x = 0;
                while x < g.w {
                    // SAFETY: pixels x .. x + the tile's size exist in row y.
                    unsafe {
                        let from = self.x.as_ptr().add((y * g.row() + x) * STRIDE);
                        let weights = self.panels.as_ptr().add(block * panel);
                        let out = self.out.at(((block * g.h + y) * g.w + x) * BLOCK);
                        if x + P <= g.w {
                            self.tile::<S, P, V, L, STRIDE>(s, from, weights, block, out);
                            x += P;
                        } else if P > 8 && x + 8 <= g.w {
                            self.tile::<S, 8, V, L, STRIDE>(s, from, weights, block, out);
                            x += 8;
                        } else {
                            self.tile::<S, 1, V, L, STRIDE>(s, from, weights, block, out);
                            x += 1;
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const V: usize, const L: usize, const STRIDE: usize>(
        &self,
        s: S,
        x: *const f32,
        mut weights: *const f32,
        block: usize,
        out: *mut f32,
    ) {
        let mut acc = [[s.splat(0.0); V]; P];
        // SAFETY: the tile's windows lie in the bordered image, its panel holds L steps per run.
        unsafe {
            for &run in self.runs {
                let x = x.add(run);
                for k in 0..L {
                    let mut w = [s.splat(0.0); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = s.load(weights.add(k * BLOCK + v * S::LANES));
                    }
                    for (p, acc) in acc.iter_mut().enumerate() {
                        let value = s.splat(*x.add(p * STRIDE + k));
                        for (a, w) in acc.iter_mut().zip(w) {
                            *a = s.fma(value, w, *a);
                        }
                    }
                }
                weights = weights.add(L * BLOCK);
            }
            for v in 0..V {
                for (p, acc) in acc.iter().enumerate() {
                    let sum = self.then.apply(s, acc[v], block * BLOCK + v * S::LANES);
                    s.store(out.add(p * BLOCK + v * S::LANES), sum);
                }
            }
        }
    }
}

/// Rows whose products are summed in registers before they join the total: they fit the nearest cache, and sums of
/// partial sums round less.
const ROWS: usize = 4;

/// Adds an image's weight gradient to `dw`, which lies as [`pack`]ed weights do; `grad` is the bordered gradient of the
/// convolution's result.
pub(super) fn weight_gradient(level: Level, source: &Source, x: &[f32], grad: &[f32], dw: &mut [f32]) {
    let grid = source.grid();
    if source.in_tiles() {
        return winograd::weight_gradient(level, grid, x, grad, dw);
    }
    let blocks = dw.len() / (source.channels() * 9 * BLOCK);
    let gradient = Grid { blocks, ..*grid };
    assert!(grid.border == 1 && x.len() >= source.len() && grad.len() >= gradient.len());
    let runs = source.runs();
    level.run(WeightGradient { source, gradient, x, grad, runs: &runs, dw });
}

struct WeightGradient<'a> {
    source: &'a Source,
    gradient: Grid,
    x: &'a [f32],
    grad: &'a [f32],
    runs: &'a [usize],
    dw: &'a mut [f32],
}

impl Kernel for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // SAFETY: sizes are checked by `weight_gradient`.
        unsafe {
            match (self.source, S::LANES) {
                (Source::Blocks(_), 16) => self.bands::<S, 16, 1, 16, 16>(s),
                (Source::Blocks(_), _) => self.bands::<S, 4, 2, 16, 16>(s),
                (Source::Frame(_), 16) => self.bands::<S, 9, 1, 9, 3>(s),
                (Source::Frame(_), _) => self.bands::<S, 3, 2, 9, 3>(s),
            }
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    unsafe fn bands<S: Simd, const K: usize, const V: usize, const L: usize, const STRIDE: usize>(
        &mut self,
        s: S,
    ) {
        let g = self.gradient;
        for block in 0..g.blocks {
            for first in (0..g.h).step_by(ROWS) {
                for (r, run) in self.runs.iter().enumerate() {
                    for k in (0..L).step_by(K) {
                        let dw = (block * self.runs.len() + r) * L * BLOCK + k * BLOCK;
                        // SAFETY: L is a multiple of K; rows first .. first + ROWS are cut at h.
                        unsafe {
                            let dw = self.dw.as_mut_ptr().add(dw);
                            let x = self.x.as_ptr().add(run + k);
                            self.tile::<S, K, V, STRIDE>(s, x, (block, first), dw);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const V: usize, const STRIDE: usize>(
        &self,
        s: S,
        x: *const f32,
        (block, first): (usize, usize),
        dw: *mut f32,
    ) {
        let g = self.gradient;
        let mut acc = [[s.splat(0.0); V]; K];
        // SAFETY: the rows exist in both images, and K steps in `dw`.
        unsafe {
            for y in first..(first + ROWS).min(g.h) {
                let x = x.add(y * g.row() * STRIDE);
                let grad = self.grad.as_ptr().add(g.at(block, y));
                for i in 0..g.w {
                    let mut d = [s.splat(0.0); V];
                    for (v, d) in d.iter_mut().enumerate() {
                        *d = s.load(grad.add(i * BLOCK + v * S::LANES));
                    }
                    for (k, acc) in acc.iter_mut().enumerate() {
                        let value = s.splat(*x.add(i * STRIDE + k));
                        for (a, d) in acc.iter_mut().zip(d) {
                            *a = s.fma(value, d, *a);
                        }
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
}
