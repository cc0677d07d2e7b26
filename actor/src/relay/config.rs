//! Settings of a relay (section `relay`).

use crate::config::seconds;
use crate::error::ActorError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest any timeout may be set to, in seconds.
const MAX_SECONDS: f64 = 86_400.0;

/// One relay process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// Name under which it asks upstream; `{host}` in it stands for the name of the machine or container.
    pub id: String,
    /// Address of the weights service.
    pub listen: String,
    /// Address of the ops port (`/metrics`, `/livez`, `/readyz`).
    pub ops_listen: String,
    /// URLs of whom to take weights from, tried in order: relays, and the learner last.
    pub upstream: Vec<String>,
    /// Versions kept in memory; deterministic runs need as many as the learner keeps, `lag_phases + 3`.
    pub keep_versions: usize,
    /// Deadline for an answer and for a chunk of weights, in seconds.
    pub timeout_seconds: f64,
    /// First delay before connecting again, in seconds; it doubles.
    pub reconnect_first_seconds: f64,
    /// Longest delay before connecting again, in seconds.
    pub reconnect_cap_seconds: f64,
    /// How often the first upstream is tried again while another one is in use, in seconds.
    pub return_seconds: f64,
    /// Without any upstream for so long, followers are sent elsewhere, in seconds.
    pub orphan_seconds: f64,
    /// How long a stopping relay waits for its streams to end, in seconds.
    pub drain_seconds: f64,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            id: "relay-0".to_owned(),
            listen: "127.0.0.1:50052".to_owned(),
            ops_listen: "127.0.0.1:9090".to_owned(),
            upstream: vec!["http://127.0.0.1:50051".to_owned()],
            keep_versions: 3,
            timeout_seconds: 20.0,
            reconnect_first_seconds: 0.1,
            reconnect_cap_seconds: 5.0,
            return_seconds: 30.0,
            orphan_seconds: 10.0,
            drain_seconds: 5.0,
        }
    }
}

impl RelayConfig {
    /// Refuses what no relay can run with.
    ///
    /// # Errors
    /// The first key at fault and what would do.
    pub fn validate(&self) -> Result<(), ActorError> {
        let fail = |key, reason: String| Err(ActorError::Config { key, reason });
        if self.id.is_empty() || self.id.len() > 128 || self.id.contains(char::is_control) {
            return fail("relay.id", format!("{:?} is not a name of 1 to 128 bytes", self.id));
        }
        if self.upstream.is_empty() || self.upstream.len() > 16 {
            return fail("relay.upstream", "must name 1 to 16 URLs, the learner's last".to_owned());
        }
        if !(1..=64).contains(&self.keep_versions) {
            return fail("relay.keep_versions", format!("{} is outside 1..=64", self.keep_versions));
        }
        for (key, seconds) in [
            ("relay.timeout_seconds", self.timeout_seconds),
            ("relay.reconnect_first_seconds", self.reconnect_first_seconds),
            ("relay.reconnect_cap_seconds", self.reconnect_cap_seconds),
            ("relay.return_seconds", self.return_seconds),
            ("relay.orphan_seconds", self.orphan_seconds),
            ("relay.drain_seconds", self.drain_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
                return fail(key, format!("{seconds} is not above 0 and at most {MAX_SECONDS} seconds"));
            }
        }
        Ok(())
    }

    /// The longest a relay takes to end once told to stop; whoever stops it has to wait longer before killing it.
    #[must_use]
    pub fn longest_drain(&self) -> Duration {
        seconds(self.drain_seconds) + vpt_runtime::ops::GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        assert!(RelayConfig::default().validate().is_ok());
        let bad = [
            ("relay.id", RelayConfig { id: String::new(), ..RelayConfig::default() }),
            ("relay.upstream", RelayConfig { upstream: vec![], ..RelayConfig::default() }),
            ("relay.keep_versions", RelayConfig { keep_versions: 0, ..RelayConfig::default() }),
            ("relay.orphan_seconds", RelayConfig { orphan_seconds: f64::NAN, ..RelayConfig::default() }),
        ];
        for (key, config) in bad {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
