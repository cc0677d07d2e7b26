//! The learner: takes unrolls in, trains on them, and hands new weights out.
//!
//! # Layout
//! - [`algo`]: losses and estimators as pure functions
//! - [`service`], [`serve`]: the gRPC face (trajectories up, weights down, status)
//! - [`admission`]: what an unroll must look like to be let in
//! - [`queue`], [`credits`]: the bounded queue between the network and the training thread, and its flow control
//! - [`ledger`]: where every env step went; [`actors`]: who is connected
//! - [`publish`], [`version`]: published weight sets and their order
//! - [`status`], [`metrics`], [`event_log`]: what can be seen from outside

pub mod actors;
pub mod admission;
pub mod algo;
pub mod credits;
pub mod error;
pub mod event_log;
pub mod ledger;
pub mod metrics;
pub mod publish;
pub mod queue;
pub mod serve;
pub mod service;
pub mod status;
pub mod version;

pub use error::LearnerError;
