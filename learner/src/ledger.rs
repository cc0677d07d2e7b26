//! Where every env step went: `produced = trained + sum(dropped) + in_flight`, at all times.
//!
//! Actors report what they produced and dropped, cumulatively per incarnation; the learner adds what arrived, what
//! it dropped and what it trained on. Steps of an incarnation count as produced once they are reported or seen,
//! whichever is more, so nothing in flight is ever negative. The same record holds the highest sequence of each
//! slot, which makes a resent unroll recognisable, also after a resume.
//!
//! What a crash of the learner loses is found again by two rules: what a checkpoint holds as queued is gone when the
//! books are restored, and a gap between a slot's last sequence in the checkpoint and its first one after it are
//! unrolls that the crashed process had acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vpt_proto::learner::v1 as wire;

use crate::metrics;

/// Reasons a dropped step can have; anything else an actor says is counted as `other`.
pub const REASONS: [&str; 11] = [
    "stale",
    "invalid",
    "nonfinite",
    "draining",
    "learner_crash",
    "actor_lost",
    "env_fault",
    "shutdown",
    "undelivered",
    "overflow",
    "other",
];

/// Outcomes the learner itself counts when it answers an unroll; not taken from actors' reports.
const COUNTED_HERE: [&str; 3] = ["stale", "invalid", "duplicate"];

/// Incarnations remembered one by one; older, superseded ones are folded into one sum.
const MAX_INCARNATIONS: usize = 4096;

/// More steps than any actor takes; larger claims are cut so that no sum overflows.
const MAX_CLAIM: u64 = 1 << 44;

/// Hexadecimal digits of an incarnation.
const INCARNATION_DIGITS: usize = 16;

/// Version of the serialised form.
const FORMAT_VERSION: u32 = 1;

/// One actor process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorKey {
    /// Stable name.
    pub actor_id: String,
    /// Random per process start.
    pub incarnation: u64,
}

impl ActorKey {
    // As text, because the ledger is saved as JSON, whose keys are strings.
    fn as_text(&self) -> String {
        format!("{}#{:0width$x}", self.actor_id, self.incarnation, width = INCARNATION_DIGITS)
    }
}

/// What an incarnation reported, cumulatively; in env steps.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Steps taken.
    pub produced: u64,
    /// Steps given up, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// A sum over everything, in env steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps taken by all actors.
    pub produced: u64,
    /// Steps trained on.
    pub trained: u64,
    /// Steps given up, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Steps still on their way.
    pub in_flight: u64,
}

impl From<Totals> for wire::Ledger {
    fn from(totals: Totals) -> Self {
        Self {
            produced: totals.produced,
            trained: totals.trained,
            dropped: totals.dropped.into_iter().collect(),
            in_flight: totals.in_flight,
        }
    }
}

/// The serialisable form, part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    format_version: u32,
    incarnations: BTreeMap<String, Record>,
    // Sums of incarnations no longer remembered.
    folded: Folded,
    trained: u64,
    dropped: BTreeMap<String, u64>,
    // Whether these books came from a checkpoint.
    #[serde(skip)]
    restored: bool,
    clock: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Folded {
    produced: u64,
    arrived: u64,
    dropped: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    reported: u64,
    arrived: u64,
    // What the actor dropped, and what was lost with it or with an earlier learner process.
    dropped: BTreeMap<String, u64>,
    lost: BTreeMap<String, u64>,
    // Highest sequence of each slot.
    sequences: BTreeMap<u32, u64>,
    // Slots heard of since this process started.
    #[serde(skip)]
    heard: BTreeSet<u32>,
    touched: u64,
}

impl Record {
    fn gone(&self) -> u64 {
        sum(self.dropped.values().chain(self.lost.values()))
    }

    fn produced(&self) -> u64 {
        self.reported.max(self.arrived + self.gone())
    }

    /// Steps that are with the actor or on the wire.
    fn held(&self) -> u64 {
        self.produced() - self.arrived - self.gone()
    }

