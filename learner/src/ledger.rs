//! Where every env step went: `produced = trained + sum(dropped) + in_flight`, at all times.
//!
//! # The rule
//! A step is *produced* once its actor has counted it. An actor counts in memory and, when `actor.ledger_file` is set, in
//! a file that outlives it: then its successor brings the last count along. Without the file, what a killed actor had
//! neither reported nor sent was never counted. Every counted step is in one of these places:
//!
//! | where | counted by | leaves as |
//! |---|---|---|
//! | held by the actor: in play, packed, not yet sent | its report | arrived, or dropped for the actor's reason |
//! | arrived: let in (journal and queue) or refused at the door | the learner, once an unroll | trained, or dropped |
//! | trained, dropped | the learner | never |
//!
//! What a process takes down with it is found again:
//! - **actor**: when a new process takes over the name, or nothing is heard of it for `admission.lease_seconds`, what it
//!   held is dropped as `actor_lost`, and nothing more is taken from that incarnation: it is *settled*. A learner that
//!   goes back to a checkpoint is told of one predecessor again; what it alone knew of earlier ones is forgotten, on both
//!   sides of the sum.
//! - **learner**: what a checkpoint holds as queued is dropped as `learner_crash` when the books are restored, and so is
//!   what the journal names beyond it; both not with the journal's payload, which is trained on. Answers that no record
//!   is left of are found at the handshake, where each actor says up to which sequence it has answers for every slot.
//! - **connection**: unrolls without an answer come again, and (actor, incarnation, slot, sequence) tells which are known.
//!
//! # The imbalance
//! The sums above balance by construction, so they are checked against counts made elsewhere: each report of an actor
//! says what it holds, which must be what it produced less what arrived and was dropped; and between two policy phases,
//! with intake held still, what arrived must be trained, dropped or really in the queue. The sum of the differences is
//! exported and must read zero: more is steps that vanished, less is steps counted twice.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vpt_proto::learner::v1 as wire;

use crate::metrics;
use record::Record;

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
const MAX_INCARNATIONS: usize = 16_384;

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
    /// Of the steps produced, those that have neither gone up nor been given up; none when the actor cannot tell.
    pub held: Option<u64>,
}

impl From<wire::ActorReport> for Report {
    fn from(report: wire::ActorReport) -> Self {
        Self {
            produced: report.env_steps_produced,
            dropped: report.env_steps_dropped.into_iter().collect(),
            held: (!report.resending).then_some(report.env_steps_held),
        }
    }
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
    clock: u64,
    // Steps that arrived and were not found in the queue at the last look.
    #[serde(skip)]
    missing: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Folded {
    produced: u64,
    arrived: u64,
    dropped: BTreeMap<String, u64>,
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
        let queued = u64::try_from(state.unsettled()).unwrap_or(0);
        if queued > 0 {
            *state.dropped.entry("learner_crash".to_owned()).or_default() += queued;
        }
        Self::resume(state)
    }

