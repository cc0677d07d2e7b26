//! The relay role: follows published weights like an actor and serves them like a learner, chunk by chunk as they come.
//!
//! Relays make the tree over which weights spread: the learner sends each version to a few of them, they to others, those
//! to actors. Each keeps the newest versions and their deltas in memory, so that whoever joins late asks no further up.

pub mod config;
pub mod metrics;

pub use config::RelayConfig;

use crate::config::seconds;
use crate::error::ActorError;
use crate::follow::{Family, Fault, Follower, Parents, Recipient, Timing};
use crate::weights::largest_payload;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use vpt_policy::PolicyConfig;
use vpt_proto::learner::v1::weights_service_server::WeightsServiceServer;
use vpt_proto::limits::MAX_MESSAGE_BYTES;
use vpt_proto::weights::{Store, WeightSet, WeightsServer};
use vpt_runtime::Listeners;
use vpt_runtime::net::{self, Gate};
use vpt_runtime::ops::{Health, OpsServer};
use vpt_runtime::security::{Role, Security};

/// A relay's loop beats every [`EXPORT`].
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(30);
const EXPORT: Duration = Duration::from_secs(1);
/// Interval and patience of HTTP/2 pings; they find peers that vanished without a word.
const PING: Duration = Duration::from_secs(20);
/// Requests one connection may have open: a follower needs two.
const STREAMS_PER_CONNECTION: u32 = 16;

/// Who may call.
const WEIGHTS_TO: &[Role] = &[Role::Actor, Role::Relay];

/// What a relay needs to know.
#[derive(Debug, Clone)]
pub struct RelaySetup {
    /// Its own settings.
    pub relay: RelayConfig,
    /// The network's architecture, the learner's too.
    pub policy: PolicyConfig,
}

/// Runs a relay until `shutdown`.
///
/// # Errors
/// Settings that cannot be used; an upstream that refuses for good; a server that fails.
pub async fn run(
    setup: RelaySetup,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ActorError> {
    setup.relay.validate()?;
    setup.policy.validate()?;
    let Some(grpc) = listeners.grpc else {
        return Err(ActorError::Config { key: "relay.listen", reason: "a relay needs a port".to_owned() });
    };
    let handle = vpt_runtime::metrics::install(&[metrics::METRICS, net::METRICS])?;
    let health = Health::new(HEARTBEAT_DEADLINE);
    let ops_end = CancellationToken::new();
    let ops = tokio::spawn(OpsServer::serve(listeners.ops, handle, health.clone(), ops_end.clone()));
    let stop = shutdown.child_token();
    let result = relay(setup, grpc, &listeners.security, &health, &stop).await;
    stop.cancel();
    health.set_ready(false);
    ops_end.cancel();
    if let Ok(Err(error)) = ops.await {
        tracing::warn!(%error, "the ops server failed");
    }
    result
}

async fn relay(
    setup: RelaySetup,
    listener: TcpListener,
    security: &Security,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), ActorError> {
    let RelaySetup { relay: config, policy } = setup;
    let store = Arc::new(Store::keeping(config.keep_versions));
    let wait = seconds(config.timeout_seconds);
    let follower = Follower {
        name: config.id.clone(),
        architecture: policy.fingerprint(),
        limit: largest_payload(&policy),
        parents: Parents::new(&Family {
            security,
            urls: &config.upstream,
            key: "relay.upstream",
            connect: wait,
            return_after: seconds(config.return_seconds),
        })?,
        timing: Timing {
            wait,
            reconnect: (seconds(config.reconnect_first_seconds), seconds(config.reconnect_cap_seconds)),
            orphan_after: seconds(config.orphan_seconds),
        },
        store: store.clone(),
        recipient: Counters,
        shutdown: stop.clone(),
    };
    let server = WeightsServer {
        store: store.clone(),
        architecture: policy.fingerprint(),
        role: "relay",
        sent: metrics::sent,
        open: net::open_stream,
        shutdown: stop.clone(),
    };
    tracing::info!(relay_id = config.id, upstream = ?config.upstream, "relay starts");
    let grace = seconds(config.drain_seconds);
    tokio::select! {
        ended = follower.run() => {
            ended?;
            // Told to stop: streams end within the grace.
            tokio::time::sleep(grace.min(Duration::from_millis(100))).await;
            Ok(())
        }
        served = serve(listener, server, security, stop, grace) => served,
        () = export(&store, health) => Ok(()),
    }
}

/// Serves until `stop`, then no longer than `grace`: connections of clients that dialled and never spoke do not end by
/// themselves (hyper issue 4170).
async fn serve(
    listener: TcpListener,
    weights: WeightsServer,
    security: &Security,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), ActorError> {
    let service = WeightsServiceServer::new(weights)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let incoming = net::incoming(listener, security, "relay.listen")?;
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(InterceptedService::new(service, Gate::new(security, WEIGHTS_TO)))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = server => served.map_err(|error| ActorError::Serve { what: "relay", reason: error.to_string() }),
        () = overdue => Ok(()),
    }
}

/// Brings gauges up to now and says that the relay lives; ready once it has a version to hand on.
async fn export(store: &Store, health: &Health) {
    let mut ticks = tokio::time::interval(EXPORT);
    loop {
        ticks.tick().await;
        health.heartbeat();
        let newest = store.newest();
        health.set_ready(newest.as_ref().is_some_and(|newest| newest.payload.payload().is_some()));
        metrics::state(newest.map(|newest| newest.version).unwrap_or_default(), store.followers());
    }
}

/// A relay does nothing with what has arrived but serve it.
struct Counters;

impl Recipient for Counters {
    async fn arrived(&self, set: &WeightSet) -> Result<(), Fault> {
        let bytes = set.payload.hashes().total_bytes();
        tracing::info!(
            epoch = set.version.epoch,
            sequence = set.version.sequence,
            bytes,
            "weights handed on"
        );
        Ok(())
    }

    fn fault(&self, reason: &'static str) {
        metrics::fault(reason);
    }

    fn received(&self, kind: &'static str, bytes: u64) {
        metrics::received(kind, bytes);
    }

    fn moved(&self, reason: &'static str) {
        metrics::moved(reason);
    }
}
