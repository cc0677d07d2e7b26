//! How many push streams speak which version of the protocol: what an update of the actors is watched by.

use crate::metrics;

/// One stream's version, counted while it is open.
pub(super) struct SpokenProtocol {
    version: u32,
}

impl SpokenProtocol {
    pub(super) fn new(version: u32) -> Self {
        metrics::push_streams(version, 1.0);
        Self { version }
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }
}

impl Drop for SpokenProtocol {
    fn drop(&mut self) {
        metrics::push_streams(self.version, -1.0);
    }
}

#[cfg(test)]
mod tests {
    use vpt_proto::limits::{OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};

    #[test]
    fn every_version_that_is_served_is_a_label() {
        let served: Vec<String> =
            (OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION).map(|version| version.to_string()).collect();
        assert_eq!(crate::metrics::PROTOCOLS, served);
    }
}
