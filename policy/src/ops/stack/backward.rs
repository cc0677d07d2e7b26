//! Gradients of a stack.
//!
//! Images are split into a number of parts that depends on their number only; each part sums its own parameters'
//! gradients and the parts are added in order, so the result does not depend on how threads were scheduled.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::forward::{Images, block_image, frame_into, from_planes};
use super::grid::{BLOCK, Grid, accumulate, add_into, affine_into, copy_into, unpool};
use super::kernels::{
    Finish, Input, Panels, Source, Workers, convolve, pack, packed_len, unpack, weight_gradient,
};
use super::norm_gradient::{NormGradient, Target};
use super::plan::Plan;
use super::{KEPT, RESIDUALS, Saved, StackOp};
use crate::ops::norm::Moments;
use crate::ops::storage::{SharedMut, View, tensor, written};
use crate::precision::Precision;

/// Nothing is done to a gradient's sums.
const PLAIN: Finish<'_> = Finish { bias: &[], relu: false };

/// A convolution's input where weights are f32.
fn exact(values: &[f32]) -> Input<'_> {
    Input { values, largest: 1.0 }
}

/// Everything a part reads.
struct Pass<'a> {
    plan: &'a Plan,
    parameters: &'a [f32],
    images: Images<'a>,
    grad: &'a [f32],
    saved: &'a Saved,
    /// Its images.
    kept: &'a [f32],
    want_x: bool,
    /// What the input gradient of the first convolution reads.
    unpooled: Source,
    /// Weights turned round for the input gradients.
    first: Option<Panels>,
    residual: Vec<Panels>,
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
        let plan = &self.plan;
        let (ci, co) = (plan.shape.channels_in, plan.shape.channels);
        let unpooled = Source::Blocks(plan.before().bordered());
        // Input channels become outputs and the taps turn round.
        let turned = |source: &Source, inputs: usize, weights: &Range<usize>| {
            let weights = &parameters[weights.clone()];
            pack(source, Precision::F32, inputs, weights, |i, o, tap| (o * inputs + i) * 9 + 8 - tap)
        };
        let saved = self.saved.get().expect("a tracked forward has saved its moments");
        let kept = saved.kept.as_deref().expect("a tracked forward has kept its images");
        let pass = Pass {
            plan,
            parameters: &parameters,
            images,
            grad: &grads,
            saved,
            kept,
            want_x: x.track_op(),
            unpooled,
            first: (ci != 3).then(|| turned(&unpooled, ci, &plan.parts.first)),
            residual: plan.parts.residual.iter().map(|(_, w)| turned(&plan.small, co, w)).collect(),
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
        let (after, co) = (self.plan.after(), self.plan.shape.channels);
        let parts = &self.plan.parts;
        let residual = || (vec![0.0; 2 * co], vec![0.0; packed_len(&self.plan.small, co)]);
        let mut sums = Sums {
            first: vec![0.0; packed_len(&self.plan.large, co)],
            first_extra: vec![0.0; parts.first_extra.len()],
            norm: vec![0.0; parts.norm.len()],
            residual: parts.residual.iter().map(|_| residual()).collect(),
        };
        let back = if self.first.is_none() { 0 } else { block_len(&self.plan.large) };
        let mut scratch = Scratch {
            d: vec![0.0; after.len()],
            input: vec![0.0; self.plan.small.len()],
            grad: vec![0.0; self.plan.small.len()],
            back: vec![0.0; after.len()],
            xs: vec![0.0; RESIDUALS * after.len()],
            large_input: vec![0.0; self.plan.large.len()],
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
        let (plan, level, after) = (self.plan, self.plan.level, self.plan.after());
        let len = after.len();
        let (pooled, results) = self.kept[i * KEPT * len..][..KEPT * len].split_at(len);
        let m = &self.saved.moments[i];
        let grid = self.plan.small.grid();
        let Scratch { d, input, grad, back, xs, .. } = scratch;
        let from = &self.grad[i * len..][..len];
        if plan.shape.planes {
            from_planes(&after, from, d)
        } else {
            d.copy_from_slice(from)
        }
        affine_into(level, &after, pooled, m[1], &self.parameters[plan.parts.norm.clone()], &mut xs[..len]);
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
        let level = self.plan.level;
        let affine = &self.parameters[self.plan.parts.residual[k].0.clone()];
        affine_into(level, self.plan.small.grid(), x, m, affine, input);
        weight_gradient(level, &self.plan.small, input, grad, &mut sums.residual[k].1);
        let alone = Workers { level, parts: 1 };
        convolve(alone, &self.plan.small, exact(grad), &self.residual[k], PLAIN, back);
        NormGradient { level, x, m, gain: &affine[..affine.len() / 2], grad: back }
    }

    /// From the gradient in `scratch.d` to that of the stack's input.
    fn first_layer(&self, i: usize, scratch: &mut Scratch, sums: &mut Sums, dx: Option<&mut [f32]>) {
        let (plan, level, after) = (self.plan, self.plan.level, self.plan.after());
        let len = after.len();
        let m = &self.saved.moments[i];
        let pooled = &self.kept[i * KEPT * len..][..len];
        let gain = &self.parameters[plan.parts.norm.clone()][..plan.shape.channels];
        let Scratch { d, back, large_input, large_grad, large_back, .. } = scratch;
        // The pooled image is a ReLU's result too: the largest of such results.
        NormGradient { level, x: pooled, m: m[1], gain, grad: d }
            .run(&mut sums.norm, Target::Masked(after, back));
        unpool(self.unpooled.grid(), back, &self.saved.argmax[i * len..][..len], large_grad);
        let extra = &self.parameters[plan.parts.first_extra.clone()];
        match self.images {
            Images::Frames(frames) => {
                frame_into(self.plan.large.grid(), frames, i, large_input);
                weight_gradient(level, &self.plan.large, large_input, large_grad, &mut sums.first);
                // Unpooling moves gradients and loses none.
                for (block, pixels) in back.chunks_exact(after.plane()).enumerate() {
                    for pixel in pixels.chunks_exact(BLOCK) {
                        let bias = &mut sums.first_extra[block * BLOCK..][..BLOCK];
                        bias.iter_mut().zip(pixel).for_each(|(b, v)| *b += f64::from(*v));
                    }
                }
            }
            Images::Blocks(all) => {
                let x = block_image(&self.plan.large, all, i);
                affine_into(level, self.plan.large.grid(), x, m[0], extra, large_input);
                weight_gradient(level, &self.plan.large, large_input, large_grad, &mut sums.first);
                if let Some(first) = &self.first {
                    let alone = Workers { level, parts: 1 };
                    convolve(alone, &self.unpooled, exact(large_grad), first, PLAIN, large_back);
                }
                let gain = &extra[..extra.len() / 2];
                let norm = NormGradient { level, x, m: m[0], gain, grad: large_back };
                let bordered = *self.plan.large.grid();
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
        let level = self.plan.level;
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
        let parts = &self.plan.parts;
        let mut out = vec![0.0f32; parts.total];
        let mut small = |at: &Range<usize>, from: &[f64]| {
            out[at.clone()].iter_mut().zip(from).for_each(|(o, v)| *o = *v as f32);
        };
        small(&parts.first_extra, &total.first_extra);
        small(&parts.norm, &total.norm);
        for ((at, _), (affine, _)) in parts.residual.iter().zip(&total.residual) {
            small(at, affine);
        }
        let co = self.plan.shape.channels;
        unpack(&self.plan.large, co, &total.first, &mut out[parts.first.clone()]);
        for ((_, at), (_, w)) in parts.residual.iter().zip(&total.residual) {
            unpack(&self.plan.small, co, w, &mut out[at.clone()]);
        }
        out
    }
}

/// Values of a source's image without its border.
fn block_len(source: &Source) -> usize {
    let grid = source.grid();
    source.channels() * grid.h * grid.w
}
