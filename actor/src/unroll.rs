//! Collects T steps of one slot into an unroll.
//!
//! Time order: frame t and its decision first ([`UnrollBuilder::decide`]), then what came of the action
//! ([`UnrollBuilder::settle`]); frame T contributes only its value and `is_first`. An unroll may span episodes.

use crate::acting_policy::Decision;
use crate::config::StateMode;
use crate::encoded_unroll::EncodedUnroll;
use crate::env_slot::{EpisodeTotals, Outcome};
use crate::version::Version;
use vpt_policy::RawLayerState;
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::envserver::v1::Observation;
use vpt_proto::learner::v1::{EpisodeEnd, LayerState, Unroll, UnrollEvent};
use vpt_proto::limits::UNROLL_FORMAT_VERSION;
use vpt_proto::{frame_codec, tensor};
use vpt_runtime::traces::Trace;

/// Events a step may carry; an envserver that sends more is cut, for the learner would refuse the unroll.
const EVENTS_PER_STEP: usize = 64;

/// T steps of one slot in the making.
#[derive(Debug)]
pub(crate) struct UnrollBuilder {
    length: usize,
    episode_start: u64,
    frames: Vec<u8>,
    unroll: Unroll,
    trace: Trace,
}

/// What an unroll is tagged with.
#[derive(Debug, Clone)]
pub(crate) struct Tags {
    pub(crate) actor: ActorIdentity,
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
    pub(crate) version: Version,
    pub(crate) oldest_memory: Version,
}

/// The step after the last one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bootstrap {
    /// V(frame T) under the version that acted, denormalised.
    pub(crate) value: f32,
    pub(crate) is_first: bool,
}

/// A full unroll whose frames and state are yet to be packed.
#[derive(Debug)]
pub(crate) struct FinishedUnroll {
    unroll: Unroll,
    frames: Vec<u8>,
    frame_side: usize,
    trace: Trace,
}

impl UnrollBuilder {
    /// An empty unroll of `length` steps; the episode in memory began at the group's step `episode_start`.
    pub(crate) fn new(length: usize, frame_len: usize, episode_start: u64) -> Self {
        let frames = Vec::with_capacity(length * frame_len);
        let (unroll, trace) = (Unroll::default(), Trace::default());
        Self { length, episode_start, frames, unroll, trace }
    }

    /// The same, traced.
    pub(crate) fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// What is noted about it.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The group's step at which the episode began whose memory frame 0 is inferred with.
    pub(crate) fn episode_start(&self) -> u64 {
        self.episode_start
    }

    /// Env steps taken so far.
    pub(crate) fn steps(&self) -> usize {
        self.unroll.reward.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.steps() == self.length
    }

    /// Appends frame t, its action and its value.
    pub(crate) fn decide(&mut self, observation: &Observation, decision: &Decision, value: f32) {
        debug_assert!(self.unroll.buttons.len() == self.steps() && !self.is_full());
        self.frames.extend_from_slice(&observation.frame);
        self.unroll.is_first.push(observation.is_first);
        self.unroll.buttons.push(decision.action.buttons);
        self.unroll.camera.push(decision.action.camera);
        self.unroll.buttons_log_prob.push(decision.buttons_log_prob);
        self.unroll.camera_log_prob.push(decision.camera_log_prob);
        self.unroll.value.push(value);
    }

    /// Appends what came of action t; `truncation_value` is V(final frame) when it truncated the episode.
    pub(crate) fn settle(&mut self, outcome: &Outcome, truncation_value: Option<f32>) {
        let step = self.steps() as u32;
        debug_assert_eq!(self.unroll.buttons.len(), self.steps() + 1);
        debug_assert_eq!(outcome.truncated, truncation_value.is_some());
        let unroll = &mut self.unroll;
        unroll.reward.push(outcome.reward);
        unroll.terminated.push(outcome.terminated);
        unroll.truncated.push(outcome.truncated);
        unroll.truncation_value.extend(truncation_value);
        unroll.events.extend(outcome.events.iter().take(EVENTS_PER_STEP).map(|event| UnrollEvent {
            step,
            kind: event.kind as u32,
            item: event.item.clone(),
            quantity: event.quantity,
            reward: event.reward,
        }));
        if let Some(ended) = outcome.ended.as_ref().filter(|ended| !ended.shortened) {
            let EpisodeTotals { episode_return, length, items } = ended.totals.clone();
            unroll.episode_ends.push(EpisodeEnd {
                step,
                episode_return: episode_return as f32,
                episode_length: length,
                terminated: outcome.terminated,
                items: items.into_iter().collect(),
            });
        }
    }

    /// Completes a full unroll.
    pub(crate) fn finish(self, bootstrap: Bootstrap, tags: Tags, frame_side: usize) -> FinishedUnroll {
        debug_assert!(self.is_full());
        tags.note_in(&self.trace);
        let mut unroll = self.unroll;
        unroll.traceparent = self.trace.traceparent();
        unroll.format_version = UNROLL_FORMAT_VERSION;
        unroll.actor = Some(tags.actor);
        unroll.slot = tags.slot;
        unroll.sequence = tags.sequence;
        unroll.policy_version = Some(tags.version.into());
        unroll.oldest_memory_version = Some(tags.oldest_memory.into());
        unroll.length = self.length as u32;
        unroll.frame_height = frame_side as u32;
        unroll.frame_width = frame_side as u32;
        unroll.bootstrap_value = bootstrap.value;
        unroll.bootstrap_is_first = bootstrap.is_first;
        FinishedUnroll { unroll, frames: self.frames, frame_side, trace: self.trace }
    }
}

impl FinishedUnroll {
    /// Packs frames and the state before frame 0 and encodes the message; a millisecond's work, not for async code.
    pub(crate) fn encode(mut self, state: &[RawLayerState], width: usize, mode: StateMode) -> EncodedUnroll {
        let frame_len = self.frame_side * self.frame_side * 3;
        let (codec, frames) = frame_codec::encode(self.frames.into(), frame_len);
        self.unroll.frame_codec = codec.into();
        self.unroll.state = state.iter().map(|layer| wire_state(layer, width, mode)).collect();
        self.trace.lap("pack");
        EncodedUnroll::new(&self.unroll, frames).traced(self.trace)
    }
}

impl Tags {
    fn note_in(&self, trace: &Trace) {
        if trace.is_on() {
            trace.note("vpt.actor_id", self.actor.actor_id.as_str());
            trace.note("vpt.slot", u64::from(self.slot));
            trace.note("vpt.sequence", self.sequence);
            trace.note("vpt.policy_version", self.version.to_string());
        }
    }
}

fn wire_state(layer: &RawLayerState, width: usize, mode: StateMode) -> LayerState {
    let rows = layer.mask.len();
    let pack = |values: &[f32]| match mode {
        StateMode::FullF32 => tensor::from_f32(&[rows, width], values),
        StateMode::FullBf16 => tensor::from_f32_as_bf16(&[rows, width], values),
    };
    LayerState {
        mask: Some(tensor::from_u8(&[rows], layer.mask.clone())),
        keys: Some(pack(&layer.keys)),
        values: Some(pack(&layer.values)),
    }
}

#[cfg(test)]
mod tests;