    /// Books as a checkpoint left them, when what was queued then is still there to be trained on.
    pub fn resume(state: LedgerState) -> Self {
        let ledger = Self { state: Mutex::new(state) };
        ledger.export();
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

    /// Notes an unroll of `steps` at its first arrival; false when it arrived before, or its process was settled.
    ///
    /// Sequences of a slot only go up, so the highest one is all that has to be remembered; what is skipped was answered
    /// by an earlier learner process whose books are lost.
    pub fn arrived(&self, actor: &ActorKey, slot: u32, sequence: u64, steps: u64) -> bool {
        self.lock().record(actor).arrive(slot, sequence, steps)
    }

    /// Notes an unroll that is refused at the door for `reason`; false as [`arrived`](Self::arrived).
    pub(crate) fn refused(
        &self,
        actor: &ActorKey,
        (slot, sequence): (u32, u64),
        steps: u64,
        reason: &str,
    ) -> bool {
        let mut state = self.lock();
        let is_first = state.record(actor).arrive(slot, sequence, steps);
        if is_first {
            state.drop_arrived(reason, steps);
        }
        is_first
    }

    /// Whether this unroll, or a later one of its slot, arrived before, or its process was settled.
    pub fn has_arrived(&self, actor: &ActorKey, slot: u32, sequence: u64) -> bool {
        self.lock().incarnations.get(&actor.as_text()).is_some_and(|record| record.knows(slot, sequence))
    }

    /// Takes over a cumulative report; numbers lower than an earlier report's change nothing. `waiting` are steps of this
    /// actor that have come and have no place yet.
    pub fn reported(&self, actor: &ActorKey, report: &Report, waiting: u64) {
        let mut state = self.lock();
        let record = state.record(actor);
        record.report(report);
        if let Some(held) = report.held.filter(|_| !record.is_settled()) {
            record.imbalance =
                difference(report.produced, record.accounted() + u128::from(held) + u128::from(waiting));
        }
    }

    /// Notes that `actor` connected: what its earlier processes still held is lost. By slot, `answered` is the sequence
    /// before which it has an answer to every unroll, which are of `steps` each: those unknown here are lost.
    pub fn connected(&self, actor: &ActorKey, answered: &BTreeMap<u32, u64>, steps: u64) {
        let mut state = self.lock();
        let own = actor.as_text();
        for record in state.processes_of(actor).filter(|(text, _)| **text != own).map(|(_, record)| record) {
            record.settle();
        }
        let record = state.record(actor);
        record.idle = 0;
        for (&slot, &next) in answered {
            record.catch_up(slot, next, steps);
        }
    }

    /// Whether nothing more is taken from this process.
    pub fn is_settled(&self, actor: &ActorKey) -> bool {
        self.lock().incarnations.get(&actor.as_text()).is_some_and(Record::is_settled)
    }

    /// Counts one more beat for every process that is not `connected`, and settles those at their `limit`-th without a
    /// word; returns how many.
    pub(crate) fn expire(&self, limit: u32, connected: impl FnOnce() -> BTreeSet<ActorKey>) -> usize {
        let mut state = self.lock();
        // Asked under the lock: a process that connects later finds itself settled.
        let connected: BTreeSet<String> = connected().iter().map(ActorKey::as_text).collect();
        let mut settled = 0;
        for (text, record) in state.incarnations.iter_mut().filter(|(_, record)| !record.is_settled()) {
            record.idle = if connected.contains(text) { 0 } else { record.idle.saturating_add(1) };
            if record.idle >= limit {
                tracing::warn!(
                    actor = text,
                    steps = record.held(),
                    "actor not heard of any more; its steps are lost"
                );
                record.settle();
                settled += 1;
            }
        }
        settled
    }

    /// Compares what arrived with what became of it, when `in_learner` steps are in the queue and nowhere else.
    pub(crate) fn audit(&self, in_learner: u64) {
        let mut state = self.lock();
        state.missing = clamped(state.unsettled() - i128::from(in_learner));
    }

    /// Steps that vanished (more than zero) or were counted twice (less); zero in a learner that works.
    pub fn imbalance(&self) -> i64 {
        self.lock().imbalance()
    }

    /// Notes that `steps` were trained on.
    pub fn trained(&self, steps: u64) {
        self.lock().trained += steps;
    }

    /// Notes that `steps` that had arrived were given up for `reason` (one of [`REASONS`]).
    pub fn dropped(&self, reason: &str, steps: u64) {
        self.lock().drop_arrived(reason, steps);
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

    /// Brings the metrics up to now.
    pub(crate) fn export(&self) {
        let (totals, imbalance) = {
            let state = self.lock();
            (state.totals(), state.imbalance())
        };
        metrics::ledger(&totals, imbalance);
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

    /// Every process that had this actor's name.
    fn processes_of(&mut self, actor: &ActorKey) -> impl Iterator<Item = (&String, &mut Record)> {
        let own = actor.as_text();
        let (length, prefix) = (own.len(), own[..own.len() - INCARNATION_DIGITS].to_owned());
        let others = self.incarnations.range_mut(prefix.clone()..);
        // A longer name may begin with this one and a number sign.
        others
            .take_while(move |(text, _)| text.starts_with(&prefix))
            .filter(move |(text, _)| text.len() == length)
    }

    fn drop_arrived(&mut self, reason: &str, steps: u64) {
        *self.dropped.entry(bounded(reason).to_owned()).or_default() += steps;
    }

    /// Steps that arrived and were neither trained on nor dropped.
    fn unsettled(&self) -> i128 {
        let arrived = self.incarnations.values().map(|record| u128::from(record.arrived)).sum::<u128>();
        let settled = u128::from(self.trained) + u128::from(sum(self.dropped.values()));
        (u128::from(self.folded.arrived) + arrived) as i128 - settled as i128
    }

    fn imbalance(&self) -> i64 {
        self.incarnations.values().fold(self.missing, |sum, record| sum.saturating_add(record.imbalance))
    }

    fn fold_oldest(&mut self) {
        let oldest =
            self.incarnations.iter().min_by_key(|(_, record)| (!record.is_settled(), record.touched));
        let Some(text) = oldest.map(|(text, _)| text.clone()) else { return };
        let Some(mut record) = self.incarnations.remove(&text) else { return };
        record.settle();
        self.folded.produced += record.produced();
        self.folded.arrived += record.arrived;
        for (reason, steps) in record.into_dropped() {
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
            record.all_dropped().for_each(&mut add);
        }
        let settled = self.trained + dropped.values().sum::<u64>();
        // Steps pushed in-process have no actor that reported them.
        let produced = produced.max(settled);
        Totals { produced, trained: self.trained, dropped, in_flight: produced - settled }
    }
}

/// `counted - accounted`, cut to what fits.
fn difference(counted: u64, accounted: u128) -> i64 {
    clamped(i128::from(counted.min(MAX_CLAIM)) - accounted as i128)
}

fn clamped(steps: i128) -> i64 {
    steps.clamp(i64::MIN.into(), i64::MAX.into()) as i64
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
