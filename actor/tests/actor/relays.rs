//! Weights over a tree of relays, with chunks that come when the test says so: cut-through, deaths, late joiners, lies.

use crate::fake_learner::wait_until;
use crate::stage::{Running, policy};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use vpt_actor::ActorError;
use vpt_actor::relay::{self, RelayConfig, RelaySetup};
use vpt_actor::subscriber::Subscriber;
use vpt_proto::common::v1::PolicyVersion;
use vpt_proto::learner::v1::weights_service_server::{WeightsService, WeightsServiceServer};
use vpt_proto::learner::v1::{FetchRequest, WatchRequest, WeightsChunk, WeightsManifest};
use vpt_proto::weights::{Body, CHUNK_BYTES, Delta, Store, WeightSet, WeightsServer, delta};
use vpt_runtime::{Listeners, Security};

/// Bytes that origins of this process sent; tests with an origin hold [`COUNTED`], so that it is their own.
static SENT: AtomicU64 = AtomicU64::new(0);
static COUNTED: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn version(sequence: u64) -> PolicyVersion {
    PolicyVersion { epoch: 1, sequence }
}

/// A safetensors file of one bf16 tensor; `change` says how many of its numbers differ from those of 0.
fn payload(change: usize) -> Bytes {
    let numbers = 790_000usize;
    let header =
        format!(r#"{{"w":{{"dtype":"BF16","shape":[{numbers}],"data_offsets":[0,{}]}}}}"#, numbers * 2);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    for n in 0..numbers {
        let step = u16::from(change > 0 && n % 50 < change);
        let bits = 0x3c00 + ((n as u32).wrapping_mul(2_654_435_761) >> 23) as u16 + step;
        file.extend_from_slice(&bits.to_le_bytes());
    }
    file.into()
}

fn set(sequence: u64, body: Body) -> WeightSet {
    WeightSet::new(version(sequence), (policy().fingerprint(), "bf16".to_owned()), body)
}

/// A version of which nothing is there yet.
fn announced(sequence: u64, bytes: &Bytes) -> WeightSet {
    set(sequence, Body::arriving(Body::whole(bytes.clone()).hashes().clone()))
}

fn push(set: &WeightSet, bytes: &Bytes, chunks: std::ops::Range<usize>) {
    for index in chunks {
        set.payload.push(&bytes[set.payload.hashes().range(index)]).unwrap();
    }
}

async fn serve<S: WeightsService>(service: S, stop: CancellationToken) -> Running<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = stop.clone();
    let task = tokio::spawn(async move {
        // Like a process that is killed: nothing is waited for.
        tokio::select! {
            () = token.cancelled() => {}
            served = Server::builder()
                .add_service(WeightsServiceServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener)) => served.unwrap(),
        }
    });
    Running { address, stop, task }
}

/// Someone at the top of the tree who serves `store`.
async fn origin(store: &Arc<Store>) -> Running<()> {
    let stop = CancellationToken::new();
    let service = WeightsServer {
        store: store.clone(),
        architecture: policy().fingerprint(),
        role: "learner",
        sent: |bytes| {
            SENT.fetch_add(bytes, Ordering::Relaxed);
        },
        open: |_| Ok(Box::new(())),
        shutdown: stop.clone(),
    };
    serve(service, stop).await
}

async fn relay(upstream: &[String]) -> Running<Result<(), ActorError>> {
    let bind = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (grpc, ops) = (bind().await, bind().await);
    let address = grpc.local_addr().unwrap();
    let config = RelayConfig {
        upstream: upstream.to_vec(),
        reconnect_first_seconds: 0.02,
        reconnect_cap_seconds: 0.1,
        orphan_seconds: 0.3,
        drain_seconds: 0.1,
        ..RelayConfig::default()
    };
    let stop = CancellationToken::new();
    let setup = RelaySetup { relay: config, policy: policy() };
    let running =
        relay::run(setup, Listeners { grpc: Some(grpc), ops, security: Security::loopback() }, stop.clone());
    Running { address, stop, task: tokio::spawn(running) }
}

/// A follower and what has arrived there whole.
struct Leaf {
    store: Arc<Store>,
    whole: Arc<Mutex<Vec<(u64, Bytes)>>>,
    stop: CancellationToken,
}

