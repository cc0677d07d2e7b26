//! Running mean and variance of the value targets (`NormalizeEwma` of the reference): the value heads predict in the
//! normalised space.
//!
//! With b = 0.99999: m ← b m + (1-b) mean(x), s ← b s + (1-b) mean(x²), c ← b c + (1-b); then
//! mean = m / max(c, 1e-5), variance = max(s / max(c, 1e-5) - mean², 0.01).

use serde::{Deserialize, Serialize};

const BETA: f64 = 0.99999;
const EPSILON: f64 = 1e-5;
const MIN_VARIANCE: f64 = 0.01;

/// The statistics as the weights file holds them: rounded to f32 after each update, so that a file restores them
/// exactly.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ValueNormalizer {
    /// Biased running mean of the targets.
    pub running_mean: f64,
    /// Biased running mean of the squared targets.
    pub running_mean_sq: f64,
    /// Total weight of the updates so far, which removes the bias towards zero.
    pub debiasing_term: f64,
}

impl ValueNormalizer {
    /// Mean and standard deviation of the targets.
    #[must_use]
    pub fn mean_std(&self) -> (f64, f64) {
        let weight = self.debiasing_term.max(EPSILON);
        let mean = self.running_mean / weight;
        let variance = (self.running_mean_sq / weight - mean * mean).max(MIN_VARIANCE);
        (mean, variance.sqrt())
    }

    /// From returns to the space the heads predict in.
    #[must_use]
    pub fn normalize(&self, value: f32) -> f32 {
        let (mean, std) = self.mean_std();
        ((f64::from(value) - mean) / std) as f32
    }

    /// From a head's output to returns.
    #[must_use]
    pub fn denormalize(&self, value: f32) -> f32 {
        let (mean, std) = self.mean_std();
        (f64::from(value) * std + mean) as f32
    }

    /// Takes in one minibatch of value targets (denormalised); an empty one changes nothing.
    pub fn update(&mut self, targets: &[f32]) {
        self.update_sums(TargetSums::of(targets));
    }

    /// Takes in one minibatch of which only the sums are at hand, as when its parts lie on several machines.
    pub fn update_sums(&mut self, sums: TargetSums) {
        if sums.count == 0.0 {
            return;
        }
        self.running_mean = blend(self.running_mean, sums.sum / sums.count);
        self.running_mean_sq = blend(self.running_mean_sq, sums.sum_sq / sums.count);
        self.debiasing_term = blend(self.debiasing_term, 1.0);
    }
}

/// All that the normaliser needs to know of a minibatch's targets; those of its parts add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetSums {
    /// How many.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_sq: f64,
}

impl TargetSums {
    /// Of these targets.
    #[must_use]
    pub fn of(targets: &[f32]) -> Self {
        Self {
            count: targets.len() as f64,
            sum: targets.iter().map(|&x| f64::from(x)).sum(),
            sum_sq: targets.iter().map(|&x| f64::from(x) * f64::from(x)).sum(),
        }
    }
}

fn blend(old: f64, new: f64) -> f64 {
    f64::from((BETA * old + (1.0 - BETA) * new) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_normalizer_after_one_update_has_that_batchs_moments() {
        let mut normalizer = ValueNormalizer::default();
        normalizer.update(&[1.0, 3.0, 5.0, 7.0]);
        let (mean, std) = normalizer.mean_std();
        assert!((mean - 4.0).abs() < 1e-5 && (std - 5.0f64.sqrt()).abs() < 1e-5, "{mean} {std}");
        assert!((normalizer.normalize(4.0)).abs() < 1e-5);
        let there_and_back = normalizer.denormalize(normalizer.normalize(-2.5));
        assert!((there_and_back + 2.5).abs() < 1e-5);
    }

    #[test]
    fn variance_has_a_floor_and_nothing_seen_is_finite() {
        assert_eq!(ValueNormalizer::default().mean_std(), (0.0, 0.1));
        let mut constant = ValueNormalizer::default();
        constant.update(&[0.5; 16]);
        assert!((constant.mean_std().1 - 0.1).abs() < 1e-9);
        let before = constant;
        constant.update(&[]);
        assert_eq!(constant, before);
    }

    #[test]
    fn five_updates_match_the_reference() {
        // (mean, standard deviation) of each batch; then running mean, its square and the debiased moments.
        let batches = [
            (0.176_775_18, 0.936_292_7),
            (3.238_405_6, 1.664_159_3),
            (6.992_551, 3.035_511),
            (8.996_222, 3.249_096_2),
            (13.839_067, 4.683_494),
        ];
        let mut normalizer = ValueNormalizer::default();
        for (mean, std) in batches {
            normalizer.update(&[mean - std, mean + std]);
        }
        let close = |actual: f64, expected: f64| assert!((actual / expected - 1.0).abs() < 1e-5, "{actual}");
        close(normalizer.running_mean, 0.000_332_426_861_86);
        close(normalizer.running_mean_sq, 0.003_772_156_778_7);
        close(normalizer.debiasing_term, 4.999_899_829e-5);
        close(normalizer.mean_std().0, 6.648_670_673);
        close(normalizer.mean_std().1, 31.239_826_202f64.sqrt());
    }

    #[test]
    fn many_updates_track_the_mean_and_survive_f32() {
        let mut normalizer = ValueNormalizer::default();
        for i in 0..5000 {
            normalizer.update(&[2.0 + (i % 2) as f32]);
        }
        assert!((normalizer.mean_std().0 - 2.5).abs() < 1e-2);
        assert_eq!(f64::from(normalizer.running_mean as f32), normalizer.running_mean);
    }
}
