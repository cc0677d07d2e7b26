//! Wall-clock time of a changing number of alike workers by state: the states add up to the lives of all workers.
//!
//! One lock and one addition a state for every change, so the sum closes at any moment, also while a worker is in the
//! middle of a long state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time of all workers together; clones share the account.
#[derive(Clone)]
pub struct PoolAccount {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    states: &'static [&'static str],
    gauges: Vec<metrics::Gauge>,
    /// Workers in each state now.
    present: Vec<u32>,
    spent: Vec<Duration>,
    since: Instant,
    /// What the seconds are divided by.
    divisor: f64,
}

/// A worker's place in the account, in one state at a time; dropping it ends its life.
pub struct Worker {
    inner: Arc<Mutex<Inner>>,
    state: usize,
}

impl PoolAccount {
    /// An account without workers, exported as the gauge `metric{state}` in seconds.
    #[must_use]
    pub fn new(metric: &'static str, states: &'static [&'static str]) -> Self {
        let gauges = states.iter().map(|state| metrics::gauge!(metric, "state" => *state)).collect();
        let (present, spent) = (vec![0; states.len()], vec![Duration::ZERO; states.len()]);
        let inner = Inner { states, gauges, present, spent, since: Instant::now(), divisor: 1.0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The same account as the mean over `workers`: with as many from the start on, the states add up to the wall clock.
    #[must_use]
    pub fn mean_over(self, workers: usize) -> Self {
        lock(&self.inner).divisor = workers.max(1) as f64;
        self
    }

    /// A worker that begins in `state`.
    ///
    /// # Panics
    /// When `state` is not one of the account's.
    #[must_use]
    pub fn join(&self, state: &'static str) -> Worker {
        let mut inner = lock(&self.inner);
        inner.settle(Instant::now());
        let state = inner.index(state);
        inner.present[state] += 1;
        Worker { inner: self.inner.clone(), state }
    }

    /// Seconds by state up to now, over all workers there ever were.
    #[must_use]
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let mut inner = lock(&self.inner);
        inner.settle(Instant::now());
        let spent = inner.spent.iter().map(|spent| spent.as_secs_f64() / inner.divisor);
        inner.states.iter().copied().zip(spent).collect()
    }

    /// Brings every gauge up to now.
    pub fn export(&self) {
        let mut inner = lock(&self.inner);
        inner.settle(Instant::now());
        for (gauge, spent) in inner.gauges.iter().zip(&inner.spent) {
            gauge.set(spent.as_secs_f64() / inner.divisor);
        }
    }
}

impl Worker {
    /// Goes over to `state`; returns the moment it counts from.
    ///
    /// # Panics
    /// When `state` is not one of the account's.
    pub fn enter(&mut self, state: &'static str) -> Instant {
        let mut inner = lock(&self.inner);
        let now = Instant::now();
        inner.settle(now);
        let next = inner.index(state);
        inner.present[self.state] -= 1;
        inner.present[next] += 1;
        self.state = next;
        now
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.settle(Instant::now());
        inner.present[self.state] -= 1;
    }
}

impl Inner {
    fn settle(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        self.since = now;
        for (spent, present) in self.spent.iter_mut().zip(&self.present) {
            *spent += elapsed * *present;
        }
    }

    fn index(&self, state: &str) -> usize {
        let index = self.states.iter().position(|s| *s == state);
        index.unwrap_or_else(|| panic!("state {state:?} is not declared in {:?}", self.states))
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // Every update leaves the account consistent, so a panic elsewhere does not spoil it.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for PoolAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolAccount").field("seconds", &self.seconds()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: &[&str] = &["wait", "work"];

    #[test]
    fn states_add_up_to_the_lives_of_all_workers() {
        let account = PoolAccount::new("vpt_test_pool_seconds", STATES);
        let born = Instant::now();
        let mut first = account.join("wait");
        std::thread::sleep(Duration::from_millis(5));
        let second = account.join("work");
        let second_born = Instant::now();
        first.enter("work");
        std::thread::sleep(Duration::from_millis(10));
        drop(second);
        let lives = born.elapsed() + second_born.elapsed();
        first.enter("wait");
        let seconds = account.seconds();
        let sum: f64 = seconds.iter().map(|(_, seconds)| seconds).sum();
        let longest = (lives + born.elapsed()).as_secs_f64();
        assert!(sum >= lives.as_secs_f64() * 0.99 && sum <= longest, "{seconds:?} {lives:?}");
        assert!(seconds[1].1 >= 0.02, "both worked at the same time: {seconds:?}");
    }

    #[test]
    fn a_long_state_shows_while_it_lasts() {
        let account = PoolAccount::new("vpt_test_pool_seconds", STATES);
        let _worker = account.join("work");
        std::thread::sleep(Duration::from_millis(3));
        assert!(account.seconds()[1].1 >= 0.003);
    }
}
