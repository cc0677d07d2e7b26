//! Why a checkpoint could not be written or used.

use std::io;
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused a file operation.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no checkpoint where one was named.
    #[error(
        "{} is not a checkpoint: give a checkpoint folder, a folder of checkpoints, its `latest` file, or a \
         .safetensors or .weights file",
        path.display()
    )]
    NotACheckpoint {
        /// What was named.
        path: PathBuf,
    },
    /// Torn or changed since it was written.
    #[error("checkpoint {} is damaged: {reason}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What does not hold.
        reason: String,
    },
    /// Written by another version of this program.
    #[error(
        "checkpoint {} has format version {found}, this build reads {}",
        path.display(),
        super::FORMAT_VERSION
    )]
    Version {
        /// The checkpoint.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Of another network.
    #[error(
        "{} holds a network of architecture {found}, this run's [policy] is {expected}: use the policy settings it was \
         trained with, or another folder",
        path.display()
    )]
    Architecture {
        /// The checkpoint or weights file.
        path: PathBuf,
        /// Fingerprint it was written with.
        found: String,
        /// Fingerprint of the configured network.
        expected: String,
    },
    /// State that cannot be written as JSON or read back.
    #[error("checkpoint state in {}: {source}", path.display())]
    State {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl CheckpointError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// True when the disk or quota is full, or a file may not grow further.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn advice(error: &io::Error) -> &'static str {
    if is_full(error) { "; free some space, earlier checkpoints are untouched" } else { "" }
}
