//! Where the training thread's time goes: one state at a time, so that the states add up to the wall clock.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use vpt_runtime::clock::TimeAccount;

use crate::metrics;

/// The training thread's clock; clones share it.
#[derive(Clone)]
pub(crate) struct Stopwatch {
    account: TimeAccount,
    /// Since when the current state lasts.
    since: Arc<Mutex<Instant>>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        Self { account: metrics::time_account(), since: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Runs `work` as `state` (one of [`metrics::PHASES`]), then goes back to the state before.
    pub(crate) fn during<T>(&self, state: &'static str, work: impl FnOnce() -> T) -> T {
        let before = self.enter(state);
        let result = work();
        self.enter(before);
        result
    }

    /// Goes over to `state` and returns the one left, whose duration is recorded.
    pub(crate) fn enter(&self, state: &'static str) -> &'static str {
        let left = self.account.enter(state);
        let mut since = self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        metrics::phase_duration(left, since.elapsed().as_secs_f64());
        *since = Instant::now();
        left
    }

    /// Seconds by state so far.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = (String, f64)> {
        self.account.seconds().into_iter().map(|(state, seconds)| (state.to_owned(), seconds))
    }
}
