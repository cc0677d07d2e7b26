//! Env steps by fate, cumulative since this process started: produced = sent + dropped + not yet sent.

use crate::metrics;
use crate::version::Version;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vpt_proto::learner::v1::ActorReport;

/// The counts of one actor. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    produced: AtomicU64,
    sent: AtomicU64,
    episodes: AtomicU64,
    env_restarts: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

impl Ledger {
    /// Env steps that were taken.
    pub(crate) fn produced(&self, steps: u64) {
        self.counts.produced.fetch_add(steps, Ordering::Relaxed);
    }

    /// Env steps of an unroll that has gone up for the first time.
    pub(crate) fn sent(&self, steps: u64) {
        self.counts.sent.fetch_add(steps, Ordering::Relaxed);
    }

    /// Env steps that will never go up.
    pub(crate) fn dropped(&self, reason: &'static str, steps: u64) {
        if steps == 0 {
            return;
        }
        metrics::dropped(reason, steps);
        let mut dropped = self.counts.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        *dropped.entry(reason).or_default() += steps;
    }

    /// An episode that ended.
    pub(crate) fn episode(&self) {
        self.counts.episodes.fetch_add(1, Ordering::Relaxed);
    }

    /// An env session that is opened anew.
    pub(crate) fn env_restart(&self, reason: &'static str) {
        metrics::env_restart(reason);
        self.counts.env_restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts as the learner wants them.
    pub(crate) fn report(&self, acting: Option<Version>) -> ActorReport {
        // Fates before the total: a step counted in between must not be missing from the total.
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let dropped = self.counts.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ActorReport {
            env_steps_produced: self.counts.produced.load(Ordering::Relaxed),
            env_steps_sent: sent,
            env_steps_dropped: dropped.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect(),
            episodes: self.counts.episodes.load(Ordering::Relaxed),
            env_restarts: self.counts.env_restarts.load(Ordering::Relaxed),
            acting_version: acting.map(Into::into),
            ..ActorReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_cumulative() {
        let ledger = Ledger::default();
        ledger.produced(40);
        ledger.sent(32);
        ledger.dropped("env_fault", 3);
        ledger.dropped("env_fault", 2);
        ledger.dropped("shutdown", 0);
        let report = ledger.clone().report(Some(Version { epoch: 1, sequence: 2 }));
        assert_eq!((report.env_steps_produced, report.env_steps_sent), (40, 32));
        assert_eq!(report.env_steps_dropped.into_iter().collect::<Vec<_>>(), [("env_fault".to_owned(), 5)]);
    }
}