    fn lose(&mut self, reason: &str, steps: u64) {
        if steps > 0 {
            let lost = self.lost.entry(reason.to_owned()).or_default();
            *lost = lost.saturating_add(steps).min(MAX_CLAIM);
        }
    }
}

/// The books of a training run; shared by the services and the training thread.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<LedgerState>,
}

impl Ledger {
    /// Empty books.
    pub fn new() -> Self {
        Self::default()
    }

    /// Books as a checkpoint left them; what was queued then is gone and counted as `learner_crash`.
    pub fn restore(mut state: LedgerState) -> Self {
        let arrived: u64 =
            state.folded.arrived + state.incarnations.values().map(|record| record.arrived).sum::<u64>();
        let settled = state.trained + state.dropped.values().sum::<u64>();
        let queued = arrived.saturating_sub(settled);
        if queued > 0 {
            *state.dropped.entry("learner_crash".to_owned()).or_default() += queued;
        }
        state.restored = true;
        let ledger = Self { state: Mutex::new(state) };
        ledger.export(&ledger.lock());
        ledger
    }

    /// Books as a checkpoint left them, when what was queued then is still there to be trained on.
    pub fn resume(state: LedgerState) -> Self {
        let ledger = Self { state: Mutex::new(state) };
        ledger.export(&ledger.lock());
        ledger
    }

    /// In a run whose actors must not change: why this process is not the one that began it, if so.
    pub(crate) fn only_incarnation(&self, actor: &ActorKey) -> Result<(), String> {
        let own = actor.as_text();
        let prefix = &own[..own.len() - INCARNATION_DIGITS];
        let state = self.lock();
        let others = state.incarnations.range(prefix.to_owned()..);
        let earlier = others
            .take_while(|(text, _)| text.starts_with(prefix))
            .find(|(text, record)| text.len() == own.len() && **text != own && record.arrived > 0);
        match earlier {
            None => Ok(()),
            Some(_) => Err(format!(
                "{:?} was restarted; a deterministic run cannot go on without the worlds it had: start it anew, or set \
                 learner.deterministic = false to go on from its checkpoint",
                actor.actor_id
            )),
        }
    }

    /// The books as a checkpoint keeps them.
    pub fn state(&self) -> LedgerState {
        LedgerState { format_version: FORMAT_VERSION, ..self.lock().clone() }
    }

    /// Notes an unroll of `steps` at its first arrival; false when it arrived before.
    ///
    /// Sequences of a slot only go up, so the highest one is all that has to be remembered.
    pub fn arrived(&self, actor: &ActorKey, slot: u32, sequence: u64, steps: u64) -> bool {
        let mut state = self.lock();
        let restored = state.restored;
        let record = state.record(actor);
        let highest = record.sequences.get(&slot).copied();
        if highest.is_some_and(|highest| sequence <= highest) {
            return false;
        }
        // Later gaps are unrolls the actor gave up and reports itself.
        if record.heard.insert(slot) && restored {
            let missing = sequence - highest.map_or(0, |highest| highest + 1);
            record.lose("learner_crash", missing.saturating_mul(steps));
        }
        record.sequences.insert(slot, sequence);
        record.arrived += steps;
        self.export(&state);
        true
    }

    /// Whether this unroll, or a later one of its slot, arrived before.
    pub fn has_arrived(&self, actor: &ActorKey, slot: u32, sequence: u64) -> bool {
        let state = self.lock();
        state
            .incarnations
            .get(&actor.as_text())
            .and_then(|record| record.sequences.get(&slot))
            .is_some_and(|&highest| sequence <= highest)
    }

    /// Takes over a cumulative report; numbers lower than an earlier report's change nothing.
    pub fn reported(&self, actor: &ActorKey, report: &Report) {
        let mut state = self.lock();
        let record = state.record(actor);
        record.reported = record.reported.max(report.produced.min(MAX_CLAIM));
        let mut by_reason = BTreeMap::<&str, u64>::new();
        for (reason, &steps) in &report.dropped {
            if !COUNTED_HERE.contains(&reason.as_str()) {
                let known = bounded(reason);
                let claimed = by_reason.entry(known).or_default();
                *claimed = claimed.saturating_add(steps);
            }
        }
        for (reason, steps) in by_reason {
            let dropped = record.dropped.entry(reason.to_owned()).or_default();
            *dropped = (*dropped).max(steps.min(MAX_CLAIM));
        }
        self.export(&state);
    }

