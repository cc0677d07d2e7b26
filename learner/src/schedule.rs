//! Deterministic training: the logical order that replaces the clock's.
//!
//! Every slot of every actor sends its n-th unroll in round n. Rounds are trained on in order, and within a round
//! actors by name and slots by number ([`crate::turnstile`]); a policy phase takes the next `batch_unrolls`. Round n is
//! played by the version that was published `lag_phases` phases before the last one that can be finished by then, so
//! that actors and learner work at the same time and still nothing depends on who is faster.

use serde::{Deserialize, Serialize};
use vpt_proto::learner::v1 as wire;

use crate::admission::AdmissionConfig;
use crate::config::LearnerConfig;

/// The section `[learner.schedule]`; in force when `learner.deterministic` is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Actors of the run, all with the same number of slots; `vpt up` fills it in.
    pub actors: u32,
    /// Policy phases that may still be under way when a round begins; 0 makes actors and learner take turns.
    pub lag_phases: u32,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { actors: 1, lag_phases: 1 }
    }
}

/// The order in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) actors: u32,
    lag_phases: u32,
    batch_unrolls: u32,
}

impl Schedule {
    /// The schedule of a config; none when it does not ask for one.
    #[must_use]
    pub fn of(config: &LearnerConfig) -> Option<Self> {
        config.deterministic.then(|| Self {
            actors: config.schedule.actors,
            lag_phases: config.schedule.lag_phases,
            batch_unrolls: u32::try_from(config.ppg.batch_unrolls).unwrap_or(u32::MAX),
        })
    }

    /// Slots of the whole run when every actor has `slots`.
    pub(crate) fn total_slots(&self, slots: u32) -> u64 {
        u64::from(slots) * u64::from(self.actors)
    }

    /// Unrolls of one actor that may be in the learner out of turn or in the queue.
    pub(crate) fn unrolls_per_actor(&self, slots: u32) -> u64 {
        let ahead = (u64::from(self.lag_phases) + 1) * u64::from(self.batch_unrolls);
        u64::from(slots) * (ahead.div_ceil(self.total_slots(slots).max(1)) + 2)
    }

    /// Weight sets that an actor may still have to fetch.
    pub(crate) fn kept_versions(&self) -> usize {
        self.lag_phases as usize + 3
    }

    /// Why actors of `slots` each cannot work with these limits; none when they can.
    pub(crate) fn misfit(&self, slots: u32, admission: &AdmissionConfig) -> Option<String> {
        let unrolls = self.unrolls_per_actor(slots) * u64::from(self.actors);
        let phases_a_round = self.total_slots(slots).div_ceil(u64::from(self.batch_unrolls.max(1)));
        let staleness = u64::from(self.lag_phases) + phases_a_round;
        if (admission.queue_unrolls as u64) < unrolls {
            let total = self.total_slots(slots);
            Some(format!(
                "learner.deterministic with {total} slots needs learner.admission.queue_unrolls >= {unrolls}, it is {}",
                admission.queue_unrolls
            ))
        } else if admission.max_staleness < staleness {
            Some(format!(
                "learner.deterministic needs learner.admission.max_staleness >= {staleness} here, it is {}",
                admission.max_staleness
            ))
        } else {
            None
        }
    }

    /// What actors are told.
    pub(crate) fn wire(&self, slots: u32) -> wire::Schedule {
        wire::Schedule {
            total_slots: u32::try_from(self.total_slots(slots)).unwrap_or(u32::MAX),
            batch_unrolls: self.batch_unrolls,
            lag_phases: self.lag_phases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(actors: u32, lag_phases: u32, batch_unrolls: usize) -> Schedule {
        let mut config = LearnerConfig {
            deterministic: true,
            schedule: ScheduleConfig { actors, lag_phases },
            ..LearnerConfig::default()
        };
        config.ppg.batch_unrolls = batch_unrolls;
        Schedule::of(&config).unwrap()
    }

    #[test]
    fn limits_that_would_stall_the_run_are_named() {
        let schedule = schedule(4, 1, 32);
        assert_eq!(schedule.total_slots(8), 32);
        assert_eq!(schedule.unrolls_per_actor(8), 8 * 4);
        let limits = |queue_unrolls, max_staleness| AdmissionConfig {
            queue_unrolls,
            max_staleness,
            ..AdmissionConfig::default()
        };
        assert_eq!(schedule.misfit(8, &limits(128, 2)), None);
        assert!(schedule.misfit(8, &limits(127, 2)).unwrap().contains("queue_unrolls >= 128"));
        assert!(schedule.misfit(8, &limits(128, 1)).unwrap().contains("max_staleness >= 2"));
    }

    #[test]
    fn there_is_none_unless_asked_for() {
        assert_eq!(Schedule::of(&LearnerConfig::default()), None);
    }
}
