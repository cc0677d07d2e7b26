//! An admitted unroll as training needs it: host arrays, its recurrent state, advantages and value targets.

use bytes::Bytes;
use candle_core::Device;
use vpt_policy::{PolicyConfig, RecurrentState};

use crate::algo::gae::{GaeConfig, GaeInput, compute_gae};
use crate::batch::{Sequence, SequenceBatch, state_from_wire};
use crate::error::LearnerError;
use crate::queue::ReceivedUnroll;

/// One slot of one actor process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotKey {
    pub(crate) actor_id: String,
    pub(crate) incarnation: u64,
    pub(crate) slot: u32,
}

/// One unroll, `[T, ...]` each.
#[derive(Clone, Debug)]
pub(crate) struct Experience {
    pub(crate) slot: SlotKey,
    pub(crate) sequence: u64,
    /// Published versions between the acting weights and those current at consumption.
    pub(crate) staleness: u64,
    pub(crate) frames: Bytes,
    pub(crate) is_first: Vec<u8>,
    pub(crate) buttons: Vec<u32>,
    pub(crate) camera: Vec<u32>,
    /// Both heads summed.
    pub(crate) behaviour_log_prob: Vec<f32>,
    /// Behaviour values, denormalised.
    pub(crate) values: Vec<f32>,
    pub(crate) rewards: Vec<f32>,
    /// Normalised over the batch once [`crate::policy_phase`] has seen it.
    pub(crate) advantages: Vec<f32>,
    /// Denormalised.
    pub(crate) value_targets: Vec<f32>,
    /// How episodes end inside, for estimating advantages anew.
    pub(crate) ends: EpisodeEnds,
    /// Passes of auxiliary phases over it.
    pub(crate) aux_uses: u64,
    /// Before the first frame, B = 1.
    pub(crate) state: RecurrentState,
}

/// Where the episodes of one unroll end and what follows, `[T]` each unless said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EpisodeEnds {
    is_first_next: Vec<bool>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    /// One for each truncated step.
    truncation_values: Vec<f32>,
    bootstrap_value: f32,
}

impl EpisodeEnds {
    fn input<'a>(&'a self, rewards: &'a [f32], values: &'a [f32]) -> GaeInput<'a> {
        GaeInput {
            rewards,
            values,
            is_first_next: &self.is_first_next,
            terminated: &self.terminated,
            truncated: &self.truncated,
            truncation_values: &self.truncation_values,
            bootstrap_value: self.bootstrap_value,
        }
    }
}

impl Experience {
    /// Takes an unroll apart and estimates its advantages.
    ///
    /// # Errors
    /// When its parts do not fit each other or the network, which admission rules out.
    pub(crate) fn new(
        received: ReceivedUnroll,
        config: &PolicyConfig,
        gae: GaeConfig,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let ReceivedUnroll { unroll, frames_raw, staleness, .. } = received;
        let is_first_next: Vec<bool> =
            unroll.is_first.iter().skip(1).copied().chain([unroll.bootstrap_is_first]).collect();
        let ends = EpisodeEnds {
            is_first_next,
            terminated: unroll.terminated,
            truncated: unroll.truncated,
            truncation_values: unroll.truncation_value,
            bootstrap_value: unroll.bootstrap_value,
        };
        let output = compute_gae(gae, ends.input(&unroll.reward, &unroll.value));
        let output = output.ok_or(LearnerError::UnrollShape)?;
        let actor = unroll.actor.unwrap_or_default();
        let heads = unroll.buttons_log_prob.iter().zip(&unroll.camera_log_prob);
        Ok(Self {
            slot: SlotKey { actor_id: actor.actor_id, incarnation: actor.incarnation, slot: unroll.slot },
            sequence: unroll.sequence,
            staleness,
            frames: frames_raw,
            is_first: unroll.is_first.iter().map(|&flag| u8::from(flag)).collect(),
            behaviour_log_prob: heads.map(|(buttons, camera)| buttons + camera).collect(),
            buttons: unroll.buttons,
            camera: unroll.camera,
            values: unroll.value,
            rewards: unroll.reward,
            advantages: output.advantages,
            value_targets: output.value_targets,
            ends,
            aux_uses: 0,
            state: state_from_wire(&unroll.state, config, device)?,
        })
    }

    /// What its advantages are estimated from.
    pub(crate) fn gae_input(&self) -> GaeInput<'_> {
        self.ends.input(&self.rewards, &self.values)
    }

    /// Env steps inside.
    pub(crate) fn steps(&self) -> usize {
        self.is_first.len()
    }
}

/// Several unrolls stacked, with the recurrent state before them.
pub(crate) fn stack(
    unrolls: &[&Experience],
    image_size: usize,
    device: &Device,
) -> Result<(SequenceBatch, RecurrentState), LearnerError> {
    let sequences: Vec<Sequence<'_>> = unrolls
        .iter()
        .map(|unroll| Sequence {
            frames: &unroll.frames,
            is_first: &unroll.is_first,
            buttons: &unroll.buttons,
            camera: &unroll.camera,
        })
        .collect();
    let states: Vec<&RecurrentState> = unrolls.iter().map(|unroll| &unroll.state).collect();
    Ok((SequenceBatch::new(&sequences, image_size, device)?, RecurrentState::cat(&states)?))
}

/// One field of several unrolls end to end, `[N]`.
pub(crate) fn concat<'a>(
    unrolls: &[&'a Experience],
    field: impl Fn(&'a Experience) -> &'a [f32],
) -> Vec<f32> {
    unrolls.iter().flat_map(|unroll| field(unroll)).copied().collect()
}
