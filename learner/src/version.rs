//! The order of published weight sets: by epoch, then by sequence.

use serde::{Deserialize, Serialize};
use vpt_proto::common::v1::PolicyVersion;

/// A published weight set; the epoch rises at every learner start, the sequence at every publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Start of the learner that published it.
    pub epoch: u32,
    /// Number of publishes before it, over all epochs.
    pub sequence: u64,
}

impl Version {
    /// The version `(epoch, sequence)`.
    pub const fn new(epoch: u32, sequence: u64) -> Self {
        Self { epoch, sequence }
    }

    /// Published versions between `self` and `other`, whichever is newer.
    ///
    /// The difference is absolute: an unroll from a future that a crash undid has an older epoch and a higher
    /// sequence, and is as far from the present as one from the past.
    pub const fn staleness_from(self, other: Self) -> u64 {
        self.sequence.abs_diff(other.sequence)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl From<PolicyVersion> for Version {
    fn from(wire: PolicyVersion) -> Self {
        Self::new(wire.epoch, wire.sequence)
    }
}

impl From<Version> for PolicyVersion {
    fn from(version: Version) -> Self {
        Self { epoch: version.epoch, sequence: version.sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_orders_before_sequence() {
        assert!(Version::new(2, 5) > Version::new(1, 9));
        assert!(Version::new(2, 5) < Version::new(2, 6));
    }

    #[test]
    fn staleness_is_absolute_across_epochs() {
        assert_eq!(Version::new(1, 9).staleness_from(Version::new(2, 5)), 4);
        assert_eq!(Version::new(2, 5).staleness_from(Version::new(1, 9)), 4);
    }
}
