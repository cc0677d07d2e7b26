//! What can be wrong with a game, each with the package or setting to change.

use std::path::PathBuf;

use thiserror::Error;

use crate::games::display::DisplayError;
use crate::games::folder::FolderError;

/// Why a game could not be started or played.
#[derive(Debug, Error)]
pub enum LuantiError {
    /// A program is not there.
    #[error("`{program}` was not found: install the package `{package}`, or set envserver.luanti.{key}")]
    Missing {
        /// As configured.
        program: String,
        /// Debian's name of what has it.
        package: &'static str,
        /// The setting that names it.
        key: &'static str,
    },
    /// The game is not of the version that this world was made for.
    #[error(
        "{program} is of version `{found}`, and this world is made for {wanted}: install that version, or try this one \
         with envserver.luanti.any_version = true"
    )]
    Version {
        /// As configured.
        program: String,
        /// What it says.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// No shim was compiled for this machine.
    #[error("this vpt cannot play Luanti: it holds the game in lockstep on x86-64 Linux only")]
    NoShim,
    /// A file of the instance could not be written.
    #[error("{path}: {source} (envserver.luanti.folder says where games keep their files)")]
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
    /// The game ended before it could be played.
    #[error(
        "the game does not start ({why}); it needs OpenGL in software (packages libgl1-mesa-dri and libglx-mesa0), the game \
         `minetest_game` (package minetest-data) and a folder that is not mounted noexec (envserver.luanti.folder){said}"
    )]
    NoStart {
        /// What was seen.
        why: String,
        /// What it said, ready to follow.
        said: String,
    },
    /// No place of the land suits the task.
    #[error("task `{task}`: no place that satisfies `spawn` was found within {steps} steps of the game")]
    NoSpot {
        /// The task's name.
        task: String,
        /// Game steps waited.
        steps: u32,
    },
    /// Another program has the port that the game chose.
    #[error("the port that the game chose by chance is taken, again and again{said}")]
    PortTaken {
        /// What it said, ready to follow.
        said: String,
    },
    /// The game draws frames, but its player does not come.
    #[error("the game has drawn {frames} frames without its player{said}")]
    NoPlayer {
        /// So far.
        frames: u32,
        /// What it said, ready to follow.
        said: String,
    },
    /// The task gives an item that the game does not have.
    #[error("task `{task}`: Luanti has no counterpart of `{item}`")]
    NoCounterpart {
        /// The task's name.
        task: String,
        /// The item.
        item: String,
    },
    /// The game ended while it was played.
    #[error("the game ended ({status}){said}")]
    Ended {
        /// How.
        status: String,
        /// What it said, ready to follow.
        said: String,
    },
    /// The game does not finish a frame.
    #[error("the game made no frame for {seconds} s (envserver.luanti.step_timeout_seconds)")]
    Hung {
        /// For how long.
        seconds: f64,
    },
    /// The display does not answer.
    #[error("the game's display failed: {0}")]
    X11(String),
}

impl LuantiError {
    /// Whether a new game may well not meet it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Ended { .. }
                | Self::Hung { .. }
                | Self::X11(_)
                | Self::PortTaken { .. }
                | Self::NoPlayer { .. }
        )
    }

    /// Bounded label of `vpt_envserver_luanti_games_total`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "crashed",
            Self::Hung { .. } => "hung",
            Self::X11(_) => "display",
            Self::PortTaken { .. } => "port_taken",
            Self::NoPlayer { .. } => "no_player",
            _ => "not_started",
        }
    }
}

impl From<FolderError> for LuantiError {
    fn from(FolderError { path, source }: FolderError) -> Self {
        Self::Folder { path, source }
    }
}

impl From<DisplayError> for LuantiError {
    fn from(DisplayError { program, said }: DisplayError) -> Self {
        Self::Display { program, said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_new_game_may_not_meet_is_passing() {
        assert!(LuantiError::Hung { seconds: 1.0 }.is_passing());
        assert!(!LuantiError::NoShim.is_passing());
    }
}
