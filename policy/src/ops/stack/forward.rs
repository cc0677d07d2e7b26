//! One image's way through a stack.

use super::grid::{BLOCK, Grid, accumulate, add_into, affine_into, pool};
use super::kernels::{Finish, Input, Source, Workers, convolve};
use super::plan::{Plan, Weights};
use super::{NORMS, RESIDUALS};
use crate::ops::norm::{Moments, moments};

/// The images a stack starts from.
#[derive(Clone, Copy)]
pub(super) enum Images<'a> {
    Frames(&'a [u8]),
    Blocks(&'a [f32]),
}

/// Everything the forward of an image reads.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) plan: &'a Plan,
    /// All of them, one after another.
    pub(super) parameters: &'a [f32],
    pub(super) weights: &'a Weights,
    /// Threads that may share a convolution.
    pub(super) parts: usize,
}

/// Where an image's results go.
pub(super) struct Results<'a> {
    /// `KEPT` images: the pooled one and the residual convolutions' results.
    pub(super) kept: &'a mut [f32],
    pub(super) argmax: Option<&'a mut [u8]>,
    pub(super) out: &'a mut [f32],
}

/// Buffers for one image at a time; borders are zero and stay so.
pub(super) struct Scratch {
    input: Vec<f32>,
    unpooled: Vec<f32>,
    bordered: Vec<f32>,
    x: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            input: vec![0.0; plan.large.len()],
            unpooled: vec![0.0; plan.before().len()],
            bordered: vec![0.0; plan.small.len()],
            x: vec![0.0; plan.after().len()],
        }
    }
}

impl Forward<'_> {
    /// Image `i` through the whole stack.
    pub(super) fn image(
        &self,
        (images, i): (Images<'_>, usize),
        scratch: &mut Scratch,
        Results { kept, argmax, out }: Results<'_>,
    ) -> [Moments; NORMS] {
        let (plan, p, level) = (self.plan, self.parameters, self.plan.level);
        let mut m = [Moments::default(); NORMS];
        m[0] = self.first(images, i, scratch);
        let Scratch { unpooled, bordered, x, .. } = scratch;
        let (pooled, results) = kept.split_at_mut(x.len());
        pool(level, &plan.before(), unpooled, pooled, argmax);
        m[1] = level.run(moments(pooled));
        affine_into(level, &plan.after(), pooled, m[1], &p[plan.parts.norm.clone()], x);

        let (len, grid) = (x.len(), plan.small.grid());
        let workers = Workers { level, parts: self.parts };
        let mut residual = |k: usize, from: &[f32], to: &mut [f32]| {
            let m = level.run(moments(from));
            let affine = &p[plan.parts.residual[k].0.clone()];
            let largest = affine_into(level, grid, from, m, affine, bordered);
            let input = Input { values: bordered, largest };
            let then = Finish { bias: &[], relu: true };
            convolve(workers, &plan.small, input, &self.weights.residual[k], then, to);
            m
        };
        for (r, pair) in results.chunks_exact_mut(2 * len).enumerate() {
            let (inner, outer) = pair.split_at_mut(len);
            m[2 + 2 * r] = residual(2 * r, x, inner);
            m[3 + 2 * r] = residual(2 * r + 1, inner, outer);
            if r + 1 < RESIDUALS || plan.shape.planes {
                accumulate(level, outer, x);
            } else {
                add_into(level, x, outer, out);
            }
        }
        if plan.shape.planes {
            to_planes(&plan.after(), x, out);
        }
        m
    }

    /// The first convolution; its norm's moments where it has one.
    fn first(&self, images: Images<'_>, i: usize, scratch: &mut Scratch) -> Moments {
        let (plan, level) = (self.plan, self.plan.level);
        let extra = &self.parameters[plan.parts.first_extra.clone()];
        let input = &mut scratch.input;
        let (bias, m, largest) = match images {
            Images::Frames(frames) => {
                frame_into(plan.large.grid(), frames, i, input);
                (extra, Moments::default(), 1.0)
            }
            Images::Blocks(all) => {
                let from = block_image(&plan.large, all, i);
                let m = level.run(moments(from));
                let largest = affine_into(level, plan.large.grid(), from, m, extra, input);
                (&[][..], m, largest)
            }
        };
        let (input, then) = (Input { values: input, largest }, Finish { bias, relu: true });
        let workers = Workers { level, parts: self.parts };
        convolve(workers, &plan.large, input, &self.weights.first, then, &mut scratch.unpooled);
        m
    }
}

/// Image `i` of all those in blocks.
pub(super) fn block_image<'a>(source: &Source, all: &'a [f32], i: usize) -> &'a [f32] {
    let len = Grid { border: 0, ..*source.grid() }.len();
    &all[i * len..][..len]
}

/// i / 255 for every byte.
static LEVELS: [f32; 256] = {
    let mut levels = [0.0; 256];
    let mut i = 0;
    while i < 256 {
        levels[i] = i as f32 / 255.0;
        i += 1;
    }
    levels
};

/// Frame `i` into a bordered image of three channels.
pub(super) fn frame_into(grid: &Grid, frames: &[u8], i: usize, to: &mut [f32]) {
    let line = grid.w * 3;
    for (y, bytes) in frames[i * grid.h * line..][..grid.h * line].chunks_exact(line).enumerate() {
        let to = &mut to[((y + 1) * grid.row() + 1) * 3..][..line];
        to.iter_mut().zip(bytes).for_each(|(t, b)| *t = LEVELS[usize::from(*b)]);
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
pub(super) fn from_planes(grid: &Grid, from: &[f32], to: &mut [f32]) {
    let pixels = grid.h * grid.w;
    for (from, block) in from.chunks_exact(pixels * BLOCK).zip(to.chunks_exact_mut(pixels * BLOCK)) {
        for (c, plane) in from.chunks_exact(pixels).enumerate() {
            block[c..].iter_mut().step_by(BLOCK).zip(plane).for_each(|(t, f)| *t = *f);
        }
    }
}
