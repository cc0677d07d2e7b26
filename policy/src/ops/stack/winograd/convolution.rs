//! The convolution in tiles, in any [`Format`], and its weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{BLOCK, POINTS, gather, input_to_points, load_four, weights_to_points};
use crate::ops::format::{Bf16, F32, Format, Int8};
use crate::ops::simd::{Kernel, Simd};
use crate::ops::stack::grid::Grid;
use crate::ops::stack::kernels::{Finish, Input, Workers};
use crate::ops::storage::SharedMut;
use crate::ops::tasks::each;
use crate::precision::Precision;

/// The largest byte.
const BYTE: f32 = 127.0;
/// The most tiles of any format, and the widest two vectors.
const MOST_TILES: usize = 16;
const MOST_WIDTH: usize = 2 * BLOCK;

/// Transformed weights as words `[output block][point][input / GROUP][16]`.
pub(in crate::ops::stack) struct Packed {
    precision: Precision,
    words: Vec<u32>,
    /// Int8: what a sum counts, `[output block][point][16]`, in units of the largest input.
    scales: Vec<f32>,
    /// Int8: what sums begin with, so that the inputs' offset falls out; as `scales`.
    starts: Vec<i32>,
}

/// How much larger than the largest input a transformed one is taken to become; more is cut off. A point sums four
/// inputs: neighbours where both directions add, otherwise differences, which are smaller.
fn headroom(point: usize) -> f32 {
    let adds = |k: usize| k == 1;
    if adds(point / 4) && adds(point % 4) { 4.0 } else { 2.0 }
}

impl Packed {
    /// Transforms weights; `index` finds the weight of (output, input, tap).
    pub(in crate::ops::stack) fn new(
        precision: Precision,
        (outputs, inputs): (usize, usize),
        weights: &[f32],
        index: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        let group = match precision {
            Precision::F32 => F32::GROUP,
            Precision::Bf16 => Bf16::GROUP,
            Precision::Int8 => Int8::GROUP,
        };
        let mut words = vec![0u32; outputs * inputs / group * POINTS];
        let mut int8 = (precision == Precision::Int8).then(|| Int8Sums::new(outputs));
        let mut block_points = vec![[[0.0; BLOCK]; POINTS]; inputs];
        for block in 0..outputs / BLOCK {
            for (i, points) in block_points.iter_mut().enumerate() {
                let taps: [[f32; BLOCK]; 9] = std::array::from_fn(|tap| {
                    std::array::from_fn(|lane| weights[index(block * BLOCK + lane, i, tap)])
                });
                *points = weights_to_points(&taps);
            }
            let at =
                |point: usize, i: usize| ((block * POINTS + point) * (inputs / group) + i / group) * BLOCK;
            if let Some(int8) = &mut int8 {
                int8.block(block, &block_points);
            }
            for (i, points) in block_points.iter().enumerate() {
                for (point, values) in points.iter().enumerate() {
                    let to = &mut words[at(point, i)..][..BLOCK];
                    for (lane, (word, value)) in to.iter_mut().zip(values).enumerate() {
                        *word |= match (precision, &mut int8) {
                            (Precision::Int8, Some(int8)) => {
                                let byte = int8.byte((block * POINTS + point) * BLOCK + lane, *value);
                                u32::from(byte.cast_unsigned()) << (8 * (i % group))
                            }
                            (Precision::Bf16, _) => {
                                u32::from(half::bf16::from_f32(*value).to_bits()) << (16 * (i % group))
                            }
                            _ => value.to_bits(),
                        };
                    }
                }
            }
        }
        let (scales, starts) = int8.map(Int8Sums::finish).unwrap_or_default();
        Self { precision, words, scales, starts }
    }
}

/// Scales of bytes, one for each output and point, and the sums of the bytes.
struct Int8Sums {
    scales: Vec<f32>,
    sums: Vec<i32>,
}