    /// Notes that `actor` connected: what its earlier processes still held is lost.
    pub fn connected(&self, actor: &ActorKey) {
        let mut state = self.lock();
        let own = actor.as_text();
        let prefix = own.len() - INCARNATION_DIGITS;
        let from = own[..prefix].to_owned();
        let others = state.incarnations.range_mut(from.clone()..);
        for (text, record) in others.take_while(|(text, _)| text.starts_with(&from)) {
            // A longer name may begin with this one and a number sign.
            if text.len() == own.len() && *text != own {
                record.lose("actor_lost", record.held());
                // It may not come back, so nothing of it can be a duplicate.
                record.sequences.clear();
            }
        }
        self.export(&state);
    }

    /// Notes that `steps` were trained on.
    pub fn trained(&self, steps: u64) {
        let mut state = self.lock();
        state.trained += steps;
        self.export(&state);
    }

    /// Notes that `steps` that had arrived were given up for `reason` (one of [`REASONS`]).
    pub fn dropped(&self, reason: &str, steps: u64) {
        let mut state = self.lock();
        *state.dropped.entry(bounded(reason).to_owned()).or_default() += steps;
        self.export(&state);
    }

    /// Sums over all actors.
    pub fn totals(&self) -> Totals {
        self.lock().totals()
    }

    /// Steps one incarnation produced, as far as known.
    pub fn produced_by(&self, actor: &ActorKey) -> u64 {
        self.lock().incarnations.get(&actor.as_text()).map_or(0, Record::produced)
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        // Every update is a few additions that cannot panic half-way, so a poisoned lock still holds good books.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn export(&self, state: &LedgerState) {
        metrics::ledger(&state.totals());
    }
}

impl LedgerState {
    fn record(&mut self, actor: &ActorKey) -> &mut Record {
        let text = actor.as_text();
        if !self.incarnations.contains_key(&text) && self.incarnations.len() >= MAX_INCARNATIONS {
            self.fold_oldest();
        }
        self.clock += 1;
        let record = self.incarnations.entry(text).or_default();
        record.touched = self.clock;
        record
    }

    fn fold_oldest(&mut self) {
        let oldest = self.incarnations.iter().min_by_key(|(_, record)| record.touched);
        let Some(text) = oldest.map(|(text, _)| text.clone()) else { return };
        let Some(mut record) = self.incarnations.remove(&text) else { return };
        record.lose("actor_lost", record.held());
        self.folded.produced += record.produced();
        self.folded.arrived += record.arrived;
        for (reason, steps) in record.dropped.into_iter().chain(record.lost) {
            *self.folded.dropped.entry(reason).or_default() += steps;
        }
    }

    fn totals(&self) -> Totals {
        let mut produced = self.folded.produced;
        let mut dropped = self.folded.dropped.clone();
        let mut add = |from: &BTreeMap<String, u64>| {
            for (reason, steps) in from {
                *dropped.entry(reason.clone()).or_default() += steps;
            }
        };
        add(&self.dropped);
        for record in self.incarnations.values() {
            produced += record.produced();
            add(&record.dropped);
            add(&record.lost);
        }
        let settled = self.trained + dropped.values().sum::<u64>();
        // Steps pushed in-process have no actor that reported them.
        let produced = produced.max(settled);
        Totals { produced, trained: self.trained, dropped, in_flight: produced - settled }
    }
}

fn sum<'a>(steps: impl Iterator<Item = &'a u64>) -> u64 {
    steps.fold(0, |sum, &steps| sum.saturating_add(steps))
}

/// The reason itself when it is on the list, `other` when not.
pub(crate) fn bounded(reason: &str) -> &'static str {
    REASONS.into_iter().find(|&known| known == reason).unwrap_or("other")
}

#[cfg(test)]
mod tests;
