//! What an unroll must look like to be let in: checked once, on arrival, so that the training thread can rely on it.

use std::time::Instant;

use prost::Message;
use serde::{Deserialize, Serialize};
use vpt_policy::{PolicyConfig, action};
use vpt_proto::common::v1::Tensor;
use vpt_proto::learner::v1::{LayerState, Unroll};
use vpt_proto::limits::{MAX_UNROLL_BYTES, UNROLL_FORMAT_VERSION};
use vpt_proto::{frame_codec, tensor};
use vpt_runtime::traces::{self, SpanId, Trace};

use crate::error::LearnerError;
use crate::ledger::ActorKey;
use crate::metrics;
use crate::queue::ReceivedUnroll;
use crate::version::Version;

/// Log-probabilities may exceed zero by rounding, not more.
const LOG_PROB_SLACK: f32 = 1e-3;

/// Item and stat events a step may bring.
const EVENTS_PER_STEP: usize = 64;

/// Different items an episode may list.
const ITEMS_PER_EPISODE: usize = 256;

/// Bytes of an item's name.
const ITEM_NAME_BYTES: usize = 64;

/// Who and what is let in, and how much of it (section `learner.admission`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Unrolls older (or newer) than this many published versions at consumption are dropped.
    pub max_staleness: u64,
    /// Unrolls the queue holds; also the number of credits.
    pub queue_unrolls: usize,
    /// Memory of the unrolls the queue holds, unpacked, in bytes: where they are large it holds fewer.
    pub queue_bytes: u64,
    /// Credits one actor may hold at a time; never more than two a slot or half the queue.
    pub credits_per_actor: usize,
    /// Largest encoded unroll, in bytes; at most 256 MiB.
    pub max_unroll_bytes: u64,
    /// Actors that may be connected at a time.
    pub max_actors: usize,
    /// Env slots an actor may announce.
    pub max_slots_per_actor: u32,
    /// How long a new stream may take to say who it is.
    pub hello_timeout_seconds: f64,
    /// How long an unroll may take from its first chunk to its last.
    pub unroll_timeout_seconds: f64,
    /// How long a stream may stay silent; actors report every few seconds.
    pub idle_timeout_seconds: f64,
    /// How long an actor may be without a stream before what it holds is counted as lost and its process refused.
    pub lease_seconds: f64,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            max_staleness: 4,
            queue_unrolls: 64,
            queue_bytes: 4 << 30,
            credits_per_actor: 64,
            max_unroll_bytes: 64 << 20,
            max_actors: 1024,
            max_slots_per_actor: 1024,
            hello_timeout_seconds: 10.0,
            unroll_timeout_seconds: 120.0,
            idle_timeout_seconds: 30.0,
            lease_seconds: 300.0,
        }
    }
}

impl AdmissionConfig {
    /// These settings with as many places in the queue as unrolls of `spec` fit into `queue_bytes`.
    ///
    /// # Errors
    /// When not even one fits.
    pub(crate) fn within_bytes(&self, spec: &UnrollSpec) -> Result<Self, LearnerError> {
        let places = usize::try_from(self.queue_bytes / spec.memory_bytes().max(1)).unwrap_or(usize::MAX);
        if places == 0 {
            let reason = format!("must be at least {}, the size of one unroll", spec.memory_bytes());
            return Err(LearnerError::Config { key: "admission.queue_bytes", reason });
        }
        if places < self.queue_unrolls {
            tracing::info!(
                places,
                unrolls = self.queue_unrolls,
                "learner.admission.queue_bytes bounds the queue"
            );
        }
        Ok(Self { queue_unrolls: self.queue_unrolls.min(places), ..self.clone() })
    }