impl Int8Sums {
    fn new(outputs: usize) -> Self {
        Self { scales: vec![0.0; outputs * POINTS], sums: vec![0; outputs * POINTS] }
    }
    /// Takes the scales of a block from its largest weights.
    fn block(&mut self, block: usize, weights: &[[[f32; BLOCK]; POINTS]]) {
        for point in 0..POINTS {
            for lane in 0..BLOCK {
                let largest = weights.iter().map(|w| w[point][lane].abs()).fold(0.0, f32::max);
                self.scales[(block * POINTS + point) * BLOCK + lane] = largest / BYTE;
            }
        }
    }
    fn byte(&mut self, at: usize, value: f32) -> i8 {
        let scaled = if self.scales[at] > 0.0 { value / self.scales[at] } else { 0.0 };
        let byte = scaled.round_ties_even().clamp(-BYTE, BYTE) as i8;
        self.sums[at] += i32::from(byte);
        byte
    }
    fn finish(mut self) -> (Vec<f32>, Vec<i32>) {
        for (at, scale) in self.scales.iter_mut().enumerate() {
            *scale *= headroom(at / BLOCK % POINTS);
        }
        (self.scales, self.sums.into_iter().map(|sum| -128 * sum).collect())
    }
}

/// As the direct convolution. The grid is the input's, bordered.
pub(in crate::ops::stack) fn convolve(
    workers: Workers,
    grid: &Grid,
    x: Input<'_>,
    weights: &Packed,
    then: Finish<'_>,
    out: &mut [f32],
) {
    let group = match weights.precision {
        Precision::F32 => F32::GROUP,
        Precision::Bf16 => Bf16::GROUP,
        Precision::Int8 => Int8::GROUP,
    };
    let blocks = weights.words.len() * group / (grid.blocks * BLOCK * BLOCK * POINTS);
    let Input { values: x, largest } = x;
    assert!(
        grid.border == 1 && grid.h.is_multiple_of(2) && grid.w.is_multiple_of(2) && x.len() >= grid.len()
    );
    assert!(out.len() == blocks * BLOCK * grid.h * grid.w);
    assert!(then.bias.is_empty() || then.bias.len() == blocks * BLOCK);
    let input_scales =
        std::array::from_fn(|point| if largest == 0.0 { 0.0 } else { BYTE / (largest * headroom(point)) });
    let job = Job {
        grid: *grid,
        x,
        weights,
        input_scales,
        output_scale: largest / BYTE,
        blocks,
        then,
        out: SharedMut::new(out.as_mut_ptr()),
    };
    let tiles = grid.h * grid.w / 4;
    let whole = tiles.div_ceil(MOST_TILES);
    let Workers { level, parts } = workers;
    let parts = parts.min(whole);
    each(parts, usize::MAX, |part| {
        let at = |k: usize| (k * whole / parts * MOST_TILES).min(tiles);
        let tiles = at(part)..at(part + 1);
        match weights.precision {
            Precision::F32 => level.run(Convolution::<F32>::new(&job, tiles)),
            Precision::Bf16 => level.run(Convolution::<Bf16>::new(&job, tiles)),
            Precision::Int8 => level.run(Convolution::<Int8>::new(&job, tiles)),
        }
    });
}

/// What all parts of a convolution read, and where they write.
struct Job<'a> {
    grid: Grid,
    x: &'a [f32],
    weights: &'a Packed,
    input_scales: [f32; POINTS],
    output_scale: f32,
    blocks: usize,
    then: Finish<'a>,
    /// Each part writes the results of its own tiles.
    out: SharedMut<f32>,
}

/// The tiles of one part.
struct Convolution<'a, F: Format> {
    job: &'a Job<'a>,
    tiles: Range<usize>,
    /// `[point][input block][TILES][16]`: the tiles at work, transformed.
    inputs: Vec<F::Element>,
}

/// Sums of a group of tiles, `[point][TILES][width]`.
type Products = MaybeUninit<[f32; POINTS * MOST_TILES * MOST_WIDTH]>;

