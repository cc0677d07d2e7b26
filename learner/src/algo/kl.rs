//! The penalty that keeps the policy near the pretrained one.
//!
//! VPT (arXiv 2206.11795), section 4.4 and appendix G: `L = rho * KL(pretrained || current)`, summed over both heads,
//! with `rho` decaying by a constant factor per iteration. It replaces PPO's entropy bonus.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Which of the two policies the expectation is taken under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// KL(pretrained || current), the paper's.
    #[default]
    PretrainedToCurrent,
    /// KL(current || pretrained).
    CurrentToPretrained,
}

/// The penalty's weight at policy phase `iteration` (from 0): `coef * decay^iteration`.
#[must_use]
pub fn kl_coefficient(coef: f64, decay: f64, iteration: u64) -> f64 {
    coef * decay.powf(iteration as f64)
}

/// Mean of the per-step KL `[N]` (nats, summed over heads) over the steps that `mask` `[N]` (f32, 0 or 1) keeps.
///
/// Steps are masked where the pretrained policy's own recurrent state is not yet as long as its memory.
///
/// # Errors
/// When shapes disagree or the device fails.
pub fn mean_kl(per_step: &Tensor, mask: &Tensor) -> Result<Tensor> {
    super::masked_mean(per_step, mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn coefficient_decays_geometrically() {
        assert_eq!(kl_coefficient(0.2, 0.9995, 0), 0.2);
        assert!((kl_coefficient(0.2, 0.9995, 1386) - 0.1).abs() < 1e-4);
    }

    #[test]
    fn masked_steps_do_not_count() {
        let kl = Tensor::new(&[1.0f32, 5.0, 3.0], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[1.0f32, 0.0, 1.0], &Device::Cpu).unwrap();
        assert_eq!(mean_kl(&kl, &mask).unwrap().to_scalar::<f32>().unwrap(), 2.0);
        let none = mask.zeros_like().unwrap();
        assert_eq!(mean_kl(&kl, &none).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}
