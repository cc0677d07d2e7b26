//! The learner: takes unrolls in, trains on them, and hands new weights out.
//!
//! # Layout
//! - [`run()`]: the role: preparation, services, the training thread
//! - [`algo`]: losses and estimators as pure functions
//! - `bc_loop`, `ppg_loop` (`policy_phase`, `aux_phase`): the two stages; `training`: one gradient step; `session`: what
//!   a stage works with; `compute`: device and precision; `nonfinite`: minibatches that no step can be taken on
//! - `dataset`, `batch`, `lanes`: recorded play as streams and tensors; `experience`: an unroll as training needs it
//! - `frozen_policy`: the pretrained policy of the KL term; `returns`: episodes that ended lately;
//!   `off_policy`: advantages of unrolls that older weights acted in
//! - [`replay`], [`comparison`]: training run again from the journal, and whether it is the same
//! - `batch_traces`: what training notes about traced unrolls
//! - `source`: where unrolls come from, the journal first; `checkpoint_writer`, `log_writer`: the threads that
//!   write, so that training does not wait for the disk
//! - [`checkpoint`]: all state in a folder that is whole or absent; [`config`]: every setting
//! - [`service`], [`serve`]: the gRPC face (trajectories up, weights down, status)
//! - [`admission`]: what an unroll must look like to be let in
//! - [`queue`], [`credits`]: the bounded queue between the network and the training thread, and its flow control
//! - [`journal`]: what was let in since the last checkpoints, on disk
//! - `intake`: an admitted unroll gets its place; [`schedule`], `turnstile`: the order of a deterministic run
//! - [`ranks`]: several learners that train one model; [`assignment`]: which of them takes which actor's slots
//! - [`ledger`]: where every env step went; [`actors`]: who is connected
//! - [`publish`], [`version`]: published weight sets and their order
//! - [`accounts`], [`verdict`]: where the time of every part goes, and what holds the run back
//! - [`status`], [`metrics`], [`event_log`]: what can be seen from outside; `live`: the page on the ops port
//! - [`bench`]: all that takes unrolls in, without a trainer

pub mod accounts;
pub mod actors;
pub mod admission;
pub mod algo;
pub mod assignment;
mod aux_phase;
mod batch;
mod batch_traces;
mod bc_loop;
pub mod bench;
mod bookkeeper;
pub mod checkpoint;
mod checkpoint_writer;
pub mod comparison;
mod compute;
pub mod config;
pub mod credits;
mod dataset;
pub mod error;
pub mod event_log;
mod experience;
mod frozen_policy;
mod intake;
pub mod journal;
mod lanes;
pub mod ledger;
mod live;
mod log_writer;
pub mod metrics;
mod named_thread;
mod nonfinite;
mod off_policy;
mod policy_phase;
mod ppg_loop;
pub mod publish;
mod publisher;
pub mod queue;
pub mod ranks;
pub mod replay;
mod returns;
mod run;
pub mod schedule;
pub mod serve;
pub mod service;
mod session;
mod source;
mod stack_ahead;
pub mod status;
mod stopwatch;
#[cfg(test)]
mod synthetic;
mod training;
mod turnstile;
pub mod verdict;
pub mod version;

pub use error::LearnerError;
pub use replay::{ReplayReport, replay_training};
pub use run::{LearnerSetup, run};