impl Leaf {
    fn of(parents: &[String]) -> Self {
        let (store, stop) = (Arc::new(Store::keeping(1)), CancellationToken::new());
        let whole = Arc::new(Mutex::new(Vec::new()));
        let told = whole.clone();
        let subscriber = Subscriber {
            name: "leaf".to_owned(),
            architecture: policy().fingerprint(),
            limit: 1 << 30,
            security: Security::loopback(),
            parents: parents.to_vec(),
            wait: Duration::from_secs(20),
            reconnect: (Duration::from_millis(20), Duration::from_millis(100)),
            return_after: Duration::from_millis(200),
            store: store.clone(),
            whole: Arc::new(move |set: &WeightSet| {
                let bytes = set.payload.payload().expect("whole");
                told.lock().unwrap().push((set.version.sequence, bytes));
            }),
        };
        tokio::spawn(subscriber.run(stop.clone()));
        Self { store, whole, stop }
    }

    fn chunks(&self) -> usize {
        self.store.newest().map_or(0, |newest| newest.payload.arrived())
    }

    fn sequences(&self) -> Vec<u64> {
        self.whole.lock().unwrap().iter().map(|whole| whole.0).collect()
    }

    fn newest(&self) -> Option<Bytes> {
        self.whole.lock().unwrap().last().map(|whole| whole.1.clone())
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_pass_through_before_the_whole_is_there_and_half_a_version_is_none() {
    let _counted = COUNTED.lock().await;
    let (store, bytes) = (Arc::new(Store::keeping(3)), payload(0));
    let top = origin(&store).await;
    let first = relay(&[top.url()]).await;
    let second = relay(&[first.url(), top.url()]).await;
    let leaf = Leaf::of(&[second.url(), first.url(), top.url()]);
    let set = store.insert(announced(1, &bytes)).unwrap();
    let chunks = set.payload.hashes().chunks();
    assert!(chunks >= 4, "{chunks}");
    push(&set, &bytes, 0..2);
    wait_until("two chunks come down two relays", || leaf.chunks() == 2).await;
    assert!(leaf.sequences().is_empty(), "half a version is not a version");
    push(&set, &bytes, 2..chunks);
    wait_until("the rest comes", || leaf.sequences() == [1]).await;
    assert_eq!(leaf.newest(), Some(bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_half_way_costs_no_chunk_twice_and_its_followers_come_back() {
    let _counted = COUNTED.lock().await;
    let (store, bytes) = (Arc::new(Store::keeping(3)), payload(0));
    let top = origin(&store).await;
    let near = relay(&[top.url()]).await;
    let leaf = Leaf::of(&[near.url(), top.url()]);
    let set = store.insert(announced(1, &bytes)).unwrap();
    let chunks = set.payload.hashes().chunks();
    push(&set, &bytes, 0..2);
    wait_until("two chunks come over the relay", || leaf.chunks() == 2).await;
    near.stop.cancel();
    near.task.await.unwrap().unwrap();
    let before = SENT.load(Ordering::Relaxed);
    push(&set, &bytes, 2..chunks);
    wait_until("the rest comes from the top", || leaf.sequences() == [1]).await;
    assert_eq!(leaf.newest(), Some(bytes.clone()));
    let resent = SENT.load(Ordering::Relaxed) - before;
    assert_eq!(resent, (bytes.len() - 2 * CHUNK_BYTES) as u64, "only what was missing");

    // Another relay in the first one's place is found again: the next version does not come from the top.
    let again = relay_at(near.address, &[top.url()]).await;
    let near_store_follows = || async {
        wait_until("the follower asks the relay again", || store.followers() == 1).await;
    };
    near_store_follows().await;
    let next = payload(1);
    store.insert(set_whole(2, &next)).unwrap();
    wait_until("the next version comes", || leaf.newest().as_ref() == Some(&next)).await;
    again.stop.cancel();
}

async fn relay_at(address: std::net::SocketAddr, upstream: &[String]) -> Running<Result<(), ActorError>> {
    let mut grpc = TcpListener::bind(address).await;
    while grpc.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        grpc = TcpListener::bind(address).await;
    }
    let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    let config = RelayConfig { upstream: upstream.to_vec(), drain_seconds: 0.1, ..RelayConfig::default() };
    let setup = RelaySetup { relay: config, policy: policy() };
    let running = relay::run(
        setup,
        Listeners { grpc: Some(grpc.unwrap()), ops, security: Security::loopback() },
        stop.clone(),
    );
    Running { address, stop, task: tokio::spawn(running) }
}

fn set_whole(sequence: u64, bytes: &Bytes) -> WeightSet {
    set(sequence, Body::whole(bytes.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_late_and_who_has_a_base_are_served_by_the_relay() {
    let _counted = COUNTED.lock().await;
    let (store, old, new) = (Arc::new(Store::keeping(3)), payload(0), payload(1));
    let top = origin(&store).await;
    let near = relay(&[top.url()]).await;
    let early = Leaf::of(&[near.url()]);
    store.insert(set_whole(1, &old)).unwrap();
    wait_until("the first version comes", || early.sequences() == [1]).await;

    let before = SENT.load(Ordering::Relaxed);
    let coded = delta::encode(&old, &new).unwrap();
    let size = coded.len() as u64;
    assert!(size * 10 < new.len() as u64, "{size}");
    let step = Delta { base: version(1), version: version(2), body: Body::whole(coded.into()) };
    store.insert(set_whole(2, &new).with_deltas(vec![Arc::new(step)]).unwrap()).unwrap();
    wait_until("the second version comes", || early.sequences() == [1, 2]).await;
    assert_eq!(early.newest().as_ref(), Some(&new));
    let late = Leaf::of(&[near.url()]);
    wait_until("a late joiner has it too", || late.sequences() == [2]).await;
    assert_eq!(late.newest().as_ref(), Some(&new));
    assert_eq!(SENT.load(Ordering::Relaxed) - before, size, "the top sent the delta, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_that_leads_elsewhere_is_made_up_for_by_the_whole() {
    let _counted = COUNTED.lock().await;
    let (store, old, new) = (Arc::new(Store::keeping(3)), payload(0), payload(1));
    let top = origin(&store).await;
    let leaf = Leaf::of(&[top.url()]);
    store.insert(set_whole(1, &old)).unwrap();
    wait_until("the first version comes", || leaf.sequences() == [1]).await;
    let coded = delta::encode(&old, &payload(2)).unwrap();
    let step = Delta { base: version(1), version: version(2), body: Body::whole(coded.into()) };
    store.insert(set_whole(2, &new).with_deltas(vec![Arc::new(step)]).unwrap()).unwrap();
    wait_until("the second version comes", || leaf.sequences() == [1, 2]).await;
    assert_eq!(leaf.newest(), Some(new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_relay_sends_its_followers_elsewhere() {
    let _counted = COUNTED.lock().await;
    let (store, bytes) = (Arc::new(Store::keeping(3)), payload(0));
    // A relay whose only upstream is nobody.
    let orphan = relay(&["http://127.0.0.1:1".to_owned()]).await;
    let top = origin(&store).await;
    store.insert(set_whole(1, &bytes)).unwrap();
    let leaf = Leaf::of(&[orphan.url(), top.url()]);
    wait_until("the version comes from the top", || leaf.sequences() == [1]).await;
}

/// Serves a version, the second chunk of it with one bit turned.
struct Tampering(WeightsManifest, Bytes);

#[tonic::async_trait]
impl WeightsService for Tampering {
    type WatchStream = ReceiverStream<Result<WeightsManifest, Status>>;
    type FetchStream = ReceiverStream<Result<WeightsChunk, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, outbound) = mpsc::channel(1);
        sender.send(Ok(self.0.clone())).await.unwrap();
        tokio::spawn(async move { sender.closed().await });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let (sender, outbound) = mpsc::channel(16);
        let from = request.get_ref().offset as usize;
        let bytes = self.1.clone();
        for offset in (from..bytes.len()).step_by(CHUNK_BYTES) {
            let mut data = bytes[offset..bytes.len().min(offset + CHUNK_BYTES)].to_vec();
            data[77] ^= u8::from(offset == CHUNK_BYTES);
            sender.send(Ok(WeightsChunk { offset: offset as u64, data: data.into() })).await.unwrap();
        }
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_chunk_is_refused_and_fetched_elsewhere() {
    let _counted = COUNTED.lock().await;
    let (store, bytes) = (Arc::new(Store::keeping(3)), payload(0));
    let liar =
        serve(Tampering(set_whole(1, &bytes).manifest(), bytes.clone()), CancellationToken::new()).await;
    let top = origin(&store).await;
    store.insert(set_whole(1, &bytes)).unwrap();
    let before = SENT.load(Ordering::Relaxed);
    let leaf = Leaf::of(&[liar.url(), top.url()]);
    wait_until("the version comes", || leaf.sequences() == [1]).await;
    assert_eq!(leaf.newest(), Some(bytes.clone()));
    let fetched = SENT.load(Ordering::Relaxed) - before;
    assert_eq!(fetched, (bytes.len() - CHUNK_BYTES) as u64, "the good chunk of the liar was kept");
}
