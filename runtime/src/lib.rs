//! What every vpt role process needs, and nothing about any role.
//!
//! # Layout
//! - [`config`]: one layered TOML run file (defaults, file, environment, `--set`), errors that name key and source
//! - [`metrics`]: each metric declared once, one Prometheus recorder a process
//! - [`ops`]: the ops port: `/metrics`, `/livez`, `/readyz`
//! - [`security`]: the section `[security]`, certificates with roles, the run token
//! - [`net`]: listeners, connections that are let in or refused, channels to other roles
//! - [`open_files`]: the limit of open files
//! - [`shutdown`]: signals to a token, waits with a name and a deadline
//! - [`telemetry`]: logs to stderr, human or JSON; [`traces`]: single unrolls from env step to gradient
//! - [`clock`], [`pool_account`]: the calendar, and time by named state, of one thread and of many
//! - [`faults`]: delays on purpose, for tests of the system
//! - [`backoff`], [`counter_hash`]: retry delays and the hash that seeds them
//! - [`atomic_file`]: files that are whole or absent
//! - [`exit`], [`build_info`], [`host`]: exit codes, what this binary is and where it runs

pub mod atomic_file;
pub mod backoff;
pub mod build_info;
pub mod clock;
pub mod config;
pub mod counter_hash;
pub mod exit;
pub mod faults;
pub mod host;
pub mod metrics;
pub mod net;
pub mod open_files;
pub mod ops;
pub mod pool_account;
pub mod security;
pub mod shutdown;
pub mod telemetry;
pub mod traces;

pub use backoff::Backoff;
pub use config::ConfigError;
pub use net::Listeners;
pub use security::Security;
