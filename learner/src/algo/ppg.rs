//! The auxiliary phase's losses.
//!
//! Cobbe et al. 2021 (arXiv 2009.04416), equation 3, in the form of openai/phasic-policy-gradient `ppg.py`: the trunk
//! learns the value through the auxiliary head while a KL to the policy before the phase holds the policy in place,
//! and the true value head keeps regressing. Each squared error carries an inner 0.5.

use candle_core::{Result, Tensor};

/// Weights of the auxiliary phase's terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuxCoefficients {
    /// Of the auxiliary head's `0.5 * mean squared error`.
    pub aux_value: f64,
    /// Of the true head's `0.5 * mean squared error`.
    pub true_value: f64,
    /// Of the KL from the policy before the phase.
    pub beta_clone: f64,
}

/// What one minibatch of the auxiliary phase looks at, `[N]` each.
#[derive(Clone, Copy, Debug)]
pub struct AuxInput<'a> {
    /// True head, normalised.
    pub value: &'a Tensor,
    /// Auxiliary head, normalised.
    pub aux_value: &'a Tensor,
    /// Targets computed in the policy phase, normalised with the current statistics.
    pub normalized_targets: &'a Tensor,
    /// KL(old || new) in nats, summed over heads.
    pub clone_kl: &'a Tensor,
}

/// The terms before their coefficients, and the weighted total that tracks gradients.
#[derive(Clone, Debug)]
pub struct AuxLoss {
    /// Scalar to minimise.
    pub loss: Tensor,
    /// `0.5 * mean((aux_value - target)^2)`.
    pub aux_value: Tensor,
    /// `0.5 * mean((value - target)^2)`.
    pub true_value: Tensor,
    /// `mean(KL(old || new))`.
    pub clone_kl: Tensor,
}

/// Returns `aux_value * L_aux + true_value * L_true + beta_clone * mean(KL)`.
///
/// # Errors
/// When shapes disagree or the device fails.
pub fn aux_loss(input: AuxInput<'_>, coefficients: AuxCoefficients) -> Result<AuxLoss> {
    let half_squared = |value: &Tensor| (value - input.normalized_targets)?.sqr()?.mean_all()? * 0.5;
    let aux_value = half_squared(input.aux_value)?;
    let true_value = half_squared(input.value)?;
    let clone_kl = input.clone_kl.mean_all()?;
    let loss = (((&aux_value * coefficients.aux_value)? + (&true_value * coefficients.true_value)?)?
        + (&clone_kl * coefficients.beta_clone)?)?;
    Ok(AuxLoss { loss, aux_value, true_value, clone_kl })
}
