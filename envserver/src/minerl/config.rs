//! Settings of the world `minerl`: the `[envserver.minerl]` section of the run file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vpt_runtime::ConfigError;

/// `[envserver.minerl]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MineRlConfig {
    /// Folder `MCP-Reborn` of a MineRL 1.0 installation, with `launchClient.sh`. Needed to play.
    pub path: String,
    /// Folder of the Java to play with, with `bin/java`; empty: the `java` of `PATH`.
    pub java: String,
    /// X display to play on, for example `:0`; empty: each game gets an X server without a screen.
    pub display: String,
    /// The X server without a screen: a path, or a name that is looked for in `PATH`.
    pub xvfb: String,
    /// What a game's Java may take for its heap, as Java spells it; about 1 GiB more is needed beside it.
    pub max_memory: String,
    /// Folder below which each game has one of its own while it runs; empty: one in the system's folder for temporary files.
    pub folder: String,
    /// A game has so long from its launch until it answers.
    pub start_timeout_seconds: f64,
    /// A game has so long to get back to its menu, and as long again to make a world.
    pub mission_timeout_seconds: f64,
    /// A game that does not answer a step for so long is ended.
    pub step_timeout_seconds: f64,
    /// A game older than this is replaced before its next episode.
    pub recycle_minutes: f64,
    /// A game whose next episode could end after so many steps is replaced before it. Games are known to stop answering after
    /// about 120,000.
    pub recycle_steps: u64,
}

impl Default for MineRlConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            java: String::new(),
            display: String::new(),
            xvfb: "Xvfb".to_owned(),
            max_memory: "4G".to_owned(),
            folder: String::new(),
            start_timeout_seconds: 300.0,
            mission_timeout_seconds: 300.0,
            step_timeout_seconds: 60.0,
            recycle_minutes: 60.0,
            recycle_steps: 100_000,
        }
    }
}

/// Steps after which games stop answering.
const MOST_STEPS: u64 = 120_000;

impl MineRlConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and the range it must be in.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse =
            |key: &str, reason: String| Err(ConfigError::invalid(format!("envserver.minerl.{key}"), reason));
        if self.max_memory_bytes().is_none() {
            let reason = format!("must be a number and K, M or G, for example 4G, is {:?}", self.max_memory);
            return refuse("max_memory", reason);
        }
        for (key, seconds) in [
            ("start_timeout_seconds", self.start_timeout_seconds),
            ("mission_timeout_seconds", self.mission_timeout_seconds),
            ("step_timeout_seconds", self.step_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= 3600.0) {
                return refuse(key, format!("must be above 0 and at most 3600, is {seconds}"));
            }
        }
        let minutes = self.recycle_minutes;
        if !(minutes > 0.0 && minutes <= 100_000.0) {
            return refuse("recycle_minutes", format!("must be above 0 and at most 100000, is {minutes}"));
        }
        if !(1..MOST_STEPS).contains(&self.recycle_steps) {
            let reason = format!("must be at least 1 and below {MOST_STEPS}, is {}", self.recycle_steps);
            return refuse("recycle_steps", reason);
        }
        Ok(())
    }

    /// [`max_memory`](Self::max_memory) as a number; none when it is not one.
    #[must_use]
    pub fn max_memory_bytes(&self) -> Option<u64> {
        let unit = self.max_memory.chars().last()?.to_ascii_uppercase();
        let shift = match unit {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            _ => return None,
        };
        let number: u64 = self.max_memory[..self.max_memory.len() - 1].parse().ok()?;
        number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
    }

    pub(super) fn start_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.start_timeout_seconds)
    }

    pub(super) fn mission_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.mission_timeout_seconds)
    }

    pub(super) fn step_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.step_timeout_seconds)
    }

    pub(super) fn recycle_age(&self) -> Duration {
        Duration::from_secs_f64(self.recycle_minutes * 60.0)
    }

    /// The longest a reset takes that has to start a game.
    pub(super) fn longest_reset(&self) -> Duration {
        self.start_timeout() + 2 * self.mission_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_sense_name_their_key() {
        MineRlConfig::default().validate().unwrap();
        let refused = |config: MineRlConfig| config.validate().unwrap_err().to_string();
        let endless = MineRlConfig { mission_timeout_seconds: f64::INFINITY, ..Default::default() };
        assert!(refused(endless).contains("envserver.minerl.mission_timeout_seconds"));
        let late = MineRlConfig { recycle_steps: 120_000, ..Default::default() };
        assert!(refused(late).contains("envserver.minerl.recycle_steps"));
        let never = MineRlConfig { recycle_minutes: 0.0, ..Default::default() };
        assert!(refused(never).contains("envserver.minerl.recycle_minutes"));
        for memory in ["", "4", "G", "-4G", "4 G", "0G", "é", "99999999999999999999G"] {
            let config = MineRlConfig { max_memory: memory.to_owned(), ..Default::default() };
            assert!(refused(config).contains("envserver.minerl.max_memory"), "{memory}");
        }
    }

    #[test]
    fn memory_is_read_as_java_reads_it() {
        let bytes =
            |text: &str| MineRlConfig { max_memory: text.into(), ..Default::default() }.max_memory_bytes();
        assert_eq!(
            (bytes("4G"), bytes("512m"), bytes("1024k")),
            (Some(4 << 30), Some(512 << 20), Some(1 << 20))
        );
    }
}
