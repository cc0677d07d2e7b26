//! The prost messages inside a shard file.

use super::RecordedStep;
use crate::envserver::v1::{HumanAction, ItemEvent};

/// Flag bits of a step.
const IS_FIRST: u32 = 1;
const TERMINATED: u32 = 2;
const TRUNCATED: u32 = 4;
const GUI_OPEN: u32 = 8;

/// At most `BLOCK_STEPS` steps of one episode.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Block {
    /// A `vpt.learner.v1.FrameCodec`.
    #[prost(int32, tag = "1")]
    pub(super) codec: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) frames: bytes::Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(super) steps: Vec<Step>,
}

/// A [`Block`] of which only the steps are wanted.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BlockSteps {
    #[prost(message, repeated, tag = "3")]
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Step {
    #[prost(message, optional, tag = "1")]
    action: Option<HumanAction>,
    #[prost(float, tag = "2")]
    reward: f32,
    #[prost(uint32, tag = "3")]
    flags: u32,
    #[prost(message, repeated, tag = "4")]
    events: Vec<ItemEvent>,
}

impl From<&RecordedStep> for Step {
    fn from(step: &RecordedStep) -> Self {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        Self {
            action: Some(step.action),
            reward: step.reward,
            flags: bit(step.is_first, IS_FIRST)
                | bit(step.terminated, TERMINATED)
                | bit(step.truncated, TRUNCATED)
                | bit(step.gui_open, GUI_OPEN),
            events: step.events.clone(),
        }
    }
}

impl From<Step> for RecordedStep {
    fn from(step: Step) -> Self {
        Self {
            action: step.action.unwrap_or_default(),
            reward: step.reward,
            is_first: step.flags & IS_FIRST != 0,
            terminated: step.flags & TERMINATED != 0,
            truncated: step.flags & TRUNCATED != 0,
            gui_open: step.flags & GUI_OPEN != 0,
            events: step.events,
        }
    }
}

/// Every episode of a shard.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Index {
    #[prost(message, repeated, tag = "1")]
    pub(super) episodes: Vec<IndexEpisode>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IndexEpisode {
    #[prost(fixed64, tag = "1")]
    pub(super) seed: u64,
    #[prost(float, tag = "2")]
    pub(super) episode_return: f32,
    #[prost(message, repeated, tag = "3")]
    pub(super) blocks: Vec<IndexBlock>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IndexBlock {
    #[prost(uint64, tag = "1")]
    pub(super) offset: u64,
    #[prost(uint32, tag = "2")]
    pub(super) bytes: u32,
    #[prost(fixed32, tag = "3")]
    pub(super) crc32c: u32,
    #[prost(uint32, tag = "4")]
    pub(super) steps: u32,
}
