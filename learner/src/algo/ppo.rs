//! The policy phase's losses: PPO's clipped surrogate and the value regression.
//!
//! Schulman et al. 2017 (arXiv 1707.06347), equation 7, in the form of openai/phasic-policy-gradient
//! `ppo.py:compute_losses`: the value loss has no inner 0.5 and no clipping.

use candle_core::{Result, Tensor};

/// Statistics of one minibatch's probability ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RatioStatistics {
    /// `0.5 * mean((log p_new - log p_old)^2)`, in nats.
    pub approx_kl: f64,
    /// Share of steps whose ratio lies outside `1 +- clip`.
    pub clip_fraction: f64,
    /// Smallest ratio.
    pub ratio_min: f64,
    /// Largest ratio.
    pub ratio_max: f64,
}

/// The surrogate's value, which tracks gradients, and its statistics.
#[derive(Clone, Debug)]
pub struct PolicyLoss {
    /// Scalar to minimise.
    pub loss: Tensor,
    /// Of the ratios behind it.
    pub statistics: RatioStatistics,
}

/// Returns `mean(max(-A r, -A clip(r, 1 - clip, 1 + clip)))` with `r = exp(log_prob - behaviour_log_prob)`, all `[N]`;
/// `clip = 0` switches clipping off.
///
/// # Errors
/// When shapes disagree or the device fails.
pub fn policy_loss(
    log_prob: &Tensor,
    behaviour_log_prob: &Tensor,
    advantages: &Tensor,
    clip: f64,
) -> Result<PolicyLoss> {
    let log_ratio = (log_prob - behaviour_log_prob)?;
    let ratio = log_ratio.exp()?;
    let negative_advantages = advantages.neg()?;
    let plain = (&negative_advantages * &ratio)?;
    let surrogate = if clip > 0.0 {
        let clipped = ratio.clamp(1.0 - clip, 1.0 + clip)?;
        plain.maximum(&(&negative_advantages * clipped)?)?
    } else {
        plain
    };
    Ok(PolicyLoss { loss: surrogate.mean_all()?, statistics: ratio_statistics(&log_ratio, clip)? })
}

fn ratio_statistics(log_ratio: &Tensor, clip: f64) -> Result<RatioStatistics> {
    let log_ratios: Vec<f32> = log_ratio.detach().flatten_all()?.to_vec1()?;
    let count = log_ratios.len().max(1) as f64;
    let mut statistics =
        RatioStatistics { ratio_min: f64::INFINITY, ratio_max: f64::NEG_INFINITY, ..Default::default() };
    for log_ratio in log_ratios.into_iter().map(f64::from) {
        let ratio = log_ratio.exp();
        statistics.approx_kl += 0.5 * log_ratio * log_ratio / count;
        statistics.clip_fraction += f64::from(u8::from((ratio - 1.0).abs() > clip)) / count;
        statistics.ratio_min = statistics.ratio_min.min(ratio);
        statistics.ratio_max = statistics.ratio_max.max(ratio);
    }
    Ok(statistics)
}

/// Returns `value_coef * mean((value - normalized_target)^2)`, both `[N]` in normalised space.
///
/// # Errors
/// When shapes disagree or the device fails.
pub fn value_loss(value: &Tensor, normalized_targets: &Tensor, value_coef: f64) -> Result<Tensor> {
    (value - normalized_targets)?.sqr()?.mean_all()? * value_coef
}

/// Returns `-entropy_coef * mean(entropy)`, `entropy` `[N]` in nats, summed over heads.
///
/// # Errors
/// When the device fails.
pub fn entropy_bonus(entropy: &Tensor, entropy_coef: f64) -> Result<Tensor> {
    entropy.mean_all()? * -entropy_coef
}

/// Share of the targets' variance that the values explain, `1 - Var(target - value) / Var(target)`; 0 when the
/// targets are constant.
#[must_use]
pub fn explained_variance(values: &[f32], targets: &[f32]) -> f64 {
    let variance = |numbers: &mut dyn Iterator<Item = f64>| {
        let numbers: Vec<f64> = numbers.collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
        numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / numbers.len().max(1) as f64
    };
    let of_targets = variance(&mut targets.iter().map(|&t| f64::from(t)));
    if of_targets <= f64::EPSILON {
        return 0.0;
    }
    let of_errors = variance(&mut targets.iter().zip(values).map(|(t, v)| f64::from(*t) - f64::from(*v)));
    1.0 - of_errors / of_targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn clipped_steps_that_would_gain_more_have_no_gradient() {
        let new = Var::new(&[0.5f32, 0.5, -0.5, 0.0], &Device::Cpu).unwrap();
        let old = Tensor::zeros(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let advantages = Tensor::new(&[1.0f32, -1.0, -1.0, 2.0], &Device::Cpu).unwrap();
        let loss = policy_loss(new.as_tensor(), &old, &advantages, 0.2).unwrap();
        let gradients = loss.loss.backward().unwrap();
        let gradient: Vec<f32> = gradients.get(new.as_tensor()).unwrap().to_vec1().unwrap();
        assert_eq!(gradient[0], 0.0, "ratio above the clip and a positive advantage");
        assert!((gradient[1] - 0.5f32.exp() / 4.0).abs() < 1e-6, "a worsening step is never clipped");
        assert_eq!(gradient[2], 0.0, "ratio below the clip and a negative advantage");
        assert!((gradient[3] + 0.5).abs() < 1e-6, "at ratio one the full gradient flows");
        assert!((loss.statistics.clip_fraction - 0.75).abs() < 1e-9);
        assert!((loss.statistics.ratio_max - 0.5f64.exp()).abs() < 1e-6);
    }

    #[test]
    fn explained_variance_is_one_for_exact_values_and_zero_for_constants() {
        assert!((explained_variance(&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert!(explained_variance(&[3.0, 3.0, 3.0], &[1.0, 2.0, 4.0]).abs() < 1e-12);
        assert_eq!(explained_variance(&[1.0], &[2.0]), 0.0);
    }
}
