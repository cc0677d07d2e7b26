//! Recorded play on disk: what behavioural cloning reads and `vpt record` writes.
//!
//! # Format, version 2
//! A dataset is a folder with `dataset.json` (what was played, and the list of shards; written last, so a folder
//! without it is an unfinished recording) and `shard-00000.vpts`, `shard-00001.vpts`, …
//!
//! A shard is `header | block | block | … | index | trailer`, little endian:
//! - header: magic `VPTSHARD`, format version u32, frame height u32, frame width u32, CRC-32C of those u32
//! - block: at most [`BLOCK_STEPS`] steps of one episode, a prost message with the packed frames (see
//!   [`frame_codec`](crate::frame_codec)) and the steps; the first frame of a block stands alone, so reading a
//!   range touches only the blocks that overlap it
//! - index: a prost message that lists every episode and the offset, length, CRC-32C and steps of its blocks
//! - trailer: CRC-32C of the index u32, length of the index u64, magic `VPTINDEX`
//!
//! Version 1 differs in the codec of the frames alone and is still read.
//!
//! Every byte is covered by a check: truncation and bit flips come out as errors, and a length that lies is refused
//! before it is allocated.
//!
//! # Layout
//! - `writer`: [`ShardWriter`]
//! - `reader`: [`Dataset`]
//! - `wire`: the messages inside a shard

use crate::envserver::v1::{HumanAction, ItemEvent};
use crate::frame_codec::FrameCodecError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub mod reader;
mod wire;
pub mod writer;

pub use reader::{Dataset, EpisodeEntry};
pub use writer::ShardWriter;

/// Format version this build writes, of `dataset.json` and of the shards.
pub const SHARD_FORMAT_VERSION: u32 = 2;

/// Format versions this build reads.
pub const READ_FORMAT_VERSIONS: std::ops::RangeInclusive<u32> = 1..=SHARD_FORMAT_VERSION;

/// Steps a block holds at most.
pub const BLOCK_STEPS: usize = 32;

/// Sides of frames are limited to this, so that a header cannot ask for absurd buffers.
pub const MAX_FRAME_SIDE: u32 = 4096;

const DATASET_FILE: &str = "dataset.json";
const HEADER_MAGIC: &[u8; 8] = b"VPTSHARD";
const INDEX_MAGIC: &[u8; 8] = b"VPTINDEX";
const HEADER_BYTES: u64 = 24;
const TRAILER_BYTES: u64 = 20;

/// What was played, by whom, and how large its frames are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetInfo {
    /// World, for example `native`.
    pub world: String,
    /// Task, for example `chop`.
    pub task: String,
    /// Who played: `scripted` or `policy`.
    pub player: String,
    /// Rows of a frame.
    pub frame_height: u32,
    /// Columns of a frame.
    pub frame_width: u32,
}

impl DatasetInfo {
    /// Bytes of one RGB frame.
    pub fn frame_len(&self) -> usize {
        self.frame_height as usize * self.frame_width as usize * 3
    }

    fn validate(&self, path: &Path) -> Result<(), ShardError> {
        let fits = |side: u32| (1..=MAX_FRAME_SIDE).contains(&side);
        if fits(self.frame_height) && fits(self.frame_width) {
            return Ok(());
        }
        let reason = format!("frames of {}x{} pixels", self.frame_height, self.frame_width);
        Err(ShardError::Corrupt { path: path.to_owned(), reason })
    }
}

/// One action and what came of it; reward and flags belong to the action, `is_first` to the frame before it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordedStep {
    /// Keys held and mouse movement.
    pub action: HumanAction,
    /// Reward of the action.
    pub reward: f32,
    /// The frame before the action is the first of its episode.
    pub is_first: bool,
    /// The action ended the episode for good.
    pub terminated: bool,
    /// The episode was cut after the action.
    pub truncated: bool,
    /// A screen was open on the frame before the action.
    pub gui_open: bool,
    /// Item events of the action.
    pub events: Vec<ItemEvent>,
}

/// A recorded episode, or a range of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordedEpisode {
    /// Seed of the world.
    pub seed: u64,
    /// `[T, H, W, 3]`: the frame before each action.
    pub frames: Vec<u8>,
    /// `[T]`.
    pub steps: Vec<RecordedStep>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetFile {
    format_version: u32,
    info: DatasetInfo,
    episodes: u64,
    steps: u64,
    shards: Vec<ShardEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardEntry {
    file: String,
    episodes: u64,
    bytes: u64,
}

/// Why recorded play could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is a dataset already.
    #[error("{} holds a dataset already; choose another folder or delete it", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has no `dataset.json`.
    #[error("{} has no dataset.json: not a dataset, or a recording that did not finish", path.display())]
    NotADataset {
        /// The folder.
        path: PathBuf,
    },
    /// Written by another version.
    #[error("{} has format version {found}, this build reads 1 to {SHARD_FORMAT_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Truncated, damaged or inconsistent.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        reason: String,
    },
    /// The frames of a block do not unpack.
    #[error("{} is damaged: {source}", path.display())]
    Frames {
        /// The file.
        path: PathBuf,
        /// What the codec says.
        #[source]
        source: FrameCodecError,
    },
    /// An episode pushed to the writer is not what the dataset holds.
    #[error("an episode of {steps} steps came with {bytes} bytes of frames, {frame_len} a frame")]
    BadEpisode {
        /// Steps given.
        steps: usize,
        /// Bytes of frames given.
        bytes: usize,
        /// Bytes a frame.
        frame_len: usize,
    },
    /// Asked for an episode or steps that do not exist.
    #[error("episode {episode} steps {start}+{len} asked for, the dataset ends before")]
    OutOfRange {
        /// Episode index.
        episode: usize,
        /// First step.
        start: usize,
        /// Steps.
        len: usize,
    },
}

impl ShardError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests;
