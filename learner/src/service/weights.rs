//! `WeightsService`: tells actors of the newest weight set and hands its bytes out in checked chunks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use vpt_proto::learner::v1::weights_service_server::WeightsService;
use vpt_proto::learner::v1::{FetchRequest, WatchRequest, WeightsChunk, WeightsManifest};
use vpt_proto::limits::CHUNK_BYTES;
use vpt_runtime::net::OpenStream;

use super::Shared;
use crate::metrics;
use crate::publish::{PublishedWeights, WeightStore};
use crate::version::Version;

/// Weights down.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) shared: Arc<Shared>,
}

/// How long a fetching actor may leave chunks unread.
const CHUNK_DEADLINE: Duration = Duration::from_secs(30);

#[tonic::async_trait]
impl WeightsService for Weights {
    type WatchStream = ReceiverStream<Result<WeightsManifest, Status>>;
    type FetchStream = ReceiverStream<Result<WeightsChunk, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let learner = &self.shared.learner;
        let open = OpenStream::of(&request)?;
        let request = request.into_inner();
        if request.architecture != learner.architecture {
            return Err(Status::failed_precondition(format!(
                "network architecture: actor {:?}, learner {:?}; give both the same policy section",
                request.architecture.chars().take(128).collect::<String>(),
                learner.architecture
            )));
        }
        let (sender, outbound) = mpsc::channel(1);
        let (store, shutdown) = (learner.weights.clone(), self.shared.shutdown.clone());
        let every = learner.turnstile.is_some();
        tokio::spawn(async move {
            let _open = open;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sender.closed() => {}
                () = announce(&store, &sender, every) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let open = OpenStream::of(&request)?;
        let request = request.into_inner();
        let version = request.version.map(Version::from);
        let version = version.ok_or_else(|| Status::invalid_argument("which version?"))?;
        let weights = self.shared.learner.weights.get(version).ok_or_else(|| {
            let current = self.shared.learner.weights.current();
            let newest = current.map_or_else(|| "none".to_owned(), |newest| newest.to_string());
            Status::failed_precondition(format!("version {version} is not kept; the newest is {newest}"))
        })?;
        if request.offset > weights.payload.len() as u64 {
            let message = format!("offset {} of {} bytes", request.offset, weights.payload.len());
            return Err(Status::out_of_range(message));
        }
        let (sender, outbound) = mpsc::channel(1);
        let shutdown = self.shared.shutdown.clone();
        tokio::spawn(async move {
            let _open = open;
            let send = send_chunks(&weights, request.offset as usize, &sender);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = send => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

/// Sends the newest manifest and each newer one. A slow reader skips what came between, unless it needs `every` one: then
/// those that are still kept follow in order.
async fn announce(store: &WeightStore, sender: &mpsc::Sender<Result<WeightsManifest, Status>>, every: bool) {
    let mut newest = store.watch();
    newest.mark_changed();
    let mut told = Version::default();
    loop {
        // Room first, then the newest.
        let Ok(permit) = sender.reserve().await else { return };
        let weights = loop {
            let next = if every { store.newer_than(told).into_iter().next() } else { None };
            if next.is_some() {
                break next;
            }
            if newest.changed().await.is_err() {
                return;
            }
            let weights = newest.borrow_and_update().clone();
            if weights.is_some() && !every {
                break weights;
            }
        };
        if let Some(weights) = weights {
            told = weights.version;
            permit.send(Ok(weights.manifest()));
        }
    }
}

/// Sends the payload from `offset` on; stops when the reader is gone or does not read.
async fn send_chunks(
    weights: &PublishedWeights,
    mut offset: usize,
    sender: &mpsc::Sender<Result<WeightsChunk, Status>>,
) {
    while offset < weights.payload.len() {
        let end = weights.payload.len().min(offset + CHUNK_BYTES);
        // A view, not a copy; its checksum takes some tens of microseconds.
        let data = weights.payload.slice(offset..end);
        let chunk = WeightsChunk { offset: offset as u64, crc32c: crc32c::crc32c(&data), data };
        match tokio::time::timeout(CHUNK_DEADLINE, sender.send(Ok(chunk))).await {
            Ok(Ok(())) => metrics::weights_bytes((end - offset) as u64),
            _ => return,
        }
        offset = end;
    }
}
