//! A whole stack of the image network as one operation, for channels in multiples of 16: convolution, ReLU, pool, norm,
//! and the residual blocks `x + relu(conv(norm(relu(conv(norm(x))))))`.
//!
//! One image at a time goes through all of it, in caches, as blocks of 16 channels. For the backward only what cannot
//! be had cheaply again is kept: the pooled image and the results of the residual blocks' convolutions.

mod backward;
mod grid;
mod kernels;
mod norm_gradient;
mod winograd;

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use self::grid::{BLOCK, Grid, accumulate, add_into, affine_into, pool};
use self::kernels::{Finish, Source, convolve, pack};
use super::cuda;
use super::norm::{Moments, moments};
use super::simd::Level;
use super::storage::{Reused, SharedMut, slice, written};
use super::tasks::each;

/// Residual blocks.
const RESIDUALS: usize = 2;
/// Images kept for the backward: the pooled one and each residual convolution's result.
const KEPT: usize = 1 + 2 * RESIDUALS;
/// Norms: the first convolution's, the pooled image's, each residual convolution's.
const NORMS: usize = 2 + 2 * RESIDUALS;
/// Images a task takes at least.
const MIN_IMAGES: usize = 4;

/// Sizes of a stack and how its images lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackShape {
    /// Channels in: 3 for frames, else a multiple of 16.
    pub channels_in: usize,
    /// Channels out: a multiple of 16.
    pub channels: usize,
    /// Height of the images that come in; half of it, rounded up, goes out.
    pub height: usize,
    /// Width of the images that come in.
    pub width: usize,
    /// Whether the result is f32 `[N, C, H, W]`; otherwise `[N, C/16, H, W, 16]`, what the next stack takes.
    pub planes: bool,
}

/// Runs a stack on frames, u8 `[N, H, W, 3]` (divided by 255), or on another stack's result, f32 `[N, C/16, H, W, 16]`.
///
/// `parameters`: of the first convolution the bias `[C]` for frames, otherwise its norm's gain and bias, then its weight
/// `[C, Ci, 3, 3]`; gain and bias of the norm after the pool; then gain, bias and weight of the four residual convolutions.
pub fn impala_stack(x: &Tensor, parameters: &[&Tensor], shape: StackShape) -> Result<Tensor> {
    stack_at(Level::best(), x, parameters, shape)
}

pub(crate) fn stack_at(
    level: Level,
    x: &Tensor,
    parameters: &[&Tensor],
    shape: StackShape,
) -> Result<Tensor> {
    let parts = Parts::new(&shape);
    let frames = shape.channels_in == 3;
    let (h, w) = (shape.height, shape.width);
    let fits = match *x.dims() {
        // What a stack on a GPU leaves for the next.
        [_, a, b, channels] if cuda::takes(x) && !frames => (channels, a, b) == (shape.channels_in, h, w),
        [_, a, b, 3] => frames && (a, b) == (h, w),
        [_, blocks, a, b, BLOCK] => !frames && (blocks * BLOCK, a, b) == (shape.channels_in, h, w),
        _ => false,
    };
    let blocks = |channels: usize| channels > 0 && channels.is_multiple_of(BLOCK);
    if !fits || h * w == 0 || !blocks(shape.channels) || !(frames || blocks(shape.channels_in)) {
        candle_core::bail!("impala_stack: input {:?} does not fit {shape:?}", x.dims());
    }
    let sizes: Vec<usize> = parameters.iter().map(|p| p.elem_count()).collect();
    if sizes != parts.sizes {
        candle_core::bail!("impala_stack: parameters of {sizes:?} values, not {:?}", parts.sizes);
    }
    let flat: Vec<Tensor> = parameters.iter().map(|p| p.flatten_all()).collect::<Result<_>>()?;
    let flat = Tensor::cat(&flat, 0)?;
    if cuda::takes(x) {
        return cuda::stack(x, &flat, shape, parts);
    }
    let save = x.track_op() || flat.track_op();
    let op = StackOp { level, shape, parts, save, saved: OnceLock::new() };
    x.contiguous()?.apply_op2(&flat, op)
}

/// Where each parameter lies in all of them one after another.
pub(super) struct Parts {
    sizes: Vec<usize>,
    /// Bias, or gain and bias.
    pub(super) first_extra: Range<usize>,
    pub(super) first: Range<usize>,
    /// Gain and bias of the norm after the pool.
    pub(super) norm: Range<usize>,
    /// Gain and bias, then weight.
    pub(super) residual: Vec<(Range<usize>, Range<usize>)>,
    pub(super) total: usize,
}

impl Parts {
    fn new(shape: &StackShape) -> Self {
        let (ci, co) = (shape.channels_in, shape.channels);
        let mut sizes = Vec::new();
        let mut total = 0;
        let mut take = |each: &[usize]| {
            let start = total;
            sizes.extend_from_slice(each);
            total += each.iter().sum::<usize>();
            start..total
        };
        let first_extra = if ci == 3 { take(&[co]) } else { take(&[ci, ci]) };
        let first = take(&[co * ci * 9]);
        let norm = take(&[co, co]);
        let residual = (0..2 * RESIDUALS).map(|_| (take(&[co, co]), take(&[co * co * 9]))).collect();
        Self { sizes, first_extra, first, norm, residual, total }
    }
}

