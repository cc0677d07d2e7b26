//! Categorical distributions: the two heads are independent, so log-probabilities, entropies and divergences of an
//! action are the sums over its heads.

use std::borrow::Cow;

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

/// ln p(index) of each row: logits `[N, C]`, index u32 `[N]` to `[N]`. Differentiable.
///
/// # Errors
/// Shapes that do not agree, or an index outside the classes.
pub fn log_prob(logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    Ok(ops::log_prob(logits, index)?)
}

/// -Σ p ln p of each row: logits `[N, C]` to `[N]`. Differentiable.
///
/// # Errors
/// Logits that are not a matrix.
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    Ok(ops::entropy(logits)?)
}

/// KL(p ‖ q) = Σ p (ln p - ln q) of each row: logits `[N, C]` twice to `[N]`. Differentiable in both.
///
/// # Errors
/// Shapes that do not agree.
pub fn kl(p_logits: &Tensor, q_logits: &Tensor) -> Result<Tensor> {
    Ok(ops::kl(p_logits, q_logits)?)
}

/// Classes weighed at once when drawing: about the square root of the buttons head's.
const BLOCK: usize = 96;

/// Draws a class from softmax(`logits` / `temperature`) with one uniform number; `log_prob` is that distribution's.
///
/// # Errors
/// A logit that is not a number or +∞, no finite logit at all, or a temperature that is not positive.
pub fn sample(logits: &[f32], temperature: f32, rng: &mut CounterRng) -> Result<Sample> {
    if !temperature.is_finite() || temperature <= 0.0 {
        return Err(PolicyError::NotFinite { what: "a positive sampling temperature" });
    }
    check(logits)?;
    let scaled = if temperature == 1.0 {
        Cow::Borrowed(logits)
    } else {
        Cow::Owned(logits.iter().map(|x| x / temperature).collect::<Vec<_>>())
    };
    // Inverse CDF in two steps, so that only one block's classes are weighed one by one.
    let blocks = ops::log_sum_exp_rows(&scaled, BLOCK);
    let top = blocks.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
    // A block of -∞ alone comes out as not a number.
    let weight = |log: f32| if log.is_nan() { 0.0 } else { f64::from(log - top).exp() };
    let weights: Vec<f64> = blocks.iter().map(|&log| weight(log)).collect();
    let total: f64 = weights.iter().sum();
    let (block, rest) = pick(&weights, rng.uniform_f64() * total);
    let classes = &scaled[block * BLOCK..((block + 1) * BLOCK).min(scaled.len())];
    let inside: Vec<f64> = classes.iter().map(|&x| weight(x)).collect();
    let (class, _) = pick(&inside, rest / weights[block] * inside.iter().sum::<f64>());
    let log_prob = f64::from(classes[class] - top) - total.ln();
    Ok(Sample { index: (block * BLOCK + class) as u32, log_prob: log_prob as f32 })
}

/// The first place whose cumulative weight exceeds `threshold`, and what is left of the threshold there. Rounding may
/// leave a threshold above all weights: then the last place of positive weight.
fn pick(weights: &[f64], mut threshold: f64) -> (usize, f64) {
    let mut last = (0, 0.0);
    for (i, &weight) in weights.iter().enumerate() {
        if threshold < weight {
            return (i, threshold);
        }
        threshold -= weight;
        if weight > 0.0 {
            last = (i, weight);
        }
    }
    last
}

/// The most probable class (the first of equals) and its log-probability at temperature 1.
///
/// # Errors
/// A logit that is not a number or +∞, or no finite logit at all.
pub fn greedy(logits: &[f32]) -> Result<Sample> {
    check(logits)?;
    let mut best = 0;
    for (i, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = i;
        }
    }
    let log_prob = logits[best] - ops::log_sum_exp_rows(logits, logits.len())[0];
    Ok(Sample { index: best as u32, log_prob })
}

/// Refuses logits that no distribution has.
fn check(logits: &[f32]) -> Result<()> {
    // Without branches, which makes these two passes nearly free.
    let broken = logits.iter().fold(false, |broken, &x| broken | x.is_nan() | (x == f32::INFINITY));
    let possible = logits.iter().fold(false, |possible, &x| possible | (x > f32::NEG_INFINITY));
    match (broken, possible) {
        (false, true) => Ok(()),
        (true, _) => Err(PolicyError::NotFinite { what: "a logit" }),
        (_, false) => Err(PolicyError::NotFinite { what: "the largest logit" }),
    }
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
    fn draws_from_many_blocks_follow_the_distribution_too() {
        let mut rng = CounterRng::new(&[4]);
        let mut logits: Vec<f32> = (0..8641).map(|_| rng.normal_f32() * 3.0).collect();
        logits[..BLOCK].fill(f32::NEG_INFINITY);
        logits[8640] = 8.0;
        let expected = probabilities(&logits, 2.0);
        let n = 20_000;
        let mut by_remainder = [(0f64, 0f64); 7];
        for (i, p) in expected.iter().enumerate() {
            by_remainder[i % 7].1 += p;
        }
        let mut last = 0;
        for i in 0..n {
            let drawn = sample(&logits, 2.0, &mut CounterRng::new(&[8, i])).unwrap();
            let p = expected[drawn.index as usize];
            assert!((f64::from(drawn.log_prob) - p.ln()).abs() < 2e-5, "{drawn:?} {}", p.ln());
            by_remainder[drawn.index as usize % 7].0 += 1.0 / n as f64;
            last += u32::from(drawn.index == 8640);
        }
        for (share, p) in by_remainder.into_iter().chain([(f64::from(last) / n as f64, expected[8640])]) {
            assert!((share - p).abs() < 4.5 * (p * (1.0 - p) / n as f64).sqrt(), "{share} {p}");
        }
    }

    #[test]
    fn log_probabilities_agree_with_the_learners() {
        let mut rng = CounterRng::new(&[5]);
        let logits: Vec<f32> = (0..8641).map(|_| rng.normal_f32() * 4.0).collect();
        let device = candle_core::Device::Cpu;
        let tensor = Tensor::from_slice(&logits, (1, 8641), &device).unwrap();
        for drawn in [sample(&logits, 1.0, &mut rng).unwrap(), greedy(&logits).unwrap()] {
            let index = Tensor::new(&[drawn.index], &device).unwrap();
            let learner = log_prob(&tensor, &index).unwrap().to_vec1::<f32>().unwrap()[0];
            assert!((learner - drawn.log_prob).abs() < 1e-5, "{learner} {drawn:?}");
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
