//! Time. Deadlines, leases and accounts go by the monotonic clock; the calendar, which somebody may set at any moment, is
//! for people, file names and certificates, and is read here only.
//!
//! An account has the time of a thread or task by named state: at any moment the states add up to the time since the
//! account was opened.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The date and time now, as the machine has them. No wait may depend on it.
#[must_use]
pub fn calendar() -> SystemTime {
    SystemTime::now()
}

/// The same as the time since 1970; zero on a machine that believes in an earlier year.
#[must_use]
pub fn calendar_unix() -> Duration {
    calendar().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same in seconds, as logs and metrics have it.
#[must_use]
pub fn calendar_seconds() -> f64 {
    calendar_unix().as_secs_f64()
}

/// Time of one thread or task by state; clones share the account, so that others can read it.
#[derive(Clone)]
pub struct TimeAccount {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    states: &'static [&'static str],
    spent: Vec<Duration>,
    gauges: Vec<metrics::Gauge>,
    current: usize,
    opened: Instant,
    since: Instant,
}

impl TimeAccount {
    /// Opens an account in the first of `states`, exported as the gauge `metric{state}` in seconds.
    ///
    /// # Panics
    /// When `states` is empty.
    #[must_use]
    pub fn new(metric: &'static str, states: &'static [&'static str]) -> Self {
        assert!(!states.is_empty(), "an account needs a state to be in");
        let now = Instant::now();
        let gauges = states.iter().map(|state| metrics::gauge!(metric, "state" => *state)).collect();
        let spent = vec![Duration::ZERO; states.len()];
        let inner = Inner { states, spent, gauges, current: 0, opened: now, since: now };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Leaves the current state for `state` and says which one was left.
    ///
    /// # Panics
    /// When `state` is not one of the account's.
    pub fn enter(&self, state: &'static str) -> &'static str {
        let mut inner = self.lock();
        let next = inner.states.iter().position(|s| *s == state);
        let next = next.unwrap_or_else(|| panic!("state {state:?} is not declared in {:?}", inner.states));
        inner.settle(Instant::now());
        let left = inner.current;
        inner.gauges[left].set(inner.spent[left].as_secs_f64());
        inner.current = next;
        inner.states[left]
    }

    /// Runs `work` in `state`, then goes back to the state before.
    pub fn during<T>(&self, state: &'static str, work: impl FnOnce() -> T) -> T {
        let before = self.enter(state);
        let result = work();
        self.enter(before);
        result
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let inner = self.lock();
        inner.states[inner.current]
    }

    /// Seconds by state up to now; they add up to [`Self::elapsed`] at the same moment.
    #[must_use]
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        let mut inner = self.lock();
        inner.settle(Instant::now());
        inner.states.iter().zip(&inner.spent).map(|(state, spent)| (*state, spent.as_secs_f64())).collect()
    }

    /// Time since the account was opened.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().opened.elapsed()
    }

    /// Brings every gauge up to now; call it now and then from a ticker, so that a long state shows while it lasts.
    pub fn export(&self) {
        let mut inner = self.lock();
        inner.settle(Instant::now());
        for (gauge, spent) in inner.gauges.iter().zip(&inner.spent) {
            gauge.set(spent.as_secs_f64());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every update leaves the account consistent, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn settle(&mut self, now: Instant) {
        self.spent[self.current] += now - self.since;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: &[&str] = &["wait", "work", "send"];

    #[test]
    fn states_add_up_to_the_wall_clock() {
        let account = TimeAccount::new("vpt_test_time_seconds", STATES);
        let reader = account.clone();
        for _ in 0..3 {
            account.enter("work");
            std::thread::sleep(Duration::from_millis(5));
            account.during("send", || std::thread::sleep(Duration::from_millis(2)));
            assert_eq!(account.enter("wait"), "work");
        }
        let before = reader.elapsed().as_secs_f64();
        let seconds = reader.seconds();
        let after = reader.elapsed().as_secs_f64();
        let sum: f64 = seconds.iter().map(|(_, s)| s).sum();
        assert!(before <= sum + 1e-9 && sum <= after + 1e-9, "{before} {sum} {after}");
        assert!(seconds[1].1 >= 0.015 && seconds[2].1 >= 0.006, "{seconds:?}");
    }

    #[test]
    #[should_panic(expected = "not declared")]
    fn undeclared_states_are_a_bug() {
        TimeAccount::new("vpt_test_time_seconds", STATES).enter("lunch");
    }
}
