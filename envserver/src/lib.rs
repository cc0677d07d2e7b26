//! Worlds behind gRPC: the embedded world, real games, and two worlds without content for benches.
//!
//! # Layout
//! - [`run`]: the role; `service` (gRPC), `play` (a session's thread) and its `watch`, `session` (its episodes)
//! - [`spare`]: worlds made ahead; [`snapshot`]: moments to go back to
//! - [`world`]: what every world offers; [`worlds`]: which there are; [`native`], [`luanti`], [`minerl`],
//!   [`null`], [`noise`]; [`games`]: what games nobody here wrote need around them
//! - [`task`], [`reward`], [`episode`]: tasks as data, and what they pay
//! - `mouse`: movements that scripted players make
//! - [`action_log`]: what was pressed and what came of it, to be checked anywhere
//! - [`bench`]: how fast worlds and streams are
//! - [`config`], [`error`], [`metrics`]: all settings, errors and metrics

pub mod action_log;
pub mod bench;
pub mod config;
pub mod episode;
pub mod error;
pub mod games;
pub mod luanti;
pub mod metrics;
pub mod minerl;
mod mouse;
pub mod native;
pub mod noise;
pub mod null;
mod play;
pub mod reward;
pub mod run;
mod service;
mod session;
pub mod snapshot;
pub mod spare;
pub mod task;
mod watch;
pub mod world;
pub mod worlds;

pub use config::EnvserverConfig;
pub use error::EnvserverError;
pub use run::run;
pub use session::episode_seed;
pub use worlds::Worlds;
