//! Over all parameters in one launch: the squares of their gradients summed, and Adam's step.

use candle_core::{DType, Device, Result, Tensor};

use super::backend::{Buffer, Span};
use super::kernels::Kernel;
use crate::ops::AdamStep;

const FILE: &str = "parameters";
/// Values a block takes; the same number as in the kernels.
const CHUNK: usize = 1 << 14;

/// One parameter's part in a step.
pub(crate) struct Update<'a> {
    pub(crate) parameter: &'a Tensor,
    pub(crate) grad: &'a Tensor,
    /// Mean and square, see [`moments`].
    pub(crate) moments: (&'a Tensor, &'a Tensor),
    pub(crate) step: AdamStep,
}

/// Moments of zero for a parameter, each in memory of its own, which [`adam`] changes in place.
pub(crate) fn moments(parameter: &Tensor) -> Result<(Tensor, Tensor)> {
    let zero = || Tensor::zeros(parameter.shape(), DType::F32, parameter.device());
    Ok((zero()?, zero()?))
}

/// Which tensor and which chunk of it each block takes, u32 `[blocks, 2]`.
fn chunks(lengths: impl Iterator<Item = usize>, device: &Device) -> Result<(Tensor, usize)> {
    let mut chunks = Vec::new();
    for (tensor, length) in lengths.enumerate() {
        chunks.extend((0..length.div_ceil(CHUNK)).flat_map(|chunk| [tensor as u32, chunk as u32]));
    }
    let blocks = chunks.len() / 2;
    Ok((Tensor::from_vec(chunks, (blocks, 2), device)?, blocks))
}

/// Σ x² over all values of all tensors, in f64 and always in the same order; not finite where any value is not.
pub(crate) fn sum_of_squares(tensors: &[&Tensor]) -> Result<f64> {
    let Some(first) = tensors.first() else { return Ok(0.0) };
    let device = first.device();
    let tensors = tensors.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
    let mut places = Vec::new();
    for tensor in &tensors {
        let span = Span::of(tensor)?;
        places.extend([0, span.address as i64, 0, 0, span.count() as i64]);
    }
    let places = Tensor::from_vec(places, (tensors.len(), 5), device)?;
    let (chunks, blocks) = chunks(tensors.iter().map(Tensor::elem_count), device)?;
    let sums = Buffer::new(device, DType::F64, blocks)?;
    let kernel = Kernel::new(FILE, "squares").span(&Span::of(&places)?).span(&Span::of(&chunks)?);
    kernel.span(&sums.span()?).blocks(device, [blocks, 1, 1])?;
    Ok(sums.into_tensor().to_vec1::<f64>()?.into_iter().sum())
}

/// Steps all parameters, in place, and their moments.
pub(crate) fn adam(updates: &[Update<'_>]) -> Result<()> {
    let Some(first) = updates.first() else { return Ok(()) };
    let device = first.parameter.device();
    let gradients = updates.iter().map(|u| u.grad.contiguous()).collect::<Result<Vec<_>>>()?;
    let (mut places, mut numbers) = (Vec::new(), Vec::new());
    for (update, grad) in updates.iter().zip(&gradients) {
        let count = update.parameter.elem_count();
        if grad.elem_count() != count {
            candle_core::bail!("adam: gradient of {} values for a parameter of {count}", grad.elem_count());
        }
        for tensor in [update.parameter, grad, update.moments.0, update.moments.1] {
            places.push(Span::of(tensor)?.address as i64);
        }
        places.push(count as i64);
        let s = update.step;
        numbers.extend([s.grad_scale, s.beta1, s.beta2, s.step_size]);
        numbers.extend([s.root_scale, s.eps, s.coupled_decay, s.shrink]);
    }
    let places = Tensor::from_vec(places, (updates.len(), 5), device)?;
    let numbers = Tensor::from_vec(numbers, (updates.len(), 8), device)?;
    let (chunks, blocks) = chunks(updates.iter().map(|u| u.parameter.elem_count()), device)?;
    let kernel = Kernel::new(FILE, "adam").span(&Span::of(&places)?).span(&Span::of(&chunks)?);
    kernel.span(&Span::of(&numbers)?).blocks(device, [blocks, 1, 1])
}
