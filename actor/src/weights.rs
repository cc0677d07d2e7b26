//! Follows the learner's published weights: manifests, then hash-checked chunks, then a policy built off to the side.
//!
//! The version that acts never goes down: only manifests that are newer by (epoch, sequence) are followed.

use crate::acting_policy::ActingPolicy;
use crate::config::{ActorConfig, seconds};
use crate::env_client::endpoint;
use crate::error::ActorError;
use crate::metrics;
use crate::policy_shelf::PolicyShelf;
use crate::version::Version;
use candle_core::Device;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use vpt_policy::{Parameters, PolicyConfig};
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::learner::v1::{FetchRequest, WatchRequest, WeightsManifest};
use vpt_proto::limits::{CHUNK_BYTES, MAX_MESSAGE_BYTES, WEIGHTS_FORMAT_VERSION};
use vpt_runtime::Backoff;
use vpt_runtime::faults::{self, Part};

/// Weights larger than this are refused before they are fetched.
const MAX_WEIGHTS_BYTES: u64 = 16 << 30;
/// Tries to fetch one version, each going on where the last one broke.
const FETCH_TRIES: usize = 3;

/// Keeps the acting policy at the newest published version.
pub(crate) struct WeightsFollower {
    pub(crate) config: ActorConfig,
    pub(crate) policy: PolicyConfig,
    pub(crate) policies: watch::Sender<Option<Arc<ActingPolicy>>>,
    pub(crate) shelf: Arc<PolicyShelf>,
    pub(crate) shutdown: CancellationToken,
}

/// Why weights did not arrive.
#[derive(Debug)]
enum Fault {
    /// Counted under the reason, one of [`metrics::WEIGHTS_FAULTS`], and tried again.
    Passing { reason: &'static str, detail: String },
    /// The learner trains another network.
    Final(ActorError),
}

impl Fault {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Passing { reason, detail: detail.into() }
    }

    fn status(status: &Status) -> Self {
        Self::new("status", format!("{:?}: {}", status.code(), status.message()))
    }
}

