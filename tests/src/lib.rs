//! Harnesses for tests that cross crates.
//!
//! # Layout
//! - [`process`]: the real `vpt` binary: run it, read it, kill it
//! - [`tiny`]: a run so small that all of it fits into a test
//! - [`roles`]: envserver, learner and actor in the test's own process
//! - [`learner`]: a learner's status over gRPC
//! - [`http`]: the ops port, as Prometheus and probes see it
//! - [`wait`]: waiting for a condition with a deadline and a name

pub mod http;
pub mod learner;
pub mod process;
pub mod roles;
pub mod tiny;
pub mod wait;
