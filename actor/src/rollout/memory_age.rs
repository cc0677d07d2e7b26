//! Which is the oldest version whose keys and values a slot's memory still holds.
//!
//! A memory row lives for `maxlen` steps and reaches, through the layers, `maxlen * layers` steps ahead; an episode's
//! start empties it.

use crate::version::Version;
use std::collections::VecDeque;

/// The versions a group acted with, by the step from which on it did.
#[derive(Debug)]
pub(super) struct MemoryAge {
    window: u64,
    history: VecDeque<(u64, Version)>,
}

impl MemoryAge {
    pub(super) fn new(window: u64, first: Version) -> Self {
        Self { window, history: VecDeque::from([(0, first)]) }
    }

    /// The group acts with `version` from `step` on.
    pub(super) fn swapped(&mut self, step: u64, version: Version) {
        self.history.push_back((step, version));
        let horizon = step.saturating_sub(self.window);
        while self.history.get(1).is_some_and(|&(since, _)| since <= horizon) {
            self.history.pop_front();
        }
    }

    /// The oldest version in the memory before `step` of a slot whose episode began at `episode_start`.
    pub(super) fn oldest(&self, step: u64, episode_start: u64) -> Version {
        let from = step.saturating_sub(self.window).max(episode_start);
        let acting = self.history.iter().rev().find(|&&(since, _)| since <= from);
        acting.or(self.history.front()).expect("the first version is never forgotten").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(sequence: u64) -> Version {
        Version { epoch: 1, sequence }
    }

    #[test]
    fn memory_ages_out_and_episodes_empty_it() {
        let mut age = MemoryAge::new(64, version(1));
        assert_eq!(age.oldest(0, 0), version(1));
        age.swapped(32, version(2));
        assert_eq!(age.oldest(32, 0), version(1));
        assert_eq!(age.oldest(32, 32), version(2), "an episode that begins at the swap");
        assert_eq!(age.oldest(95, 0), version(1));
        assert_eq!(age.oldest(96, 0), version(2), "everything older has aged out");
        for n in 3..100 {
            age.swapped(32 * n, version(n));
        }
        assert!(age.history.len() <= 4, "{}", age.history.len());
        assert_eq!(age.oldest(32 * 99, 0), version(97));
    }
}