    /// Checks that the numbers can work.
    ///
    /// # Errors
    /// The first key that cannot.
    pub fn validate(&self) -> Result<(), LearnerError> {
        let fail = |key, reason: &str| Err(LearnerError::Config { key, reason: reason.to_owned() });
        if self.queue_unrolls == 0 || self.queue_unrolls > 1 << 20 {
            return fail("admission.queue_unrolls", "must be 1 to 1048576");
        }
        if self.credits_per_actor == 0 {
            return fail("admission.credits_per_actor", "must be at least 1, or nothing is ever sent");
        }
        if self.max_unroll_bytes == 0 || self.max_unroll_bytes > MAX_UNROLL_BYTES {
            return fail("admission.max_unroll_bytes", "must be 1 to 268435456");
        }
        if self.max_actors == 0 || self.max_slots_per_actor == 0 {
            return fail("admission.max_actors", "must be at least 1, as max_slots_per_actor");
        }
        for (key, seconds) in [
            ("admission.hello_timeout_seconds", self.hello_timeout_seconds),
            ("admission.unroll_timeout_seconds", self.unroll_timeout_seconds),
            ("admission.idle_timeout_seconds", self.idle_timeout_seconds),
            ("admission.lease_seconds", self.lease_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= 86400.0) {
                return fail(key, "must be more than 0 and at most 86400");
            }
        }
        Ok(())
    }
}

/// Recurrent state of one layer as it travels: a mask `[memory]` and keys and values `[memory, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSpec {
    /// Transformer layers.
    pub layers: usize,
    /// Rows of memory.
    pub memory: usize,
    /// Numbers in a row.
    pub width: usize,
}

/// The unrolls this run takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrollSpec {
    /// T.
    pub unroll_length: usize,
    /// H.
    pub frame_height: usize,
    /// W.
    pub frame_width: usize,
    /// Joint button actions.
    pub buttons: u32,
    /// Joint camera actions.
    pub camera: u32,
    /// None when the learner carries the state itself and unrolls come without.
    pub state: Option<StateSpec>,
}

/// Why an unroll was not let in.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUnroll {
    /// Not an unroll message.
    #[error("does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Written by another build.
    #[error("format version {found}, this learner reads {UNROLL_FORMAT_VERSION}")]
    Format {
        /// What it says.
        found: u32,
    },
    /// Not the unroll the chunks and the stream announced.
    #[error("is of another {what} than its stream said")]
    Identity {
        /// Actor, slot or sequence.
        what: &'static str,
    },
    /// Acted by weights that were never published.
    #[error("policy version {found} lies after the newest one, {newest}")]
    Future {
        /// What it says.
        found: Version,
        /// The newest published.
        newest: Version,
    },
    /// A field has the wrong length.
    #[error("{field}: {found} entries, expected {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// A number that cannot be.
    #[error("{field}: value at {index} is out of range or not finite")]
    Value {
        /// The field.
        field: &'static str,
        /// Where.
        index: usize,
    },
    /// Frames that do not decode to `[T, H, W, 3]`.
    #[error("frames: {0}")]
    Frames(#[from] frame_codec::FrameCodecError),
    /// A recurrent state of another shape.
    #[error("state: {0}")]
    State(#[from] tensor::TensorError),
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
}

/// What the stream knows about an unroll before it is decoded.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) actor: ActorKey,
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
    /// The newest published version.
    pub(crate) newest: Version,
    /// When its first chunk came; none for one from the journal.
    pub(crate) since: Option<Instant>,
}

impl UnrollSpec {
    /// The unrolls of `unroll_length` steps that actors with this policy send; `state_travels` unless the learner
    /// carries the recurrent state itself.
    pub fn new(policy: &PolicyConfig, unroll_length: usize, state_travels: bool) -> Self {
        let (layers, memory, width) = (policy.n_recurrence_layers, policy.maxlen(), policy.hidsize);
        Self {
            unroll_length,
            frame_height: policy.image_size,
            frame_width: policy.image_size,
            buttons: action::BUTTONS as u32,
            camera: action::CAMERA as u32,
            state: state_travels.then_some(StateSpec { layers, memory, width }),
        }
    }

