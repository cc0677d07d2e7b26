//! What the learner asks of its actors at the handshake: how long unrolls are, and in a deterministic run which weights
//! act when.

use vpt_proto::learner::v1 as wire;

/// The learner's wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Steps of an unroll.
    pub(crate) unroll_length: usize,
    /// Present in a deterministic run.
    pub(crate) schedule: Option<Schedule>,
}

/// Which version plays which round; every slot sends its n-th unroll in round n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    total_slots: u64,
    batch_unrolls: u64,
    lag_phases: u64,
}

impl Schedule {
    /// A schedule from the wire; none when it makes no sense.
    pub(crate) fn from_wire(schedule: &wire::Schedule) -> Option<Self> {
        let wire::Schedule { total_slots, batch_unrolls, lag_phases } = *schedule;
        (total_slots > 0 && batch_unrolls > 0).then(|| Self {
            total_slots: u64::from(total_slots),
            batch_unrolls: u64::from(batch_unrolls),
            lag_phases: u64::from(lag_phases),
        })
    }

    /// Sequence of the version that plays `round`: the one published `lag_phases` phases before the last phase that can
    /// be finished with the rounds before.
    pub(crate) fn sequence(&self, round: u64) -> u64 {
        1 + (round * self.total_slots / self.batch_unrolls).saturating_sub(self.lag_phases)
    }

    /// Unrolls of `slots` slots that may await their ack at a time.
    pub(crate) fn pending_unrolls(&self, slots: usize) -> usize {
        let ahead = (self.lag_phases + 1) * self.batch_unrolls;
        slots * (ahead.div_ceil(self.total_slots) as usize + 2)
    }

    /// Weight sets that may be needed at a time.
    pub(crate) fn kept_versions(&self) -> usize {
        self.lag_phases as usize + 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(total_slots: u32, batch_unrolls: u32, lag_phases: u32) -> Schedule {
        Schedule::from_wire(&wire::Schedule { total_slots, batch_unrolls, lag_phases }).unwrap()
    }

    #[test]
    fn a_round_is_played_by_what_can_be_trained_before_it() {
        let sequences = |schedule: Schedule| (0..6).map(|round| schedule.sequence(round)).collect::<Vec<_>>();
        assert_eq!(sequences(schedule(8, 8, 0)), [1, 2, 3, 4, 5, 6], "actors and learner take turns");
        assert_eq!(sequences(schedule(8, 8, 1)), [1, 1, 2, 3, 4, 5]);
        assert_eq!(sequences(schedule(8, 16, 1)), [1, 1, 1, 1, 2, 2], "two rounds make a phase");
        assert_eq!(sequences(schedule(16, 8, 1)), [1, 2, 4, 6, 8, 10], "a round makes two");
        assert_eq!(Schedule::from_wire(&wire::Schedule::default()), None);
    }
}
