//! The one TOML file that configures every role: sections by crate, unknown keys refused, resolved form saved with
//! the run.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vpt_actor::config::{ActorConfig, WorldConfig};
use vpt_actor::player::Player;
use vpt_actor::relay::RelayConfig;
use vpt_envserver::config::EnvserverConfig;
use vpt_envserver::minerl::MineRlWorld;
use vpt_learner::config::LearnerConfig;
use vpt_policy::{Parameters, PolicyConfig, Precision};
use vpt_runtime::config::{self, ConfigError};
use vpt_runtime::faults::FaultsConfig;
use vpt_runtime::security::SecurityConfig;
use vpt_runtime::traces::TracesConfig;

/// The run that `vpt up` without `--config` performs.
pub const DEFAULT_RUN: &str = include_str!("../runs/chop.toml");

/// The same where `world.name` says `minerl` and nothing else is said.
pub const MINERL_RUN: &str = include_str!("../runs/minerl.toml");

/// Version of this file format.
pub const CONFIG_VERSION: u32 = 1;

/// A complete run file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Version of the config format; see [`CONFIG_VERSION`].
    pub config_version: u32,
    /// Name and seed.
    pub run: RunSection,
    /// Where the agent lives and what it is paid for.
    pub world: WorldConfig,
    /// The network.
    pub policy: PolicyConfig,
    /// The worlds' server.
    pub envserver: EnvserverConfig,
    /// Actors.
    pub actor: ActorConfig,
    /// Relays of weights.
    pub relay: RelayConfig,
    /// The learner.
    pub learner: LearnerConfig,
    /// Recording of demonstrations.
    pub demonstrations: DemonstrationsSection,
    /// Held-out evaluation.
    pub evaluation: EvaluationSection,
    /// How connections between roles are protected.
    pub security: SecurityConfig,
    /// The local launcher.
    pub up: UpSection,
    /// Traces of single unrolls for an OpenTelemetry collector.
    pub traces: TracesConfig,
    /// Delays on purpose, for tests of the system; refused unless `faults.enabled`.
    pub faults: FaultsConfig,
}

/// Name and seed of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSection {
    /// Folder name below `runs/`.
    pub name: String,
    /// Every random decision of the run is a hash of this and of what is decided.
    pub seed: u64,
}

/// Recording of demonstrations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemonstrationsSection {
    /// Episodes of the scripted player to record.
    pub episodes: usize,
    /// Streams recorded at the same time.
    pub slots: usize,
    /// Chance per step that the scripted player's hand slips for a moment: keys are let go, the mouse twitches. People
    /// slip too, and their way back is worth showing.
    pub slips: f64,
}

/// Held-out evaluation; every arm plays the same seeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSection {
    /// Episodes per arm.
    pub episodes: usize,
    /// Streams played at the same time; part of what makes a number reproducible to the last bit.
    pub slots: usize,
    /// Key of the held-out world seeds; not the run's seed, so that runs are compared on the same worlds.
    pub seed: u64,
    /// Extra sampling temperature on top of the policy's own.
    pub temperature: f32,
    /// In which numbers the network multiplies: `f32`, `bf16` or `int8`.
    pub precision: Precision,
}

/// The local launcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpSection {
    /// Actor processes.
    pub actors: usize,
    /// Restarts of one process within a minute after which the run is given up.
    pub max_restarts_per_minute: usize,
    /// Seconds a process gets to drain after SIGTERM before it is killed; more than `actor.drain_seconds`, by which actors end.
    pub drain_seconds: u64,
    /// Also train the clone on for as long as PPG took, as the control that PPG has to beat.
    pub bc_continued: bool,
    /// Also train without the auxiliary phase, without KL and from scratch, for as many env steps: what each is worth.
    pub ablations: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            config_version: CONFIG_VERSION,
            run: RunSection::default(),
            world: WorldConfig::default(),
            policy: PolicyConfig::default(),
            envserver: EnvserverConfig::default(),
            actor: ActorConfig::default(),
            relay: RelayConfig::default(),
            learner: LearnerConfig::default(),
            demonstrations: DemonstrationsSection::default(),
            evaluation: EvaluationSection::default(),
            security: SecurityConfig::default(),
            up: UpSection::default(),
            traces: TracesConfig::default(),
            faults: FaultsConfig::default(),
        }
    }
}

impl Default for RunSection {
    fn default() -> Self {
        Self { name: "chop".into(), seed: 1 }
    }
}

impl Default for DemonstrationsSection {
    fn default() -> Self {
        Self { episodes: 256, slots: 16, slips: 0.0 }
    }
}

impl Default for EvaluationSection {
    fn default() -> Self {
        let (temperature, precision) = (1.0, Precision::F32);
        Self { episodes: 128, slots: 32, seed: 20_220_623, temperature, precision }
    }
}

impl EvaluationSection {
    /// The network over `parameters` as a player.
    pub(crate) fn player(&self, config: PolicyConfig, parameters: Parameters) -> Player {
        Player::Policy { config, parameters, precision: self.precision, temperature: self.temperature }
    }
}

