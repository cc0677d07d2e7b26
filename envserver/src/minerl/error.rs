//! What can be wrong with a game of Minecraft, each with what to install or set.

use std::path::PathBuf;

use thiserror::Error;

use super::wire::WireError;
use crate::games::display::DisplayError;
use crate::games::folder::FolderError;

/// Why a game could not be started or played.
#[derive(Debug, Error)]
pub enum MineRlError {
    /// No installation is configured.
    #[error(
        "world minerl plays the Minecraft of a MineRL 1.0 installation: install one and set envserver.minerl.path to its folder \
         MCP-Reborn (docs/minecraft.md)"
    )]
    NoPath,
    /// The installation lacks its launcher, or it may not be run.
    #[error(
        "{path} {problem}: envserver.minerl.path must name the folder MCP-Reborn of a MineRL 1.0 installation \
         (docs/minecraft.md)"
    )]
    NoScript {
        /// The launcher.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The X server is not there.
    #[error(
        "`{program}` was not found: install the package `xvfb`, or set envserver.minerl.xvfb, or set envserver.minerl.display to \
         a display that is there"
    )]
    NoXvfb {
        /// As configured.
        program: String,
    },
    /// A file of the game could not be made.
    #[error("{path}: {source} (envserver.minerl.folder says where games keep their files)")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no display to play on.
    #[error("{program} gives no display{said}")]
    Display {
        /// Which program.
        program: String,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game did not come up.
    #[error(
        "the game does not start ({why}); it needs Java 8, its built jar and OpenGL: `vpt doctor` says which is missing{said}"
    )]
    NoStart {
        /// What was seen.
        why: String,
        /// What it said, ready to follow.
        said: String,
    },
    /// The task gives an item that the game does not have.
    #[error("task `{task}`: Minecraft has no counterpart of `{item}`")]
    NoCounterpart {
        /// The task's name.
        task: String,
        /// The item.
        item: String,
    },
    /// The game refuses connections at the port that it said.
    #[error("the game takes no connection at port {port}{said}")]
    Refused {
        /// Which port.
        port: u16,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game makes no world.
    #[error("the game made no world within {seconds} s (envserver.minerl.mission_timeout_seconds){said}")]
    NoWorld {
        /// For how long it was waited.
        seconds: f64,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game does not answer.
    #[error("the game did not answer {what} for {seconds} s (envserver.minerl.{key}){said}")]
    Hung {
        /// What it was asked.
        what: &'static str,
        /// For how long.
        seconds: f64,
        /// The setting.
        key: &'static str,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game ended, or closed its connection.
    #[error("the game ended ({status}){said}")]
    Ended {
        /// How.
        status: String,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game sent what the protocol does not know.
    #[error("the game sent what MineRL 1.0 does not: {source}{said}")]
    BadMessage {
        /// What.
        source: WireError,
        /// What it said, ready to follow.
        said: String,
    },
}

impl MineRlError {
    /// Whether a new game may well not meet it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::NoWorld { .. }
                | Self::Hung { .. }
                | Self::Ended { .. }
                | Self::BadMessage { .. }
        )
    }

    /// Bounded label of `vpt_envserver_minerl_games_total`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NoWorld { .. } => "no_world",
            Self::Hung { .. } => "hung",
            Self::Ended { .. } => "ended",
            Self::BadMessage { .. } => "bad_message",
            _ => "not_started",
        }
    }
}

impl From<FolderError> for MineRlError {
    fn from(FolderError { path, source }: FolderError) -> Self {
        Self::Folder { path, source }
    }
}

impl From<DisplayError> for MineRlError {
    fn from(DisplayError { program, said }: DisplayError) -> Self {
        Self::Display { program, said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_new_game_may_not_meet_is_passing() {
        let hung = MineRlError::Hung {
            what: "a step",
            seconds: 1.0,
            key: "step_timeout_seconds",
            said: String::new(),
        };
        assert!(hung.is_passing() && hung.to_string().contains("envserver.minerl.step_timeout_seconds"));
        assert!(!MineRlError::NoPath.is_passing());
        assert!(MineRlError::NoPath.to_string().contains("envserver.minerl.path"));
    }
}
