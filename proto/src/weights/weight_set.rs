//! One version: its payload, and the deltas that lead to it from versions before.

use std::sync::Arc;

use super::body::Body;
use super::chunk_hashes::{ChunkHashes, HashesError};
use super::order;
use crate::common::v1::PolicyVersion;
use crate::learner::v1::{WeightsDelta, WeightsManifest};
use crate::limits::WEIGHTS_FORMAT_VERSION;

/// Deltas that lead to a version, at most; older ones are left out.
const MAX_DELTAS: usize = 16;

/// How the payload of `base` becomes that of `version`.
#[derive(Debug)]
pub struct Delta {
    /// From.
    pub base: PolicyVersion,
    /// To.
    pub version: PolicyVersion,
    /// See [`super::delta`].
    pub body: Body,
}

/// A version as it is published.
#[derive(Debug)]
pub struct WeightSet {
    /// Its place in the order.
    pub version: PolicyVersion,
    /// Fingerprint of the network's parameter names and shapes.
    pub architecture: String,
    /// `bf16` or `f32`.
    pub dtype: String,
    /// Whether followers need every version.
    pub every: bool,
    /// A safetensors file.
    pub payload: Body,
    /// Oldest first, each starting where the one before ends, the last ending in `version`.
    deltas: Vec<Arc<Delta>>,
}

/// A manifest that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Another format.
    #[error("weights of format version {found}, this build reads {WEIGHTS_FORMAT_VERSION}")]
    Format {
        /// The manifest's.
        found: u32,
    },
    /// No version.
    #[error("a manifest without a version")]
    NoVersion,
    /// Sizes and hashes that cannot be true.
    #[error(transparent)]
    Hashes(#[from] HashesError),
}

impl WeightSet {
    /// A version whose payload is `payload`, reached by `deltas`.
    #[must_use]
    pub fn new(version: PolicyVersion, (architecture, dtype): (String, String), payload: Body) -> Self {
        Self { version, architecture, dtype, every: false, payload, deltas: Vec::new() }
    }

    /// What `manifest` describes, nothing of it there yet. Deltas that do not hold together are left out.
    ///
    /// # Errors
    /// Sizes beyond `limit` bytes or hashes that do not fit; nothing is allocated for them.
    pub fn announced(manifest: &WeightsManifest, limit: u64) -> Result<Self, ManifestError> {
        if manifest.format_version != WEIGHTS_FORMAT_VERSION {
            return Err(ManifestError::Format { found: manifest.format_version });
        }
        let version = manifest.version.ok_or(ManifestError::NoVersion)?;
        let WeightsManifest { total_bytes, chunk_hashes, blake3, .. } = manifest;
        let hashes = ChunkHashes::from_wire(*total_bytes, chunk_hashes, blake3, limit)?;
        let names = (manifest.architecture.clone(), manifest.dtype.clone());
        let mut set = Self::new(version, names, Body::arriving(hashes));
        set.every = manifest.every;
        let deltas = manifest.deltas.iter().rev().take(MAX_DELTAS).map(|delta| announced_delta(delta, limit));
        // Backwards, up to the first one that cannot be used.
        let deltas: Vec<_> = deltas.map_while(|delta| delta).collect();
        set.with_deltas(deltas.into_iter().rev().map(Arc::new).collect()).map_or_else(|set| Ok(*set), Ok)
    }

    /// The same with deltas that lead to it, of which the newest are kept that belong together and are smaller than the
    /// payload.
    ///
    /// # Errors
    /// The set without any when the last one does not end in its version.
    pub fn with_deltas(mut self, mut deltas: Vec<Arc<Delta>>) -> Result<Self, Box<Self>> {
        if deltas.last().is_some_and(|last| last.version != self.version) {
            return Err(Box::new(self));
        }
        let mut bytes = 0;
        let mut first = deltas.len();
        while first > 0 && deltas.len() - first < MAX_DELTAS {
            let delta = &deltas[first - 1];
            bytes += delta.body.hashes().total_bytes();
            let joined = deltas.get(first).is_none_or(|next| next.base == delta.version);
            let rises = order(delta.base) < order(delta.version);
            if !joined || !rises || bytes >= self.payload.hashes().total_bytes() {
                break;
            }
            first -= 1;
        }
        self.deltas = deltas.split_off(first);
        Ok(self)
    }

    /// Deltas that lead to this version, oldest first.
    #[must_use]
    pub fn deltas(&self) -> &[Arc<Delta>] {
        &self.deltas
    }

