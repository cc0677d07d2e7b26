//! Behavioural cloning: negative log-likelihood of recorded actions.
//!
//! VPT (arXiv 2206.11795), equation 1. Null actions are dropped from the data as in the paper; in a recurrent stream
//! that is done by leaving them out of the loss while the network still sees their frames, since taking frames out
//! would show the network motion that never happens when it acts.

use candle_core::{Result, Tensor};

/// Returns `-mean(log_prob)` over the steps that `mask` `[N]` (f32, 0 or 1) keeps; `log_prob` `[N]` is summed over both
/// heads.
///
/// # Errors
/// When shapes disagree or the device fails.
pub fn bc_loss(log_prob: &Tensor, mask: &Tensor) -> Result<Tensor> {
    super::masked_mean(log_prob, mask)?.neg()
}

#[cfg(test)]
mod tests {
    use super::bc_loss;
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn masked_steps_have_no_gradient() {
        let log_prob = Var::new(&[-1.0f32, -2.0, -6.0], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[1.0f32, 0.0, 1.0], &Device::Cpu).unwrap();
        let loss = bc_loss(log_prob.as_tensor(), &mask).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 3.5);
        let gradient = loss.backward().unwrap().get(log_prob.as_tensor()).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, [-0.5, 0.0, -0.5]);
    }
}