    /// Memory of an unroll's frames and recurrent state, unpacked, in bytes: what nearly all of it is.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let frames = self.unroll_length * self.frame_height * self.frame_width * 3;
        let state =
            self.state.as_ref().map_or(0, |state| state.layers * state.memory * (1 + 8 * state.width));
        (frames + state) as u64
    }

    /// Decodes and checks an encoded unroll, and unpacks its frames.
    pub(crate) fn admit(
        &self,
        encoded: bytes::Bytes,
        envelope: &Envelope,
    ) -> Result<ReceivedUnroll, InvalidUnroll> {
        let began = Instant::now();
        let mut unroll = Unroll::decode(encoded)?;
        // Taken out: nothing else looks at it, and it may be of any length.
        let trace = traced(&std::mem::take(&mut unroll.traceparent), envelope, began);
        if unroll.format_version != UNROLL_FORMAT_VERSION {
            return Err(InvalidUnroll::Format { found: unroll.format_version });
        }
        let version = check_identity(&unroll, envelope)?;
        self.check_steps(&unroll)?;
        self.check_extras(&unroll)?;
        self.check_state(&unroll.state)?;
        let frame_bytes = self.frame_height * self.frame_width * 3;
        let packed = std::mem::take(&mut unroll.frames);
        let unpacking = Instant::now();
        let frames_raw =
            frame_codec::decode_wire(unroll.frame_codec, &packed, frame_bytes, self.unroll_length)?;
        metrics::decoded(packed.len() as u64, frames_raw.len() as u64, unpacking.elapsed());
        trace.lap("decode");
        trace.lost("dropped");
        Ok(ReceivedUnroll { unroll, frames_raw, version, staleness: 0, trace })
    }

    /// Decodes and checks an encoded unroll as if its stream had announced what it says of itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn inspect(&self, encoded: bytes::Bytes) -> Result<(), InvalidUnroll> {
        let unroll = Unroll::decode(encoded.clone())?;
        let actor = unroll.actor.unwrap_or_default();
        let actor = ActorKey { actor_id: actor.actor_id, incarnation: actor.incarnation };
        let newest = Version::new(u32::MAX, u64::MAX);
        let (slot, sequence) = (unroll.slot, unroll.sequence);
        self.admit(encoded, &Envelope { actor, slot, sequence, newest, since: None }).map(drop)
    }

    fn check_steps(&self, unroll: &Unroll) -> Result<(), InvalidUnroll> {
        let steps = self.unroll_length;
        for (field, found, expected) in [
            ("length", unroll.length as usize, steps),
            ("frame_height", unroll.frame_height as usize, self.frame_height),
            ("frame_width", unroll.frame_width as usize, self.frame_width),
            ("buttons", unroll.buttons.len(), steps),
            ("camera", unroll.camera.len(), steps),
            ("buttons_log_prob", unroll.buttons_log_prob.len(), steps),
            ("camera_log_prob", unroll.camera_log_prob.len(), steps),
            ("value", unroll.value.len(), steps),
            ("reward", unroll.reward.len(), steps),
            ("is_first", unroll.is_first.len(), steps),
            ("terminated", unroll.terminated.len(), steps),
            ("truncated", unroll.truncated.len(), steps),
        ] {
            length(field, found, expected)?;
        }
        all("buttons", &unroll.buttons, |&index| index < self.buttons)?;
        all("camera", &unroll.camera, |&index| index < self.camera)?;
        let log_prob = |value: &f32| value.is_finite() && *value <= LOG_PROB_SLACK;
        all("buttons_log_prob", &unroll.buttons_log_prob, log_prob)?;
        all("camera_log_prob", &unroll.camera_log_prob, log_prob)?;
        all("value", &unroll.value, |value| value.is_finite())?;
        all("reward", &unroll.reward, |value| value.is_finite())?;
        // A frame is an episode's first exactly when the step before it ended one.
        let next_first = unroll.is_first.iter().skip(1).chain([&unroll.bootstrap_is_first]);
        let ends = unroll.terminated.iter().zip(&unroll.truncated);
        for (index, ((&terminated, &truncated), &next_first)) in ends.zip(next_first).enumerate() {
            if terminated && truncated || next_first != (terminated || truncated) {
                return Err(InvalidUnroll::Value { field: "is_first", index });
            }
        }
        Ok(())
    }

    fn check_extras(&self, unroll: &Unroll) -> Result<(), InvalidUnroll> {
        let steps = self.unroll_length;
        let truncations = unroll.truncated.iter().filter(|&&truncated| truncated).count();
        length("truncation_value", unroll.truncation_value.len(), truncations)?;
        all("truncation_value", &unroll.truncation_value, |value| value.is_finite())?;
        all("bootstrap_value", &[unroll.bootstrap_value], |value| value.is_finite())?;
        if unroll.events.len() > steps * EVENTS_PER_STEP {
            let (expected, found) = (steps * EVENTS_PER_STEP, unroll.events.len());
            return Err(InvalidUnroll::Length { field: "events", expected, found });
        }
        all("events", &unroll.events, |event| {
            (event.step as usize) < steps && event.item.len() <= ITEM_NAME_BYTES && event.reward.is_finite()
        })?;
        if unroll.episode_ends.len() > steps {
            let found = unroll.episode_ends.len();
            return Err(InvalidUnroll::Length { field: "episode_ends", expected: steps, found });
        }
        all("episode_ends", &unroll.episode_ends, |end| {
            (end.step as usize) < steps
                && end.episode_return.is_finite()
                && end.items.len() <= ITEMS_PER_EPISODE
                && end.items.keys().all(|item| item.len() <= ITEM_NAME_BYTES)
        })
    }

    fn check_state(&self, layers: &[LayerState]) -> Result<(), InvalidUnroll> {
        let Some(spec) = self.state else { return length("state", layers.len(), 0) };
        length("state", layers.len(), spec.layers)?;
        for layer in layers {
            let mask = tensor::to_u8(present("state.mask", layer.mask.as_ref())?, &[spec.memory])?;
            all("state.mask", &mask, |&flag| flag <= 1)?;
            for (field, rows) in [("state.keys", &layer.keys), ("state.values", &layer.values)] {
                let rows = tensor::to_f32(present(field, rows.as_ref())?, &[spec.memory, spec.width])?;
                all(field, &rows, |value| value.is_finite())?;
            }
        }
        Ok(())
    }
}