impl Default for UpSection {
    fn default() -> Self {
        let (bc_continued, ablations) = (true, false);
        Self { actors: 2, max_restarts_per_minute: 10, drain_seconds: 30, bc_continued, ablations }
    }
}

/// What a run says of its world, defaults aside.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    world: SaidOfWorld,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidOfWorld {
    task: Option<String>,
    episode_steps: Option<u32>,
}

impl Said {
    /// Where no task is named, Minecraft has its own, in its own length.
    fn in_minecraft(self, world: WorldConfig) -> WorldConfig {
        if self.world.task.is_some() {
            return world;
        }
        let episode_steps = self.world.episode_steps.unwrap_or(0);
        WorldConfig { task: MineRlWorld::TASK.to_owned(), episode_steps, ..world }
    }
}

impl RunConfig {
    /// Reads a run: the built-in one when `file` is `None`, then the environment and `sets` on top.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, values of the wrong type or out of range; each names its source.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let base = if file.is_some() { "" } else { DEFAULT_RUN };
        let mut loaded: Self = config::load(file, base, sets)?;
        if loaded.world.name == MineRlWorld::NAME {
            match file {
                None => loaded = config::load(None, MINERL_RUN, sets)?,
                Some(_) => loaded.world = config::load::<Said>(file, base, sets)?.in_minecraft(loaded.world),
            }
        }
        loaded.validate()?;
        Ok(loaded)
    }

    /// Reads the resolved run file that a checkpoint carries, with `sets` on top.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn from_checkpoint(text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let loaded: Self = config::load(None, text, sets)?;
        loaded.validate()?;
        Ok(loaded)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, reason: String| Err(ConfigError::invalid(key, &reason));
        if self.config_version != CONFIG_VERSION {
            let reason =
                format!("this vpt reads version {CONFIG_VERSION}, the file says {}", self.config_version);
            return refuse("config_version", reason);
        }
        if let Err(error) = self.policy.validate() {
            return refuse("policy", error.to_string());
        }
        if let Err(error) = self.security.validate() {
            return refuse("security", error.to_string());
        }
        for (key, value) in [
            ("up.actors", self.up.actors),
            ("evaluation.episodes", self.evaluation.episodes),
            ("evaluation.slots", self.evaluation.slots),
            ("demonstrations.episodes", self.demonstrations.episodes),
            ("demonstrations.slots", self.demonstrations.slots),
        ] {
            if value == 0 {
                return refuse(key, "must be at least 1".into());
            }
        }
        self.traces.validate()?;
        self.faults.validate()?;
        if !(0.0..=0.5).contains(&self.demonstrations.slips) {
            return refuse("demonstrations.slips", "must be between 0 and 0.5".into());
        }
        if self.run.name.is_empty() || self.run.name.contains(['/', '\\']) {
            return refuse("run.name", "must be a folder name, not empty and without slashes".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_run_is_complete_and_valid() {
        let config = RunConfig::load(None, &[]).expect("built-in run");
        assert_eq!(config.world.task, "chop");
        let dumped = config::dump(&config).expect("dump");
        let again = RunConfig::from_checkpoint(&dumped, &[]).expect("a dumped config loads");
        assert_eq!(config::dump(&again).expect("dump"), dumped);
    }

    #[test]
    fn minecraft_has_a_built_in_run_of_its_own() {
        let config = RunConfig::load(None, &["world.name=minerl".into()]).expect("built-in run");
        assert_eq!((config.world.task.as_str(), config.world.episode_steps), ("diamond_pickaxe", 12_000));
        let sets = ["world.name=minerl".into(), "world.task=chop".into(), "world.episode_steps=0".into()];
        let config = RunConfig::load(None, &sets).expect("built-in run");
        assert_eq!((config.world.task.as_str(), config.world.episode_steps), ("chop", 0));
        let file = tempfile::NamedTempFile::new().expect("a file");
        let world = |text: &str| {
            std::fs::write(file.path(), text).expect("writable");
            let world = RunConfig::load(Some(file.path()), &[]).expect("a run").world;
            (world.task, world.episode_steps)
        };
        assert_eq!(world("[world]\nname = \"minerl\""), ("diamond_pickaxe".to_owned(), 0));
        assert_eq!(world("[world]\nname = \"minerl\"\ntask = \"wood\""), ("wood".to_owned(), 200));
        assert_eq!(world("[world]\nname = \"native\""), ("chop".to_owned(), 200));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = RunConfig::load(None, &["learner.ppg.learnrate=1".into()]).expect_err("typo");
        assert!(error.to_string().contains("learnrate"), "{error}");
    }

    #[test]
    fn delays_on_purpose_have_to_be_enabled() {
        let set = "faults.delays.decode_ms=50".to_owned();
        let error = RunConfig::load(None, std::slice::from_ref(&set)).expect_err("not enabled");
        assert!(error.to_string().contains("faults.enabled"), "{error}");
        RunConfig::load(None, &[set, "faults.enabled=true".into()]).expect("enabled");
    }

    #[test]
    fn zero_actors_are_refused_by_key() {
        let error = RunConfig::load(None, &["up.actors=0".into()]).expect_err("no actors");
        assert!(error.to_string().contains("up.actors"), "{error}");
    }
}