/// What the backward needs, of every image.
struct Saved {
    /// `KEPT` images each.
    kept: Option<Reused>,
    argmax: Vec<u8>,
    moments: Vec<[Moments; NORMS]>,
}

struct StackOp {
    level: Level,
    shape: StackShape,
    parts: Parts,
    save: bool,
    saved: OnceLock<Saved>,
}

/// The images a stack starts from.
#[derive(Clone, Copy)]
enum Images<'a> {
    Frames(&'a [u8]),
    Blocks(&'a [f32]),
}

/// Weights in the kernels' order, and the sources they are for.
struct Forward<'a> {
    op: &'a StackOp,
    parameters: &'a [f32],
    large: Source,
    small: Source,
    first: Vec<f32>,
    residual: Vec<Vec<f32>>,
    /// i / 255 for every byte.
    levels: [f32; 256],
}

/// Buffers of one task, for one image; borders are zero and stay so.
struct Scratch {
    input: Vec<f32>,
    unpooled: Vec<f32>,
    bordered: Vec<f32>,
    x: Vec<f32>,
    kept: Vec<f32>,
}

impl StackOp {
    /// The image before the pool, without border.
    fn before(&self) -> Grid {
        Grid::new(self.shape.channels, self.shape.height, self.shape.width)
    }
    /// The image after the pool, without border.
    fn after(&self) -> Grid {
        Grid::new(self.shape.channels, self.shape.height.div_ceil(2), self.shape.width.div_ceil(2))
    }
    /// What the first convolution reads.
    fn large(&self) -> Source {
        let grid = Grid::new(self.shape.channels_in, self.shape.height, self.shape.width).bordered();
        if self.shape.channels_in == 3 { Source::Frame(grid) } else { Source::Blocks(grid) }
    }

    fn forward(&self, images: Images<'_>, parameters: &[f32], n: usize) -> Vec<f32> {
        let co = self.shape.channels;
        let len = self.after().len();
        let (large, small) = (self.large(), Source::Blocks(self.after().bordered()));
        let ordered = |source: &Source, weights: &Range<usize>| {
            let inputs = source.channels();
            pack(source, co, &parameters[weights.clone()], |o, i, tap| (o * inputs + i) * 9 + tap)
        };
        let job = Forward {
            op: self,
            parameters,
            large,
            small,
            first: ordered(&large, &self.parts.first),
            residual: self.parts.residual.iter().map(|(_, w)| ordered(&small, w)).collect(),
            levels: std::array::from_fn(|i| i as f32 / 255.0),
        };
        let mut saved = Saved { kept: None, argmax: Vec::new(), moments: Vec::new() };
        if self.save {
            saved.moments = vec![[Moments::default(); NORMS]; n];
        }
        let all_moments = SharedMut::new(saved.moments.as_mut_ptr());
        // SAFETY: every task writes all that belongs to its images, and nothing else.
        let out = unsafe {
            written(n * len, |out| {
                let run = |kept: Option<(SharedMut<f32>, SharedMut<u8>)>| {
                    // A task's scratch is made once, so few tasks; but enough of them to keep all threads busy.
                    let images_each = n.div_ceil(64).max(MIN_IMAGES);
                    each(n.div_ceil(images_each), usize::MAX, |task| {
                        let mut scratch = job.scratch();
                        let mut own = std::mem::take(&mut scratch.kept);
                        for i in task * images_each..((task + 1) * images_each).min(n) {
                            let (images_kept, argmax) = match kept {
                                Some((k, a)) => (
                                    std::slice::from_raw_parts_mut(k.at(i * KEPT * len), KEPT * len),
                                    Some(std::slice::from_raw_parts_mut(a.at(i * len), len)),
                                ),
                                None => (&mut own[..], None),
                            };
                            let out = std::slice::from_raw_parts_mut(out.at(i * len), len);
                            let m = job.image((images, i), &mut scratch, images_kept, argmax, out);
                            if self.save {
                                *all_moments.at(i) = m;
                            }
                        }
                    });
                };
                if self.save {
                    let mut argmax = Vec::new();
                    let kept = Reused::written(n * KEPT * len, |k| {
                        argmax = written(n * len, |a| run(Some((k, a))));
                    });
                    (saved.kept, saved.argmax) = (Some(kept), argmax);
                } else {
                    run(None);
                }
            })
        };
        if self.save {
            // The op is applied once; a second value would be equal anyway.
            let _ = self.saved.set(saved);
        }
        out
    }
}