impl WeightsFollower {
    /// Follows until the actor stops.
    pub(crate) async fn run(self) -> Result<(), ActorError> {
        let connect = seconds(self.config.learner_timeout_seconds);
        let channel = endpoint(&self.config.learner, "actor.learner", connect)?.connect_lazy();
        let mut client = WeightsServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let first = seconds(self.config.reconnect_first_seconds);
        let mut backoff = Backoff::new(first, seconds(self.config.reconnect_cap_seconds), 0x77);
        loop {
            let before = self.current();
            let ended = tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                ended = self.follow(&mut client) => ended,
            };
            if self.current() != before {
                backoff.reset();
            }
            match ended {
                Ok(()) => {}
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing { reason, detail }) => {
                    metrics::weights_fault(reason);
                    tracing::warn!(reason, detail, "weights do not arrive");
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// One Watch stream: the newest manifest at once, then each newer one.
    async fn follow(&self, client: &mut WeightsServiceClient<Channel>) -> Result<(), Fault> {
        let wait = seconds(self.config.learner_timeout_seconds);
        let request =
            WatchRequest { actor_id: self.config.id.clone(), architecture: self.policy.fingerprint() };
        let mut manifests = timeout(wait, client.watch(request))
            .await
            .map_err(|_| Fault::new("timeout", "no answer to Watch"))?
            .map_err(|status| self.watch_refused(&status))?
            .into_inner();
        // No deadline: a learner publishes when it has something; keep-alive notices one that is gone.
        while let Some(manifest) = manifests.message().await.map_err(|status| self.watch_refused(&status))? {
            let version = manifest.version.map(Version::from).unwrap_or_default();
            match self.current() {
                Some(current) if version == current => continue,
                Some(current) if version < current => {
                    metrics::weights_fault("older");
                    tracing::warn!(%version, %current, "the learner offers older weights");
                    continue;
                }
                _ => {}
            }
            self.check(&manifest)?;
            if let Some(payload) = self.fetch(client, &manifest).await? {
                self.install(payload, &manifest, version).await?;
            }
        }
        Ok(())
    }

    fn watch_refused(&self, status: &Status) -> Fault {
        if status.code() == Code::FailedPrecondition {
            return Fault::Final(self.refused(status.message().to_owned()));
        }
        Fault::status(status)
    }

    fn refused(&self, reason: String) -> ActorError {
        ActorError::LearnerRefused { address: self.config.learner.clone(), reason }
    }

    fn check(&self, manifest: &WeightsManifest) -> Result<(), Fault> {
        let ours = self.policy.fingerprint();
        if manifest.architecture != ours {
            let theirs = &manifest.architecture;
            return Err(Fault::Final(self.refused(format!(
                "it publishes weights of architecture {theirs}, the policy section here gives {ours}"
            ))));
        }
        if manifest.format_version != WEIGHTS_FORMAT_VERSION {
            let found = manifest.format_version;
            return Err(Fault::Final(self.refused(format!(
                "weights of format version {found}, this build reads {WEIGHTS_FORMAT_VERSION}"
            ))));
        }
        if manifest.total_bytes > MAX_WEIGHTS_BYTES {
            return Err(Fault::new("length", format!("{} bytes", manifest.total_bytes)));
        }
        Ok(())
    }

    /// The whole payload; `None` when the learner no longer keeps that version, for a newer one has come.
    async fn fetch(
        &self,
        client: &mut WeightsServiceClient<Channel>,
        manifest: &WeightsManifest,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut payload = Vec::new();
        let mut tries = 0;
        while (payload.len() as u64) < manifest.total_bytes {
            match self.fetch_rest(client, manifest, &mut payload).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(fault) if tries + 1 >= FETCH_TRIES => return Err(fault),
                Err(fault) => {
                    metrics::weights_fault("status");
                    tracing::warn!(?fault, have = payload.len(), "fetching weights goes on after a break");
                }
            }
            tries += 1;
            if tries > FETCH_TRIES {
                return Err(Fault::new("length", "the stream ends before the weights do"));
            }
        }
        if blake3::hash(&payload).to_hex().as_str() != manifest.blake3 {
            return Err(Fault::new("hash", "the weights do not match their manifest's hash"));
        }
        Ok(Some(payload))
    }

    async fn fetch_rest(
        &self,
        client: &mut WeightsServiceClient<Channel>,
        manifest: &WeightsManifest,
        payload: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let wait = seconds(self.config.learner_timeout_seconds);
        let late = |_| Fault::new("timeout", "no chunk of weights in time");
        let request = FetchRequest { version: manifest.version, offset: payload.len() as u64 };
        let mut chunks = match timeout(wait, client.fetch(request)).await.map_err(late)? {
            Ok(chunks) => chunks.into_inner(),
            Err(status) if status.code() == Code::FailedPrecondition => return Ok(false),
            Err(status) => return Err(Fault::status(&status)),
        };
        loop {
            let chunk = timeout(wait, chunks.message()).await.map_err(late)?;
            let Some(chunk) = chunk.map_err(|status| Fault::status(&status))? else {
                return Ok(true);
            };
            let end = payload.len() + chunk.data.len();
            if chunk.offset != payload.len() as u64
                || end as u64 > manifest.total_bytes
                || chunk.data.len() > CHUNK_BYTES
                || chunk.data.is_empty()
            {
                return Err(Fault::new("length", format!("a chunk at {} where it cannot be", chunk.offset)));
            }
            if crc32c::crc32c(&chunk.data) != chunk.crc32c {
                return Err(Fault::new("checksum", format!("the chunk at {} is damaged", chunk.offset)));
            }
            payload.extend_from_slice(&chunk.data);
        }
    }

    /// Builds the policy on a thread of its own, so that neither the network nor the inference waits for it.
    async fn install(
        &self,
        payload: Vec<u8>,
        manifest: &WeightsManifest,
        version: Version,
    ) -> Result<(), Fault> {
        let config = self.policy.clone();
        let acting = (self.config.precision, self.config.temperature);
        faults::pause(Part::Weights).await;
        let built = tokio::task::spawn_blocking(move || {
            let parameters = Parameters::from_safetensors(&payload, &config, false, &Device::Cpu)?;
            ActingPolicy::new(&config, &parameters, acting, version)
        });
        let policy = match built.await {
            Ok(Ok(policy)) => policy,
            Ok(Err(error)) => return Err(Fault::new("format", error.to_string())),
            Err(_) => return Err(Fault::new("format", "building the policy panicked")),
        };
        tracing::info!(policy_version = %version, bytes = manifest.total_bytes, "new weights");
        let policy = Arc::new(policy);
        self.shelf.put(policy.clone());
        self.policies.send_replace(Some(policy));
        Ok(())
    }

    fn current(&self) -> Option<Version> {
        self.policies.borrow().as_ref().map(|policy| policy.version())
    }
}
