//! An actor against a real envserver and a learner played by the test, all in one process on port 0.

mod episodes;
mod fake_learner;
mod role;
mod stage;