/// The learner's part of the trace of an unroll whose decoding `began`.
fn traced(traceparent: &str, envelope: &Envelope, began: Instant) -> Trace {
    let trace = traces::resume("learn", traceparent, envelope.since.unwrap_or(began));
    if envelope.since.is_some() {
        trace.lap_around(SpanId::fresh(), "receive", began);
    }
    trace.lost("invalid");
    trace
}

fn check_identity(unroll: &Unroll, envelope: &Envelope) -> Result<Version, InvalidUnroll> {
    let actor = unroll.actor.as_ref().ok_or(InvalidUnroll::Missing { field: "actor" })?;
    let what = if actor.actor_id != envelope.actor.actor_id || actor.incarnation != envelope.actor.incarnation
    {
        "actor"
    } else if unroll.slot != envelope.slot {
        "slot"
    } else if unroll.sequence != envelope.sequence {
        "sequence"
    } else {
        let version = unroll.policy_version.ok_or(InvalidUnroll::Missing { field: "policy_version" })?;
        let version = Version::from(version);
        let oldest = unroll.oldest_memory_version.map_or(version, Version::from);
        let found = version.max(oldest);
        if found > envelope.newest {
            return Err(InvalidUnroll::Future { found, newest: envelope.newest });
        }
        return Ok(version);
    };
    Err(InvalidUnroll::Identity { what })
}

fn length(field: &'static str, found: usize, expected: usize) -> Result<(), InvalidUnroll> {
    if found == expected { Ok(()) } else { Err(InvalidUnroll::Length { field, expected, found }) }
}

fn all<T>(field: &'static str, values: &[T], good: impl Fn(&T) -> bool) -> Result<(), InvalidUnroll> {
    match values.iter().position(|value| !good(value)) {
        None => Ok(()),
        Some(index) => Err(InvalidUnroll::Value { field, index }),
    }
}

fn present<'a>(field: &'static str, tensor: Option<&'a Tensor>) -> Result<&'a Tensor, InvalidUnroll> {
    tensor.ok_or(InvalidUnroll::Missing { field })
}

#[cfg(test)]
pub(crate) mod tests;
