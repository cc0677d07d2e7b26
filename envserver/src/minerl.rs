//! The world `minerl`: Minecraft 1.16.5 as MineRL 1.0 plays it, from a user's own installation.
//!
//! The game is launched as MineRL's Python launches it, and its socket protocol is spoken from here. It stands still until
//! an action comes, and plays one tick of 50 ms with it. Episodes are HumanSurvival's, as the published policies were
//! trained in it; a task says what they pay and what the player starts with, the rest of it is the embedded world's.
//!
//! # Layout
//! - here: [`MineRlWorld`]; `instance`: one running game, `log`: what it prints, [`install`]: what it is launched from
//! - `client`, `wire`: the protocol; `mission`, `action`: what is sent, `observation`, `finds`, `picture`: what comes
//! - `names`: the game's names by ours; [`config`], [`error`]

mod action;
mod client;
pub mod config;
pub mod error;
mod finds;
pub mod install;
mod instance;
mod log;
mod mission;
mod names;
mod observation;
mod picture;
pub mod wire;

// The protocol byte by byte, typed by hand: tests only.
#[cfg(test)]
#[path = "../../tests/golden/minerl_wire.rs"]
mod golden;

use std::time::Duration;

use vpt_proto::keys;
use vpt_runtime::counter_hash::counter_hash;

use crate::games::scaling::Scaling;
use crate::metrics;
use crate::task::Task;
use crate::world::{Action, Tick, World, WorldError, check_world};
use config::MineRlConfig;
use error::MineRlError;
use instance::Instance;
use mission::{Mission, SIZE};
use observation::Statistics;

/// A game, episode after episode.
pub struct MineRlWorld {
    config: MineRlConfig,
    instance: Option<Instance>,
    scaling: Scaling,
    statistics: Statistics,
    gui_open: bool,
    seed: u64,
    ticks: u64,
    episodes: u64,
    fault: Option<MineRlError>,
}

impl MineRlWorld {
    /// The name sessions ask for it by.
    pub const NAME: &'static str = "minerl";
    /// What is played where nothing is said.
    pub const TASK: &'static str = "diamond_pickaxe";

    /// A world whose game starts with its first episode.
    #[must_use]
    pub fn new(config: MineRlConfig) -> Self {
        Self {
            config,
            instance: None,
            scaling: Scaling::default(),
            statistics: Statistics::default(),
            gui_open: false,
            seed: 0,
            ticks: 0,
            episodes: 0,
            fault: None,
        }
    }

    /// The process of the game's launcher, which leads a group with the game's own, while one runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.instance.as_ref().map(Instance::id)
    }

    fn start_episode(&mut self, seed: u64, task: &Task) -> Result<(), MineRlError> {
        self.episodes += 1;
        let mission = Mission::new(task, seed, &format!("vpt-{}", self.episodes))?;
        let worn = self.instance.take_if(|instance| instance.is_worn(u64::from(task.episode_steps)));
        if let Some(worn) = worn {
            metrics::count_minerl_game("recycled");
            worn.end();
        }
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(Instance::start(&self.config)?),
        };
        let seen = instance.begin(&mission)?;
        self.statistics.begin(&seen.info);
        (self.gui_open, self.seed, self.ticks) = (seen.info.gui_open, seed, 0);
        Ok(())
    }

    fn play(&mut self, action: &Action) -> Result<Tick, MineRlError> {
        let gone = || MineRlError::Ended { status: "no game runs".to_owned(), said: String::new() };
        // Without a screen to close, Escape would stop the game for its own menu.
        let escape = if self.gui_open { 0 } else { keys::ESC };
        let action = Action { keys: action.keys & !escape, ..*action };
        let seen = self.instance.as_mut().ok_or_else(gone)?.step(&action)?;
        self.ticks += 1;
        self.gui_open = seen.info.gui_open;
        let events = self.statistics.rise(&seen.info);
        Ok(Tick { events, gui_open: self.gui_open, died: seen.died })
    }

    fn fail(&mut self, error: MineRlError) -> MineRlError {
        metrics::count_minerl_game(error.outcome());
        tracing::warn!(%error, "a game is given up");
        self.instance = None;
        error
    }
}

impl World for MineRlWorld {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        check_world(task, Self::NAME)?;
        self.fault = None;
        let had_game = self.instance.is_some();
        let started = self.start_episode(seed, task).map_err(|error| self.fail(error));
        match started {
            // It may have ended since the last episode; a new one has not had the time to.
            Err(error) if had_game && error.is_passing() => {
                self.start_episode(seed, task).map_err(|error| self.fail(error))?;
            }
            other => other?,
        }
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Tick {
        if self.fault.is_some() {
            return Tick::default();
        }
        self.play(&action.tamed()).unwrap_or_else(|error| {
            self.fault = Some(self.fail(error));
            Tick::default()
        })
    }

    fn take_fault(&mut self) -> Option<WorldError> {
        self.fault.take().map(WorldError::from)
    }

    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        match &self.instance {
            // The game draws its cursor itself.
            Some(instance) => self.scaling.scale(instance.picture(), SIZE, (width, height), out),
            None => {
                out.clear();
                out.resize(height * width * 3, 0);
            }
        }
    }

    fn gui_open(&self) -> bool {
        self.gui_open
    }

    /// There is no scripted player: the game does not tell where things are.
    fn advise(&mut self) -> Action {
        Action::NOOP
    }

    /// Of what is known here: the game's own state cannot be looked into.
    fn state_hash(&self) -> u64 {
        counter_hash(&[self.seed, self.ticks])
    }

    fn spare_wait(&self) -> Option<Duration> {
        Some(self.config.longest_reset())
    }
}

#[cfg(test)]
mod tests;
