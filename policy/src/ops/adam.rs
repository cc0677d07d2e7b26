//! Adam's update of one tensor in a single pass over parameter, gradient and both moments.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use rayon::prelude::*;
use std::sync::Mutex;

use super::simd::{Kernel, Level, Simd};
use super::storage::View;

/// Values a task takes.
const CHUNK: usize = 1 << 14;

/// The numbers of one step, bias correction worked in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    /// What the gradient is multiplied with first.
    pub(crate) grad_scale: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// lr / (1 - beta1^t).
    pub(crate) step_size: f32,
    /// 1 / sqrt(1 - beta2^t).
    pub(crate) root_scale: f32,
    pub(crate) eps: f32,
    /// What is added to the gradient per unit of the parameter.
    pub(crate) coupled_decay: f32,
    /// What the parameter is multiplied with before the step: 1 - lr * decay.
    pub(crate) shrink: f32,
}

/// Updates `parameter` in place, and its moments.
pub(crate) fn adam_update(
    parameter: &Tensor,
    grad: &Tensor,
    moments: (&mut [f32], &mut [f32]),
    step: AdamStep,
) -> Result<()> {
    let grad = grad.contiguous()?;
    let grad = View::<f32>::new(&grad)?;
    if grad.len() != moments.0.len() || grad.len() != moments.1.len() || grad.len() != parameter.elem_count()
    {
        candle_core::bail!(
            "adam: gradient of {} values for a parameter of {}",
            grad.len(),
            parameter.elem_count()
        );
    }
    let update = Update { level: Level::best(), grad: &grad, moments: Mutex::new(moments), step };
    parameter.inplace_op1(&update)
}

struct Update<'a> {
    level: Level,
    grad: &'a [f32],
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    step: AdamStep,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (Some((start, end)), CpuStorage::F32(values)) = (layout.contiguous_offsets(), storage) else {
            candle_core::bail!("adam: parameters must be contiguous f32")
        };
        let mut moments = self.moments.lock().expect("no task panics while holding the moments");
        let (first, second) = &mut *moments;
        values[start..end]
            .par_chunks_mut(CHUNK)
            .zip(self.grad.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .for_each(|(((p, g), m), v)| self.level.run(Chunk { p, g, m, v, step: self.step }));
        Ok(())
    }
}

struct Chunk<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    step: AdamStep,
}

impl Kernel for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let c = self.step;
        // Plain arithmetic, which the compiler vectorises for the instruction set `run` was called with.
        for (((p, g), m), v) in self.p.iter_mut().zip(self.g).zip(self.m).zip(self.v) {
            let g = g * c.grad_scale + c.coupled_decay * *p;
            *m = c.beta1 * *m + (1.0 - c.beta1) * g;
            *v = c.beta2 * *v + (1.0 - c.beta2) * g * g;
            *p = *p * c.shrink - c.step_size * *m / (v.sqrt() * c.root_scale + c.eps);
        }
    }
}
