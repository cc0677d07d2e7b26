//! Policy versions as ordered values.

use std::fmt;
use vpt_proto::common::v1::PolicyVersion;

/// A published weight set; ordered by epoch, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Version {
    pub(crate) epoch: u32,
    pub(crate) sequence: u64,
}

impl From<PolicyVersion> for Version {
    fn from(version: PolicyVersion) -> Self {
        Self { epoch: version.epoch, sequence: version.sequence }
    }
}

impl From<Version> for PolicyVersion {
    fn from(version: Version) -> Self {
        Self { epoch: version.epoch, sequence: version.sequence }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}
