//! A learner that checks what comes up, grants credits when told to, and publishes what it is given.

use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use vpt_proto::common::v1::PolicyVersion;
use vpt_proto::learner::v1::ack::Outcome;
use vpt_proto::learner::v1::trajectory_service_server::{TrajectoryService, TrajectoryServiceServer};
use vpt_proto::learner::v1::weights_service_server::{WeightsService, WeightsServiceServer};
use vpt_proto::learner::v1::{
    Ack, ActorReport, Credit, FetchRequest, PushRequest, PushResponse, Unroll, UnrollChunk, WatchRequest,
    WeightsChunk, WeightsManifest, Welcome, push_request, push_response,
};
use vpt_proto::limits::{CHUNK_BYTES, PROTOCOL_VERSION};
use vpt_proto::weights::{Body, CHUNK_BYTES as WEIGHTS_CHUNK, WeightSet};

/// Published weights.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) version: PolicyVersion,
    pub(crate) payload: Bytes,
    pub(crate) architecture: String,
}

/// What the learner saw and how it behaves.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) unrolls: Vec<Unroll>,
    pub(crate) granted: u32,
    pub(crate) begun: u32,
    pub(crate) hellos: u32,
    pub(crate) incarnations: Vec<u64>,
    pub(crate) report: Option<ActorReport>,
    pub(crate) half_closed: bool,
    pub(crate) violations: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct FakeLearner {
    pub(crate) unroll_length: u32,
    /// Credits a stream starts with.
    pub(crate) credits: u32,
    /// Whether unrolls are acknowledged.
    pub(crate) acks: bool,
    /// Whether an ack brings its credit back.
    pub(crate) regrant: bool,
    pub(crate) weights: watch::Sender<Weights>,
    seen: Arc<Mutex<Seen>>,
    extra: watch::Sender<u32>,
    stop: CancellationToken,
}

impl FakeLearner {
    pub(crate) fn new(weights: Weights) -> Self {
        Self {
            unroll_length: 8,
            credits: 16,
            acks: true,
            regrant: true,
            weights: watch::Sender::new(weights),
            seen: Arc::default(),
            extra: watch::Sender::new(0),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Grants more credits, counted over the learner's life.
    pub(crate) fn grant(&self, credits: u32) {
        self.extra.send_modify(|extra| *extra += credits);
    }

    /// Serves until `stop`; every stream then ends and its connection is closed.
    pub(crate) async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let learner = Self { stop: stop.clone(), ..self.clone() };
        tonic::transport::Server::builder()
            .add_service(TrajectoryServiceServer::new(learner.clone()))
            .add_service(WeightsServiceServer::new(learner))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled())
            .await
            .unwrap();
    }

