//! What an actor, a recording or an evaluation can fail with.

use vpt_policy::PolicyError;
use vpt_proto::shard::ShardError;
use vpt_runtime::metrics::MetricsError;

/// Failures that end an actor, a recording or an evaluation; everything that passes is retried and counted instead.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// A setting that cannot be used.
    #[error("{key}: {reason}")]
    Config {
        /// The key at fault.
        key: &'static str,
        /// What is wrong and what would do.
        reason: String,
    },
    /// The envserver refuses what it is asked for: another task, world or build is needed.
    #[error("envserver {address} refuses: {reason}")]
    EnvRefused {
        /// Where it was asked.
        address: String,
        /// What it says.
        reason: String,
    },
    /// The envserver could not be reached or broke off for too long.
    #[error("envserver {address} did not come back within {seconds:.0} s: {reason}")]
    EnvLost {
        /// Where it should be.
        address: String,
        /// How long it was tried.
        seconds: f64,
        /// The last failure.
        reason: String,
    },
    /// The learner refuses this actor.
    #[error("learner {address} refuses: {reason}")]
    LearnerRefused {
        /// Where it was asked.
        address: String,
        /// What it says.
        reason: String,
    },
    /// What this role serves could not be served.
    #[error("the {what}'s server failed: {reason}")]
    Serve {
        /// Whose server.
        what: &'static str,
        /// What it says.
        reason: String,
    },
    /// A slot broke in a run that has to be the same every time.
    #[error(
        "slot {slot} lost its world ({reason}): a deterministic run cannot go on without it; start it anew, or set \
         learner.deterministic = false"
    )]
    DeterministicLoss {
        /// The slot.
        slot: u32,
        /// What happened.
        reason: String,
    },
    /// The network could not be built or run.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// The tensor library refused.
    #[error("inference: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A thread of ours ended early.
    #[error("the {name} thread is gone")]
    ThreadGone {
        /// Which one.
        name: &'static str,
    },
    /// Recorded play could not be written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// An address that cannot be reached, or not safely.
    #[error(transparent)]
    Security(#[from] vpt_runtime::security::SecurityError),
    /// The metrics could not be declared.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Told to stop, the actor did not come to its end.
    #[error(
        "the actor did not end within {seconds:.0} s of being told to stop; the network or a thread of it hangs"
    )]
    Drain {
        /// The deadline.
        seconds: f64,
    },
    /// Told to stop before the work was done.
    #[error("interrupted after {done} of {total} episodes")]
    Interrupted {
        /// Episodes finished.
        done: usize,
        /// Episodes asked for.
        total: usize,
    },
}

impl From<tokio::task::JoinError> for ActorError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::ThreadGone { name: "worker" }
    }
}
