//! Gradients of a stack.
//!
//! Images are split into a number of parts that depends on their number only; each part sums its own parameters'
//! gradients and the parts are added in order, so the result does not depend on how threads were scheduled.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::grid::{BLOCK, Grid, accumulate, add_into, affine_into, copy_into, unpool};
use super::kernels::{Finish, Source, convolve, pack, packed_len, unpack, weight_gradient};
use super::norm_gradient::{NormGradient, Target};
use super::{Images, KEPT, RESIDUALS, Saved, StackOp, block_image, frame_into, from_planes};
use crate::ops::norm::Moments;
use crate::ops::storage::{SharedMut, View, tensor, written};

/// Everything a part reads.
struct Pass<'a> {
    op: &'a StackOp,
    parameters: &'a [f32],
    images: Images<'a>,
    grad: &'a [f32],
    saved: &'a Saved,
    /// Its images.
    kept: &'a [f32],
    want_x: bool,
    large: Source,
    small: Source,
    /// What the input gradient of the first convolution reads.
    unpooled: Source,
    /// Weights turned round for the input gradients.
    first: Vec<f32>,
    residual: Vec<Vec<f32>>,
    levels: [f32; 256],
}

/// What a part sums: weights' gradients in the kernels' order, and those of gains and biases.
struct Sums {
    first: Vec<f32>,
    first_extra: Vec<f64>,
    norm: Vec<f64>,
    residual: Vec<(Vec<f64>, Vec<f32>)>,
}

/// Buffers of one part, for one image; borders are zero and stay so.
struct Scratch {
    /// The gradient on its way back through the residual blocks.
    d: Vec<f32>,
    /// A residual convolution's input and result gradient, bordered, and its input gradient.
    input: Vec<f32>,
    grad: Vec<f32>,
    back: Vec<f32>,
    /// The residual blocks' inputs.
    xs: Vec<f32>,
    large_input: Vec<f32>,
    large_grad: Vec<f32>,
    large_back: Vec<f32>,
}

impl StackOp {
    pub(super) fn backward(
        &self,
        x: &Tensor,
        p: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let n = x.dim(0)?;
        let grad = grad.contiguous()?;
        let (frames, blocks);
        let images = if x.dtype() == DType::U8 {
            frames = View::<u8>::new(x)?;
            Images::Frames(&frames)
        } else {
            blocks = View::<f32>::new(x)?;
            Images::Blocks(&blocks)
        };
        let (parameters, grads) = (View::<f32>::new(p)?, View::<f32>::new(&grad)?);
        let (ci, co) = (self.shape.channels_in, self.shape.channels);
        let (small, unpooled) =
            (Source::Blocks(self.after().bordered()), Source::Blocks(self.before().bordered()));
        // Input channels become outputs and the taps turn round.
        let turned = |source: &Source, inputs: usize, weights: &Range<usize>| {
            pack(source, inputs, &parameters[weights.clone()], |i, o, tap| (o * inputs + i) * 9 + 8 - tap)
        };
        let saved = self.saved.get().expect("a tracked forward has saved its moments");
        let kept = saved.kept.as_deref().expect("a tracked forward has kept its images");
        let pass = Pass {
            op: self,
            parameters: &parameters,
            images,
            grad: &grads,
            saved,
            kept,
            want_x: x.track_op(),
            large: self.large(),
            small,
            unpooled,
            first: if ci == 3 { Vec::new() } else { turned(&unpooled, ci, &self.parts.first) },
            residual: self.parts.residual.iter().map(|(_, w)| turned(&small, co, w)).collect(),
            levels: std::array::from_fn(|i| i as f32 / 255.0),
        };
        let parts = (n / 4).clamp(1, if ci * co > 1 << 12 { 4 } else { 16 });
        let mut sums = Vec::new();
        let len = if pass.want_x { x.elem_count() } else { 0 };
        // SAFETY: parts cover all images, and each writes the whole gradient of its own ones.
        let dx = unsafe {
            written(len, |dx: SharedMut<f32>| {
                sums = (0..parts)
                    .into_par_iter()
                    .map(|k| pass.part(k * n / parts..(k + 1) * n / parts, dx))
                    .collect::<Vec<_>>();
            })
        };
        let dp = p.track_op().then(|| tensor(pass.in_order(sums), p.shape()));
        let dx = pass.want_x.then(|| tensor(dx, x.shape()));
        Ok((dx.transpose()?, dp.transpose()?))
    }
}