    /// The deltas that lead here from `base`; none when there are not.
    #[must_use]
    pub fn deltas_from(&self, base: PolicyVersion) -> Option<&[Arc<Delta>]> {
        let first = self.deltas.iter().position(|delta| delta.base == base)?;
        Some(&self.deltas[first..])
    }

    /// What followers are told.
    #[must_use]
    pub fn manifest(&self) -> WeightsManifest {
        let hashes = self.payload.hashes();
        let deltas = self.deltas.iter().map(|delta| WeightsDelta {
            base: Some(delta.base),
            version: Some(delta.version),
            blake3: delta.body.hashes().root().to_string(),
            total_bytes: delta.body.hashes().total_bytes() as u64,
            chunk_hashes: delta.body.hashes().to_wire(),
        });
        WeightsManifest {
            format_version: WEIGHTS_FORMAT_VERSION,
            version: Some(self.version),
            blake3: hashes.root().to_string(),
            total_bytes: hashes.total_bytes() as u64,
            architecture: self.architecture.clone(),
            dtype: self.dtype.clone(),
            chunk_hashes: hashes.to_wire(),
            deltas: deltas.collect(),
            every: self.every,
        }
    }

    /// What of it has not arrived will not.
    pub fn give_up(&self) {
        self.payload.give_up();
        self.deltas.iter().for_each(|delta| delta.body.give_up());
    }
}

fn announced_delta(delta: &WeightsDelta, limit: u64) -> Option<Delta> {
    let hashes = ChunkHashes::from_wire(delta.total_bytes, &delta.chunk_hashes, &delta.blake3, limit).ok()?;
    Some(Delta { base: delta.base?, version: delta.version?, body: Body::arriving(hashes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn version(sequence: u64) -> PolicyVersion {
        PolicyVersion { epoch: 1, sequence }
    }

    fn delta(base: u64, to: u64, bytes: usize) -> Arc<Delta> {
        let body = Body::whole(Bytes::from(vec![7; bytes]));
        Arc::new(Delta { base: version(base), version: version(to), body })
    }

    fn set(deltas: Vec<Arc<Delta>>) -> Result<WeightSet, Box<WeightSet>> {
        let names = ("arch".to_owned(), "bf16".to_owned());
        WeightSet::new(version(9), names, Body::whole(Bytes::from(vec![1; 100]))).with_deltas(deltas)
    }

    fn bases(set: &WeightSet) -> Vec<u64> {
        set.deltas().iter().map(|delta| delta.base.sequence).collect()
    }

    #[test]
    fn only_deltas_that_lead_here_for_less_than_the_payload_stay() {
        assert_eq!(bases(&set(vec![delta(6, 7, 30), delta(7, 8, 30), delta(8, 9, 30)]).unwrap()), [6, 7, 8]);
        assert_eq!(bases(&set(vec![delta(6, 7, 50), delta(7, 8, 30), delta(8, 9, 30)]).unwrap()), [7, 8]);
        assert_eq!(
            bases(&set(vec![delta(5, 6, 1), delta(7, 8, 1), delta(8, 9, 1)]).unwrap()),
            [7, 8],
            "a gap"
        );
        assert!(set(vec![delta(7, 8, 1)]).is_err(), "it ends elsewhere");
        let set = set(vec![delta(7, 8, 30), delta(8, 9, 30)]).unwrap();
        assert_eq!(set.deltas_from(version(8)).map(<[_]>::len), Some(1));
        assert!(set.deltas_from(version(6)).is_none());
    }

    #[test]
    fn a_manifest_is_read_back_and_lies_in_it_cost_nothing() {
        let set = set(vec![delta(7, 8, 30), delta(8, 9, 30)]).unwrap();
        let mut manifest = set.manifest();
        let read = WeightSet::announced(&manifest, 100).unwrap();
        assert_eq!(read.manifest(), manifest);
        assert_eq!((read.payload.arrived(), bases(&read)), (0, vec![7, 8]));
        assert!(matches!(WeightSet::announced(&manifest, 99), Err(ManifestError::Hashes(_))));
        manifest.deltas[0].total_bytes = 1 << 40;
        assert_eq!(
            bases(&WeightSet::announced(&manifest, 100).unwrap()),
            [8],
            "a delta that lies is left out"
        );
        manifest.total_bytes = 1 << 40;
        assert!(WeightSet::announced(&manifest, 1 << 50).is_err());
        manifest.format_version = 1;
        assert!(matches!(WeightSet::announced(&manifest, 100), Err(ManifestError::Format { found: 1 })));
    }
}
