//! The section `[security]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SecurityError;

/// How connections are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Plain TCP, within this machine only.
    #[default]
    Loopback,
    /// TLS 1.3; both ends show a certificate, and every call carries the run's token.
    Mtls,
    /// Plain TCP to anywhere.
    Insecure,
}

/// `[security]`, shared by all roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityConfig {
    /// "loopback": plain connections, refused beyond this machine. "mtls": TLS with certificates on both ends, made by
    /// `vpt certs` or by an authority of yours. "insecure": plain connections to anywhere, for networks that only hold
    /// machines you trust.
    pub mode: Mode,
    /// Folder with `ca.pem`, and for a role's process `ROLE.pem` and `ROLE-key.pem` (learner, actor, relay, envserver,
    /// operator). They are read when the process starts.
    pub certs: PathBuf,
    /// File with the run's token. Empty: the environment variable `VPT_RUN_TOKEN`, else with "mtls" `token` in `certs`.
    pub token_file: PathBuf,
    /// Connections a server holds at a time; more are closed at once.
    pub max_connections: usize,
    /// How long a connection may take until its first call has been let in.
    pub handshake_timeout_seconds: f64,
    /// Lets learner ranks exchange gradients over a network without TLS although mode is not "insecure".
    pub plain_ranks: bool,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Loopback,
            certs: "certs".into(),
            token_file: PathBuf::new(),
            max_connections: 4096,
            handshake_timeout_seconds: 10.0,
            plain_ranks: false,
        }
    }
}

impl SecurityConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and the range it must be in.
    pub fn validate(&self) -> Result<(), SecurityError> {
        let fail = |key, reason| Err(SecurityError::Config { key, reason });
        if self.max_connections == 0 || self.max_connections > 1 << 20 {
            return fail("security.max_connections", "must be 1 to 1048576");
        }
        if !(self.handshake_timeout_seconds > 0.0 && self.handshake_timeout_seconds <= 3600.0) {
            return fail("security.handshake_timeout_seconds", "must be more than 0 and at most 3600");
        }
        Ok(())
    }
}
