//! A dense layer that only acts: its weights are packed once, for the precision it multiplies in.

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::ops::format::{Bf16, F32, Format, Int8};
use crate::ops::simd::{Kernel, Level, Simd};
use crate::ops::storage::{SharedMut, View, tensor, written};
use crate::ops::tasks::each;
use crate::precision::Precision;

/// Outputs side by side: two vectors of the widest kind.
const WIDTH: usize = 32;
/// Inputs whose products are summed before they join the result: partial sums of floats round less, and those of
/// bytes stay far from the end of 32 bits.
const DEPTH: usize = 128;
const DEPTH_BYTES: usize = 8192;
/// The largest byte.
const BYTE: f32 = 127.0;

/// A frozen dense layer, without gradients: `x · wᵀ + b`.
pub struct PackedLinear {
    level: Level,
    precision: Precision,
    inputs: usize,
    outputs: usize,
    /// `[outputs / WIDTH][inputs / GROUP][WIDTH]`, zero where there is no output or input.
    words: Vec<u32>,
    /// Int8: what a weight's unit counts, an output each.
    scales: Vec<f32>,
    /// Int8: what sums begin with, so that the inputs' offset falls out, `[outputs / WIDTH][step of DEPTH_BYTES][WIDTH]`.
    starts: Vec<i32>,
}

impl std::fmt::Debug for PackedLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { precision, inputs, outputs, .. } = self;
        write!(f, "PackedLinear {{ {precision:?}, {inputs} -> {outputs} }}")
    }
}

impl PackedLinear {
    /// Packs weights `[O, K]`.
    ///
    /// # Errors
    /// Weights that are not a matrix.
    pub fn new(weight: &Tensor, precision: Precision) -> Result<Self> {
        Self::at(Level::best(), weight, precision)
    }

    pub(crate) fn at(level: Level, weight: &Tensor, precision: Precision) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let weight = weight.contiguous()?;
        let weights = View::<f32>::new(&weight)?;
        let row = |o: usize| &weights[o * inputs..][..inputs];
        let int8 = precision == Precision::Int8;
        let scale = |o: usize| row(o).iter().fold(0.0f32, |most, w| most.max(w.abs())) / BYTE;
        let scales: Vec<f32> = if int8 { (0..outputs).map(scale).collect() } else { Vec::new() };
        let group = group(precision);
        let panel = inputs.div_ceil(group) * WIDTH;
        let steps = inputs.div_ceil(DEPTH_BYTES);
        let mut words = vec![0u32; outputs.div_ceil(WIDTH) * panel];
        let mut starts = vec![0i32; if int8 { outputs.div_ceil(WIDTH) * steps * WIDTH } else { 0 }];
        for o in 0..outputs {
            let (at, lane) = (o / WIDTH * panel, o % WIDTH);
            for (i, w) in row(o).iter().enumerate() {
                let word = &mut words[at + i / group * WIDTH + lane];
                *word |= match precision {
                    Precision::F32 => w.to_bits(),
                    Precision::Bf16 => u32::from(half::bf16::from_f32(*w).to_bits()) << (16 * (i % group)),
                    Precision::Int8 => {
                        let scaled = if scales[o] > 0.0 { w / scales[o] } else { 0.0 };
                        let byte = scaled.round_ties_even().clamp(-BYTE, BYTE) as i8;
                        starts[(o / WIDTH * steps + i / DEPTH_BYTES) * WIDTH + lane] -= 128 * i32::from(byte);
                        u32::from(byte.cast_unsigned()) << (8 * (i % group))
                    }
                };
            }
        }
        Ok(Self { level, precision, inputs, outputs, words, scales, starts })
    }

    /// Maps `[N, K]` to `[N, O]`, with a bias `[O]` added and then ReLU if asked. A row's result depends neither on the
    /// other rows nor on the number of threads.
    ///
    /// # Errors
    /// Inputs or a bias that do not fit the weights.
    pub fn forward(&self, x: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let (n, k) = x.dims2()?;
        if k != self.inputs || bias.is_some_and(|b| b.elem_count() != self.outputs) {
            candle_core::bail!("packed linear: {self:?} and its bias do not fit input {:?}", x.dims());
        }
        let x = x.contiguous()?;
        let values = View::<f32>::new(&x)?;
        let bias = bias.map(Tensor::contiguous).transpose()?;
        let bias = bias.as_ref().map(View::<f32>::new).transpose()?;
        let row = k.div_ceil(4) * 4;
        let mut scales = Vec::new();
        let rows = match self.precision {
            Precision::F32 => Rows::F32(&values),
            Precision::Bf16 => {
                let mut to = vec![0u16; n * row];
                values.chunks_exact(k).zip(to.chunks_exact_mut(row)).for_each(|(x, to)| {
                    self.level.run(Store::<Bf16> { x, scale: 1.0, to });
                });
                Rows::Bf16(to)
            }
            Precision::Int8 => {
                let mut to = vec![128u8; n * row];
                for (x, to) in values.chunks_exact(k).zip(to.chunks_exact_mut(row)) {
                    let largest = self.level.run(Largest(x));
                    scales.push(largest / BYTE);
                    let scale = if largest == 0.0 { 0.0 } else { BYTE / largest };
                    self.level.run(Store::<Int8> { x, scale, to });
                }
                Rows::Int8(to)
            }
        };
        let panels = self.outputs.div_ceil(WIDTH);
        // SAFETY: the panels cover the outputs, and each is written by one task.
        let out = unsafe {
            written(n * self.outputs, |out| {
                each(panels, n * k * self.outputs, |panel| {
                    let job =
                        Panel { layer: self, panel, n, bias: bias.as_deref(), scales: &scales, relu, out };
                    match &rows {
                        Rows::F32(x) => self.level.run(Product::<F32> { job, x: x.as_ptr(), row: k }),
                        Rows::Bf16(x) => self.level.run(Product::<Bf16> { job, x: x.as_ptr(), row }),
                        Rows::Int8(x) => self.level.run(Product::<Int8> { job, x: x.as_ptr(), row }),
                    }
                });
            })
        };
        tensor(out, (n, self.outputs))
    }
}

