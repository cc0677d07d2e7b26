//! What every world offers to a session: one human-level action a tick in, events and frames out.

use std::time::Duration;

use thiserror::Error;
use vpt_proto::keys;

use crate::luanti::error::LuantiError;
use crate::minerl::error::MineRlError;
use crate::snapshot::Snapshot;
use crate::task::Task;

/// Why a world could not start an episode, or go back to an earlier moment.
#[derive(Debug, Error)]
pub enum WorldError {
    /// The task is for another world.
    #[error("task `{task}` is for world `{wanted}`, not for `{world}`")]
    WrongWorld {
        /// The task's name.
        task: String,
        /// The world it names.
        wanted: String,
        /// The world that was asked to play it.
        world: &'static str,
    },
    /// No spawn position satisfies the task.
    #[error("task `{task}`: no spawn position satisfies `spawn` (world seed {seed}, {attempts} attempts)")]
    NoSpawn {
        /// The task's name.
        task: String,
        /// The episode's seed.
        seed: u64,
        /// How many generated worlds were searched.
        attempts: u32,
    },
    /// The game of world `luanti` could not be started or played.
    #[error(transparent)]
    Luanti(#[from] LuantiError),
    /// The game of world `minerl` could not be started or played.
    #[error(transparent)]
    MineRl(#[from] MineRlError),
    /// The world cannot be saved.
    #[error(
        "this world keeps no snapshots: restart the episode from its seed and replay its actions instead"
    )]
    NoSnapshot,
    /// The snapshot is of another kind of world.
    #[error("the snapshot is of a `{from}` world and cannot be restored in a `{world}` world")]
    ForeignSnapshot {
        /// The kind of world that made it.
        from: &'static str,
        /// The kind of world that was to go back to it.
        world: &'static str,
    },
}

impl WorldError {
    /// Whether a new world may well not meet it: whoever plays may try again.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Luanti(error) => error.is_passing(),
            Self::MineRl(error) => error.is_passing(),
            _ => false,
        }
    }
}

/// Refuses a task that is for another world than `world`.
pub(crate) fn check_world(task: &Task, world: &'static str) -> Result<(), WorldError> {
    if task.world == world {
        return Ok(());
    }
    Err(WorldError::WrongWorld { task: task.name.clone(), wanted: task.world.clone(), world })
}

/// Why an action was refused.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum ActionError {
    /// A camera delta is NaN or infinite.
    #[error("camera movement is not finite (pitch_delta {pitch_delta}, yaw_delta {yaw_delta})")]
    NotFinite {
        /// As received, degrees.
        pitch_delta: f32,
        /// As received, degrees.
        yaw_delta: f32,
    },
    /// A key bit has no meaning.
    #[error("unknown key bits {unknown:#x} (known: {:#x})", keys::ALL)]
    UnknownKeys {
        /// The bits outside [`keys::ALL`].
        unknown: u32,
    },
}

/// What a person does in one tick of 50 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Action {
    /// Keys and mouse buttons held, by [`vpt_proto::keys`].
    pub keys: u32,
    /// Mouse movement in degrees, positive down, within ±180.
    pub pitch_delta: f32,
    /// Mouse movement in degrees, positive right, within ±180.
    pub yaw_delta: f32,
}

impl Action {
    /// Nothing held, nothing moved.
    pub const NOOP: Self = Self { keys: 0, pitch_delta: 0.0, yaw_delta: 0.0 };

    /// An action from outside: camera movement clamped to ±180 degrees.
    ///
    /// # Errors
    /// Non-finite camera movement and key bits without a meaning.
    pub fn sanitised(keys: u32, pitch_delta: f32, yaw_delta: f32) -> Result<Self, ActionError> {
        if !pitch_delta.is_finite() || !yaw_delta.is_finite() {
            return Err(ActionError::NotFinite { pitch_delta, yaw_delta });
        }
        let unknown = keys & !keys::ALL;
        if unknown != 0 {
            return Err(ActionError::UnknownKeys { unknown });
        }
        Ok(Self {
            keys,
            pitch_delta: pitch_delta.clamp(-180.0, 180.0),
            yaw_delta: yaw_delta.clamp(-180.0, 180.0),
        })
    }