    async fn session(
        &self,
        mut inbound: Streaming<PushRequest>,
        replies: mpsc::Sender<Result<PushResponse, Status>>,
    ) {
        let reply = |kind| {
            let replies = replies.clone();
            async move { replies.send(Ok(PushResponse { kind: Some(kind) })).await.is_ok() }
        };
        let mut partial: BTreeMap<(u32, u64), Vec<u8>> = BTreeMap::new();
        let mut extra = self.extra.subscribe();
        let mut told = *extra.borrow();
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return,
                message = inbound.message() => message,
                _ = extra.changed() => {
                    let all = *extra.borrow_and_update();
                    let unrolls = all - std::mem::replace(&mut told, all);
                    self.seen().granted += unrolls;
                    if !reply(push_response::Kind::Credit(Credit { unrolls })).await { return; }
                    continue;
                }
            };
            match message {
                Ok(Some(PushRequest { kind: Some(push_request::Kind::Hello(hello)) })) => {
                    {
                        let mut seen = self.seen();
                        seen.hellos += 1;
                        seen.incarnations.push(hello.actor.unwrap().incarnation);
                        // Credits belong to a stream.
                        seen.granted = self.credits;
                        seen.begun = 0;
                    }
                    let welcome = Welcome {
                        protocol_version: PROTOCOL_VERSION,
                        run_id: "test".into(),
                        unroll_length: self.unroll_length,
                        schedule: None,
                        push_to: String::new(),
                        credits: self.credits,
                        current: Some(self.weights.borrow().version),
                    };
                    if !reply(push_response::Kind::Welcome(Box::new(welcome))).await {
                        return;
                    }
                }
                Ok(Some(PushRequest { kind: Some(push_request::Kind::Chunk(chunk)) })) => {
                    let Some((slot, sequence)) = self.collect(chunk, &mut partial) else { continue };
                    if !self.acks {
                        continue;
                    }
                    let outcome = Outcome::Accepted.into();
                    let ack = Ack { slot, sequence, outcome, detail: String::new() };
                    if !reply(push_response::Kind::Ack(ack)).await {
                        return;
                    }
                    if self.regrant {
                        self.seen().granted += 1;
                        if !reply(push_response::Kind::Credit(Credit { unrolls: 1 })).await {
                            return;
                        }
                    }
                }
                Ok(Some(PushRequest { kind: Some(push_request::Kind::Report(report)) })) => {
                    self.seen().report = Some(report);
                }
                Ok(Some(PushRequest { kind: None })) => self.seen().violations.push("empty message".into()),
                Ok(None) => {
                    self.seen().half_closed = true;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn collect(&self, chunk: UnrollChunk, partial: &mut BTreeMap<(u32, u64), Vec<u8>>) -> Option<(u32, u64)> {
        let key = (chunk.slot, chunk.sequence);
        let bytes = partial.entry(key).or_default();
        let mut seen = self.seen();
        if chunk.offset == 0 {
            seen.begun += 1;
            if seen.begun > seen.granted {
                let violation = format!("{} begun, {} granted", seen.begun, seen.granted);
                seen.violations.push(violation);
            }
        }
        if chunk.offset != bytes.len() as u64 || chunk.data.len() > CHUNK_BYTES {
            seen.violations.push(format!("a chunk at {} of {}", chunk.offset, bytes.len()));
        }
        bytes.extend_from_slice(&chunk.data);
        if (bytes.len() as u64) < chunk.total_bytes {
            return None;
        }
        let bytes = partial.remove(&key).unwrap();
        seen.unrolls.push(Unroll::decode(bytes.as_slice()).unwrap());
        Some(key)
    }
}

#[tonic::async_trait]
impl TrajectoryService for FakeLearner {
    type PushStream = ReceiverStream<Result<PushResponse, Status>>;

    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let (replies, outbound) = mpsc::channel(64);
        let learner = self.clone();
        tokio::spawn(async move { learner.session(request.into_inner(), replies).await });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

#[tonic::async_trait]
impl WeightsService for FakeLearner {
    type WatchStream = ReceiverStream<Result<WeightsManifest, Status>>;
    type FetchStream = Pin<Box<dyn Stream<Item = Result<WeightsChunk, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, manifests) = mpsc::channel(1);
        let (mut newest, stop) = (self.weights.subscribe(), self.stop.clone());
        newest.mark_changed();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sender.closed() => return,
                    changed = newest.changed() => if changed.is_err() { return },
                }
                let manifest = manifest(&newest.borrow_and_update());
                if sender.send(Ok(manifest)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(manifests)))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let weights = self.weights.borrow().clone();
        if request.get_ref().version != Some(weights.version) {
            return Err(Status::failed_precondition("not kept"));
        }
        let start = request.get_ref().offset as usize;
        let chunks: Vec<_> = (start..weights.payload.len())
            .step_by(WEIGHTS_CHUNK)
            .map(|offset| {
                let data = weights.payload.slice(offset..weights.payload.len().min(offset + WEIGHTS_CHUNK));
                Ok(WeightsChunk { offset: offset as u64, data })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}

fn manifest(weights: &Weights) -> WeightsManifest {
    let names = (weights.architecture.clone(), "f32".to_owned());
    WeightSet::new(weights.version, names, Body::whole(weights.payload.clone())).manifest()
}

/// Waits until `condition` holds; fails with `what` after a minute.
pub(crate) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
