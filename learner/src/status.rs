//! What the training thread is doing, for `GetStatus` and the live page.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::accounts::Accounts;
use crate::version::Version;

/// Tags that the newest values are kept of; items, whose names come from outside, are part of some.
const TAGS: usize = 256;

/// One moment of training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingStatus {
    /// Random per training run.
    pub run_id: String,
    /// `bc` or `ppg`.
    pub stage: String,
    /// What the training thread does now: `wait_data`, `policy_phase`, `aux_phase`, ...
    pub phase: String,
    /// The version published last.
    pub version: Version,
    /// Env steps (BC: frames) trained on.
    pub env_steps_trained: u64,
    /// Env steps (BC: frames) to train on; 0 when unknown.
    pub env_steps_target: u64,
    /// Optimiser steps taken.
    pub optimizer_steps: u64,
    /// Env steps trained on per second, lately.
    pub env_steps_per_second: f64,
    /// Mean return of the episodes that ended lately.
    pub mean_return: f64,
    /// Episodes that ended.
    pub episodes: u64,
    /// KL to the pretrained policy, in nats.
    pub kl_to_pretrained: f64,
    /// The loss of the last optimiser step.
    pub loss: f64,
    /// Mean staleness of the last batch, in published versions.
    pub staleness: f64,
}

/// Shared between the training thread, which sets it, and the status service, which reads it.
#[derive(Debug)]
pub struct StatusBoard {
    started: Instant,
    status: Mutex<TrainingStatus>,
    scalars: Mutex<BTreeMap<String, f64>>,
    accounts: Accounts,
}

impl StatusBoard {
    /// A board of the run `run_id` in `stage`.
    pub fn new(run_id: &str, stage: &str) -> Self {
        let status = TrainingStatus {
            run_id: run_id.to_owned(),
            stage: stage.to_owned(),
            phase: "starting".to_owned(),
            ..TrainingStatus::default()
        };
        Self {
            started: Instant::now(),
            status: Mutex::new(status),
            scalars: Mutex::default(),
            accounts: Accounts::new(),
        }
    }

    /// Where the time of every part of the run goes.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Changes some fields; `change` should be short, readers wait for it.
    pub fn update(&self, change: impl FnOnce(&mut TrainingStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says what the training thread does now.
    pub fn set_phase(&self, phase: &str) {
        self.update(|status| phase.clone_into(&mut status.phase));
    }

    /// What the board says now.
    pub fn snapshot(&self) -> TrainingStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the newest values of what goes to the event log.
    pub(crate) fn note(&self, scalars: &[(String, f64)]) {
        let mut newest = self.scalars.lock().unwrap_or_else(PoisonError::into_inner);
        for (tag, value) in scalars {
            if newest.len() < TAGS || newest.contains_key(tag) {
                newest.insert(tag.clone(), *value);
            }
        }
    }

    /// The newest value of every tag of the event log.
    pub(crate) fn scalars(&self) -> BTreeMap<String, f64> {
        self.scalars.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds since the board was made.
    pub fn uptime_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_what_was_set() {
        let board = StatusBoard::new("run", "ppg");
        board.update(|status| status.episodes = 7);
        board.set_phase("aux_phase");
        board.note(&[("losses/loss".to_owned(), 1.0)]);
        board.note(&[("losses/loss".to_owned(), 0.5)]);
        assert_eq!(board.scalars()["losses/loss"], 0.5);
        let status = board.snapshot();
        assert_eq!((status.run_id.as_str(), status.stage.as_str()), ("run", "ppg"));
        assert_eq!((status.phase.as_str(), status.episodes), ("aux_phase", 7));
    }
}