    /// The same action with whatever has no meaning left out: for worlds that are handed actions nobody checked.
    pub fn tamed(&self) -> Self {
        let degrees = |value: f32| if value.is_finite() { value.clamp(-180.0, 180.0) } else { 0.0 };
        Self {
            keys: self.keys & keys::ALL,
            pitch_delta: degrees(self.pitch_delta),
            yaw_delta: degrees(self.yaw_delta),
        }
    }

    /// Whether any bit of `mask` is held.
    pub const fn holds(&self, mask: u32) -> bool {
        self.keys & mask != 0
    }
}

/// What kind of thing happened, by MineRL's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A block was broken; the item is the block's name.
    MineBlock,
    /// Items were picked up from the ground.
    Pickup,
    /// Items were taken from a crafting result.
    CraftItem,
    /// An item was used, for example placed.
    UseItem,
    /// Items were thrown away.
    Drop,
    /// A tool broke.
    BreakItem,
    /// The player killed a mob; the item is the mob's name.
    KillEntity,
}

/// One thing that happened in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To what: "log", "planks", ...
    pub item: &'static str,
    /// How many.
    pub quantity: u32,
}

/// What a tick brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// In the order they happened.
    pub events: Vec<Event>,
    /// A screen (inventory, crafting table) is open after the tick.
    pub gui_open: bool,
    /// The player died.
    pub died: bool,
}

/// A game that one session plays.
pub trait World: Send {
    /// Starts an episode: the same seed and task give the same world.
    ///
    /// # Errors
    /// When the task cannot be played in this world.
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError>;
    /// Plays one tick.
    fn step(&mut self, action: &Action) -> Tick;
    /// Why the last step brought nothing, if the world has failed: it is over then.
    fn take_fault(&mut self) -> Option<WorldError> {
        None
    }
    /// Renders the current frame: `out` becomes `height * width * 3` bytes, RGB, rows first.
    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>);
    /// Whether the last rendering drew the view anew; false where it was kept because nothing in it had changed.
    fn drew_anew(&self) -> bool {
        true
    }
    /// Whether a screen is open.
    fn gui_open(&self) -> bool;
    /// The scripted player's next action for the current state, through the same interface as any player.
    fn advise(&mut self) -> Action;
    /// A hash of everything that decides the future.
    fn state_hash(&self) -> u64;
    /// Everything that decides the future, the scripted player's memory included.
    ///
    /// # Errors
    /// When this kind of world cannot be saved.
    fn snapshot(&self) -> Result<Snapshot, WorldError> {
        Err(WorldError::NoSnapshot)
    }
    /// Goes back to a moment of any world of the same kind; after an error the world is as it was.
    ///
    /// # Errors
    /// When this kind of world cannot be saved, or the snapshot is of another kind.
    fn restore(&mut self, _snapshot: &Snapshot) -> Result<(), WorldError> {
        Err(WorldError::NoSnapshot)
    }
    /// Where making an episode takes so long that the next one is worth making in the background, in a second world: how
    /// long one that is being made is waited for, which must be longer than making one takes. None: no spares.
    fn spare_wait(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_from_outside_are_checked_and_clamped() {
        assert!(matches!(Action::sanitised(0, f32::NAN, 0.0), Err(ActionError::NotFinite { .. })));
        assert!(matches!(Action::sanitised(0, 0.0, f32::INFINITY), Err(ActionError::NotFinite { .. })));
        assert_eq!(Action::sanitised(1 << 30, 0.0, 0.0), Err(ActionError::UnknownKeys { unknown: 1 << 30 }));
        let action = Action::sanitised(keys::ATTACK, -1e9, 3.0).unwrap();
        assert_eq!((action.pitch_delta, action.yaw_delta), (-180.0, 3.0));
        assert!(action.holds(keys::ATTACK | keys::USE));
    }
}
