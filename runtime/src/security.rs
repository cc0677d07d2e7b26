//! Who may talk to whom: the section `[security]`, certificates with roles, and the run token.
//!
//! In mode `mtls` both ends of every gRPC connection show a certificate that one authority has signed. The role that its
//! holder may play is a name in it, and every call carries the token of the run. Certificates are read once, when a
//! process starts: new ones are taken up by a restart.

mod authority;
mod config;
mod error;
mod role;
mod tls;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use authority::Authority;
pub use config::{Mode, SecurityConfig};
pub use error::SecurityError;
pub use role::Role;
pub use token::{RunToken, TOKEN_VARIABLE};

pub(crate) use tls::{Tls, role_of};

/// What a process needs to be reached and to reach others; clones are the same.
#[derive(Clone, Debug)]
pub struct Security {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SecurityConfig,
    tls: Option<Tls>,
    token: Option<RunToken>,
}

impl Default for Security {
    fn default() -> Self {
        Self::loopback()
    }
}

impl Security {
    /// Plain connections within this machine, no token.
    #[must_use]
    pub fn loopback() -> Self {
        let inner = Inner { config: SecurityConfig::default(), tls: None, token: None };
        Self { inner: Arc::new(inner) }
    }

    /// Reads the certificates and the token that `config` names, for a process that plays `role`.
    ///
    /// # Errors
    /// A file that is missing, cannot be used or can be read by others; a token that is missing or too short.
    pub fn load(config: &SecurityConfig, role: Role) -> Result<Self, SecurityError> {
        Self::load_with(config, role, std::env::var(TOKEN_VARIABLE).ok())
    }

    /// [`Security::load`] with the environment's token given.
    ///
    /// # Errors
    /// As [`Security::load`].
    pub fn load_with(
        config: &SecurityConfig,
        role: Role,
        token: Option<String>,
    ) -> Result<Self, SecurityError> {
        config.validate()?;
        let is_mtls = config.mode == Mode::Mtls;
        let file = match config.token_file.as_os_str().is_empty() {
            false => Some(config.token_file.clone()),
            true if is_mtls => Some(config.certs.join("token")),
            true => None,
        };
        let token = RunToken::find(token, file)?;
        let tls = is_mtls.then(|| Tls::load(&config.certs, role)).transpose()?;
        Ok(Self { inner: Arc::new(Inner { config: config.clone(), tls, token }) })
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.inner.tls.as_ref()
    }

    pub(crate) fn token(&self) -> Option<&RunToken> {
        self.inner.token.as_ref()
    }

    /// Connections that are served at a time.
    pub(crate) fn max_connections(&self) -> usize {
        self.inner.config.max_connections
    }

    /// How long a connection has from its first packet to its first call that is let in.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.inner.config.handshake_timeout_seconds)
    }

    /// Whether a server may listen on `address`, which the config key `what` names.
    ///
    /// # Errors
    /// When strangers could reach it in the clear.
    pub fn check_listen(&self, address: SocketAddr, what: &str) -> Result<(), SecurityError> {
        self.check(address.ip().to_canonical().is_loopback(), address.to_string(), what)
    }

    /// Whether a client may call `host` (a name or an address), which the config key `what` names.
    ///
    /// # Errors
    /// When what is said could be heard by others.
    pub fn check_dial(&self, host: &str, what: &str) -> Result<(), SecurityError> {
        self.check(is_loopback(host), host.to_owned(), what)
    }

    /// Whether learner ranks may exchange gradients with `host` without TLS, which their connections do not have.
    ///
    /// # Errors
    /// When that has not been allowed.
    pub fn check_ranks(&self, host: &str, what: &str) -> Result<(), SecurityError> {
        let config = &self.inner.config;
        if is_loopback(host) || config.plain_ranks || config.mode == Mode::Insecure {
            return Ok(());
        }
        Err(SecurityError::PlainRanks { what: what.to_owned(), address: host.to_owned() })
    }

    fn check(&self, is_loopback: bool, address: String, what: &str) -> Result<(), SecurityError> {
        if is_loopback || self.inner.config.mode != Mode::Loopback {
            return Ok(());
        }
        Err(SecurityError::NotLoopback { what: what.to_owned(), address })
    }

    /// Certificates and token of a development authority, made in `dir`, for tests.
    ///
    /// # Errors
    /// As [`Authority::create`] and [`Security::load`].
    pub fn development(dir: PathBuf, role: Role) -> Result<Self, SecurityError> {
        if !dir.join("ca.pem").exists() {
            Authority::create(&dir, 1)?;
        }
        let config = SecurityConfig { mode: Mode::Mtls, certs: dir, ..SecurityConfig::default() };
        Self::load_with(&config, role, None)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests;
