//! The books of one actor process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{COUNTED_HERE, MAX_CLAIM, Report, bounded, sum};

/// What is known of one incarnation, in env steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    reported: u64,
    pub(super) arrived: u64,
    /// What the actor dropped.
    dropped: BTreeMap<String, u64>,
    /// What was lost with it or with an earlier learner process.
    lost: BTreeMap<String, u64>,
    /// Highest sequence of each slot.
    sequences: BTreeMap<u32, u64>,
    /// Nothing more is taken from it; what it held is booked as lost.
    #[serde(default)]
    settled: bool,
    pub(super) touched: u64,
    /// Beats without a stream.
    #[serde(skip)]
    pub(super) idle: u32,
    /// Steps that its last report could not account for.
    #[serde(skip)]
    pub(super) imbalance: i64,
}

impl Record {
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn produced(&self) -> u64 {
        self.reported.max(self.arrived.saturating_add(self.gone()))
    }

    /// Steps that are with the actor or on the wire.
    pub(super) fn held(&self) -> u64 {
        self.produced().saturating_sub(self.arrived).saturating_sub(self.gone())
    }

    /// Steps whose fate is known or that are the learner's to know.
    pub(super) fn accounted(&self) -> u128 {
        u128::from(self.arrived) + u128::from(self.gone())
    }

    fn gone(&self) -> u64 {
        sum(self.dropped.values().chain(self.lost.values()))
    }

    pub(super) fn knows(&self, slot: u32, sequence: u64) -> bool {
        self.settled || self.sequences.get(&slot).is_some_and(|&highest| sequence <= highest)
    }

    /// Books the first arrival of an unroll, and those before it that nothing is known of; false when it is known.
    pub(super) fn arrive(&mut self, slot: u32, sequence: u64, steps: u64) -> bool {
        if self.knows(slot, sequence) {
            return false;
        }
        self.catch_up(slot, sequence, steps);
        self.sequences.insert(slot, sequence);
        self.arrived = self.arrived.saturating_add(steps);
        true
    }

    /// Books every unroll of `slot` before `next` that nothing is known of as lost with an earlier learner process.
    pub(super) fn catch_up(&mut self, slot: u32, next: u64, steps: u64) {
        let known = self.sequences.get(&slot).map_or(0, |highest| highest.saturating_add(1));
        if self.settled || next <= known {
            return;
        }
        self.lose("learner_crash", (next - known).saturating_mul(steps));
        self.sequences.insert(slot, next - 1);
    }

    /// Takes over what the actor counted, where that is more than it had.
    pub(super) fn report(&mut self, report: &Report) {
        self.reported = self.reported.max(report.produced.min(MAX_CLAIM));
        if self.settled {
            // Its successor knows of more than the last report; what became of the rest is decided.
            return self.lose("actor_lost", self.held());
        }
        let mut by_reason = BTreeMap::<&str, u64>::new();
        for (reason, &steps) in &report.dropped {
            if !COUNTED_HERE.contains(&reason.as_str()) {
                let claimed = by_reason.entry(bounded(reason)).or_default();
                *claimed = claimed.saturating_add(steps);
            }
        }
        for (reason, steps) in by_reason {
            let dropped = self.dropped.entry(reason.to_owned()).or_default();
            *dropped = (*dropped).max(steps.min(MAX_CLAIM));
        }
    }

    /// Books what it held as lost; nothing more is taken from it.
    pub(super) fn settle(&mut self) {
        self.lose("actor_lost", self.held());
        self.settled = true;
        self.sequences.clear();
        self.imbalance = 0;
    }

    pub(super) fn all_dropped(&self) -> impl Iterator<Item = &BTreeMap<String, u64>> {
        [&self.dropped, &self.lost].into_iter()
    }

    pub(super) fn into_dropped(self) -> impl Iterator<Item = (String, u64)> {
        self.dropped.into_iter().chain(self.lost)
    }

    fn lose(&mut self, reason: &str, steps: u64) {
        if steps > 0 {
            let lost = self.lost.entry(reason.to_owned()).or_default();
            *lost = lost.saturating_add(steps).min(MAX_CLAIM);
        }
    }
}
