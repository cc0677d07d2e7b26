//! Advantages of a whole batch to zero mean and unit variance.
//!
//! As openai/phasic-policy-gradient does over all segments of a policy phase (not per minibatch):
//! `(A - mean) / (sqrt(E[A^2] - E[A]^2) + 1e-8)`.

use std::convert::Infallible;

/// Advantages of a batch as they come out of the estimator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdvantageStatistics {
    /// Mean.
    pub mean: f64,
    /// Standard deviation over the batch.
    pub std: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// Looks at every advantage of every unroll; zeros for an empty batch.
#[must_use]
pub fn advantage_statistics(advantages: &[f32]) -> AdvantageStatistics {
    if advantages.is_empty() {
        return AdvantageStatistics::default();
    }
    let all = || advantages.iter().map(|&a| f64::from(a));
    let count = advantages.len() as f64;
    let mean = all().sum::<f64>() / count;
    let variance = all().map(|a| (a - mean).powi(2)).sum::<f64>() / count;
    let (min, max) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), a| (min.min(a), max.max(a)));
    AdvantageStatistics { mean, std: variance.sqrt(), min, max }
}

/// Normalises in place over every advantage of every unroll; a constant batch becomes zeros.
pub fn normalize_advantages(advantages: &mut [Vec<f32>]) {
    let Ok(()) = normalize_advantages_over(advantages, |_| Ok::<(), Infallible>(()));
}

/// The same over a batch of which `advantages` are a part: `sum` replaces numbers by their sums over all parts.
///
/// # Errors
/// What `sum` fails with; the advantages are then as they were.
pub fn normalize_advantages_over<E>(
    advantages: &mut [Vec<f32>],
    mut sum: impl FnMut(&mut [f64]) -> Result<(), E>,
) -> Result<(), E> {
    let all = || advantages.iter().flatten().map(|&a| f64::from(a));
    let mut moments = [advantages.iter().map(Vec::len).sum::<usize>() as f64, all().sum::<f64>()];
    sum(&mut moments)?;
    let [count, total] = moments;
    let mean = total / count;
    // Two passes: E[A^2] - E[A]^2 in one pass loses digits when the mean is large.
    let mut squares = [all().map(|a| (a - mean).powi(2)).sum::<f64>()];
    sum(&mut squares)?;
    let scale = 1.0 / ((squares[0] / count).sqrt() + 1e-8);
    for advantage in advantages.iter_mut().flatten() {
        *advantage = ((f64::from(*advantage) - mean) * scale) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_whole_batch() {
        let expected = AdvantageStatistics { mean: 3.0, std: 3.5f64.sqrt(), min: 1.0, max: 6.0 };
        assert_eq!(advantage_statistics(&[1.0, 2.0, 3.0, 6.0]), expected);
        assert_eq!(advantage_statistics(&[]), AdvantageStatistics::default());
    }

    #[test]
    fn mean_and_variance_are_taken_over_the_whole_batch() {
        let mut batch = vec![vec![1.0, 2.0], vec![3.0, 6.0]];
        normalize_advantages(&mut batch);
        let flat: Vec<f32> = batch.concat();
        assert!(flat.iter().sum::<f32>().abs() < 1e-6);
        assert!((flat.iter().map(|a| a * a).sum::<f32>() / 4.0 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn constant_and_empty_batches_are_harmless() {
        let mut batch = vec![vec![2.5; 4]];
        normalize_advantages(&mut batch);
        assert_eq!(batch, vec![vec![0.0; 4]]);
        normalize_advantages(&mut []);
    }
}
