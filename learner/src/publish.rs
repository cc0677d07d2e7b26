//! Published weight sets: strictly increasing versions, each bound to the hash of its bytes.
//!
//! The newest few are kept so that an actor in the middle of a fetch can finish; older ones are refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use vpt_proto::learner::v1::WeightsManifest;
use vpt_proto::limits::WEIGHTS_FORMAT_VERSION;

use crate::error::LearnerError;
use crate::metrics;
use crate::version::Version;

/// Weight sets that can be fetched, unless a schedule needs more.
pub const KEPT_VERSIONS: usize = 3;

/// One weight set as actors get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedWeights {
    /// Its place in the order.
    pub version: Version,
    /// A safetensors file.
    pub payload: Bytes,
    /// BLAKE3 of the payload, hex.
    pub blake3: String,
    /// `bf16` or `f32`.
    pub dtype: String,
    /// Fingerprint of the network's parameter names and shapes.
    pub architecture: String,
}

impl PublishedWeights {
    /// What actors are told about it.
    pub fn manifest(&self) -> WeightsManifest {
        WeightsManifest {
            format_version: WEIGHTS_FORMAT_VERSION,
            version: Some(self.version.into()),
            blake3: self.blake3.clone(),
            total_bytes: self.payload.len() as u64,
            architecture: self.architecture.clone(),
            dtype: self.dtype.clone(),
        }
    }
}

/// The weight sets actors can get; the training thread publishes, the weights service hands out.
#[derive(Debug)]
pub struct WeightStore {
    kept: Mutex<VecDeque<Arc<PublishedWeights>>>,
    keep: usize,
    newest: watch::Sender<Option<Arc<PublishedWeights>>>,
}

impl Default for WeightStore {
    fn default() -> Self {
        Self::new()
    }
}

impl WeightStore {
    /// Nothing published yet; the newest few will be kept.
    pub fn new() -> Self {
        Self::keeping(KEPT_VERSIONS)
    }

    /// Nothing published yet; the newest `keep` will be kept.
    pub fn keeping(keep: usize) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), keep: keep.max(1), newest: watch::Sender::new(None) }
    }

    /// Publishes `payload` as `version`; returns it with its hash.
    ///
    /// # Errors
    /// When `version` is not newer than the newest one.
    pub fn publish(
        &self,
        version: Version,
        payload: Bytes,
        dtype: &str,
        architecture: &str,
    ) -> Result<Arc<PublishedWeights>, LearnerError> {
        let weights = Arc::new(PublishedWeights {
            version,
            blake3: blake3::hash(&payload).to_hex().to_string(),
            payload,
            dtype: dtype.to_owned(),
            architecture: architecture.to_owned(),
        });
        let mut kept = self.lock();
        if let Some(newest) = kept.back().map(|newest| newest.version).filter(|&newest| version <= newest) {
            return Err(LearnerError::VersionNotNewer { offered: version, newest });
        }
        if kept.len() == self.keep {
            kept.pop_front();
        }
        kept.push_back(weights.clone());
        // Under the lock, so that watchers see versions in order.
        self.newest.send_replace(Some(weights.clone()));
        drop(kept);
        metrics::policy_version(version);
        Ok(weights)
    }

    /// The newest version; none before the first publish.
    pub fn current(&self) -> Option<Version> {
        self.newest.borrow().as_ref().map(|weights| weights.version)
    }

    /// Follows the newest weight set; slow readers skip what came between.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<PublishedWeights>>> {
        self.newest.subscribe()
    }

    /// A weight set that is still kept.
    pub fn get(&self, version: Version) -> Option<Arc<PublishedWeights>> {
        self.lock().iter().find(|weights| weights.version == version).cloned()
    }

    /// Weight sets that are still kept and newer than `version`, oldest first.
    pub fn newer_than(&self, version: Version) -> Vec<Arc<PublishedWeights>> {
        self.lock().iter().filter(|weights| weights.version > version).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<PublishedWeights>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(store: &WeightStore, version: Version) -> Result<Arc<PublishedWeights>, LearnerError> {
        store.publish(version, Bytes::from(version.to_string()), "f32", "arch")
    }

    #[test]
    fn versions_only_go_up() {
        let store = WeightStore::new();
        assert_eq!(store.current(), None);
        publish(&store, Version::new(1, 4)).unwrap();
        for old in [Version::new(1, 4), Version::new(1, 3), Version::new(0, 9)] {
            let error = publish(&store, old).unwrap_err();
            assert!(matches!(error, LearnerError::VersionNotNewer { .. }), "{error}");
        }
        publish(&store, Version::new(2, 3)).unwrap();
        assert_eq!(store.current(), Some(Version::new(2, 3)));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let store = WeightStore::new();
        for sequence in 1..=4 {
            publish(&store, Version::new(1, sequence)).unwrap();
        }
        assert_eq!(store.get(Version::new(1, 1)), None);
        let kept = store.get(Version::new(1, 2)).unwrap();
        assert_eq!(kept.payload, Bytes::from("1-2"));
        assert_eq!(kept.blake3, blake3::hash(b"1-2").to_hex().to_string());
        assert_eq!(kept.manifest().total_bytes, 3);
    }
}
