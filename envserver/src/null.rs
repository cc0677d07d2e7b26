//! The null world: one fixed frame at no cost, no reward; for benches of everything around a world.

use crate::snapshot::Snapshot;
use crate::task::{Mobs, SpawnRule, Task, Terrain};
use crate::world::{Action, Tick, World, WorldError};

/// Length of its episodes unless the session asks for another, in ticks.
const EPISODE_STEPS: u32 = 1000;

/// Nothing happens here.
#[derive(Clone, Debug, Default)]
pub struct NullWorld {
    seed: u64,
    ticks: u64,
}

impl NullWorld {
    /// The name sessions ask for it by.
    pub const NAME: &'static str = "null";

    /// The task played when the session names none.
    #[must_use]
    pub fn task() -> Task {
        Task {
            name: "null".to_owned(),
            world: "null".to_owned(),
            episode_steps: EPISODE_STEPS,
            survival: false,
            respawn: false,
            mobs: Mobs::None,
            terrain: Terrain::default(),
            spawn: SpawnRule::default(),
            rewards: Vec::new(),
            inventory: Vec::new(),
            terminate_on: Vec::new(),
        }
    }
}

impl World for NullWorld {
    fn reset(&mut self, seed: u64, _task: &Task) -> Result<(), WorldError> {
        *self = Self { seed, ticks: 0 };
        Ok(())
    }

    fn step(&mut self, _action: &Action) -> Tick {
        self.ticks += 1;
        Tick::default()
    }

    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        out.clear();
        out.resize(height * width * 3, 127);
    }

    fn gui_open(&self) -> bool {
        false
    }

    fn advise(&mut self) -> Action {
        Action::NOOP
    }

    fn state_hash(&self) -> u64 {
        vpt_runtime::counter_hash::counter_hash(&[self.seed, self.ticks])
    }

    fn snapshot(&self) -> Result<Snapshot, WorldError> {
        Ok(Snapshot::new(Self::NAME, self.clone()))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), WorldError> {
        *self = snapshot.state::<Self>(Self::NAME)?.clone();
        Ok(())
    }
}