impl<'a, F: Format> Convolution<'a, F> {
    fn new(job: &'a Job<'a>, tiles: Range<usize>) -> Self {
        Self { job, tiles, inputs: Vec::with_capacity(job.grid.blocks * POINTS * F::TILES * BLOCK) }
    }
}

impl<F: Format> Kernel for Convolution<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut products = Products::uninit();
        let products = products.as_mut_ptr().cast::<f32>();
        for first in self.tiles.clone().step_by(F::TILES) {
            let count = F::TILES.min(self.tiles.end - first);
            // SAFETY: `convolve` checks the sizes; windows of tiles inside the image lie inside its border.
            unsafe {
                self.transform(s, first, count);
                let mut block = 0;
                while block < self.job.blocks {
                    // Two vectors of outputs: two blocks where a vector is a whole one.
                    if S::LANES == BLOCK && block + 2 <= self.job.blocks {
                        self.products::<S, 8, 2>(s, block, count, products);
                        self.results::<S, 2>(s, (block, first), count, products);
                        block += 2;
                    } else if S::LANES == BLOCK {
                        self.products::<S, 8, 1>(s, block, count, products);
                        self.results::<S, 1>(s, (block, first), count, products);
                        block += 1;
                    } else {
                        self.products::<S, 4, 2>(s, block, count, products);
                        self.results::<S, 2>(s, (block, first), count, products);
                        block += 1;
                    }
                }
            }
        }
    }
}

