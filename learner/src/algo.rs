//! The algorithms as pure functions: numbers in, losses and statistics out; no I/O, no state, no network.
//!
//! # Conventions
//! - Host arrays describe one unroll in time order, `[T]`; tensors are batch-major and flattened, `[N]` with
//!   `N = B * T`, and every loss is a mean over the steps its mask keeps.
//! - Time order is that of the wire: frame t with `is_first[t]`, action t, then reward t, terminated t and
//!   truncated t belong to that action.
//!
//! # Layout
//! - [`gae`]: advantages and value targets of one unroll
//! - [`advantage_norm`]: advantages of a whole batch to zero mean and unit variance
//! - [`ppo`]: clipped surrogate, value loss and the statistics that go with them
//! - [`ppg`]: the auxiliary phase's losses
//! - [`kl`]: the penalty that keeps the policy near the pretrained one
//! - [`vtrace`]: advantages and value targets of one unroll that older weights acted in
//! - [`bc`]: negative log-likelihood of recorded actions

pub mod advantage_norm;
pub mod bc;
pub mod gae;
pub mod kl;
pub mod ppg;
pub mod ppo;
pub mod vtrace;

use candle_core::{Result, Tensor};

/// Mean of `values` `[N]` over the steps where `mask` `[N]` (f32, 0 or 1) is 1; zero when it keeps none.
pub(crate) fn masked_mean(values: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let kept = f64::from(mask.sum_all()?.to_scalar::<f32>()?);
    (values * mask)?.sum_all()? / kept.max(1.0)
}
