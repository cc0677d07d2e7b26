//! The newest versions, in order, and who waits for the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::order;
use super::weight_set::{Delta, WeightSet};
use crate::common::v1::PolicyVersion;

/// The version offered is not newer than the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the newest version is {}-{}", newest.epoch, newest.sequence)]
pub struct NotNewer {
    /// The newest there is.
    pub newest: PolicyVersion,
}

/// Versions that can be fetched: the newest `keep`.
#[derive(Debug)]
pub struct Store {
    keep: usize,
    kept: Mutex<VecDeque<Arc<WeightSet>>>,
    newest: watch::Sender<Option<Arc<WeightSet>>>,
    serving: watch::Sender<bool>,
}

impl Store {
    /// Nothing yet; the newest `keep` will be kept.
    #[must_use]
    pub fn keeping(keep: usize) -> Self {
        let (newest, serving) = (watch::Sender::new(None), watch::Sender::new(true));
        Self { keep: keep.max(1), kept: Mutex::new(VecDeque::new()), newest, serving }
    }

    /// Adds a version, whole or still arriving, and tells of it. What is no longer kept is given up.
    ///
    /// # Errors
    /// When it is not newer than the newest one.
    pub fn insert(&self, set: WeightSet) -> Result<Arc<WeightSet>, NotNewer> {
        let set = Arc::new(set);
        let mut kept = self.lock();
        if let Some(newest) = kept.back().map(|newest| newest.version)
            && order(set.version) <= order(newest)
        {
            return Err(NotNewer { newest });
        }
        if kept.len() == self.keep
            && let Some(oldest) = kept.pop_front()
        {
            oldest.payload.give_up();
        }
        kept.push_back(set.clone());
        // Under the lock, so that watchers see versions in order.
        self.newest.send_replace(Some(set.clone()));
        Ok(set)
    }

    /// The newest version; none before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<WeightSet>> {
        self.newest.borrow().clone()
    }

    /// Follows the newest version; slow readers skip what came between.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<WeightSet>>> {
        self.newest.subscribe()
    }

    /// A version that is still kept.
    #[must_use]
    pub fn get(&self, version: PolicyVersion) -> Option<Arc<WeightSet>> {
        self.lock().iter().find(|set| set.version == version).cloned()
    }

    /// The delta that ends in `version`, while a kept version still lists it.
    #[must_use]
    pub fn delta(&self, version: PolicyVersion) -> Option<Arc<Delta>> {
        let kept = self.lock();
        kept.iter().rev().flat_map(|set| set.deltas()).find(|delta| delta.version == version).cloned()
    }

    /// The oldest kept version that is newer than `version`.
    #[must_use]
    pub fn after(&self, version: PolicyVersion) -> Option<Arc<WeightSet>> {
        self.lock().iter().find(|set| order(set.version) > order(version)).cloned()
    }

    /// Whether this place hears of new versions; followers of one that does not are sent elsewhere.
    pub fn set_serving(&self, serving: bool) {
        self.serving.send_if_modified(|now| std::mem::replace(now, serving) != serving);
    }

    /// How many follow the newest version here.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.newest.receiver_count()
    }

    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<WeightSet>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::*;
    use bytes::Bytes;

    fn set(epoch: u32, sequence: u64) -> WeightSet {
        let names = ("arch".to_owned(), "f32".to_owned());
        WeightSet::new(PolicyVersion { epoch, sequence }, names, Body::whole(Bytes::from_static(b"w")))
    }

    #[test]
    fn versions_only_go_up_and_only_the_newest_are_kept() {
        let store = Store::keeping(3);
        assert!(store.newest().is_none());
        for sequence in 1..=4 {
            store.insert(set(1, sequence)).unwrap();
        }
        for (epoch, sequence) in [(1, 4), (1, 3), (0, 9)] {
            let newest = PolicyVersion { epoch: 1, sequence: 4 };
            assert_eq!(store.insert(set(epoch, sequence)).unwrap_err(), NotNewer { newest });
        }
        store.insert(set(2, 3)).unwrap();
        let version = |epoch, sequence| PolicyVersion { epoch, sequence };
        assert!(store.get(version(1, 2)).is_none() && store.get(version(1, 3)).is_some());
        assert_eq!(store.newest().map(|set| set.version), Some(version(2, 3)));
        assert_eq!(store.after(version(1, 3)).map(|set| set.version), Some(version(1, 4)));
        assert!(store.after(version(2, 3)).is_none());
    }
}
