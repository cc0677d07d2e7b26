//! Harnesses for tests that cross crates.
//!
//! # Layout
//! - [`process`]: the real `vpt` binary: run it, read it, kill it
//! - [`cluster`]: all processes of a run, with a proxy on every link; [`proxy`]: links that fail; [`faults`]: random
//!   faults, the same for the same seed; [`memory`]: what a process holds
//! - [`tiny`]: a run so small that all of it fits into a test
//! - [`roles`]: envserver, learner and actor in the test's own process
//! - [`learner`]: a learner's status over gRPC; [`collector`]: an OpenTelemetry collector
//! - [`http`]: the ops port, as Prometheus and probes see it
//! - [`exposition`], [`promql`], [`rules`]: metrics pages, expressions and rule files, as far as tests look into them
//! - [`tools`]: programs that may be absent
//! - [`wait`]: waiting for a condition with a deadline and a name

pub mod cluster;
pub mod collector;
pub mod exposition;
pub mod faults;
pub mod http;
pub mod learner;
pub mod memory;
pub mod process;
pub mod promql;
pub mod proxy;
pub mod roles;
pub mod rules;
pub mod tiny;
pub mod tools;
pub mod wait;
