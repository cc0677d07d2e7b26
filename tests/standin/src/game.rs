//! Missions played in the embedded world.

use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::{Action, World};

use crate::error::ConnectionError;
use crate::info::{self, Moment};
use crate::mission::Mission;
use crate::statistics::Statistics;

/// Ticks played with nothing pressed before a mission counts as loaded.
const WARM_UP: usize = 20;

/// The game: at its menu, or with a mission.
pub(crate) struct Game {
    world: NativeWorld,
    base: Task,
    running: Option<Running>,
    /// Rows from the top, as they are drawn.
    picture: Vec<u8>,
    /// Steps since the start of the process, over all missions.
    steps: u64,
}

struct Running {
    mission: Mission,
    statistics: Statistics,
    dead: bool,
}

impl Game {
    /// A game at its menu; `base` says what missions leave open.
    pub(crate) fn new(base: Task) -> Self {
        Self { world: NativeWorld::new(), base, running: None, picture: Vec::new(), steps: 0 }
    }

    /// Makes the mission's world.
    pub(crate) fn load(&mut self, mission: Mission) -> Result<(), ConnectionError> {
        let task = mission.task(&self.base);
        // The same bits: every seed is a world.
        let made = self.world.reset(mission.seed as u64, &task);
        made.map_err(|error| ConnectionError::Mission(error.to_string()))?;
        let mut running = Running { mission, statistics: Statistics::default(), dead: false };
        for _ in 0..WARM_UP {
            running.tick(&mut self.world, &Action::NOOP);
        }
        self.running = Some(running);
        Ok(())
    }

    /// Back to the menu.
    pub(crate) fn unload(&mut self) {
        self.running = None;
    }

    /// Steps since the start of the process.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// One tick.
    pub(crate) fn step(&mut self, action: &Action) -> Result<(), ConnectionError> {
        let running = self.running.as_mut().ok_or(ConnectionError::NoMission)?;
        self.steps += 1;
        running.tick(&mut self.world, action);
        Ok(())
    }

    /// The player's life ends, whatever the embedded world says.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.die();
        }
    }

    /// Whether the player is dead: without `DoneOnDeath` that passes within the tick.
    pub(crate) fn is_done(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.dead)
    }

    /// The picture, RGB, the bottom row first.
    pub(crate) fn picture(&mut self) -> Result<Vec<u8>, ConnectionError> {
        let running = self.running.as_ref().ok_or(ConnectionError::NoMission)?;
        let (width, height) = (running.mission.width, running.mission.height);
        self.world.render(height, width, &mut self.picture);
        let mut upward = Vec::with_capacity(self.picture.len());
        for row in self.picture.chunks_exact(width * 3).rev() {
            upward.extend_from_slice(row);
        }
        Ok(upward)
    }

    /// What is told beside it.
    pub(crate) fn info(&self) -> Result<Vec<u8>, ConnectionError> {
        let running = self.running.as_ref().ok_or(ConnectionError::NoMission)?;
        Ok(info::tell(&Moment {
            mission: &running.mission,
            seen: &self.world.observe(),
            statistics: &running.statistics,
            gui_open: self.world.gui_open(),
            alive: !running.dead,
        }))
    }
}

impl Running {
    fn tick(&mut self, world: &mut NativeWorld, action: &Action) {
        let before = world.observe().position;
        let tick = world.step(action);
        self.statistics.count(&tick.events, before, world.observe().position);
        if tick.died {
            self.die();
        }
    }

    fn die(&mut self) {
        if !self.dead {
            self.statistics.count_death();
        }
        self.dead = true;
    }
}
