//! The services over a real connection: a server on port 0 and clients that behave, and clients that do not.

mod order;
mod push;
mod weights;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::learner::v1::ack::Outcome;
use vpt_proto::learner::v1::trajectory_service_client::TrajectoryServiceClient;
use vpt_proto::learner::v1::{
    Ack, ActorReport, Hello, PushRequest, PushResponse, Unroll, UnrollChunk, Welcome, push_request,
    push_response,
};
use vpt_proto::limits::{CHUNK_BYTES, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};

use super::*;
use crate::admission::tests::spec;
use crate::ledger::ActorKey;
use crate::version::Version;

const PATIENCE: Duration = Duration::from_secs(10);
const ARCHITECTURE: &str = "0123abcd";

/// A learner's services without a training thread; the test consumes.
struct Server {
    learner: Services,
    address: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), crate::LearnerError>>,
}

impl Server {
    /// Version 2-5 is published.
    async fn start(admission: AdmissionConfig) -> Self {
        Self::start_with(admission, Journal::off(), None).await
    }

    async fn start_with(
        admission: AdmissionConfig,
        journal: Journal,
        schedule: Option<crate::schedule::Schedule>,
    ) -> Self {
        let ledger = Arc::new(Ledger::new());
        let learner = Services {
            run_id: "run".to_owned(),
            architecture: ARCHITECTURE.to_owned(),
            spec: spec(),
            queue: UnrollQueue::new(&admission, ledger.clone()),
            weights: Arc::new(WeightStore::new()),
            ledger,
            turnstile: schedule.map(|schedule| Arc::new(Turnstile::new(schedule, journal.next_index()))),
            journal: Arc::new(journal),
            status: Arc::new(StatusBoard::new("run", "ppg")),
            slots: Arc::default(),
            assignment: Assignment::here(),
            actors: ActorTable::new(admission.max_actors),
            admission,
        };
        learner.weights.publish(Version::new(2, 5), "weights".into(), "f32", ARCHITECTURE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let (services, stop) = (learner.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            let plain = vpt_runtime::Security::loopback();
            crate::serve::serve(listener, services, &plain, stop, Duration::from_millis(200)).await
        });
        Self { learner, address, shutdown, task }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// An open push stream on which nothing has been said.
    async fn stream(&self) -> Client {
        let (sender, requests) = mpsc::channel(64);
        let mut client = TrajectoryServiceClient::new(self.channel().await);
        let replies = client.push(ReceiverStream::new(requests)).await.unwrap().into_inner();
        Client { actor: actor("actor-0", 1), sender: Some(sender), replies, credits: 0 }
    }

    /// A stream after its handshake.
    async fn connect(&self, actor: &ActorKey) -> Client {
        let mut client = self.stream().await;
        client.actor = actor.clone();
        client.say(push_request::Kind::Hello(hello(actor))).await;
        let welcome = client.welcome().await;
        client.credits = welcome.credits;
        client
    }

    /// Takes one unroll out as the training thread would.
    async fn consume(&self) -> Option<crate::queue::ReceivedUnroll> {
        let queue = self.learner.queue.clone();
        let consumed =
            tokio::task::spawn_blocking(move || queue.recv(Duration::from_secs(5), Version::new(2, 5)));
        consumed.await.unwrap().unwrap()
    }
}

/// A hand-written actor.
struct Client {
    actor: ActorKey,
    sender: Option<mpsc::Sender<PushRequest>>,
    replies: Streaming<PushResponse>,
    credits: u32,
}

impl Client {
    async fn say(&self, kind: push_request::Kind) {
        // A stream that the server has ended takes nothing more; the reply tells why.
        let _ = self.sender.as_ref().unwrap().send(PushRequest { kind: Some(kind) }).await;
    }

    async fn send(&self, unroll: &Unroll) {
        for chunk in chunks(unroll, CHUNK_BYTES) {
            self.say(push_request::Kind::Chunk(chunk)).await;
        }
    }

    async fn reply(&mut self) -> Result<Option<push_response::Kind>, Status> {
        let reply = tokio::time::timeout(PATIENCE, self.replies.message()).await.expect("a reply in time");
        reply.map(|message| message.and_then(|message| message.kind))
    }

    async fn welcome(&mut self) -> Welcome {
        match self.reply().await.unwrap() {
            Some(push_response::Kind::Welcome(welcome)) => *welcome,
            other => panic!("expected a welcome, got {other:?}"),
        }
    }

    /// The next ack; credits on the way are kept.
    async fn ack(&mut self) -> Ack {
        loop {
            match self.reply().await.unwrap() {
                Some(push_response::Kind::Ack(ack)) => return ack,
                Some(push_response::Kind::Credit(credit)) => self.credits += credit.unrolls,
                other => panic!("expected an ack, got {other:?}"),
            }
        }
    }

    async fn await_credits(&mut self, wanted: u32) {
        while self.credits < wanted {
            match self.reply().await.unwrap() {
                Some(push_response::Kind::Credit(credit)) => self.credits += credit.unrolls,
                other => panic!("expected a credit, got {other:?}"),
            }
        }
    }

    /// How the server ended the stream.
    async fn end(&mut self) -> Status {
        loop {
            match self.reply().await {
                Err(status) => return status,
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a status"),
            }
        }
    }

    fn unroll(&self, slot: u32, sequence: u64) -> Unroll {
        crate::admission::tests::good(&self.actor, slot, sequence, Version::new(2, 5))
    }
}

fn actor(actor_id: &str, incarnation: u64) -> ActorKey {
    ActorKey { actor_id: actor_id.to_owned(), incarnation }
}

/// The next stream of `actor`.
fn hello(actor: &ActorKey) -> Hello {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    Hello {
        stream: 1 + STREAMS.fetch_add(1, Ordering::Relaxed),
        protocol_version: PROTOCOL_VERSION,
        actor: Some(ActorIdentity { actor_id: actor.actor_id.clone(), incarnation: actor.incarnation }),
        architecture: ARCHITECTURE.to_owned(),
        slots: 8,
        ..Hello::default()
    }
}

fn chunks(unroll: &Unroll, size: usize) -> Vec<UnrollChunk> {
    let encoded = bytes::Bytes::from(unroll.encode_to_vec());
    (0..encoded.len())
        .step_by(size)
        .map(|offset| UnrollChunk {
            slot: unroll.slot,
            sequence: unroll.sequence,
            offset: offset as u64,
            total_bytes: encoded.len() as u64,
            crc32c: if offset == 0 { crc32c::crc32c(&encoded) } else { 0 },
            data: encoded.slice(offset..encoded.len().min(offset + size)),
        })
        .collect()
}
