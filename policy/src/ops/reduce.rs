//! Whole-tensor questions asked of gradients.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::storage::View;

/// Values a task takes; fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// Σ x² in f64.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<f64> {
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

/// Whether no value is infinite or NaN.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    let x = x.contiguous()?;
    let values = View::<f32>::new(&x)?;
    Ok(values.par_chunks(CHUNK).all(|chunk| chunk.iter().fold(true, |ok, v| ok & v.is_finite())))
}
