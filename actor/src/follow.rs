//! Follows published weights from whoever serves them: the learner, or relays of which the nearest that lives is asked.
//!
//! Manifests come one by one; each version's chunks are checked as they come and put into a [`Store`], from which a relay
//! serves them on before it has the whole. What was fetched is kept when a parent is lost and goes on with the next one.

mod fault;
mod fetch;
mod parents;

pub(crate) use fault::Fault;
pub(crate) use parents::{Family, Parents};

use crate::error::ActorError;
use fetch::Fetched;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use vpt_proto::common::v1::PolicyVersion;
use vpt_proto::learner::v1::{WatchRequest, WeightsManifest};
use vpt_proto::weights::weight_set::ManifestError;
use vpt_proto::weights::{Store, WeightSet, delta, order};
use vpt_runtime::Backoff;

/// What becomes of versions that have arrived, and of what is worth counting.
pub(crate) trait Recipient: Send + Sync {
    /// All of `set`'s payload is there and checked.
    fn arrived(&self, set: &WeightSet) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Something went wrong that passes; `reason` is one of [`crate::metrics::WEIGHTS_FAULTS`].
    fn fault(&self, reason: &'static str);
    /// Bytes came, `kind` one of [`crate::metrics::WEIGHTS_KINDS`].
    fn received(&self, kind: &'static str, bytes: u64);
    /// Another parent is asked from here on; `reason` is one of [`crate::metrics::PARENT_REASONS`].
    fn moved(&self, reason: &'static str);
}

/// Deadlines of a follower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// For an answer and for the next chunk.
    pub(crate) wait: Duration,
    /// Before asking again after a failure: first, and longest.
    pub(crate) reconnect: (Duration, Duration),
    /// Without a parent for so long, a relay sends its own followers elsewhere.
    pub(crate) orphan_after: Duration,
}

/// Keeps a store at the newest published version.
pub(crate) struct Follower<R> {
    /// What this one is called where it asks.
    pub(crate) name: String,
    pub(crate) architecture: String,
    /// Larger payloads are refused before anything is allocated for them.
    pub(crate) limit: u64,
    pub(crate) parents: Parents,
    pub(crate) timing: Timing,
    pub(crate) store: Arc<Store>,
    pub(crate) recipient: R,
    pub(crate) shutdown: CancellationToken,
}

/// How a stream of manifests ended without a fault.
enum Ended {
    /// By its sender.
    Closed,
    /// The first parent is back.
    Return,
}

impl<R: Recipient> Follower<R> {
    /// Follows until told to stop.
    pub(crate) async fn run(mut self) -> Result<(), ActorError> {
        let (first, cap) = self.timing.reconnect;
        let mut backoff = Backoff::new(first, cap, 0x77);
        let mut whole: Option<Arc<WeightSet>> = None;
        let mut heard = Instant::now();
        loop {
            let (before, mut accepted) = (self.progress(), false);
            let shutdown = self.shutdown.clone();
            let ended = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ended = self.follow(&mut whole, &mut accepted) => ended,
            };
            if self.progress() != before {
                backoff.reset();
            }
            if accepted {
                heard = Instant::now();
            }
            match ended {
                Ok(Ended::Return) => {
                    self.parents.first();
                    self.recipient.moved("return");
                    continue;
                }
                Ok(Ended::Closed) => {}
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing { reason, detail }) => {
                    self.recipient.fault(reason);
                    tracing::warn!(reason, detail, parent = self.parents.url(), "weights do not arrive");
                }
            }
            if self.parents.next() {
                self.recipient.moved("lost");
                tracing::info!(parent = self.parents.url(), "asking another for weights");
            }
            if heard.elapsed() > self.timing.orphan_after {
                self.store.set_serving(false);
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// The newest version and how many of its chunks are there.
    fn progress(&self) -> Option<(PolicyVersion, usize, usize)> {
        let newest = self.store.newest()?;
        let deltas = newest.deltas().iter().map(|delta| delta.body.arrived()).sum();
        Some((newest.version, newest.payload.arrived(), deltas))
    }

    /// One Watch stream: the newest manifest at once, then each newer one. `whole` is the newest version that is all there;
    /// `accepted` becomes true when the parent answers.
    async fn follow(
        &mut self,
        whole: &mut Option<Arc<WeightSet>>,
        accepted: &mut bool,
    ) -> Result<Ended, Fault> {
        let mut client = self.parents.client();
        let request = WatchRequest { actor_id: self.name.clone(), architecture: self.architecture.clone() };
        let mut manifests = timeout(self.timing.wait, client.watch(request))
            .await
            .map_err(|_| Fault::new("timeout", "no answer to Watch"))?
            .map_err(|status| self.watch_refused(&status))?
            .into_inner();
        *accepted = true;
        self.store.set_serving(true);
        loop {
            // No deadline: a learner publishes when it has something; keep-alive notices one that is gone.
            let manifest = tokio::select! {
                manifest = manifests.message() => manifest.map_err(|status| self.watch_refused(&status))?,
                () = self.parents.first_is_back() => return Ok(Ended::Return),
            };
            let Some(manifest) = manifest else { return Ok(Ended::Closed) };
            let Some(set) = self.admit(&manifest, whole.as_deref())? else { continue };
            if self.complete(&set, whole.as_deref()).await? {
                self.recipient.arrived(&set).await?;
                *whole = Some(set);
            }
        }
    }

    fn watch_refused(&self, status: &Status) -> Fault {
        let is_final = [Code::FailedPrecondition, Code::PermissionDenied, Code::Unauthenticated];
        if is_final.contains(&status.code()) {
            return Fault::Final(self.refused(status.message().to_owned()));
        }
        Fault::status(status)
    }

    fn refused(&self, reason: String) -> ActorError {
        ActorError::LearnerRefused { address: self.parents.url().to_owned(), reason }
    }

    /// The version that `manifest` tells of, in the store; none when it is old or all there already.
    fn admit(
        &self,
        manifest: &WeightsManifest,
        whole: Option<&WeightSet>,
    ) -> Result<Option<Arc<WeightSet>>, Fault> {
        if manifest.architecture != self.architecture {
            let (theirs, ours) = (&manifest.architecture, &self.architecture);
            return Err(Fault::Final(self.refused(format!(
                "it publishes weights of architecture {theirs}, the policy section here gives {ours}"
            ))));
        }
        let set = match WeightSet::announced(manifest, self.limit) {
            Ok(set) => set,
            Err(error @ ManifestError::Format { .. }) => {
                return Err(Fault::Final(self.refused(error.to_string())));
            }
            Err(error) => return Err(Fault::new("length", error.to_string())),
        };
        if let Some(newest) = self.store.newest() {
            if newest.version == set.version && newest.payload.hashes() == set.payload.hashes() {
                let done = whole.is_some_and(|whole| whole.version == newest.version);
                return Ok((!done).then_some(newest));
            }
            if order(newest.version) >= order(set.version) {
                self.recipient.fault("older");
                tracing::warn!(offered = ?set.version, newest = ?newest.version, "older or other weights are offered");
                return Ok(None);
            }
            // Of the one before, nothing more will come.
            newest.give_up();
        }
        let set = with_usable_deltas(set, whole);
        Ok(self.store.insert(set).ok())
    }

    /// Fetches what is missing of `set`; false when it is no longer to be had, for a newer one has come.
    async fn complete(&self, set: &Arc<WeightSet>, whole: Option<&WeightSet>) -> Result<bool, Fault> {
        if let Some((base, payload)) = whole.and_then(|whole| Some((whole, whole.payload.payload()?))) {
            if base.payload.hashes() == set.payload.hashes() {
                // A restarted learner publishes what it had.
                return Ok(set.payload.fill(payload).is_ok());
            }
            if self.complete_by_deltas(set, base.version, payload).await? {
                return Ok(true);
            }
        }
        let fetched = self.fetch(set.version, &set.payload, "full").await?;
        Ok(matches!(fetched, Fetched::Whole))
    }

    /// Makes the payload of `set` out of that of `base`; false when there are no deltas for that.
    async fn complete_by_deltas(
        &self,
        set: &Arc<WeightSet>,
        base: PolicyVersion,
        payload: bytes::Bytes,
    ) -> Result<bool, Fault> {
        let Some(deltas) = set.deltas_from(base).map(<[_]>::to_vec) else { return Ok(false) };
        for delta in &deltas {
            if matches!(self.fetch(delta.version, &delta.body, "delta").await?, Fetched::Gone) {
                return Ok(false);
            }
        }
        let target = set.clone();
        let applied = tokio::task::spawn_blocking(move || {
            let mut held = payload;
            for delta in deltas {
                let Some(bytes) = delta.body.payload() else { return Err("a delta is gone".to_owned()) };
                held = delta::apply(&held, &bytes).map_err(|error| error.to_string())?.into();
            }
            target.payload.fill(held).map_err(|error| error.to_string())
        });
        match applied.await.unwrap_or_else(|_| Err("applying it panicked".to_owned())) {
            Ok(()) => Ok(true),
            Err(reason) => {
                self.recipient.fault("delta");
                tracing::warn!(reason, "a delta does not lead to the version: fetching all of it");
                Ok(false)
            }
        }
    }
}

/// `set` with the deltas that can be used or passed on: those that `whole` was reached by and those that lead on from it.
fn with_usable_deltas(set: WeightSet, whole: Option<&WeightSet>) -> WeightSet {
    let onward = whole.and_then(|whole| set.deltas_from(whole.version)).map(<[_]>::to_vec);
    let deltas = match (whole, onward) {
        (Some(whole), Some(onward)) => whole.deltas().iter().cloned().chain(onward).collect(),
        _ => Vec::new(),
    };
    set.with_deltas(deltas).unwrap_or_else(|set| *set)
}
