//! The pretrained policy of the KL term: frozen weights, and a recurrent state per slot that follows the slot's stream.
//!
//! Its state is computed here and never sent. States live in a store with a byte cap, the least recently used go first.
//! After a gap (an unroll that was dropped or evicted, a new slot in mid-episode) the state starts empty, and the KL of
//! the next `maxlen` steps is masked and counted, or until an episode starts, from where it is exact again.

mod saved;

use std::collections::HashMap;

use candle_core::Tensor;
use vpt_policy::{Parameters, Policy, PolicyConfig, RecurrentState};

use crate::checkpoint::Weights;
use crate::compute::Compute;
use crate::error::LearnerError;
use crate::experience::{Experience, SlotKey, stack};
use crate::metrics;

/// Unrolls of one forward pass.
const BATCH_UNROLLS: usize = 16;

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

#[derive(Clone)]
struct Stream {
    state: RecurrentState,
    next_sequence: u64,
    /// Steps still to be masked.
    masked_left: usize,
    /// When it was used last.
    touched: u64,
}

/// Frozen weights and the streams they follow.
pub(crate) struct FrozenPolicy {
    policy: Policy,
    config: PolicyConfig,
    compute: Compute,
    streams: HashMap<SlotKey, Stream>,
    max_streams: usize,
    clock: u64,
    /// Steps masked so far.
    pub(crate) masked_steps: u64,
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
        let max_streams = (max_bytes / row_bytes.max(1)).max(1);
        Ok(Self { policy, config, compute, streams: HashMap::new(), max_streams, clock: 0, masked_steps: 0 })
    }

    /// The frozen network.
    pub(crate) fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Follows every unroll's slot and returns what the frozen policy says, in the order given.
    pub(crate) fn follow(&mut self, unrolls: &[Experience]) -> Result<Vec<FrozenOutput>, LearnerError> {
        let mut outputs: Vec<Option<FrozenOutput>> = vec![None; unrolls.len()];
        for round in rounds(unrolls) {
            for indices in round.chunks(BATCH_UNROLLS) {
                self.follow_batch(unrolls, indices, &mut outputs)?;
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("rounds cover every unroll")).collect())
    }

    /// One forward pass over unrolls of different slots.
    fn follow_batch(
        &mut self,
        unrolls: &[Experience],
        indices: &[usize],
        outputs: &mut [Option<FrozenOutput>],
    ) -> Result<(), LearnerError> {
        let batch: Vec<&Experience> = indices.iter().map(|&i| &unrolls[i]).collect();
        let mut streams = Vec::with_capacity(batch.len());
        for unroll in &batch {
            streams.push(self.take_stream(unroll)?);
        }
        let state = RecurrentState::cat(&streams.iter().map(|stream| &stream.state).collect::<Vec<_>>())?;
        let (sequences, _) = stack(&batch, self.config.image_size, &self.compute.device)?;
        let output = self.policy.forward(&sequences.frames, &sequences.is_first, &state)?;
        for (row, mut stream) in streams.into_iter().enumerate() {
            let unroll = batch[row];
            let mask = mask(&mut stream.masked_left, &unroll.is_first);
            let masked = mask.iter().filter(|&&kept| kept == 0.0).count() as u64;
            self.masked_steps += masked;
            metrics::kl_masked_steps(masked);
            outputs[indices[row]] = Some(FrozenOutput {
                buttons_logits: output.buttons_logits.get(row)?.detach(),
                camera_logits: output.camera_logits.get(row)?.detach(),
                mask,
            });
            stream.state = output.state.row(row)?;
            stream.next_sequence = unroll.sequence + 1;
            self.store(unroll.slot.clone(), stream);
        }
        Ok(())
    }

    fn take_stream(&mut self, unroll: &Experience) -> Result<Stream, LearnerError> {
        match self.streams.remove(&unroll.slot) {
            Some(stream) if stream.next_sequence == unroll.sequence => Ok(stream),
            _ => Ok(Stream {
                state: RecurrentState::initial(&self.config, 1, &self.compute.device)?,
                next_sequence: unroll.sequence,
                masked_left: self.config.maxlen(),
                touched: 0,
            }),
        }
    }

    fn store(&mut self, slot: SlotKey, mut stream: Stream) {
        self.clock += 1;
        stream.touched = self.clock;
        self.streams.insert(slot, stream);
        while self.streams.len() > self.max_streams {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.touched);
            let Some(slot) = oldest.map(|(slot, _)| slot.clone()) else { return };
            self.streams.remove(&slot);
        }
    }
}

/// Groups unrolls so that no group has two of one slot and every slot's come in sequence order.
fn rounds(unrolls: &[Experience]) -> Vec<Vec<usize>> {
    let mut by_slot: HashMap<&SlotKey, Vec<usize>> = HashMap::new();
    for (i, unroll) in unrolls.iter().enumerate() {
        by_slot.entry(&unroll.slot).or_default().push(i);
    }
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for indices in by_slot.values_mut() {
        indices.sort_by_key(|&i| unrolls[i].sequence);
        for (round, &i) in indices.iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(i);
        }
    }
    // Hash maps iterate in any order; batches must not depend on it.
    for round in &mut rounds {
        round.sort_unstable();
    }
    rounds
}

/// Per step 1 where the state is exact; an episode's start ends the masking.
fn mask(masked_left: &mut usize, is_first: &[u8]) -> Vec<f32> {
    let step = |&first: &u8| {
        if first != 0 {
            *masked_left = 0;
        }
        let masked = *masked_left > 0;
        *masked_left = masked_left.saturating_sub(1);
        f32::from(u8::from(!masked))
    };
    is_first.iter().map(step).collect()
}

#[cfg(test)]
mod tests;
