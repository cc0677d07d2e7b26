//! Categorical distributions: the two heads are independent, so log-probabilities, entropies and divergences of an
//! action are the sums over its heads.

use candle_core::Tensor;

use crate::error::{PolicyError, Result};
use crate::ops;
use crate::rng::CounterRng;

/// One draw from a head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The class.
    pub index: u32,
    /// Its log-probability under the distribution drawn from.
    pub log_prob: f32,
}

/// ln p(index) of each row: logits [N, C], index u32 [N] to [N]. Differentiable.
///
/// # Errors
/// Shapes that do not agree, or an index outside the classes.
pub fn log_prob(logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    Ok(ops::log_prob(logits, index)?)
}

/// -Σ p ln p of each row: logits [N, C] to [N]. Differentiable.
///
/// # Errors
/// Logits that are not a matrix.
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    Ok(ops::entropy(logits)?)
}

/// KL(p ‖ q) = Σ p (ln p - ln q) of each row: logits [N, C] twice to [N]. Differentiable in both.
///
/// # Errors
/// Shapes that do not agree.
pub fn kl(p_logits: &Tensor, q_logits: &Tensor) -> Result<Tensor> {
    Ok(ops::kl(p_logits, q_logits)?)
}

/// Draws a class from softmax(`logits` / `temperature`) with one uniform number; `log_prob` is that distribution's.
///
/// # Errors
/// A logit that is not a number or +∞, no finite logit at all, or a temperature that is not positive.
pub fn sample(logits: &[f32], temperature: f32, rng: &mut CounterRng) -> Result<Sample> {
    if !temperature.is_finite() || temperature <= 0.0 {
        return Err(PolicyError::NotFinite { what: "a positive sampling temperature" });
    }
    let (_, max) = largest(logits)?;
    let scale = temperature.recip();
    let mut cumulative = Vec::with_capacity(logits.len());
    let mut total = 0f64;
    for &logit in logits {
        total += f64::from(((logit - max) * scale).exp());
        cumulative.push(total);
    }
    let threshold = rng.uniform_f64() * total;
    // The first class whose cumulative weight exceeds the threshold has positive weight itself.
    let index = cumulative.partition_point(|&sum| sum <= threshold).min(logits.len() - 1);
    let log_prob = f64::from((logits[index] - max) * scale) - total.ln();
    Ok(Sample { index: index as u32, log_prob: log_prob as f32 })
}

/// The most probable class (the first of equals) and its log-probability at temperature 1.
///
/// # Errors
/// A logit that is not a number or +∞, or no finite logit at all.
pub fn greedy(logits: &[f32]) -> Result<Sample> {
    let (index, max) = largest(logits)?;
    let total: f64 = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum();
    Ok(Sample { index: index as u32, log_prob: -total.ln() as f32 })
}

fn largest(logits: &[f32]) -> Result<(usize, f32)> {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return Err(PolicyError::NotFinite { what: "a logit" });
        }
        if logit > best.1 {
            best = (i, logit);
        }
    }
    if best.1.is_finite() { Ok(best) } else { Err(PolicyError::NotFinite { what: "the largest logit" }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(logits: &[f32], temperature: f32) -> Vec<f64> {
        let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    #[test]
    fn draws_follow_the_tempered_distribution() {
        let logits = [0.0f32, 1.0, -2.0, 2.5, f32::NEG_INFINITY];
        for temperature in [1.0f32, 0.5, 3.0] {
            let expected = probabilities(&logits, temperature);
            let mut counts = [0f64; 5];
            let n = 40_000;
            for i in 0..n {
                let drawn = sample(&logits, temperature, &mut CounterRng::new(&[9, i])).unwrap();
                counts[drawn.index as usize] += 1.0;
                assert!((f64::from(drawn.log_prob) - expected[drawn.index as usize].ln()).abs() < 1e-5);
            }
            for (count, p) in counts.iter().zip(&expected) {
                let deviation = (p * (1.0 - p) / n as f64).sqrt();
                assert!((count / n as f64 - p).abs() <= 4.5 * deviation, "{count} {p}");
            }
            assert_eq!(counts[4], 0.0);
        }
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        let drawn = greedy(&[1.0, 3.0, 3.0, -1.0]).unwrap();
        assert_eq!(drawn.index, 1);
        let expected = probabilities(&[1.0, 3.0, 3.0, -1.0], 1.0)[1].ln();
        assert!((f64::from(drawn.log_prob) - expected).abs() < 1e-6);
    }

    #[test]
    fn extreme_logits_are_exact_and_broken_ones_refused() {
        let mut rng = CounterRng::new(&[1]);
        let sure = sample(&[-1e4, 1e4, 0.0], 1.0, &mut rng).unwrap();
        assert_eq!((sure.index, sure.log_prob), (1, 0.0));
        for bad in [&[0.0, f32::NAN][..], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY], &[]] {
            assert!(sample(bad, 1.0, &mut rng).is_err() && greedy(bad).is_err(), "{bad:?}");
        }
        for temperature in [0.0, -1.0, f32::NAN] {
            assert!(sample(&[0.0], temperature, &mut rng).is_err());
        }
    }
}
