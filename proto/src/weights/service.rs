//! `WeightsService` over a [`Store`]: tells followers of the newest version and hands its bytes out chunk by chunk, also
//! those of a version that is still arriving.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::adapters::Map;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};

use super::body::Body;
use super::store::Store;
use super::weight_set::{Delta, WeightSet};
use super::{CHUNK_BYTES, ChunkHashes};
use crate::common::v1::PolicyVersion;
use crate::learner::v1::weights_service_server::WeightsService;
use crate::learner::v1::{FetchRequest, WatchRequest, WeightsChunk, WeightsManifest};

/// How long a follower may leave a chunk unread, and a relay may be without the next one.
const CHUNK_DEADLINE: Duration = Duration::from_secs(30);
/// Chunks of one stream that wait for the network; each is a view or a copy of half a MiB.
const CHUNKS_AHEAD: usize = 2;

/// A version to tell a follower of. Channels have room for many, and there is one for each follower: what is long is
/// made when it is sent.
type News = Result<Arc<WeightSet>, Status>;

/// Serves a store.
#[derive(Debug)]
pub struct WeightsServer {
    /// What is served.
    pub store: Arc<Store>,
    /// Fingerprint of the network whose weights these are.
    pub architecture: String,
    /// What this is called in a refusal: `learner` or `relay`.
    pub role: &'static str,
    /// Told the bytes that were sent.
    pub sent: fn(u64),
    /// Asked whether a call may open another stream; what it returns is kept as long as the stream.
    pub open: fn(&Extensions) -> Result<Box<dyn Send>, Status>,
    /// Ends all streams.
    pub shutdown: CancellationToken,
}

#[tonic::async_trait]
impl WeightsService for WeightsServer {
    type WatchStream = Map<ReceiverStream<News>, fn(News) -> Result<WeightsManifest, Status>>;
    type FetchStream = ReceiverStream<Result<WeightsChunk, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let open = (self.open)(request.extensions())?;
        let request = request.into_inner();
        if request.architecture != self.architecture {
            return Err(Status::failed_precondition(format!(
                "network architecture: follower {:?}, {} {:?}; give both the same policy section",
                request.architecture.chars().take(128).collect::<String>(),
                self.role,
                self.architecture
            )));
        }
        let (sender, outbound) = mpsc::channel(1);
        let (store, shutdown) = (self.store.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            let _open = open;
            let mut serving = store.serving();
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sender.closed() => {}
                () = announce(&store, &sender) => {}
                _ = serving.wait_for(|serving| !serving) => {
                    let status = Status::unavailable("this relay has lost its upstream; ask another");
                    // A follower that does not read learns it from the end of the stream.
                    let _ = sender.try_send(Err(status));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound).map(|news| news.map(|set| set.manifest()))))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let open = (self.open)(request.extensions())?;
        let FetchRequest { version, offset, delta } = request.into_inner();
        let version = version.ok_or_else(|| Status::invalid_argument("which version?"))?;
        let found = if delta {
            self.store.delta(version).map(Served::Delta)
        } else {
            self.store.get(version).map(Served::Payload)
        };
        let served = found.ok_or_else(|| self.not_kept(version))?;
        let first = first_chunk(served.body().hashes(), offset)?;
        let (sender, outbound) = mpsc::channel(CHUNKS_AHEAD);
        let (shutdown, sent) = (self.shutdown.clone(), self.sent);
        tokio::spawn(async move {
            let _open = open;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = send_chunks(served.body(), first, &sender, sent) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

impl WeightsServer {
    fn not_kept(&self, version: PolicyVersion) -> Status {
        let name = |version: PolicyVersion| format!("{}-{}", version.epoch, version.sequence);
        let newest = self.store.newest().map_or_else(|| "none".to_owned(), |newest| name(newest.version));
        Status::failed_precondition(format!("version {} is not kept; the newest is {newest}", name(version)))
    }
}

enum Served {
    Payload(Arc<WeightSet>),
    Delta(Arc<Delta>),
}

impl Served {
    fn body(&self) -> &Body {
        match self {
            Self::Payload(set) => &set.payload,
            Self::Delta(delta) => &delta.body,
        }
    }
}

fn first_chunk(hashes: &ChunkHashes, offset: u64) -> Result<usize, Status> {
    let total = hashes.total_bytes() as u64;
    if offset > total {
        return Err(Status::out_of_range(format!("offset {offset} of {total} bytes")));
    }
    if offset < total && !offset.is_multiple_of(CHUNK_BYTES as u64) {
        return Err(Status::invalid_argument(format!("offset {offset} is not the start of a chunk")));
    }
    Ok((offset as usize).div_ceil(CHUNK_BYTES))
}

/// Sends the newest manifest and each newer one. A slow reader skips what came between, unless every one is needed: then
/// those that are still kept follow in order.
async fn announce(store: &Store, sender: &mpsc::Sender<News>) {
    let mut newest = store.watch();
    newest.mark_changed();
    let mut told = PolicyVersion::default();
    loop {
        // Room first, then the newest.
        let Ok(permit) = sender.reserve().await else { return };
        let set = loop {
            let next = store.after(told);
            if let Some(next) = next.filter(|next| next.every) {
                break next;
            }
            if newest.changed().await.is_err() {
                return;
            }
            if let Some(set) = newest.borrow_and_update().clone().filter(|set| !set.every) {
                break set;
            }
        };
        told = set.version;
        permit.send(Ok(set));
    }
}

/// Sends the chunks from `index` on; stops when the reader is gone or does not read, or the rest does not come.
async fn send_chunks(
    body: &Body,
    mut index: usize,
    sender: &mpsc::Sender<Result<WeightsChunk, Status>>,
    sent: fn(u64),
) {
    while index < body.hashes().chunks() {
        let Ok(Some(data)) = timeout(CHUNK_DEADLINE, body.chunk(index)).await else {
            let status = Status::unavailable("the rest of this version does not arrive here");
            let _ = timeout(CHUNK_DEADLINE, sender.send(Err(status))).await;
            return;
        };
        let bytes = data.len() as u64;
        let chunk = WeightsChunk { offset: body.hashes().range(index).start as u64, data };
        match timeout(CHUNK_DEADLINE, sender.send(Ok(chunk))).await {
            Ok(Ok(())) => sent(bytes),
            _ => return,
        }
        index += 1;
    }
}
