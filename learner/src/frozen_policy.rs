//! The pretrained policy of the KL term: frozen weights, and a recurrent state per slot that follows the slot's stream.
//!
//! Its state is computed here and never sent. States live in a store with a byte cap, the least recently used go first.
//! After a gap (an unroll that was dropped or evicted, a new slot in mid-episode) the state starts empty, and the KL of the
//! next steps is masked and counted until nothing from before the gap could be seen, or an episode starts: from there on
//! it is exact again.

mod saved;
mod streams;

use candle_core::Tensor;
use vpt_policy::{Parameters, Policy, PolicyConfig, RecurrentState};

use crate::checkpoint::Weights;
use crate::compute::Compute;
use crate::error::LearnerError;
use crate::experience::{Experience, stack};
use crate::metrics;
use streams::{Advance, SlotStreams, StreamNetwork};

/// What the frozen policy says about one unroll.
#[derive(Clone, Debug)]
pub(crate) struct FrozenOutput {
    /// f32 `[T, 8641]`.
    pub(crate) buttons_logits: Tensor,
    /// f32 `[T, 121]`.
    pub(crate) camera_logits: Tensor,
    /// `[T]`, 0 where its state is not to be trusted.
    pub(crate) mask: Vec<f32>,
}

/// Frozen weights and the streams they follow.
pub(crate) struct FrozenPolicy {
    network: Network,
    streams: SlotStreams<RecurrentState>,
    /// Steps masked so far.
    pub(crate) masked_steps: u64,
}

struct Network {
    policy: Policy,
    config: PolicyConfig,
    compute: Compute,
}

impl FrozenPolicy {
    /// A frozen policy of `weights`, whose network is `fallback` where the weights do not say; its states take at most
    /// `max_bytes`.
    pub(crate) fn new(
        compute: Compute,
        weights: &Weights,
        fallback: &PolicyConfig,
        max_bytes: usize,
    ) -> Result<Self, LearnerError> {
        let config = weights.config.clone().unwrap_or_else(|| fallback.clone());
        let device = &compute.device;
        let parameters = Parameters::from_safetensors(&weights.parameters, &config, false, device)?;
        let policy = compute.policy(&config, &parameters)?;
        let row_bytes = config.n_recurrence_layers * config.maxlen() * (8 * config.hidsize + 1);
        let streams = SlotStreams::new(max_bytes / row_bytes.max(1));
        Ok(Self { network: Network { policy, config, compute }, streams, masked_steps: 0 })
    }

    /// The frozen network.
    pub(crate) fn config(&self) -> &PolicyConfig {
        &self.network.config
    }

    /// Follows every unroll's slot and returns what the frozen policy says, in the order given.
    pub(crate) fn follow(&mut self, unrolls: &[Experience]) -> Result<Vec<FrozenOutput>, LearnerError> {
        let outputs = self.streams.follow(&self.network, unrolls)?;
        let masked: u64 =
            outputs.iter().map(|(_, mask)| mask.iter().filter(|&&kept| kept == 0.0).count() as u64).sum();
        self.masked_steps += masked;
        metrics::kl_masked_steps(masked);
        let outputs = outputs.into_iter().map(|((buttons_logits, camera_logits), mask)| FrozenOutput {
            buttons_logits,
            camera_logits,
            mask,
        });
        Ok(outputs.collect())
    }
}

impl StreamNetwork for Network {
    type State = RecurrentState;
    /// Logits of buttons and camera.
    type Output = (Tensor, Tensor);

    fn initial(&self) -> Result<RecurrentState, LearnerError> {
        Ok(RecurrentState::initial(&self.config, 1, &self.compute.device)?)
    }

    fn steps_seen_before(&self) -> usize {
        // Each layer sees the outputs of the one below for the `maxlen - 1` steps before.
        self.config.n_recurrence_layers * self.config.maxlen().saturating_sub(1)
    }

    fn forward(
        &self,
        unrolls: &[&Experience],
        states: &[&RecurrentState],
    ) -> Result<Vec<Advance<Self>>, LearnerError> {
        let state = RecurrentState::cat(states)?;
        let (sequences, _) = stack(unrolls, self.config.image_size, &self.compute.device)?;
        let output = self.policy.forward(&sequences.frames, &sequences.is_first, &state)?;
        let row = |row: usize| {
            let logits = (output.buttons_logits.get(row)?.detach(), output.camera_logits.get(row)?.detach());
            Ok((logits, output.state.row(row)?))
        };
        (0..unrolls.len()).map(row).collect()
    }
}

#[cfg(test)]
mod tests;
