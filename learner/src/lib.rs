//! The learner: takes unrolls in, trains on them, and hands new weights out.
//!
//! # Layout
//! - [`run()`]: the role: preparation, services, the training thread
//! - [`algo`]: losses and estimators as pure functions
//! - `bc_loop`, `ppg_loop` (`policy_phase`, `aux_phase`): the two stages; `training`: one gradient step; `session`: what
//!   a stage works with; `compute`: device and precision
//! - `dataset`, `batch`, `lanes`: recorded play as streams and tensors; `experience`: an unroll as training needs it
//! - `frozen_policy`: the pretrained policy of the KL term; `returns`: episodes that ended lately
//! - [`checkpoint`]: all state in a folder that is whole or absent; [`config`]: every setting
//! - [`service`], [`serve`]: the gRPC face (trajectories up, weights down, status)
//! - [`admission`]: what an unroll must look like to be let in
//! - [`queue`], [`credits`]: the bounded queue between the network and the training thread, and its flow control
//! - [`ledger`]: where every env step went; [`actors`]: who is connected
//! - [`publish`], [`version`]: published weight sets and their order
//! - [`status`], [`metrics`], [`event_log`]: what can be seen from outside

pub mod actors;
pub mod admission;
pub mod algo;
mod aux_phase;
mod batch;
mod bc_loop;
pub mod checkpoint;
mod compute;
pub mod config;
pub mod credits;
mod dataset;
pub mod error;
pub mod event_log;
mod experience;
mod frozen_policy;
mod lanes;
pub mod ledger;
pub mod metrics;
mod policy_phase;
mod ppg_loop;
pub mod publish;
pub mod queue;
mod returns;
mod run;
pub mod serve;
pub mod service;
mod session;
pub mod status;
mod stopwatch;
#[cfg(test)]
mod synthetic;
mod training;
pub mod version;

pub use error::LearnerError;
pub use run::{LearnerSetup, run};
