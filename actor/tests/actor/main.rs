//! An actor against a real envserver and a learner played by the test, all in one process on port 0.

// The configured exception for tests does not reach functions that tests share.
#![allow(clippy::unwrap_used)]

mod episodes;
mod fake_learner;
mod relays;
mod role;
mod stage;