impl<F: Format> Convolution<'_, F> {
    #[inline(always)]
    unsafe fn transform<S: Simd>(&mut self, s: S, first: usize, count: usize) {
        let g = self.job.grid;
        let (across, pitch) = (g.w / 2, g.blocks * F::TILES * BLOCK);
        for block in 0..g.blocks {
            for p in 0..count {
                let (y, x) = ((first + p) / across * 2, (first + p) % across * 2);
                // SAFETY: the tile's window lies in the bordered image; `inputs` has room for every point.
                unsafe {
                    let from = self.job.x.as_ptr().add(block * g.plane() + (y * g.row() + x) * BLOCK);
                    let to = self.inputs.as_mut_ptr().add((block * F::TILES + p) * BLOCK);
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        let (row, to) = (g.row() * BLOCK, to.add(lane));
                        input_to_points::<S, F>(s, from.add(lane), row, (to, pitch), &self.job.input_scales);
                    }
                }
            }
        }
    }

    /// Sums of `count` tiles for V vectors of outputs from `block` on.
    #[inline(always)]
    unsafe fn products<S: Simd, const P: usize, const V: usize>(
        &self,
        s: S,
        block: usize,
        count: usize,
        to: *mut f32,
    ) {
        let width = V * S::LANES;
        for point in 0..POINTS {
            // SAFETY: `inputs` holds `count` tiles, `words` all points of the blocks.
            unsafe {
                let inputs = self.inputs.as_ptr().add(point * self.job.grid.blocks * F::TILES * BLOCK);
                let mut p = 0;
                while p < count {
                    let (from, to) = (inputs.add(p * BLOCK), to.add((point * F::TILES + p) * width));
                    if p + P <= count {
                        self.product::<S, P, V>(s, (block, point), from, to);
                        p += P;
                    } else {
                        self.product::<S, 1, V>(s, (block, point), from, to);
                        p += 1;
                    }
                }
            }
        }
    }

    /// Products of P tiles' inputs with a point's weights, summed over the inputs.
    #[inline(always)]
    unsafe fn product<S: Simd, const P: usize, const V: usize>(
        &self,
        s: S,
        (block, point): (usize, usize),
        mut inputs: *const F::Element,
        to: *mut f32,
    ) {
        let in_blocks = self.job.grid.blocks;
        let steps = BLOCK / F::GROUP;
        let of_block = in_blocks * steps * BLOCK * POINTS;
        let from_vector = if S::LANES == BLOCK { of_block } else { S::LANES };
        let start_pitch = if S::LANES == BLOCK { POINTS * BLOCK } else { S::LANES };
        let mut acc = [[s.splat(0.0); V]; P];
        // SAFETY: the caller's P tiles, and the words of every input.
        unsafe {
            if F::SCALED {
                let starts =
                    self.job.weights.starts.as_ptr().add((block * POINTS + point) * BLOCK).cast::<f32>();
                for (v, first) in acc[0].iter_mut().enumerate() {
                    *first = s.load(starts.add(v * start_pitch));
                }
                acc = [acc[0]; P];
            }
            let words = self.job.weights.words.as_ptr().cast::<f32>();
            let mut words = words.add(block * of_block + point * in_blocks * steps * BLOCK);
            for _ in 0..in_blocks {
                for k in 0..steps {
                    let mut w = [s.splat(0.0); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = s.load(words.add(k * BLOCK + v * from_vector));
                    }
                    for (p, acc) in acc.iter_mut().enumerate() {
                        let x = inputs.cast::<u32>().add(p * steps + k).read_unaligned();
                        for (a, w) in acc.iter_mut().zip(w) {
                            *a = F::dot(s, *a, x, w);
                        }
                    }
                }
                inputs = inputs.add(F::TILES * BLOCK);
                words = words.add(steps * BLOCK);
            }
            for (p, acc) in acc.iter().enumerate() {
                for (v, a) in acc.iter().enumerate() {
                    s.store(to.add((p * V + v) * S::LANES), *a);
                }
            }
        }
    }

    /// From the sums of a group of tiles to the image.
    #[inline(always)]
    unsafe fn results<S: Simd, const V: usize>(
        &self,
        s: S,
        (block, first): (usize, usize),
        count: usize,
        products: *const f32,
    ) {
        let (job, width) = (self.job, V * S::LANES);
        let across = job.grid.w / 2;
        for v in 0..V {
            let (block, lane) = (block + v * S::LANES / BLOCK, v * S::LANES % BLOCK);
            for p in 0..count {
                let (y, x) = ((first + p) / across * 2, (first + p) % across * 2);
                // SAFETY: the tile's sums were made, its four results exist in `out`.
                unsafe {
                    let from = products.add(p * width + v * S::LANES);
                    let scales = job.weights.scales.as_ptr().wrapping_add(block * POINTS * BLOCK + lane);
                    let sums = points_to_results::<S, F>(s, (from, F::TILES * width), scales);
                    for (k, sum) in sums.into_iter().enumerate() {
                        let at = ((block * job.grid.h + y + k / 2) * job.grid.w + x + k % 2) * BLOCK + lane;
                        let sum = if F::SCALED { s.mul(sum, s.splat(job.output_scale)) } else { sum };
                        s.store(job.out.at(at), job.then.apply(s, sum, block * BLOCK + lane));
                    }
                }
            }
        }
    }
}

/// Aᵀ m A of 16 sums, a pitch apart: the four results, row by row.
#[inline(always)]
unsafe fn points_to_results<S: Simd, F: Format>(
    s: S,
    (from, pitch): (*const f32, usize),
    scales: *const f32,
) -> [S::V; 4] {
    let mut columns = [[s.splat(0.0); 2]; 4];
    for (k, column) in columns.iter_mut().enumerate() {
        // SAFETY: the caller's places.
        unsafe {
            let mut sums = load_four(s, from.add(k * pitch), 4 * pitch);
            if F::SCALED {
                let scales = load_four(s, scales.add(k * BLOCK), 4 * BLOCK);
                for (sum, scale) in sums.iter_mut().zip(scales) {
                    *sum = s.mul(s.int_to_float(*sum), scale);
                }
            }
            *column = gather(s, sums);
        }
    }
    let [a, b, c, d] = columns;
    let [top, bottom] = [gather(s, [a[0], b[0], c[0], d[0]]), gather(s, [a[1], b[1], c[1], d[1]])];
    [top[0], top[1], bottom[0], bottom[1]]
}
