//! The actor's end of the weight broadcast: a version whose payload is all there and checked becomes a policy, built off to
//! the side, and then the one that acts. Nothing else ever does: a half-arrived version has no policy.
//!
//! The version that acts never goes down: only manifests that are newer by (epoch, sequence) are followed.

use crate::acting_policy::ActingPolicy;
use crate::config::{ActorConfig, seconds};
use crate::error::ActorError;
use crate::follow::{Family, Fault, Follower, Parents, Recipient, Timing};
use crate::metrics;
use crate::policy_shelf::PolicyShelf;
use crate::version::Version;
use candle_core::Device;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vpt_policy::{Parameters, PolicyConfig, Precision};
use vpt_proto::weights::{Store, WeightSet};
use vpt_runtime::Security;
use vpt_runtime::faults::{self, Part};

/// Room for a payload's header beyond its numbers.
const HEADER_BYTES: u64 = 1 << 20;

/// Makes policies out of versions.
pub(crate) struct ActingWeights {
    pub(crate) policy: PolicyConfig,
    /// Of the network that acts, and what divides its logits once more.
    pub(crate) acting: (Precision, f32),
    pub(crate) policies: watch::Sender<Option<Arc<ActingPolicy>>>,
    pub(crate) shelf: Arc<PolicyShelf>,
}

/// The largest payload that weights of `policy` can come as.
pub(crate) fn largest_payload(policy: &PolicyConfig) -> u64 {
    4 * policy.parameter_count() as u64 + HEADER_BYTES
}

/// What keeps the acting policy at the newest published version.
pub(crate) fn follower(
    config: &ActorConfig,
    security: &Security,
    weights: ActingWeights,
    shutdown: CancellationToken,
) -> Result<Follower<ActingWeights>, ActorError> {
    let wait = seconds(config.learner_timeout_seconds);
    let parents = config.weight_parents();
    Ok(Follower {
        name: config.id.clone(),
        architecture: weights.policy.fingerprint(),
        limit: largest_payload(&weights.policy),
        parents: Parents::new(&Family {
            security,
            urls: &parents,
            key: "actor.weights",
            connect: wait,
            return_after: seconds(config.weights_return_seconds),
        })?,
        timing: Timing {
            wait,
            reconnect: (seconds(config.reconnect_first_seconds), seconds(config.reconnect_cap_seconds)),
            // An actor has no followers.
            orphan_after: std::time::Duration::MAX,
        },
        store: Arc::new(Store::keeping(1)),
        recipient: weights,
        shutdown,
    })
}

impl Recipient for ActingWeights {
    /// Builds the policy on a thread of its own, so that neither the network nor the inference waits for it.
    async fn arrived(&self, set: &WeightSet) -> Result<(), Fault> {
        let Some(payload) = set.payload.payload() else {
            return Err(Fault::new("length", "the weights are not all there"));
        };
        let (config, acting, version) = (self.policy.clone(), self.acting, Version::from(set.version));
        let bytes = payload.len();
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
        tracing::info!(policy_version = %version, bytes, "new weights");
        let policy = Arc::new(policy);
        self.shelf.put(policy.clone());
        if let Some(before) = self.policies.send_replace(Some(policy)) {
            ActingPolicy::retire(before);
        }
        Ok(())
    }

    fn fault(&self, reason: &'static str) {
        metrics::weights_fault(reason);
    }

    fn received(&self, kind: &'static str, bytes: u64) {
        metrics::weights_received(kind, bytes);
    }

    fn moved(&self, reason: &'static str) {
        metrics::weights_parent(reason);
    }
}
