//! Delays on purpose, one for each part of the system, to test what the system says about itself. Never for a run that
//! counts.
//!
//! A process has one set of delays, as it has one set of metrics: parts ask for theirs by name, which costs one load while
//! nothing is injected. They are set by the run file's `[faults]` section and, while the process runs, by a file that is
//! looked at a few times a second.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// How often the file of delays is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The longest delay; below every deadline that a delayed part is watched by.
const MAX_MS: u64 = 10_000;

/// What can be slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every env step, in the envserver.
    EnvStep,
    /// Every inference batch, in the actor.
    Inference,
    /// Every chunk of an unroll on its way to the learner, in the actor.
    Uplink,
    /// Every new weight set before it acts, in the actor.
    Weights,
    /// Every unroll's decoding, in the learner.
    Decode,
    /// Every optimiser step, in the learner.
    TrainStep,
    /// Every publication of weights, in the learner.
    Publish,
    /// Everything the learner writes to its disk: records of the journal, files of checkpoints, entries of the log.
    Disk,
}

/// How many there are.
const PARTS: usize = Part::Disk as usize + 1;

static DELAYS_MS: [AtomicU64; PARTS] = [const { AtomicU64::new(0) }; PARTS];

/// The delays in milliseconds: section `[faults]`, and the file it may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Added to every env step.
    pub env_step_ms: u64,
    /// Added to every inference batch.
    pub inference_ms: u64,
    /// Added to every chunk that goes up to the learner.
    pub uplink_ms: u64,
    /// Added to the arrival of every new weight set.
    pub weights_ms: u64,
    /// Added to the decoding of every unroll.
    pub decode_ms: u64,
    /// Added to every optimiser step.
    pub train_step_ms: u64,
    /// Added to every publication of weights.
    pub publish_ms: u64,
    /// Added to everything that the learner writes to its disk: a record of the journal, a file of a checkpoint, an entry
    /// of the log.
    pub disk_ms: u64,
}

/// Section `[faults]`: delays on purpose, for tests of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultsConfig {
    /// Must be true for anything else in this section to be taken.
    pub enabled: bool,
    /// A TOML file with the keys of `delays`, read again whenever it changes; it replaces them. Need not exist yet.
    pub file: PathBuf,
    /// The delays from the start.
    pub delays: Delays,
}

impl Delays {
    fn all(&self) -> [u64; PARTS] {
        [
            self.env_step_ms,
            self.inference_ms,
            self.uplink_ms,
            self.weights_ms,
            self.decode_ms,
            self.train_step_ms,
            self.publish_ms,
            self.disk_ms,
        ]
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let delays: Self =
            toml::from_str(text).map_err(|error| ConfigError::invalid("faults", error.to_string()))?;
        delays.validate().map(|()| delays)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.all().iter().any(|&delay| delay > MAX_MS) {
            return Err(ConfigError::invalid("faults", format!("a delay must be at most {MAX_MS} ms")));
        }
        Ok(())
    }

    /// Puts these delays in force in this process.
    pub fn inject(&self) {
        for (slot, delay) in DELAYS_MS.iter().zip(self.all()) {
            slot.store(delay, Ordering::Relaxed);
        }
    }
}

impl FaultsConfig {
    /// Refuses delays that were not asked for in so many words.
    ///
    /// # Errors
    /// When something is set and `enabled` is not, or a delay is too long.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !self.enabled && *self != Self::default() {
            let reason = "slows the system down on purpose: set faults.enabled = true if that is meant";
            return Err(ConfigError::invalid("faults", reason));
        }
        self.delays.validate()
    }

    /// Puts the delays in force and starts to follow the file, until the process ends.
    ///
    /// # Errors
    /// As [`Self::validate`]; no thread for the file.
    pub fn start(&self) -> Result<(), ConfigError> {
        self.validate()?;
        if !self.enabled {
            return Ok(());
        }
        tracing::warn!(delays = ?self.delays, file = %self.file.display(), "this process is slowed down on purpose");
        self.delays.inject();
        if self.file.as_os_str().is_empty() {
            return Ok(());
        }
        let (file, initial) = (self.file.clone(), self.delays);
        let follow = move || follow(&file, initial);
        let thread = std::thread::Builder::new().name("vpt-faults".into()).spawn(follow);
        thread.map(drop).map_err(|error| ConfigError::invalid("faults.file", error.to_string()))
    }
}

/// Looks at `file` for as long as the process lives.
fn follow(file: &Path, initial: Delays) {
    let mut before = String::new();
    loop {
        std::thread::sleep(LOOK);
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text == before {
            continue;
        }
        match if text.is_empty() { Ok(initial) } else { Delays::parse(&text) } {
            Ok(delays) => {
                tracing::warn!(?delays, "delays on purpose");
                delays.inject();
            }
            Err(error) => tracing::warn!(%error, "the file of delays is not usable"),
        }
        before = text;
    }
}

/// How long `part` is to wait now; none unless delays are injected.
#[must_use]
pub fn delay(part: Part) -> Option<Duration> {
    match DELAYS_MS[part as usize].load(Ordering::Relaxed) {
        0 => None,
        delay => Some(Duration::from_millis(delay)),
    }
}

/// Blocks the thread for as long as `part` is to wait.
pub fn sleep(part: Part) {
    if let Some(delay) = delay(part) {
        std::thread::sleep(delay);
    }
}

/// Waits for as long as `part` is to wait.
pub async fn pause(part: Part) {
    if let Some(delay) = delay(part) {
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_slowed_down_unless_said_twice() {
        FaultsConfig::default().validate().unwrap();
        let delays = Delays { decode_ms: 5, ..Delays::default() };
        let hidden = FaultsConfig { delays, ..FaultsConfig::default() };
        assert!(hidden.validate().unwrap_err().to_string().contains("faults.enabled"));
        let config = FaultsConfig { enabled: true, ..hidden };
        config.start().unwrap();
        assert_eq!(delay(Part::Decode), Some(Duration::from_millis(5)));
        assert_eq!(delay(Part::Publish), None);
        Delays::default().inject();
        assert_eq!(delay(Part::Decode), None);
    }

    #[test]
    fn unknown_parts_and_endless_delays_are_refused() {
        assert!(Delays::parse("publish_ms = 3").is_ok());
        assert!(Delays::parse("gravity_ms = 3").is_err());
        assert!(Delays::parse("publish_ms = 3000000").is_err());
    }
}
