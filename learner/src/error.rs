//! What can go wrong in the learner.

use std::path::PathBuf;

use vpt_policy::PolicyError;
use vpt_proto::shard::ShardError;
use vpt_proto::tensor::TensorError;

use crate::checkpoint::CheckpointError;
use crate::event_log::EventLogError;
use crate::journal::JournalError;
use crate::ranks::RanksError;
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
    /// A checkpoint could not be written or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of the other stage lies where this stage writes its own.
    #[error(
        "{} is a checkpoint of stage {found:?}, learner.stage is {expected:?}: set learner.out to another folder, and \
         learner.init to that checkpoint to start from it",
        path.display()
    )]
    OtherStage {
        /// The checkpoint.
        path: PathBuf,
        /// Its stage.
        found: String,
        /// The configured stage.
        expected: &'static str,
    },
    /// The journal cannot be written or used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An unroll in the journal that this config does not take.
    #[error(
        "the journal's unroll of slot {slot}, sequence {sequence} does not fit: {reason}; resume with the config that \
         the run was started with"
    )]
    JournalUnroll {
        /// Its slot.
        slot: u32,
        /// Its sequence.
        sequence: u64,
        /// What does not fit.
        reason: String,
    },
    /// The network refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// Tensors that cannot be written.
    #[error("tensors cannot be written: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The recurrent states in a checkpoint do not fit.
    #[error("{name} in the checkpoint is missing or does not fit learner.bc.batch_sequences and [policy]")]
    Lanes {
        /// The tensor.
        name: String,
    },
    /// The frozen policy's streams in a checkpoint do not fit.
    #[error("the frozen policy's streams in the checkpoint do not fit: {reason}")]
    FrozenStreams {
        /// What does not.
        reason: String,
    },
    /// A folder from which training cannot be run again.
    #[error(
        "{} has no checkpoint that its journal reaches back to: training can be run again where it was journalled, with \
         learner.journal.mode = \"payload\"",
        path.display()
    )]
    NothingToReplay {
        /// The folder.
        path: PathBuf,
    },
    /// A deterministic run that cannot be taken up again.
    #[error(
        "a deterministic run goes on bit for bit only with learner.journal.mode = \"payload\"; start it anew with that, \
         or set learner.deterministic = false to go on from its checkpoint"
    )]
    DeterministicResume,
    /// Recorded play could not be read.
    #[error("learner.bc.data_dir: {0}")]
    Dataset(#[from] ShardError),
    /// Recorded play at another frame size than the network's.
    #[error(
        "{} has frames of {} x {} pixels, policy.image_size is {expected}: record at that size",
        path.display(), found.0, found.1
    )]
    DatasetFrames {
        /// The dataset.
        path: PathBuf,
        /// Its frames' height and width.
        found: (u32, u32),
        /// The network's side.
        expected: usize,
    },
    /// Recorded play without an episode to train on.
    #[error("{} has no episode to train on: record some, or lower learner.bc.validation_fraction", path.display())]
    DatasetEmpty {
        /// The dataset.
        path: PathBuf,
    },
    /// The pretrained policy sees frames of another size.
    #[error("learner.pretrained = {}: its frames have {found} pixels a side, policy.image_size is {expected}", path.display())]
    PretrainedFrames {
        /// The pretrained policy.
        path: PathBuf,
        /// Its side.
        found: usize,
        /// The network's.
        expected: usize,
    },
    /// Other ranks are missing, lost or of another job.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// Too many minibatches that no step could be taken on.
    #[error(
        "{skipped} minibatches had a loss or gradient that is not finite, as many as learner.nonfinite.stop_after allows: \
         training stopped without a new checkpoint; {} holds some of them, {} the last good weights. Find what is not \
         finite in the .json files there, then go on from that checkpoint with a lower learning rate or a tighter \
         max_grad_norm",
        dumps.display(), checkpoints.display()
    )]
    NonFinite {
        /// How many, since the start.
        skipped: u64,
        /// Folder of the minibatches that were kept.
        dumps: PathBuf,
        /// Folder of the checkpoints.
        checkpoints: PathBuf,
    },
    /// A recurrent state on the wire that does not decode.
    #[error("recurrent state: {0}")]
    WireTensor(#[from] TensorError),
    /// Parts of an unroll that do not fit each other.
    #[error("the unroll's fields have different lengths")]
    UnrollShape,
    /// The network in training has lost its auxiliary head.
    #[error("the network has no auxiliary value head")]
    NoAuxHead,
    /// A thread could not be started.
    #[error("thread {name} could not be started: {source}")]
    Thread {
        /// The thread.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Told to stop, training did not end in time.
    #[error(
        "training did not end within {seconds} s (learner.drain_seconds): a long step, or a disk that does not answer; \
         the next start goes on from the last checkpoint"
    )]
    Drain {
        /// The deadline.
        seconds: f64,
    },
    /// A thread ended by a panic, whose message is in the log.
    #[error("thread {name} panicked")]
    Panicked {
        /// The thread.
        name: &'static str,
    },
    /// Addresses that strangers could listen in on.
    #[error(transparent)]
    Security(#[from] vpt_runtime::security::SecurityError),
    /// The metrics recorder could not be installed.
    #[error(transparent)]
    Metrics(#[from] vpt_runtime::metrics::MetricsError),
}