impl Pass<'_> {
    /// # Safety
    /// `dx` must have room for every image where it is wanted, and no other task may write this part's images.
    unsafe fn part(&self, images: Range<usize>, dx: SharedMut<f32>) -> Sums {
        let (after, co) = (self.op.after(), self.op.shape.channels);
        let parts = &self.op.parts;
        let residual = || (vec![0.0; 2 * co], vec![0.0; packed_len(&self.small, co)]);
        let mut sums = Sums {
            first: vec![0.0; packed_len(&self.large, co)],
            first_extra: vec![0.0; parts.first_extra.len()],
            norm: vec![0.0; parts.norm.len()],
            residual: parts.residual.iter().map(|_| residual()).collect(),
        };
        let back = if self.first.is_empty() { 0 } else { block_len(&self.large) };
        let mut scratch = Scratch {
            d: vec![0.0; after.len()],
            input: vec![0.0; self.small.len()],
            grad: vec![0.0; self.small.len()],
            back: vec![0.0; after.len()],
            xs: vec![0.0; RESIDUALS * after.len()],
            large_input: vec![0.0; self.large.len()],
            large_grad: vec![0.0; self.unpooled.len()],
            large_back: vec![0.0; back],
        };
        for i in images {
            self.residual_blocks(i, &mut scratch, &mut sums);
            // SAFETY: image i belongs to this part.
            let dx = self.want_x.then(|| unsafe { std::slice::from_raw_parts_mut(dx.at(i * back), back) });
            self.first_layer(i, &mut scratch, &mut sums, dx);
        }
        sums
    }

    /// From the result's gradient to that of the pooled, normed image, in `scratch.d`.
    fn residual_blocks(&self, i: usize, scratch: &mut Scratch, sums: &mut Sums) {
        let (op, level, after) = (self.op, self.op.level, self.op.after());
        let len = after.len();
        let (pooled, results) = self.kept[i * KEPT * len..][..KEPT * len].split_at(len);
        let m = &self.saved.moments[i];
        let grid = self.small.grid();
        let Scratch { d, input, grad, back, xs, .. } = scratch;
        let from = &self.grad[i * len..][..len];
        if op.shape.planes {
            from_planes(&after, from, d)
        } else {
            d.copy_from_slice(from)
        }
        affine_into(level, &after, pooled, m[1], &self.parameters[op.parts.norm.clone()], &mut xs[..len]);
        for r in 1..RESIDUALS {
            let (before, x) = xs[(r - 1) * len..].split_at_mut(len);
            add_into(level, before, &results[(2 * r - 1) * len..][..len], &mut x[..len]);
        }
        for r in (0..RESIDUALS).rev() {
            let (inner, outer) = results[2 * r * len..][..2 * len].split_at(len);
            let x = &xs[r * len..][..len];
            copy_into(level, grid, d, Some(outer), grad);
            let target = (inner, m[3 + 2 * r]);
            self.residual(2 * r + 1, target, (input, grad, back), sums)
                .run(&mut sums.residual[2 * r + 1].0, Target::Masked(*grid, grad));
            self.residual(2 * r, (x, m[2 + 2 * r]), (input, grad, back), sums)
                .run(&mut sums.residual[2 * r].0, Target::Add(d));
        }
    }

    /// A residual convolution: adds its weight gradient, and leaves its norm's to be run.
    fn residual<'a>(
        &'a self,
        k: usize,
        (x, m): (&'a [f32], Moments),
        (input, grad, back): (&mut [f32], &[f32], &'a mut [f32]),
        sums: &mut Sums,
    ) -> NormGradient<'a> {
        let level = self.op.level;
        let affine = &self.parameters[self.op.parts.residual[k].0.clone()];
        affine_into(level, self.small.grid(), x, m, affine, input);
        weight_gradient(level, &self.small, input, grad, &mut sums.residual[k].1);
        convolve(level, &self.small, grad, &self.residual[k], Finish { bias: &[], relu: false }, back);
        NormGradient { level, x, m, gain: &affine[..affine.len() / 2], grad: back }
    }

    /// From the gradient in `scratch.d` to that of the stack's input.
    fn first_layer(&self, i: usize, scratch: &mut Scratch, sums: &mut Sums, dx: Option<&mut [f32]>) {
        let (op, level, after) = (self.op, self.op.level, self.op.after());
        let len = after.len();
        let m = &self.saved.moments[i];
        let pooled = &self.kept[i * KEPT * len..][..len];
        let gain = &self.parameters[op.parts.norm.clone()][..op.shape.channels];
        let Scratch { d, back, large_input, large_grad, large_back, .. } = scratch;
        // The pooled image is a ReLU's result too: the largest of such results.
        NormGradient { level, x: pooled, m: m[1], gain, grad: d }
            .run(&mut sums.norm, Target::Masked(after, back));
        unpool(self.unpooled.grid(), back, &self.saved.argmax[i * len..][..len], large_grad);
        let extra = &self.parameters[op.parts.first_extra.clone()];
        match self.images {
            Images::Frames(frames) => {
                frame_into(self.large.grid(), frames, i, &self.levels, large_input);
                weight_gradient(level, &self.large, large_input, large_grad, &mut sums.first);
                // Unpooling moves gradients and loses none.
                for (block, pixels) in back.chunks_exact(after.plane()).enumerate() {
                    for pixel in pixels.chunks_exact(BLOCK) {
                        let bias = &mut sums.first_extra[block * BLOCK..][..BLOCK];
                        bias.iter_mut().zip(pixel).for_each(|(b, v)| *b += f64::from(*v));
                    }
                }
            }
            Images::Blocks(all) => {
                let x = block_image(&self.large, all, i);
                affine_into(level, self.large.grid(), x, m[0], extra, large_input);
                weight_gradient(level, &self.large, large_input, large_grad, &mut sums.first);
                let then = Finish { bias: &[], relu: false };
                convolve(level, &self.unpooled, large_grad, &self.first, then, large_back);
                let gain = &extra[..extra.len() / 2];
                let norm = NormGradient { level, x, m: m[0], gain, grad: large_back };
                let bordered = *self.large.grid();
                // Without a wish for it the gradient goes where nothing is read again.
                let target = match dx {
                    Some(dx) => Target::Plain(Grid { border: 0, ..bordered }, dx),
                    None => Target::Plain(bordered, large_input),
                };
                norm.run(&mut sums.first_extra, target);
            }
        }
    }

    /// The parts' sums added in their order, as the parameters lie.
    fn in_order(&self, sums: Vec<Sums>) -> Vec<f32> {
        let level = self.op.level;
        let add = |from: &[f64], to: &mut [f64]| to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        let mut all = sums.into_iter();
        let mut total = all.next().expect("there is at least one part");
        for part in all {
            accumulate(level, &part.first, &mut total.first);
            add(&part.first_extra, &mut total.first_extra);
            add(&part.norm, &mut total.norm);
            for (to, from) in total.residual.iter_mut().zip(&part.residual) {
                add(&from.0, &mut to.0);
                accumulate(level, &from.1, &mut to.1);
            }
        }
        let parts = &self.op.parts;
        let mut out = vec![0.0f32; parts.total];
        let mut small = |at: &Range<usize>, from: &[f64]| {
            out[at.clone()].iter_mut().zip(from).for_each(|(o, v)| *o = *v as f32);
        };
        small(&parts.first_extra, &total.first_extra);
        small(&parts.norm, &total.norm);
        for ((at, _), (affine, _)) in parts.residual.iter().zip(&total.residual) {
            small(at, affine);
        }
        let co = self.op.shape.channels;
        unpack(&self.large, co, &total.first, &mut out[parts.first.clone()]);
        for ((_, at), (_, w)) in parts.residual.iter().zip(&total.residual) {
            unpack(&self.small, co, w, &mut out[at.clone()]);
        }
        out
    }
}

/// Values of a source's image without its border.
fn block_len(source: &Source) -> usize {
    let grid = source.grid();
    source.channels() * grid.h * grid.w
}
