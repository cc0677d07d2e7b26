//! The one command of vpt and its local launcher.
//!
//! # Layout
//! - [`cli`]: every command, flag and help text
//! - [`run_config`]: the one TOML file that configures every role
//! - [`commands`]: what each command does
//! - [`up`]: a whole cluster on this machine, as child processes
//! - [`report`]: plots and the HTML page of a run

pub mod cli;
pub mod commands;
pub mod report;
pub mod run_config;
pub mod up;