fn group(precision: Precision) -> usize {
    match precision {
        Precision::F32 => F32::GROUP,
        Precision::Bf16 => Bf16::GROUP,
        Precision::Int8 => Int8::GROUP,
    }
}

/// Inputs as they are multiplied, rows a multiple of a word apart.
enum Rows<'a> {
    F32(&'a [f32]),
    Bf16(Vec<u16>),
    Int8(Vec<u8>),
}

/// The largest absolute value; NaN when a value is not finite.
struct Largest<'a>(&'a [f32]);
impl Kernel for Largest<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (zero, mut largest, mut spoilt) = (s.splat(0.0), s.splat(0.0), s.splat(0.0));
        for i in (0..self.0.len()).step_by(S::LANES) {
            let n = (self.0.len() - i).min(S::LANES);
            // SAFETY: n values are left.
            let v = unsafe { s.load_first(self.0.as_ptr().add(i), n, 0.0) };
            largest = s.max(largest, s.max(v, s.sub(zero, v)));
            // 0 where finite.
            spoilt = s.add(spoilt, s.mul(v, zero));
        }
        s.max_lane(largest) + s.sum(spoilt)
    }
}

/// Stores a row in a format.
struct Store<'a, F: Format> {
    x: &'a [f32],
    scale: f32,
    to: &'a mut [F::Element],
}
impl<F: Format> Kernel for Store<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.x.len() / S::LANES * S::LANES;
        let scale = s.splat(self.scale);
        let to = self.to.as_mut_ptr();
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: the row has room for every value.
            unsafe { F::store(s, to.add(i), s.mul(s.load(self.x.as_ptr().add(i)), scale)) };
        }
        let left = self.x.len() - whole;
        if left > 0 {
            let mut last = [F::ZERO; 16];
            // SAFETY: `left` values are left of the row, a vector's in `last`.
            unsafe {
                let v = s.load_first(self.x.as_ptr().add(whole), left, 0.0);
                F::store(s, last.as_mut_ptr(), s.mul(v, scale));
            }
            self.to[whole..][..left].copy_from_slice(&last[..left]);
        }
    }
}

/// `WIDTH` outputs of all rows.
#[derive(Clone, Copy)]
struct Panel<'a> {
    layer: &'a PackedLinear,
    panel: usize,
    n: usize,
    bias: Option<&'a [f32]>,
    /// Int8: what a unit of a row counts.
    scales: &'a [f32],
    relu: bool,
    out: SharedMut<f32>,
}