impl Forward<'_> {
    fn scratch(&self) -> Scratch {
        let len = self.op.after().len();
        Scratch {
            input: vec![0.0; self.large.len()],
            unpooled: vec![0.0; self.op.before().len()],
            bordered: vec![0.0; self.small.len()],
            x: vec![0.0; len],
            kept: vec![0.0; if self.op.save { 0 } else { KEPT * len }],
        }
    }

    /// One image through the whole stack.
    fn image(
        &self,
        (images, i): (Images<'_>, usize),
        scratch: &mut Scratch,
        kept: &mut [f32],
        argmax: Option<&mut [u8]>,
        out: &mut [f32],
    ) -> [Moments; NORMS] {
        let (op, p, level) = (self.op, self.parameters, self.op.level);
        let mut m = [Moments::default(); NORMS];
        let Scratch { input, unpooled, bordered, x, .. } = scratch;
        let extra = &p[op.parts.first_extra.clone()];
        let mut bias: &[f32] = &[];
        match images {
            Images::Frames(frames) => {
                bias = extra;
                frame_into(self.large.grid(), frames, i, &self.levels, input);
            }
            Images::Blocks(all) => {
                let from = block_image(&self.large, all, i);
                m[0] = level.run(moments(from));
                affine_into(level, self.large.grid(), from, m[0], extra, input);
            }
        }
        convolve(level, &self.large, input, &self.first, Finish { bias, relu: true }, unpooled);
        let (pooled, results) = kept.split_at_mut(x.len());
        pool(level, &op.before(), unpooled, pooled, argmax);
        m[1] = level.run(moments(pooled));
        affine_into(level, &op.after(), pooled, m[1], &p[op.parts.norm.clone()], x);

        let then = Finish { bias: &[], relu: true };
        let (len, grid) = (x.len(), self.small.grid());
        for (r, pair) in results.chunks_exact_mut(2 * len).enumerate() {
            let (inner, outer) = pair.split_at_mut(len);
            let affine = |k: usize| &p[op.parts.residual[2 * r + k].0.clone()];
            let place = 2 + 2 * r;
            m[place] = level.run(moments(x));
            affine_into(level, grid, x, m[place], affine(0), bordered);
            convolve(level, &self.small, bordered, &self.residual[2 * r], then, inner);
            m[place + 1] = level.run(moments(inner));
            affine_into(level, grid, inner, m[place + 1], affine(1), bordered);
            convolve(level, &self.small, bordered, &self.residual[2 * r + 1], then, outer);
            if r + 1 < RESIDUALS || op.shape.planes {
                accumulate(level, outer, x);
            } else {
                add_into(level, x, outer, out);
            }
        }
        if op.shape.planes {
            to_planes(&op.after(), x, out);
        }
        m
    }
}

/// Image `i` of all those in blocks.
fn block_image<'a>(source: &Source, all: &'a [f32], i: usize) -> &'a [f32] {
    let len = Grid { border: 0, ..*source.grid() }.len();
    &all[i * len..][..len]
}

/// Frame `i` into a bordered image of three channels.
fn frame_into(grid: &Grid, frames: &[u8], i: usize, levels: &[f32; 256], to: &mut [f32]) {
    let line = grid.w * 3;
    for (y, bytes) in frames[i * grid.h * line..][..grid.h * line].chunks_exact(line).enumerate() {
        let to = &mut to[((y + 1) * grid.row() + 1) * 3..][..line];
        to.iter_mut().zip(bytes).for_each(|(t, b)| *t = levels[usize::from(*b)]);
    }
}

/// From blocks to `[C, H, W]`.
fn to_planes(grid: &Grid, from: &[f32], to: &mut [f32]) {
    let pixels = grid.h * grid.w;
    for (block, to) in from.chunks_exact(pixels * BLOCK).zip(to.chunks_exact_mut(pixels * BLOCK)) {
        for (c, plane) in to.chunks_exact_mut(pixels).enumerate() {
            plane.iter_mut().zip(block[c..].iter().step_by(BLOCK)).for_each(|(t, f)| *t = *f);
        }
    }
}

/// From `[C, H, W]` to blocks.
fn from_planes(grid: &Grid, from: &[f32], to: &mut [f32]) {
    let pixels = grid.h * grid.w;
    for (from, block) in from.chunks_exact(pixels * BLOCK).zip(to.chunks_exact_mut(pixels * BLOCK)) {
        for (c, plane) in from.chunks_exact(pixels).enumerate() {
            block[c..].iter_mut().step_by(BLOCK).zip(plane).for_each(|(t, f)| *t = *f);
        }
    }
}

impl CustomOp2 for StackOp {
    fn name(&self) -> &'static str {
        "impala_stack"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let images = match x {
            CpuStorage::U8(_) => Images::Frames(slice(x, xl)?),
            _ => Images::Blocks(slice(x, xl)?),
        };
        let n = xl.dims()[0];
        let (grid, c) = (self.after(), self.shape.channels);
        let out = self.forward(images, slice(p, pl)?, n);
        let shape: Shape = if self.shape.planes {
            (n, c, grid.h, grid.w).into()
        } else {
            (n, c / BLOCK, grid.h, grid.w, BLOCK).into()
        };
        Ok((CpuStorage::F32(out), shape))
    }
    fn bwd(
        &self,
        x: &Tensor,
        p: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, p, grad)
    }
}

#[cfg(test)]
mod tests;
