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
    pub(crate) fn by_state(&self) -> Vec<(&'static str, f64)> {
        self.account.seconds()
    }

    /// Brings the exported figures up to now.
    pub(crate) fn export(&self) {
        self.account.export();
    }
}

impl std::fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopwatch").field("state", &self.account.state()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn states_add_up_to_the_wall_clock_however_they_nest() {
        let began = Instant::now();
        let stopwatch = Stopwatch::new();
        let opened = Instant::now();
        stopwatch.during("batch", || {
            std::thread::sleep(Duration::from_millis(3));
            stopwatch.during("forward", || std::thread::sleep(Duration::from_millis(3)));
        });
        let least = opened.elapsed().as_secs_f64();
        let sum: f64 = stopwatch.by_state().iter().map(|(_, seconds)| seconds).sum();
        assert!(sum >= least * 0.99 && sum <= began.elapsed().as_secs_f64(), "{sum} of {least}");
    }
}
