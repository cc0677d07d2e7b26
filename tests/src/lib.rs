//! Harnesses for tests that cross crates.
//!
//! # Layout
//! - [`process`]: the real `vpt` binary: run it, read it, kill it
//! - [`wait`]: waiting for a condition with a deadline and a name

pub mod process;
pub mod wait;