struct Product<'a, F: Format> {
    job: Panel<'a>,
    x: *const F::Element,
    row: usize,
}

impl<F: Format> Kernel for Product<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let inputs = self.job.layer.inputs;
        let depth = if F::SCALED { DEPTH_BYTES } else { DEPTH };
        let columns = WIDTH.min(self.job.layer.outputs - self.job.panel * WIDTH);
        let mut start = 0;
        loop {
            let step = start..(start + depth).min(inputs);
            for first in (0..columns).step_by(2 * S::LANES) {
                let mut i = 0;
                while i < self.job.n {
                    let left = self.job.n - i;
                    // SAFETY: rows i.. exist; the panel has words of every input.
                    unsafe {
                        if S::LANES == 16 && left >= 8 {
                            self.tile::<S, 8>(s, step.clone(), (i, first));
                            i += 8;
                        } else if left >= 4 {
                            self.tile::<S, 4>(s, step.clone(), (i, first));
                            i += 4;
                        } else {
                            self.tile::<S, 1>(s, step.clone(), (i, first));
                            i += 1;
                        }
                    }
                }
            }
            start = step.end;
            if start >= inputs {
                return;
            }
        }
    }
}

impl<F: Format> Product<'_, F> {
    // Every result is summed in the same order whatever tile it falls into.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize>(&self, s: S, step: Range<usize>, (i, first): (usize, usize)) {
        let layer = self.job.layer;
        let mut acc = [[s.splat(0.0); 2]; P];
        // SAFETY: the caller's rows and panel.
        unsafe {
            if F::SCALED {
                let steps = layer.inputs.div_ceil(DEPTH_BYTES);
                let at = (self.job.panel * steps + step.start / DEPTH_BYTES) * WIDTH + first;
                let starts = layer.starts.as_ptr().add(at).cast::<f32>();
                acc = [[s.load(starts), s.load(starts.add(S::LANES))]; P];
            }
            let words = self.job.panel * layer.inputs.div_ceil(F::GROUP) * WIDTH + first;
            let words = layer.words.as_ptr().cast::<f32>().add(words);
            let x = self.x.add(i * self.row).cast::<u32>();
            let pitch = self.row / F::GROUP;
            for k in step.start / F::GROUP..step.end.div_ceil(F::GROUP) {
                let w = words.add(k * WIDTH);
                let w = [s.load(w), s.load(w.add(S::LANES))];
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = x.add(p * pitch + k).read_unaligned();
                    for (a, w) in acc.iter_mut().zip(w) {
                        *a = F::dot(s, *a, x, w);
                    }
                }
            }
            for (p, acc) in acc.into_iter().enumerate() {
                for (v, sums) in acc.into_iter().enumerate() {
                    self.finish(s, sums, &step, (i + p, first + v * S::LANES));
                }
            }
        }
    }

    /// Adds a step's sums to the result; after the last step bias and ReLU.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, mut sums: S::V, step: &Range<usize>, (i, lane): (usize, usize)) {
        let layer = self.job.layer;
        let column = self.job.panel * WIDTH + lane;
        let n = layer.outputs.saturating_sub(column).min(S::LANES);
        if n == 0 {
            return;
        }
        let last = step.end >= layer.inputs;
        // SAFETY: only existing columns are touched.
        unsafe {
            if F::SCALED {
                let unit = s.splat(self.job.scales[i]);
                let scales = s.mul(s.load_first(layer.scales.as_ptr().add(column), n, 0.0), unit);
                sums = s.mul(s.int_to_float(sums), scales);
            }
            let out = self.job.out.at(i * layer.outputs + column);
            if step.start > 0 {
                sums = s.add(s.load_first(out, n, 0.0), sums);
            }
            if let Some(bias) = self.job.bias.filter(|_| last) {
                sums = s.add(sums, s.load_first(bias.as_ptr().add(column), n, 0.0));
            }
            if last && self.job.relu {
                // `select_gt` rather than `max`: a NaN must come through.
                let zero = s.splat(0.0);
                sums = s.select_gt(zero, sums, zero, sums);
            }
            s.store_first(out, sums, n);
        }
    }
}
