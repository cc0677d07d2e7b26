//! Settings of an envserver: the `[envserver]` section of the run file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vpt_runtime::ConfigError;

use crate::luanti::config::LuantiConfig;
use crate::minerl::config::MineRlConfig;
use crate::watch::Limits;

/// `[envserver]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvserverConfig {
    /// Where sessions are served, host:port.
    pub listen: String,
    /// Where metrics and probes are served, host:port.
    pub ops_listen: String,
    /// Sessions at a time; more are refused.
    pub max_sessions: usize,
    /// A session that sends no action, or takes no observation, for so long is closed.
    pub idle_timeout_seconds: f64,
    /// A stream must say what it wants to play within this time.
    pub open_timeout_seconds: f64,
    /// A session whose world does not come back from a step for so long is given up; after a thousand steps, already for
    /// three times the 99.9th percentile of its own, and half a second at least.
    pub step_timeout_seconds: f64,
    /// A session whose world does not come back from a reset for so long is given up.
    pub reset_timeout_seconds: f64,
    /// Threads that make the worlds of sessions' next episodes while the current ones are played; 0 makes none ahead.
    pub spare_threads: usize,
    /// At shutdown, sessions and connections have so long to end before they are abandoned.
    pub drain_timeout_seconds: f64,
    /// The world `luanti`.
    pub luanti: LuantiConfig,
    /// The world `minerl`.
    pub minerl: MineRlConfig,
}

impl Default for EnvserverConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50061".to_owned(),
            ops_listen: "127.0.0.1:9090".to_owned(),
            max_sessions: 256,
            idle_timeout_seconds: 60.0,
            open_timeout_seconds: 10.0,
            step_timeout_seconds: 60.0,
            reset_timeout_seconds: 60.0,
            spare_threads: 1,
            drain_timeout_seconds: 5.0,
            luanti: LuantiConfig::default(),
            minerl: MineRlConfig::default(),
        }
    }
}

/// Sessions are OS threads: beyond this a machine thrashes rather than serves.
const MAX_SESSIONS: usize = 4096;

/// More would only take time from the sessions.
const MAX_SPARE_THREADS: usize = 64;

/// Longest timeout that makes sense, seconds.
const MAX_TIMEOUT: f64 = 86_400.0;

impl EnvserverConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and the range it must be in.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_SESSIONS).contains(&self.max_sessions) {
            let message = format!("must be within 1..={MAX_SESSIONS}, is {}", self.max_sessions);
            return Err(ConfigError::invalid("envserver.max_sessions", message));
        }
        if self.spare_threads > MAX_SPARE_THREADS {
            let message = format!("must be at most {MAX_SPARE_THREADS}, is {}", self.spare_threads);
            return Err(ConfigError::invalid("envserver.spare_threads", message));
        }
        for (key, seconds) in [
            ("idle_timeout_seconds", self.idle_timeout_seconds),
            ("open_timeout_seconds", self.open_timeout_seconds),
            ("step_timeout_seconds", self.step_timeout_seconds),
            ("reset_timeout_seconds", self.reset_timeout_seconds),
            ("drain_timeout_seconds", self.drain_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= MAX_TIMEOUT) {
                let message = format!("must be above 0 and at most {MAX_TIMEOUT}, is {seconds}");
                return Err(ConfigError::invalid(format!("envserver.{key}"), message));
            }
        }
        self.luanti.validate()?;
        self.minerl.validate()
    }

    /// The longest an envserver takes to end once told to stop; whoever stops it has to wait longer before killing it.
    #[must_use]
    pub fn longest_drain(&self) -> Duration {
        // Connections first, then sessions.
        2 * self.drain_timeout() + vpt_runtime::ops::GRACE
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.idle_timeout_seconds)
    }

    pub(crate) fn open_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.open_timeout_seconds)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            step: Duration::from_secs_f64(self.step_timeout_seconds),
            reset: Duration::from_secs_f64(self.reset_timeout_seconds),
        }
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.drain_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_sense_name_their_key() {
        EnvserverConfig::default().validate().unwrap();
        let none = EnvserverConfig { max_sessions: 0, ..EnvserverConfig::default() };
        assert!(none.validate().unwrap_err().to_string().contains("envserver.max_sessions"));
        let crowd = EnvserverConfig { spare_threads: 65, ..EnvserverConfig::default() };
        assert!(crowd.validate().unwrap_err().to_string().contains("envserver.spare_threads"));
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = EnvserverConfig { idle_timeout_seconds: seconds, ..EnvserverConfig::default() };
            assert!(config.validate().unwrap_err().to_string().contains("envserver.idle_timeout_seconds"));
        }
    }
}
