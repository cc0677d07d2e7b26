//! The wall clock of a whole actor by state, though its groups do different things at the same time.
//!
//! At any moment the actor is in the busiest state of its groups: while one group is inferred the actor infers, even
//! though another waits for its worlds. The states therefore add up to the wall clock and say what holds it back.

use crate::metrics;
use std::sync::{Arc, Mutex, PoisonError};
use vpt_runtime::clock::TimeAccount;

/// States from busiest to idlest; the first one that any group is in counts.
const PRIORITY: &[&str] =
    &["infer", "wait_env", "encode", "wait_credit", "wait_weights", "wait_learner", "drain", "start"];

/// What every group is doing. Clones share it.
#[derive(Clone)]
pub(crate) struct Activity {
    account: TimeAccount,
    groups: Arc<Mutex<Vec<&'static str>>>,
}

impl Activity {
    pub(crate) fn new(groups: usize) -> Self {
        Self {
            account: TimeAccount::new(metrics::TIME, metrics::STATES),
            groups: Arc::new(Mutex::new(vec!["start"; groups])),
        }
    }

    /// Notes what `group` does from now on.
    pub(crate) fn enter(&self, group: usize, state: &'static str) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups[group] = state;
        let busiest = PRIORITY.iter().find(|state| groups.contains(state)).unwrap_or(&"start");
        // Under the lock, so that the account follows the groups in order.
        self.account.enter(busiest);
    }

    /// Seconds by state; they add up to the time since the actor started.
    #[cfg(test)]
    pub(crate) fn seconds(&self) -> Vec<(&'static str, f64)> {
        self.account.seconds()
    }

    /// Brings the exported figures up to now.
    pub(crate) fn export(&self) {
        self.account.export();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_group_counts_and_states_add_up() {
        let activity = Activity::new(2);
        activity.enter(0, "wait_credit");
        activity.enter(1, "infer");
        assert_eq!(activity.account.state(), "infer");
        activity.enter(1, "wait_credit");
        assert_eq!(activity.account.state(), "wait_credit");
        activity.enter(0, "wait_env");
        assert_eq!(activity.account.state(), "wait_env");
        let before = activity.account.elapsed().as_secs_f64();
        let sum: f64 = activity.seconds().iter().map(|(_, seconds)| seconds).sum();
        assert!(sum >= before && sum <= activity.account.elapsed().as_secs_f64());
    }

    #[test]
    fn every_state_is_declared() {
        for state in PRIORITY {
            assert!(metrics::STATES.contains(state), "{state}");
        }
        assert_eq!(PRIORITY.len(), metrics::STATES.len());
    }
}
