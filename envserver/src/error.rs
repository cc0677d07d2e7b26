//! Errors: of the process ([`EnvserverError`]) and of one session ([`SessionError`], which becomes a gRPC status).

use tonic::Status;
use vpt_proto::limits::{OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};
use vpt_runtime::ConfigError;
use vpt_runtime::metrics::MetricsError;

use crate::task::TaskError;
use crate::world::{ActionError, WorldError};

/// Why an envserver could not run.
#[derive(Debug, thiserror::Error)]
pub enum EnvserverError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// `Listeners.grpc` is missing.
    #[error("an envserver needs a gRPC listener (envserver.listen)")]
    NoListener,
    /// The listener could be reached by strangers.
    #[error(transparent)]
    Security(#[from] vpt_runtime::security::SecurityError),
    /// The gRPC server failed.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// The ops port failed.
    #[error("the ops port failed: {0}")]
    Ops(#[source] std::io::Error),
    /// No world has that name.
    #[error("unknown world {name:?} (known: {known})")]
    UnknownWorld {
        /// As asked for.
        name: String,
        /// Comma-separated names.
        known: String,
    },
    /// A task cannot be used.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A world cannot play the task.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A bench met something that should not happen.
    #[error("bench: {0}")]
    Bench(String),
}

/// Why a session was refused or ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(
        "this server speaks protocol versions {OLDEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION}, the client {theirs}: update the older one"
    )]
    Version { theirs: u32 },
    #[error("all {max} sessions of this server are taken (envserver.max_sessions)")]
    Full { max: usize },
    #[error("the server is draining")]
    Draining,
    #[error("could not start a session thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error("unknown world {name:?} (known: {known})")]
    UnknownWorld { name: String, known: String },
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(
        "frames of {height}x{width} cannot be served: both sides 1 or more, and at most {max_bytes} bytes RGB"
    )]
    FrameSize { height: u32, width: u32, max_bytes: usize },
    #[error("{0}")]
    Protocol(&'static str),
    #[error("nothing came from the client for {seconds} s: session closed")]
    Idle { seconds: f64 },
    #[error("the client took no observation for {seconds} s: session closed")]
    SlowReader { seconds: f64 },
    #[error("the world failed and its stream with it: {0}")]
    Panic(String),
    #[error(
        "the world did not come back from a {call} for {seconds:.3} s (envserver.{call}_timeout_seconds, or three times its \
         own slowest steps): session closed"
    )]
    Hung { call: &'static str, seconds: f64 },
    /// Nobody is left to tell.
    #[error("the client went away")]
    Disconnected,
}

impl SessionError {
    /// Bounded label for `vpt_envserver_session_faults_total` and `vpt_envserver_sessions_refused_total`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Full { .. } => "limit",
            Self::Draining => "draining",
            Self::Thread(_) => "thread",
            Self::UnknownWorld { .. } | Self::Task(_) | Self::FrameSize { .. } => "bad_open",
            Self::World(_) => "world",
            Self::Action(_) => "bad_action",
            Self::Protocol(_) => "protocol",
            Self::Idle { .. } => "idle",
            Self::SlowReader { .. } => "slow_reader",
            Self::Panic(_) => "panic",
            Self::Hung { .. } => "hung",
            Self::Disconnected => "disconnected",
        }
    }

    /// What the client is told.
    pub(crate) fn status(&self) -> Status {
        let text = self.to_string();
        match self {
            Self::World(error) if error.is_passing() => Status::unavailable(text),
            Self::Version { .. } | Self::World(_) => Status::failed_precondition(text),
            Self::Full { .. } | Self::Thread(_) => {
                let mut status = Status::resource_exhausted(text);
                let seconds = tonic::metadata::MetadataValue::from_static("1");
                status.metadata_mut().insert("retry-after", seconds);
                status
            }
            Self::Draining => Status::unavailable(text),
            Self::UnknownWorld { .. }
            | Self::Task(_)
            | Self::Action(_)
            | Self::FrameSize { .. }
            | Self::Protocol(_) => Status::invalid_argument(text),
            Self::Idle { .. } | Self::SlowReader { .. } => Status::deadline_exceeded(text),
            Self::Panic(_) | Self::Hung { .. } => Status::internal(text),
            Self::Disconnected => Status::cancelled(text),
        }
    }
}
