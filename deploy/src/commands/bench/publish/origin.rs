//! Where weights come from in the bench: the learner's weight store behind the weights service, on a free port.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use vpt_learner::publish::WeightStore;
use vpt_learner::version::Version;
use vpt_policy::PolicyConfig;
use vpt_proto::learner::v1::weights_service_server::WeightsServiceServer;
use vpt_proto::limits::MAX_MESSAGE_BYTES;
use vpt_proto::weights::WeightsServer;
use vpt_runtime::net;

/// Bytes sent by origins of this process.
static SENT: AtomicU64 = AtomicU64::new(0);

pub(super) struct Origin {
    weights: WeightStore,
    architecture: String,
    url: String,
    sequence: u64,
    sent_before: u64,
    /// Ends the server.
    _stop: DropGuard,
}

impl Origin {
    pub(super) fn start(config: &PolicyConfig) -> anyhow::Result<Self> {
        let listener = net::bind("127.0.0.1:0", "the bench's port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (weights, stop) = (WeightStore::keeping(1), CancellationToken::new());
        let service = WeightsServer {
            store: weights.store(),
            architecture: config.fingerprint(),
            role: "learner",
            sent: |bytes| {
                SENT.fetch_add(bytes, Ordering::Relaxed);
            },
            open: |_| Ok(Box::new(())),
            shutdown: stop.clone(),
        };
        let service = WeightsServiceServer::new(service)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let ended = stop.clone().cancelled_owned();
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, ended));
        let (architecture, sent_before) = (config.fingerprint(), SENT.load(Ordering::Relaxed));
        Ok(Self { weights, architecture, url, sequence: 0, sent_before, _stop: stop.drop_guard() })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Publishes `bytes`; returns the version's number.
    pub(super) fn publish(&mut self, bytes: Bytes) -> anyhow::Result<u64> {
        self.sequence += 1;
        let version = Version::new(1, self.sequence);
        self.weights.publish(version, bytes, "bf16", &self.architecture).context("cannot publish")?;
        Ok(self.sequence)
    }

    /// Followers that are connected.
    pub(super) fn followers(&self) -> usize {
        self.weights.store().followers()
    }

    /// Bytes of weights sent.
    pub(super) fn sent(&self) -> u64 {
        SENT.load(Ordering::Relaxed) - self.sent_before
    }
}
