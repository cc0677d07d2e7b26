//! A stack that only acts: its weights are packed once, for the precision it multiplies in, and nothing is kept of an
//! image.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Result, Tensor};

use super::forward::{Forward, Images, Results, Scratch};
use super::plan::{Plan, Weights};
use super::{KEPT, StackShape};
use crate::ops::simd::Level;
use crate::ops::storage::{View, tensor, written};
use crate::ops::tasks::each;
use crate::precision::Precision;

/// A frozen stack, without gradients; otherwise as [`impala_stack`](super::impala_stack).
pub struct PackedStack {
    plan: Plan,
    parameters: Vec<f32>,
    weights: Weights,
    /// Buffers of calls that have ended, for those to come.
    scratch: Mutex<Vec<(Scratch, Vec<f32>)>>,
}

impl std::fmt::Debug for PackedStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedStack").field("shape", &self.plan.shape).finish_non_exhaustive()
    }
}

impl PackedStack {
    /// Packs parameters as [`impala_stack`](super::impala_stack) takes them. Images of odd sizes and the first
    /// convolution of frames (a sixtieth of the published networks' work) are multiplied in f32 whatever the precision.
    ///
    /// # Errors
    /// Sizes that no stack has, and parameters that do not fit them.
    pub fn new(parameters: &[&Tensor], shape: StackShape, precision: Precision) -> Result<Self> {
        Self::at(Level::best(), parameters, shape, precision)
    }

    pub(crate) fn at(
        level: Level,
        parameters: &[&Tensor],
        shape: StackShape,
        precision: Precision,
    ) -> Result<Self> {
        let plan = Plan::new(level, shape)?;
        let parameters = plan.flat(parameters)?.to_vec1::<f32>()?;
        let weights = plan.weights(&parameters, precision);
        Ok(Self { plan, parameters, weights, scratch: Mutex::default() })
    }

    /// Images as [`impala_stack`](super::impala_stack) takes them, to what it gives. An image's result does not depend on
    /// the others of its call nor on the number of threads.
    ///
    /// # Errors
    /// Images that do not fit the stack.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.plan.check(x)?;
        let x = x.contiguous()?;
        let (n, len) = (x.dim(0)?, self.plan.after().len());
        let (frames, blocks);
        let images = if x.dtype() == DType::U8 {
            frames = View::<u8>::new(&x)?;
            Images::Frames(&frames)
        } else {
            blocks = View::<f32>::new(&x)?;
            Images::Blocks(&blocks)
        };
        // Few images do not keep all threads busy: then these share each image.
        let threads = rayon::current_num_threads();
        let parts = if n < 2 * threads { threads } else { 1 };
        let Self { plan, parameters, weights, .. } = self;
        let job = Forward { plan, parameters, weights, parts };
        let tasks = if parts > 1 { 1 } else { n.min(4 * threads) };
        // SAFETY: every task writes the results of its own images, all of them.
        let out = unsafe {
            written(n * len, |out| {
                each(tasks, usize::MAX, |task| {
                    let (mut scratch, mut kept) = self.take();
                    for i in task * n / tasks..(task + 1) * n / tasks {
                        let out = std::slice::from_raw_parts_mut(out.at(i * len), len);
                        job.image((images, i), &mut scratch, Results { kept: &mut kept, argmax: None, out });
                    }
                    self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push((scratch, kept));
                });
            })
        };
        tensor(out, self.plan.output_shape(n))
    }

    fn take(&self) -> (Scratch, Vec<f32>) {
        let waiting = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.unwrap_or_else(|| (Scratch::new(&self.plan), vec![0.0; KEPT * self.plan.after().len()]))
    }
}
