//! Published weight sets: strictly increasing versions, each bound to the hash of its bytes, and what changed between
//! them.
//!
//! The training thread reserves a version, the publisher's thread (see [`crate::publisher`]) hashes and hands over. With
//! deltas a thread more, `vpt-delta`, compares each version with the one before and announces it; when versions come faster
//! than that, the older ones go out without a delta.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use vpt_proto::weights::{Body, Delta, Store, WeightSet, delta};

use crate::error::LearnerError;
use crate::metrics;
use crate::version::Version;

/// Weight sets that can be fetched, unless a schedule needs more.
pub const KEPT_VERSIONS: usize = 3;
/// Weight sets that wait for the thread that compares them; then the publisher waits.
const AHEAD: usize = 2;

/// The weight sets actors can get; the training thread publishes, the weights service hands out.
#[derive(Debug)]
pub struct WeightStore {
    store: Arc<Store>,
    every: bool,
    /// The newest version there is; it may not be announced yet.
    reserved: Mutex<Option<Version>>,
    comparer: Option<Sender<WeightSet>>,
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
        let store = Arc::new(Store::keeping(keep));
        Self { store, every: false, reserved: Mutex::new(None), comparer: None }
    }

    /// The same, saying whether actors need every version.
    #[must_use]
    pub fn with_every(self, every: bool) -> Self {
        Self { every, ..self }
    }

    /// The same with deltas, which a thread makes.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn with_deltas(self) -> Result<Self, LearnerError> {
        let (comparer, inbox) = crossbeam_channel::bounded(AHEAD);
        let store = self.store.clone();
        std::thread::Builder::new()
            .name("vpt-delta".to_owned())
            .spawn(move || compare(&store, &inbox))
            .map_err(|source| LearnerError::Thread { name: "vpt-delta", source })?;
        Ok(Self { comparer: Some(comparer), ..self })
    }

    /// Publishes `payload` (a safetensors file) as `version`; returns its BLAKE3.
    ///
    /// # Errors
    /// When `version` is not newer than the newest one.
    pub fn publish(
        &self,
        version: Version,
        payload: Bytes,
        dtype: &str,
        architecture: &str,
    ) -> Result<blake3::Hash, LearnerError> {
        self.reserve(version)?;
        Ok(self.announce(version, payload, dtype, architecture))
    }

    /// Makes `version` the newest one that actors may act with, ahead of its weights.
    ///
    /// # Errors
    /// When `version` is not newer than the newest one.
    pub(crate) fn reserve(&self, version: Version) -> Result<(), LearnerError> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = reserved.filter(|&newest| version <= newest) {
            return Err(LearnerError::VersionNotNewer { offered: version, newest });
        }
        *reserved = Some(version);
        Ok(())
    }

    /// Announces the weights of a version that was reserved, in that order; returns their BLAKE3.
    pub(crate) fn announce(
        &self,
        version: Version,
        payload: Bytes,
        dtype: &str,
        architecture: &str,
    ) -> blake3::Hash {
        let names = (architecture.to_owned(), dtype.to_owned());
        let mut set = WeightSet::new(version.into(), names, Body::whole(payload));
        set.every = self.every;
        let hash = set.payload.hashes().root();
        match &self.comparer {
            None => announce(&self.store, set),
            Some(comparer) => {
                // It ends when this sender is gone, or by a panic: then there are no more deltas.
                if let Err(returned) = comparer.send(set) {
                    announce(&self.store, returned.into_inner());
                }
            }
        }
        hash
    }

    /// The newest reserved version: what comes from a newer one is a lie.
    pub(crate) fn newest(&self) -> Option<Version> {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest announced version; none before the first publish.
    pub fn current(&self) -> Option<Version> {
        self.store.newest().map(|newest| newest.version.into())
    }

    /// What the weights service hands out.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }
}

fn announce(store: &Store, set: WeightSet) {
    let version = set.version;
    match store.insert(set) {
        Ok(_) => metrics::policy_version(version.into()),
        Err(error) => tracing::error!(%error, "a version out of order is not announced"),
    }
}

/// Announces what comes in, each with its delta from the one before where there is time for it.
fn compare(store: &Store, inbox: &Receiver<WeightSet>) {
    while let Ok(set) = inbox.recv() {
        let behind = !inbox.is_empty();
        let set = if behind { set } else { with_delta(store.newest().as_deref(), set) };
        announce(store, set);
    }
}

fn with_delta(base: Option<&WeightSet>, set: WeightSet) -> WeightSet {
    let Some(base) = base else { return set };
    let (Some(old), Some(new)) = (base.payload.payload(), set.payload.payload()) else { return set };
    let began = std::time::Instant::now();
    let Some(bytes) = delta::encode(&old, &new) else { return set };
    metrics::weights_delta(bytes.len() as u64, began.elapsed());
    let delta = Delta { base: base.version, version: set.version, body: Body::whole(bytes.into()) };
    let deltas = base.deltas().iter().cloned().chain([Arc::new(delta)]).collect();
    set.with_deltas(deltas).unwrap_or_else(|set| *set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use vpt_policy::{ExportDType, Parameters, PolicyConfig};
    use vpt_proto::common::v1::PolicyVersion;

    fn publish(store: &WeightStore, version: Version) -> Result<blake3::Hash, LearnerError> {
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
        assert_eq!(publish(&store, Version::new(2, 3)).unwrap(), blake3::hash(b"2-3"));
        assert_eq!(store.current(), Some(Version::new(2, 3)));
    }

    #[test]
    fn deltas_turn_each_version_into_the_next() {
        let store = WeightStore::new().with_deltas().unwrap();
        let parameters = Parameters::init(&PolicyConfig::linear(), 3, &Device::Cpu).unwrap();
        let mut payloads = Vec::new();
        for sequence in 1..=4 {
            for (_, var) in parameters.vars() {
                var.set(&(var.as_tensor() * 1.001).unwrap()).unwrap();
            }
            let payload = Bytes::from(parameters.to_safetensors(ExportDType::Bf16, false).unwrap());
            store.publish(Version::new(1, sequence), payload.clone(), "bf16", "arch").unwrap();
            payloads.push(payload);
            while store.current() != Some(Version::new(1, sequence)) {
                std::thread::yield_now();
            }
        }
        let newest = store.store().newest().unwrap();
        let mut held = payloads[1].to_vec();
        let deltas = newest.deltas_from(PolicyVersion { epoch: 1, sequence: 2 }).expect("two deltas back");
        assert_eq!(deltas.len(), 2);
        for delta in deltas {
            held = delta::apply(&held, &delta.body.payload().unwrap()).unwrap();
        }
        assert!(held == payloads[3]);
    }
}
