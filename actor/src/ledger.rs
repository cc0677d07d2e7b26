//! Env steps by fate, cumulative since this process started: produced = sent + dropped + held by slots + not yet sent.
//!
//! One lock holds all counts, so that every report is of one moment. With a [`LedgerFile`] the counts outlive the process:
//! the next one of this name reports them, and a killed actor's last steps are counted as lost instead of never.

mod file;

use crate::metrics;
use crate::version::Version;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vpt_proto::learner::v1::ActorReport;

pub(crate) use file::LedgerFile;

/// The counts of one actor. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    produced: u64,
    sent: u64,
    /// In unrolls that the uplink has not taken over: in play, being packed, waiting for room.
    held: u64,
    episodes: u64,
    env_restarts: u64,
    dropped: BTreeMap<&'static str, u64>,
    file: Option<LedgerFile>,
}

impl Ledger {
    /// Counts that are kept in `file` too.
    pub(crate) fn kept_in(file: LedgerFile) -> Self {
        let counts = Counts { file: Some(file), ..Counts::default() };
        Self { counts: Arc::new(Mutex::new(counts)) }
    }

    /// Env steps that were taken.
    pub(crate) fn produced(&self, steps: u64) {
        let mut counts = self.lock();
        counts.produced += steps;
        counts.held += steps;
        counts.keep();
    }

    /// Env steps of an unroll that the uplink has taken over.
    pub(crate) fn handed_over(&self, steps: u64) {
        self.lock().held -= steps;
    }

    /// Env steps of an unroll that has gone up for the first time.
    pub(crate) fn sent(&self, steps: u64) {
        self.lock().sent += steps;
    }

    /// Env steps that a slot gives up.
    pub(crate) fn dropped(&self, reason: &'static str, steps: u64) {
        self.drop_steps(reason, steps, steps);
    }

    /// Env steps that the uplink gives up.
    pub(crate) fn undelivered(&self, steps: u64) {
        self.drop_steps("undelivered", steps, 0);
    }

    fn drop_steps(&self, reason: &'static str, steps: u64, held: u64) {
        if steps == 0 {
            return;
        }
        metrics::dropped(reason, steps);
        let mut counts = self.lock();
        counts.held -= held;
        *counts.dropped.entry(reason).or_default() += steps;
        counts.keep();
    }

    /// An episode that ended.
    pub(crate) fn episode(&self) {
        self.lock().episodes += 1;
    }

    /// An env session that is opened anew.
    pub(crate) fn env_restart(&self, reason: &'static str) {
        metrics::env_restart(reason);
        self.lock().env_restarts += 1;
    }

    /// The counts as the learner wants them, when the uplink has `unsent` steps that have not gone up.
    pub(crate) fn report(&self, acting: Option<Version>, unsent: u64) -> ActorReport {
        let counts = self.lock();
        ActorReport {
            acting_version: acting.map(Into::into),
            env_steps_held: counts.held + unsent,
            ..counts.report()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Additions cannot panic half-way.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn report(&self) -> ActorReport {
        ActorReport {
            env_steps_produced: self.produced,
            env_steps_sent: self.sent,
            env_steps_dropped: self.dropped.iter().map(|(&reason, &n)| (reason.to_owned(), n)).collect(),
            episodes: self.episodes,
            env_restarts: self.env_restarts,
            ..ActorReport::default()
        }
    }

    fn keep(&mut self) {
        let report = self.report();
        if let Some(file) = &mut self.file {
            file.write(report);
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
        ledger.handed_over(32);
        ledger.sent(32);
        ledger.dropped("env_fault", 3);
        ledger.dropped("env_fault", 2);
        ledger.dropped("shutdown", 0);
        let report = ledger.clone().report(Some(Version { epoch: 1, sequence: 2 }), 7);
        assert_eq!((report.env_steps_produced, report.env_steps_sent), (40, 32));
        assert_eq!(report.env_steps_held, 3 + 7);
        assert_eq!(report.env_steps_dropped.into_iter().collect::<Vec<_>>(), [("env_fault".to_owned(), 5)]);
    }

    #[test]
    fn what_a_process_counted_outlives_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledgers/actor-0");
        let (file, before) = LedgerFile::open(&path, 7).unwrap();
        assert!(before.is_none());
        let ledger = Ledger::kept_in(file);
        ledger.produced(5);
        ledger.dropped("env_fault", 2);
        let (_, before) = LedgerFile::open(&path, 8).unwrap();
        let before = before.unwrap();
        let report = before.report.unwrap();
        assert_eq!((before.incarnation, report.env_steps_produced), (7, 5));
        assert_eq!(report.env_steps_dropped["env_fault"], 2);
        // A successor that has counted nothing leaves the file as it was.
        let (_, again) = LedgerFile::open(&path, 9).unwrap();
        assert_eq!(again.unwrap().incarnation, 7);
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actor-0");
        let (file, _) = LedgerFile::open(&path, 7).unwrap();
        Ledger::kept_in(file).produced(5);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[12] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = LedgerFile::open(&path, 8).unwrap_err().to_string();
        assert!(error.contains("actor.ledger_file") && error.contains("actor-0"), "{error}");
    }
}
