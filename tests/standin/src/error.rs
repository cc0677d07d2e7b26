//! Why a connection ends without a goodbye.

use std::io;

use thiserror::Error;

/// Why a connection is closed; told to nobody but the log, as by the game.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("a hello has to be a frame of 1 to 17 bytes that begins with `<MalmoEnv0.37.0`, not {0}")]
    Hello(String),
    #[error("unknown command {0:?}")]
    UnknownCommand(String),
    #[error("a frame of {length} bytes; at most {longest} are read")]
    TooLong { length: u32, longest: u32 },
    #[error("mission: {0}")]
    Mission(String),
    #[error("step: {0}")]
    Step(String),
    #[error("no mission is being played")]
    NoMission,
    #[error("no thread could be started for the connection: {0}")]
    Thread(#[source] io::Error),
    #[error("fault on demand: {0}")]
    OnDemand(&'static str),
    #[error("{open} connections are open, which is the most: close one")]
    TooMany { open: usize },
    #[error("the server has ended")]
    Ended,
}

impl ConnectionError {
    /// Whether it is one of those for which the game, if the connection had started a mission, accepts no more
    /// connections: the failures of reading, writing and of the protocol, which Java calls `IOException`.
    pub(crate) fn loses_mission(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Hello(_) | Self::UnknownCommand(_))
    }
}
