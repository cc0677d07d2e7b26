//! What can go wrong in the learner.

use std::path::PathBuf;

use crate::event_log::EventLogError;
use crate::version::Version;

/// Failure of the learner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// The event log could not be written.
    #[error(transparent)]
    EventLog(#[from] EventLogError),
    /// A version was published that is not newer than the one before it.
    #[error("policy version {offered} is not newer than {newest}: versions only go up")]
    VersionNotNewer {
        /// What was to be published.
        offered: Version,
        /// What is published.
        newest: Version,
    },
    /// The unroll queue was closed and is empty.
    #[error("the unroll queue is closed")]
    QueueClosed,
    /// More unrolls were pushed than the queue holds; credits rule this out for actors.
    #[error("the unroll queue is full ({capacity} unrolls)")]
    QueueFull {
        /// Bound of the queue.
        capacity: usize,
    },
    /// A configuration value that cannot work.
    #[error("learner.{key}: {reason}")]
    Config {
        /// Key below `learner`.
        key: &'static str,
        /// What is wrong with it and what would do.
        reason: String,
    },
    /// The gRPC server failed.
    #[error("gRPC server failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
