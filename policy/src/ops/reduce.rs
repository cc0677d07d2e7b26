//! Whole-tensor questions asked of gradients.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::storage::View;

/// Values a task takes; fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// Σ x² of all values of all tensors, in f64.
pub(crate) fn sum_of_squares(tensors: &[&Tensor]) -> Result<f64> {
    if tensors.first().is_some_and(|first| cuda::takes(first)) {
        return cuda::sum_of_squares(tensors);
    }
    let mut sum = 0.0;
    for tensor in tensors {
        sum += sum_of_one(tensor)?;
    }
    Ok(sum)
}

/// Whether no value of any tensor is infinite or NaN.
pub(crate) fn all_finite(tensors: &[&Tensor]) -> Result<bool> {
    if tensors.first().is_some_and(|first| cuda::takes(first)) {
        // A square of a finite f32 is finite in f64.
        return Ok(cuda::sum_of_squares(tensors)?.is_finite());
    }
    for tensor in tensors {
        if !one_is_finite(tensor)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sum_of_one(x: &Tensor) -> Result<f64> {
    let x = x.contiguous()?;
    let values = View::<f32>::new(&x)?;
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            // Eight sums at once, so that the additions do not wait for one another.
            let mut sums = [0.0f64; 8];
            for group in chunk.chunks(8) {
                for (s, v) in sums.iter_mut().zip(group) {
                    *s += f64::from(*v) * f64::from(*v);
                }
            }
            sums.iter().sum()
        })
        .collect();
    Ok(parts.iter().sum())
}

fn one_is_finite(x: &Tensor) -> Result<bool> {
    let x = x.contiguous()?;
    let values = View::<f32>::new(&x)?;
    Ok(values.par_chunks(CHUNK).all(|chunk| chunk.iter().fold(true, |ok, v| ok & v.is_finite())))
}
