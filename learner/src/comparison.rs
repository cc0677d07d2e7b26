//! A replay of training against the first time: every publication and every later checkpoint must be the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::PublishMark;

/// What the first run left to compare with, and how the second one fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Publications by unrolls consumed before them; after a crash the same one more than once.
    expected: BTreeMap<u64, Vec<PublishMark>>,
    /// Publications that were the same.
    pub equal: u64,
    /// Later checkpoints by unrolls consumed: their name, and the hashes of their weights and moments.
    checkpoints: BTreeMap<u64, (String, [String; 2])>,
    /// Checkpoints that were the same.
    pub equal_checkpoints: BTreeSet<String>,
    /// Checkpoints that were not.
    pub different_checkpoints: BTreeSet<String>,
    /// Publications that nothing is recorded of.
    pub unrecorded: u64,
    /// The first publication that was not the same, as it was the first time.
    pub first_difference: Option<PublishMark>,
}

impl Comparison {
    /// A comparison with these publications.
    pub(crate) fn with(marks: impl IntoIterator<Item = PublishMark>) -> Self {
        let mut expected: BTreeMap<u64, Vec<PublishMark>> = BTreeMap::new();
        for mark in marks {
            expected.entry(mark.consumed).or_default().push(mark);
        }
        Self { expected, ..Self::default() }
    }

    /// Also compares with the checkpoint `name`, made when `consumed` unrolls were, by the hashes of its weights and
    /// moments.
    pub(crate) fn expect_checkpoint(&mut self, consumed: u64, name: String, hashes: [String; 2]) {
        self.checkpoints.insert(consumed, (name, hashes));
    }

    /// Whether there is a checkpoint to compare with at this point.
    pub(crate) fn has_checkpoint(&self, consumed: u64) -> bool {
        self.checkpoints.contains_key(&consumed)
    }

    /// Compares weights and moments with those of the checkpoint at this point.
    pub(crate) fn checkpoint(&mut self, consumed: u64, hashes: &[String; 2]) {
        let Some((name, expected)) = self.checkpoints.get(&consumed) else { return };
        let side =
            if hashes == expected { &mut self.equal_checkpoints } else { &mut self.different_checkpoints };
        side.insert(name.clone());
    }

    /// Compares a publication of the second run.
    pub(crate) fn published(&mut self, mark: &PublishMark) {
        let Some(first) = self.expected.get(&mark.consumed) else {
            self.unrecorded += 1;
            return;
        };
        match first.iter().find(|first| first.blake3 != mark.blake3) {
            None => self.equal += 1,
            Some(first) => {
                self.first_difference.get_or_insert(*first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn mark(epoch: u32, consumed: u64, hash: u8) -> PublishMark {
        PublishMark { version: Version::new(epoch, consumed), consumed, blake3: [hash; 32] }
    }

    #[test]
    fn a_publication_must_be_the_same_each_time() {
        let mut comparison =
            Comparison::with([mark(1, 8, 1), mark(1, 16, 2), mark(2, 16, 2), mark(2, 24, 3)]);
        for (consumed, hash) in [(8, 1), (16, 2), (24, 4), (32, 5)] {
            comparison.published(&mark(9, consumed, hash));
        }
        assert_eq!((comparison.equal, comparison.unrecorded), (2, 1));
        assert_eq!(comparison.first_difference, Some(mark(2, 24, 3)));
    }
}
