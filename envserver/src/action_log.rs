//! Action logs: what was pressed in one episode, and hashes of what came of it, to be checked on any machine.
//!
//! # Format, version 1
//! One line of JSON, the [`Header`], then records up to the end of the file. Numbers are little-endian; a hash is the
//! first eight bytes of a BLAKE3 hash unless said otherwise.
//!
//! | record | bytes |
//! |---|---|
//! | tick | tag 0 to 3; keys (u32) if bit 0 is set, else as in the tick before; pitch and yaw delta (2 x f32) if bit 1 is set, else 0; low 16 bits of the state hash after the tick (u16) |
//! | check | tag `C`; ticks so far (u64); hash of the frame; state hash (as the world gives it); running hash of the events |
//! | end | tag `E`; number of ticks (u64); hash of everything in the file before this hash |
//!
//! A check stands before the first tick, after every [`Header::check_every`] ticks, and after the last one. Both ends
//! stream: a log is written and read with a few hundred bytes of memory, however long it is.

mod read;
mod replay;
mod write;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vpt_runtime::counter_hash::counter_hash;

use crate::task::{Task, TaskError};
use crate::world::{Action, Tick, WorldError};

pub use read::{Reader, Record};
pub use replay::{Replayed, record, replay};
pub use write::Writer;

/// What the first line says it is.
const FORMAT: &str = "vpt-action-log";
/// The newest version that this build reads, and the one that it writes.
const VERSION: u32 = 1;
/// Ticks from check to check.
const CHECK_EVERY: u32 = 100;
/// No frame that a log asks for is larger, pixels a side.
const MAX_SIDE: u32 = 4096;

const KEYS_FOLLOW: u8 = 1;
const CAMERA_FOLLOWS: u8 = 2;
const CHECK: u8 = b'C';
const END: u8 = b'E';

/// What was played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: String,
    version: u32,
    /// The world's name.
    pub world: String,
    /// The task's name.
    pub task: String,
    /// The whole task, as a TOML text that spells every key out.
    pub task_text: String,
    /// The episode's seed.
    pub seed: u64,
    /// Height of the checked frames, pixels.
    pub height: u32,
    /// Width of the checked frames, pixels.
    pub width: u32,
    /// Ticks from check to check.
    pub check_every: u32,
}

impl Header {
    /// An episode of the task, with frames of that size to be checked.
    ///
    /// # Errors
    /// When a side is 0 or too large, or the task cannot be written down.
    pub fn new(task: &Task, seed: u64, height: u32, width: u32) -> Result<Self, ReplayError> {
        let header = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            world: task.world.clone(),
            task: task.name.clone(),
            task_text: toml::to_string(task)?,
            seed,
            height,
            width,
            check_every: CHECK_EVERY,
        };
        header.checked().map_err(ReplayError::Log)
    }

    fn checked(self) -> Result<Self, LogError> {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&self.height) || !sides.contains(&self.width) {
            let problem =
                format!("frames of {}x{}, where sides are 1 to {MAX_SIDE}", self.height, self.width);
            return Err(LogError::Header(problem));
        }
        if self.check_every == 0 {
            return Err(LogError::Header("`check_every` is 0".to_owned()));
        }
        Ok(self)
    }
}

/// What the world was like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Ticks played before it.
    pub tick: u64,
    /// Of the frame.
    pub frame: u64,
    /// Of the state, as the world hashes it.
    pub state: u64,
    /// Of everything that happened up to it.
    pub events: u64,
}

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("byte {offset}: {source}")]
    Io {
        /// Where reading stopped.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something else than a log.
    #[error("this is no action log: {0}; `vpt record world FILE` makes one")]
    NotALog(&'static str),
    /// The first line is not as it must be.
    #[error("the header, the log's first line, is damaged: {0}; copy or record the log again")]
    Header(String),
    /// Made by a later build.
    #[error("the log has format version {found}, this build reads up to version {VERSION}: use a newer vpt")]
    TooNew {
        /// The version it says it has.
        found: u32,
    },
    /// The file stops too early.
    #[error(
        "the log ends at byte {offset}, after {ticks} whole ticks and without its last record: the recording or the \
         copy was cut short; copy or record it again"
    )]
    Truncated {
        /// Length of the file.
        offset: u64,
        /// Ticks before its end.
        ticks: u64,
    },
    /// The bytes are not what they must be.
    #[error("byte {offset}: {problem}: the log is damaged; copy or record it again")]
    Corrupt {
        /// Where the record at fault begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
}

/// What differed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("tick {tick}: the {what} differs: expected {expected:016x}, found {found:016x}")]
pub struct Difference {
    /// Ticks played before it showed; 0 is the start of the episode.
    pub tick: u64,
    /// "frame", "state", "events", or "state (low 16 bits)" between two checks.
    pub what: &'static str,
    /// The hash in the log.
    pub expected: u64,
    /// The hash of this run.
    pub found: u64,
}

/// Why a log could not be made, or did not play as recorded.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be written.
    #[error("the log cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// The task cannot be put into words.
    #[error("the task cannot be written down: {0}")]
    Spell(#[from] toml::ser::Error),
    /// The log's task is not one of this build.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// This build has no such world.
    #[error("the log is of world {name:?}, which this build does not have (known: {known})")]
    UnknownWorld {
        /// As in the log.
        name: String,
        /// Comma-separated names.
        known: String,
    },
    /// The world cannot play the task.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The world did something else than when the log was recorded.
    #[error(transparent)]
    Differs(#[from] Difference),
}

/// The first eight bytes of the BLAKE3 hash.
fn hash64(bytes: &[u8]) -> u64 {
    first_bytes(&blake3::hash(bytes))
}

fn first_bytes(hash: &blake3::Hash) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| hash.as_bytes()[at]))
}

/// The running hash of events after one more tick.
fn hash_tick(before: u64, tick: &Tick) -> u64 {
    let flags = u64::from(tick.gui_open) | u64::from(tick.died) << 1;
    tick.events.iter().fold(counter_hash(&[before, flags]), |hash, event| {
        counter_hash(&[hash, event.kind as u64, hash64(event.item.as_bytes()), u64::from(event.quantity)])
    })
}

/// The low bits of a state hash that every tick carries.
fn digest(state_hash: u64) -> u16 {
    (state_hash & 0xffff) as u16
}

/// The bytes of a tick after one with `keys` held.
fn tick_bytes(action: &Action, keys: u32, state_hash: u64, out: &mut Vec<u8>) {
    out.clear();
    let camera = [action.pitch_delta, action.yaw_delta].map(f32::to_bits);
    let keys_follow = if action.keys == keys { 0 } else { KEYS_FOLLOW };
    let camera_follows = if camera == [0; 2] { 0 } else { CAMERA_FOLLOWS };
    out.push(keys_follow | camera_follows);
    if keys_follow != 0 {
        out.extend_from_slice(&action.keys.to_le_bytes());
    }
    if camera_follows != 0 {
        camera.iter().for_each(|bits| out.extend_from_slice(&bits.to_le_bytes()));
    }
    out.extend_from_slice(&digest(state_hash).to_le_bytes());
}

#[cfg(test)]
mod tests;
