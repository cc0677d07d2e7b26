//! A whole stack of the image network as one operation, for channels in multiples of 16: convolution, ReLU, pool, norm,
//! and the residual blocks `x + relu(conv(norm(relu(conv(norm(x))))))`.
//!
//! One image at a time goes through all of it, in caches, as blocks of 16 channels. For the backward only what cannot
//! be had cheaply again is kept: the pooled image and the results of the residual blocks' convolutions.

mod backward;
mod forward;
mod grid;
mod kernels;
mod norm_gradient;
mod packed;
mod plan;
mod winograd;

pub use self::packed::PackedStack;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use self::forward::{Forward, Images, Results, Scratch};
pub(super) use self::plan::Parts;
use self::plan::Plan;
use super::cuda;
use super::norm::Moments;
use super::simd::Level;
use super::storage::{Reused, SharedMut, slice, written};
use super::tasks::each;
use crate::precision::Precision;

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
    let plan = Plan::new(level, shape)?;
    plan.check(x)?;
    let flat = plan.flat(parameters)?;
    if cuda::takes(x) {
        return cuda::stack(x, &flat, shape, plan.parts);
    }
    let save = x.track_op() || flat.track_op();
    x.contiguous()?.apply_op2(&flat, StackOp { plan, save, saved: OnceLock::new() })
}

/// What the backward needs, of every image.
struct Saved {
    /// `KEPT` images each.
    kept: Option<Reused>,
    argmax: Vec<u8>,
    moments: Vec<[Moments; NORMS]>,
}

struct StackOp {
    plan: Plan,
    save: bool,
    saved: OnceLock<Saved>,
}

impl StackOp {
    fn forward(&self, images: Images<'_>, parameters: &[f32], n: usize) -> Vec<f32> {
        let len = self.plan.after().len();
        let weights = self.plan.weights(parameters, Precision::F32);
        let job = Forward { plan: &self.plan, parameters, weights: &weights, parts: 1 };
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
                        let mut scratch = Scratch::new(&self.plan);
                        let mut own = vec![0.0; if self.save { 0 } else { KEPT * len }];
                        for i in task * images_each..((task + 1) * images_each).min(n) {
                            let (kept, argmax) = match kept {
                                Some((k, a)) => (
                                    std::slice::from_raw_parts_mut(k.at(i * KEPT * len), KEPT * len),
                                    Some(std::slice::from_raw_parts_mut(a.at(i * len), len)),
                                ),
                                None => (&mut own[..], None),
                            };
                            let out = std::slice::from_raw_parts_mut(out.at(i * len), len);
                            let m = job.image((images, i), &mut scratch, Results { kept, argmax, out });
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
        let out = self.forward(images, slice(p, pl)?, n);
        Ok((CpuStorage::F32(out), self.plan.output_shape(n)))
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
