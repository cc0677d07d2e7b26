//! The journal: what was acknowledged since the last checkpoints, in the order it is trained on.
//!
//! A checkpoint and the records after it are the whole state of a run: started again, the learner trains on the same
//! unrolls in the same order and ends with the same weights, to the last bit. With `metadata` only the names of the
//! unrolls are kept, so that what a crash loses can be counted; with `payload` their bytes.
//!
//! An unroll is acknowledged once its record is with the operating system (the page cache), and the order of records is
//! that of the queue: both happen under one lock. Records survive the learner's death at any moment; a power cut may
//! cost those after the last checkpoint, which syncs them.
//!
//! # Layout
//! - here: settings, errors, and what a record says
//! - [`segment`]: one file: its header, records, and how they are checked
//! - [`writer`]: appending, rotating at checkpoints, the bound in bytes
//! - [`replay`]: records as unrolls again

mod replay;
mod segment;
mod writer;

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ledger::ActorKey;
use crate::version::Version;

pub use replay::entries;
pub(crate) use replay::{Replay, survey};
pub use segment::FORMAT_VERSION;
pub use writer::Journal;

/// What is kept of every unroll that is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalMode {
    /// Nothing: what a crash loses is found by gaps in the actors' sequences, once they send again.
    Off,
    /// Names and sequences: what a crash loses is counted at the next start.
    #[default]
    Metadata,
    /// Everything: nothing is lost, and training can be run again bit for bit.
    Payload,
}

/// The section `[learner.journal]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// "off", "metadata" or "payload".
    pub mode: JournalMode,
    /// Bytes on disk above which a checkpoint is due, which makes the records before it dispensable; at twice as many
    /// nothing more is let in.
    pub max_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { mode: JournalMode::default(), max_bytes: 4 << 30 }
    }
}

/// Why the journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("journal: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bound in bytes is reached and no checkpoint has made room.
    #[error(
        "the journal holds {bytes} bytes, twice learner.journal.max_bytes: raise that key, or write checkpoints more often"
    )]
    Full {
        /// Bytes on disk.
        bytes: u64,
    },
    /// A file of another build.
    #[error("journal: {} has format version {found}, this build reads {FORMAT_VERSION}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A record that is damaged though others follow it.
    #[error("journal: {} is damaged at byte {offset}: {reason}; start from a later checkpoint", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// Records that a checkpoint needs are not there.
    #[error("journal: records from {wanted} on are needed and the first one here is {first}")]
    Missing {
        /// The first record that is needed.
        wanted: u64,
        /// The first that is there.
        first: u64,
    },
}

impl JournalError {
    fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Which unroll a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub actor: ActorKey,
    /// Its slot.
    pub slot: u32,
    /// Its place in the slot's sequence.
    pub sequence: u64,
    /// Env steps inside.
    pub steps: u64,
}

/// A version as it was published: lets a second run be compared with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishMark {
    /// The version.
    pub version: Version,
    /// Unrolls consumed before it.
    pub consumed: u64,
    /// BLAKE3 of the published bytes.
    pub blake3: [u8; 32],
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An unroll that was let in; its encoded bytes are empty in metadata mode.
    Unroll {
        /// Which.
        entry: Entry,
        /// As it came over the wire.
        encoded: Bytes,
    },
    /// A version that was published.
    Published(PublishMark),
}

#[cfg(test)]
mod tests;
