//! The newest few versions ready to act, for runs that say which one plays which round.

use crate::acting_policy::ActingPolicy;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Versions kept before the learner has said how many are needed.
const AT_FIRST: usize = 4;

/// Versions by sequence. The same sequence of two epochs has the same weights in the runs this is for.
#[derive(Debug)]
pub(crate) struct PolicyShelf {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keep: usize,
    policies: BTreeMap<u64, Arc<ActingPolicy>>,
}

impl PolicyShelf {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { keep: AT_FIRST, policies: BTreeMap::new() }) })
    }

    /// Keeps the newest `keep` from now on; 0 where the newest alone acts.
    pub(crate) fn keep(&self, keep: usize) {
        let mut state = self.lock();
        state.keep = keep;
        state.trim();
    }

    pub(crate) fn put(&self, policy: Arc<ActingPolicy>) {
        let mut state = self.lock();
        state.policies.insert(policy.version().sequence, policy);
        state.trim();
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<Arc<ActingPolicy>> {
        self.lock().policies.get(&sequence).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trim(&mut self) {
        while self.policies.len() > self.keep {
            self.policies.pop_first();
        }
    }
}
