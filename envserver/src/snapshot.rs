//! A world's whole state at one moment, kept in memory: to go back to, or to start many games from.
//!
//! Snapshots are exact: a world that was taken back to one goes on as it went on the first time, to the last bit. They
//! are for one process and one build; what is to be kept is an action log ([`crate::action_log`]), which any later
//! build can be checked against.

use std::any::Any;
use std::fmt;

use crate::world::WorldError;

/// What [`crate::world::World::snapshot`] gives and [`crate::world::World::restore`] takes.
pub struct Snapshot {
    world: &'static str,
    state: Box<dyn Any + Send + Sync>,
}

impl Snapshot {
    /// The state of a world of that name.
    pub fn new<T: Any + Send + Sync>(world: &'static str, state: T) -> Self {
        Self { world, state: Box::new(state) }
    }

    /// The state, for the kind of world that made it.
    ///
    /// # Errors
    /// When another kind of world made it.
    pub fn state<T: Any>(&self, world: &'static str) -> Result<&T, WorldError> {
        let foreign = WorldError::ForeignSnapshot { from: self.world, world };
        self.state.downcast_ref().filter(|_| self.world == world).ok_or(foreign)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("world", &self.world).finish_non_exhaustive()
    }
}
