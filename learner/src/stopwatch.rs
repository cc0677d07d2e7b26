//! Where the training thread's time goes: one state at a time, so that the states add up to the wall clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use vpt_runtime::clock::TimeAccount;

use crate::metrics;

/// The training thread's clock; clones share it.
#[derive(Clone)]
pub(crate) struct Stopwatch {
    account: TimeAccount,
    current: Arc<Mutex<Current>>,
}

/// A state that is over: from when to when.
pub(crate) type Lap = (&'static str, Instant, Instant);

struct Current {
    /// Since when the current state lasts.
    since: Instant,
    /// What was, while somebody wants to know.
    laps: Option<Vec<Lap>>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        let current = Current { since: Instant::now(), laps: None };
        Self { account: metrics::time_account(), current: Arc::new(Mutex::new(current)) }
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
        let mut current = self.lock();
        let now = Instant::now();
        let from = std::mem::replace(&mut current.since, now);
        metrics::phase_duration(left, (now - from).as_secs_f64());
        if let Some(laps) = &mut current.laps {
            laps.push((left, from, now));
        }
        left
    }

    /// Runs `work` and returns the states that ended meanwhile too, in order.
    pub(crate) fn recorded<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Lap>) {
        self.lock().laps = Some(Vec::new());
        let result = work();
        (result, self.lock().laps.take().unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // A panic elsewhere leaves both fields as they should be.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn states_are_recorded_while_somebody_wants_to_know() {
        let stopwatch = Stopwatch::new();
        stopwatch.during("batch", || ());
        let began = Instant::now();
        let (result, laps) = stopwatch.recorded(|| {
            stopwatch.during("forward", || ());
            stopwatch.during("backward", || ());
            5
        });
        let names: Vec<_> = laps.iter().map(|(state, ..)| *state).collect();
        assert_eq!((result, names[1], names[3], names.len()), (5, "forward", "backward", 4));
        assert!(laps.windows(2).all(|pair| pair[0].2 == pair[1].1) && laps[1].1 >= began);
        assert!(stopwatch.recorded(|| ()).1.is_empty());
    }
}
