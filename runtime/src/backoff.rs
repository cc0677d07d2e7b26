//! Exponential backoff with a cap; the jitter comes from a counter hash, so a run's retries repeat.

use std::time::Duration;

use crate::counter_hash::counter_uniform;

/// Delays between tries: they double from `first` to `cap`, each shortened by up to half.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    key: u64,
    attempt: u32,
}

impl Backoff {
    /// `key` sets this retrier apart from its peers (for example a slot), so that they do not retry in step.
    #[must_use]
    pub fn new(first: Duration, cap: Duration, key: u64) -> Self {
        Self { first, cap: cap.max(first), key, attempt: 0 }
    }

    /// The delay before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX));
        let jitter = 1.0 - 0.5 * counter_uniform(&[self.key, u64::from(self.attempt)]);
        self.attempt = self.attempt.saturating_add(1);
        doubled.min(self.cap).mul_f64(jitter)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Tries since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2), 3);
        let delays: Vec<_> = (0..40).map(|_| backoff.next_delay()).collect();
        for (n, delay) in delays.iter().enumerate() {
            let full = Duration::from_millis(100).saturating_mul(1 << n.min(20)).min(Duration::from_secs(2));
            assert!(*delay <= full && *delay >= full / 2, "{n}: {delay:?}");
        }
        assert_eq!(backoff.attempts(), 40);
        backoff.reset();
        assert_eq!(backoff.next_delay(), delays[0]);
    }

    #[test]
    fn peers_do_not_retry_in_step() {
        let delay = |key| Backoff::new(Duration::from_secs(1), Duration::from_secs(1), key).next_delay();
        assert_ne!(delay(1), delay(2));
    }
}
