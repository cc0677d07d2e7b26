//! How far a policy phase moved the policy: the exact KL from the policy before the phase to the one after it, over the
//! steps of one unroll.

use candle_core::Tensor;
use vpt_policy::distribution;

use crate::batch::{FlatOutput, scalar};
use crate::error::LearnerError;
use crate::experience::{Experience, stack};
use crate::training::Trainer;

/// The policy before the phase on one unroll.
pub(super) struct Anchor {
    /// Index of the unroll.
    unroll: usize,
    buttons_logits: Tensor,
    camera_logits: Tensor,
}

impl Anchor {
    /// Remembers what `output` says about the first of its unrolls, `unroll`, of `steps` steps.
    pub(super) fn new(output: &FlatOutput, unroll: usize, steps: usize) -> Result<Self, LearnerError> {
        // In their own storage: views would keep the minibatch's logits for the whole phase.
        let own = |logits: &Tensor| logits.detach().narrow(0, 0, steps)?.force_contiguous();
        Ok(Self {
            unroll,
            buttons_logits: own(&output.buttons_logits)?,
            camera_logits: own(&output.camera_logits)?,
        })
    }

    /// Mean KL(before || now) in nats, both heads summed; costs a forward pass over the unroll.
    pub(super) fn kl(&self, trainer: &Trainer, unrolls: &[Experience]) -> Result<f64, LearnerError> {
        let (batch, state) =
            stack(&[&unrolls[self.unroll]], trainer.config.image_size, &trainer.compute.device)?;
        let output = trainer.policy.forward(&batch.frames, &batch.is_first, &state)?;
        let output = FlatOutput::new(output)?;
        let buttons = distribution::kl(&self.buttons_logits, &output.buttons_logits.detach())?;
        let camera = distribution::kl(&self.camera_logits, &output.camera_logits.detach())?;
        scalar(&(buttons + camera)?.mean_all()?)
    }
}
