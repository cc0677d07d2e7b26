//! Settings of an actor (section `actor`) and of the world it plays (section `world`).

use crate::error::ActorError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vpt_policy::Precision;

/// The longest any timeout may be set to, in seconds.
const MAX_SECONDS: f64 = 86_400.0;

/// What is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldConfig {
    /// `native` (the embedded world), `luanti`, `minerl`, `null` or `noise`.
    pub name: String,
    /// A built-in task's name (`chop`, `wood`) or the TOML text of a task file.
    pub task: String,
    /// Episode length in ticks; 0 keeps the task's own.
    pub episode_steps: u32,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self { name: "native".to_owned(), task: "chop".to_owned(), episode_steps: 200 }
    }
}

/// How the recurrent state at an unroll's start travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateMode {
    /// As f32, exactly what acted.
    #[default]
    FullF32,
    /// Rounded to bf16: half the bytes.
    FullBf16,
}

/// One actor process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActorConfig {
    /// Stable name; two actors need two names. `{host}` in it stands for the name of the machine or container.
    pub id: String,
    /// URL of the envserver.
    pub envserver: String,
    /// URL of the learner.
    pub learner: String,
    /// URLs of relays to take weights from, tried in order; the learner comes last by itself.
    pub weights: Vec<String>,
    /// How often the first of them is tried again while another one is in use, in seconds.
    pub weights_return_seconds: f64,
    /// Address of the ops port (`/metrics`, `/livez`, `/readyz`).
    pub ops_listen: String,
    /// Groups of slots that take turns: one steps its worlds while another is inferred.
    pub groups: usize,
    /// Env slots in each group, which are also the inference batch.
    pub slots_per_group: usize,
    /// Threads of the tensor library.
    pub threads: usize,
    /// Divides the logits once more before sampling; 1 acts as the network says.
    pub temperature: f32,
    /// In which numbers the network multiplies: `f32`, `bf16` or `int8`. Behaviour log-probabilities are those of the
    /// network that acts.
    pub precision: Precision,
    /// How the recurrent state travels.
    pub state: StateMode,
    /// Finished unrolls kept until the learner has acknowledged them; when full, the slots wait.
    pub pending_unrolls: usize,
    /// Deadline of one env step, in seconds.
    pub step_timeout_seconds: f64,
    /// Deadline for connecting and for the first frame of a session, in seconds.
    pub open_timeout_seconds: f64,
    /// First delay before connecting again, in seconds; it doubles.
    pub reconnect_first_seconds: f64,
    /// Longest delay before connecting again, in seconds.
    pub reconnect_cap_seconds: f64,
    /// Deadline for the learner's answer to a hello and for a chunk of weights, in seconds.
    pub learner_timeout_seconds: f64,
    /// Between two reports to the learner, in seconds.
    pub report_seconds: f64,
    /// How long a stopping actor waits for the last acknowledgements, in seconds.
    pub drain_seconds: f64,
    /// File in which its count of env steps outlives it, one to an actor; what it held when it was killed is then counted
    /// as lost by the next process of its name. Empty: what it had not reported is not counted at all.
    pub ledger_file: String,
}

impl Default for ActorConfig {
    fn default() -> Self {
        Self {
            id: "actor-0".to_owned(),
            envserver: "http://127.0.0.1:50061".to_owned(),
            learner: "http://127.0.0.1:50051".to_owned(),
            weights: Vec::new(),
            weights_return_seconds: 30.0,
            ops_listen: "127.0.0.1:9090".to_owned(),
            groups: 2,
            slots_per_group: 8,
            threads: 1,
            temperature: 1.0,
            precision: Precision::F32,
            state: StateMode::FullF32,
            pending_unrolls: 16,
            step_timeout_seconds: 20.0,
            open_timeout_seconds: 20.0,
            reconnect_first_seconds: 0.1,
            reconnect_cap_seconds: 5.0,
            learner_timeout_seconds: 20.0,
            report_seconds: 1.0,
            drain_seconds: 20.0,
            ledger_file: String::new(),
        }
    }
}

impl ActorConfig {
    /// Refuses what no actor can run with.
    ///
    /// # Errors
    /// The first key at fault and what would do.
    pub fn validate(&self) -> Result<(), ActorError> {
        let fail = |key, reason: String| Err(ActorError::Config { key, reason });
        if self.id.is_empty() || self.id.len() > 128 || self.id.contains(char::is_control) {
            return fail("actor.id", format!("{:?} is not a name of 1 to 128 bytes", self.id));
        }
        for (key, value, max) in [
            ("actor.groups", self.groups, 16),
            ("actor.slots_per_group", self.slots_per_group, 1024),
            ("actor.threads", self.threads, 1024),
            ("actor.pending_unrolls", self.pending_unrolls, 65_536),
        ] {
            if value == 0 || value > max {
                return fail(key, format!("{value} is outside 1..={max}"));
            }
        }
        if !self.temperature.is_finite() || self.temperature <= 0.0 {
            return fail("actor.temperature", format!("{} is not a positive number", self.temperature));
        }
        for (key, seconds) in [
            ("actor.step_timeout_seconds", self.step_timeout_seconds),
            ("actor.open_timeout_seconds", self.open_timeout_seconds),
            ("actor.reconnect_first_seconds", self.reconnect_first_seconds),
            ("actor.reconnect_cap_seconds", self.reconnect_cap_seconds),
            ("actor.learner_timeout_seconds", self.learner_timeout_seconds),
            ("actor.weights_return_seconds", self.weights_return_seconds),
            ("actor.report_seconds", self.report_seconds),
            ("actor.drain_seconds", self.drain_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
                return fail(key, format!("{seconds} is not above 0 and at most {MAX_SECONDS} seconds"));
            }
        }
        Ok(())
    }

    /// How long recordings and evaluations wait for worlds.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        let least = Deadlines::default();
        Deadlines {
            step: seconds(self.step_timeout_seconds).max(least.step),
            open: seconds(self.open_timeout_seconds).max(least.open),
        }
    }

    /// Whom weights are asked of, in order.
    pub(crate) fn weight_parents(&self) -> Vec<String> {
        self.weights.iter().chain([&self.learner]).cloned().collect()
    }

    /// Env slots of the whole actor.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.groups * self.slots_per_group
    }
}

/// How long a player waits for its world; recordings and evaluations share machines with much else and are in no hurry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For what came of an action.
    pub step: Duration,
    /// For a session's first frame, or that of an episode.
    pub open: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Self { step: half_a_minute, open: half_a_minute }
    }
}

/// A setting in seconds as a duration; settings were validated.
pub(crate) fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.clamp(0.0, MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_and_evaluations_wait_as_long_as_actors_and_half_a_minute_at_least() {
        let config = ActorConfig { open_timeout_seconds: 1200.0, ..ActorConfig::default() };
        assert_eq!(config.deadlines(), Deadlines { open: Duration::from_secs(1200), ..Deadlines::default() });
    }

    #[test]
    fn bad_settings_are_named() {
        assert!(ActorConfig::default().validate().is_ok());
        let bad = [
            ("actor.id", ActorConfig { id: String::new(), ..ActorConfig::default() }),
            ("actor.groups", ActorConfig { groups: 0, ..ActorConfig::default() }),
            ("actor.temperature", ActorConfig { temperature: f32::NAN, ..ActorConfig::default() }),
            ("actor.report_seconds", ActorConfig { report_seconds: 0.0, ..ActorConfig::default() }),
            ("actor.drain_seconds", ActorConfig { drain_seconds: f64::NAN, ..ActorConfig::default() }),
        ];
        for (key, config) in bad {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
