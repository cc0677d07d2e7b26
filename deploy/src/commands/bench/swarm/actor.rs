//! Simulated actors: each has its own connection, a push stream on which it reports, a watch on the weights, and from
//! time to time makes a control call.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use vpt_policy::PolicyConfig;
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::learner::v1::trajectory_service_client::TrajectoryServiceClient;
use vpt_proto::learner::v1::weights_service_client::WeightsServiceClient;
use vpt_proto::learner::v1::{
    ActorReport, Hello, PushRequest, PushResponse, WatchRequest, WeightsManifest, push_request, push_response,
};
use vpt_proto::limits::PROTOCOL_VERSION;
use vpt_runtime::Security;
use vpt_runtime::net::{Channel, endpoint};
use vpt_runtime::security::Role;

/// How often an actor reports, as real ones do.
const REPORT: Duration = Duration::from_secs(1);
/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// All simulated actors.
pub(super) struct Swarm {
    address: String,
    security: Security,
    architecture: String,
    call_every: Duration,
    /// Raised to make all actors connect anew; closed to end them.
    generation: watch::Sender<u64>,
    calling: AtomicBool,
    connected: AtomicUsize,
    errors: AtomicU64,
    latencies: Mutex<Vec<f64>>,
    last_error: Mutex<String>,
    tasks: Mutex<JoinSet<()>>,
}

impl Swarm {
    /// Starts `actors` of the learner at `address`; each makes a control call every `call_seconds` while told to.
    pub(super) fn start(actors: usize, address: &str, security: &Security, call_seconds: f64) -> Arc<Self> {
        let swarm = Arc::new(Self {
            address: address.to_owned(),
            security: security.clone(),
            architecture: PolicyConfig::linear().fingerprint(),
            call_every: Duration::from_secs_f64(call_seconds),
            generation: watch::Sender::new(1),
            calling: AtomicBool::new(false),
            connected: AtomicUsize::new(0),
            errors: AtomicU64::new(0),
            latencies: Mutex::default(),
            last_error: Mutex::default(),
            tasks: Mutex::default(),
        });
        let mut tasks = swarm.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..actors {
            let offset = swarm.call_every.mul_f64(index as f64 / actors as f64);
            tasks.spawn(swarm.clone().live(index, offset));
        }
        drop(tasks);
        swarm
    }

    /// Actors that have been welcomed and told of the weights.
    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::Acquire)
    }

    /// Starts or stops control calls.
    pub(super) fn call(&self, on: bool) {
        self.calling.store(on, Ordering::Relaxed);
    }

    /// Makes all actors drop their connection and open another, at once.
    pub(super) fn reconnect(&self) {
        // Before any of them can have come back.
        self.connected.store(0, Ordering::Release);
        self.generation.send_modify(|generation| *generation += 1);
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds of every control call.
    pub(super) fn latencies(&self) -> Vec<f64> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all actors.
    pub(super) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    async fn live(self: Arc<Self>, index: usize, offset: Duration) {
        let mut generation = self.generation.subscribe();
        let mut stream = 0;
        loop {
            stream += 1;
            let now = *generation.borrow_and_update();
            let ended = tokio::time::timeout(DEADLINE, self.connect(index, stream)).await;
            let ended = match ended.unwrap_or_else(|_| bail!("no welcome in {} s", DEADLINE.as_secs())) {
                Ok(actor) => {
                    // One that comes late belongs to a generation that is counted no more.
                    if *self.generation.borrow() == now {
                        self.connected.fetch_add(1, Ordering::AcqRel);
                    }
                    actor.stay(&self, offset, &mut generation).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.errors.fetch_add(1, Ordering::Relaxed);
                *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn connect(&self, index: usize, stream: u64) -> anyhow::Result<Actor> {
        let endpoint = endpoint(&self.security, &self.address, "swarm")?.connect_timeout(DEADLINE);
        let channel = self.security.channel(&endpoint, &[Role::Learner])?;
        let (requests, outbound) = mpsc::channel(2);
        let actor = ActorIdentity { actor_id: format!("swarm-{index}"), incarnation: 1 };
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            actor: Some(actor),
            architecture: self.architecture.clone(),
            slots: 1,
            stream,
            ..Hello::default()
        };
        requests.send(PushRequest { kind: Some(push_request::Kind::Hello(hello)) }).await?;
        let push = TrajectoryServiceClient::new(channel.clone()).push(ReceiverStream::new(outbound)).await;
        let mut replies = push.context("push")?.into_inner();
        let first = replies.message().await.context("welcome")?.and_then(|reply| reply.kind);
        let Some(push_response::Kind::Welcome(_)) = first else { bail!("no welcome but {first:?}") };
        let watched = self.watch(&channel).await?;
        Ok(Actor { channel, requests, replies, _watched: watched })
    }

    /// The control call: what is the newest version?
    async fn watch(&self, channel: &Channel) -> anyhow::Result<Streaming<WeightsManifest>> {
        let request = WatchRequest { architecture: self.architecture.clone(), ..WatchRequest::default() };
        let reply = WeightsServiceClient::new(channel.clone()).watch(request).await.context("watch")?;
        let mut manifests = reply.into_inner();
        manifests.message().await.context("manifest")?.context("no manifest")?;
        Ok(manifests)
    }
}

/// One that is connected.
struct Actor {
    channel: Channel,
    requests: mpsc::Sender<PushRequest>,
    replies: Streaming<PushResponse>,
    _watched: Streaming<WeightsManifest>,
}

impl Actor {
    /// Reports and calls until the next generation.
    async fn stay(
        mut self,
        swarm: &Swarm,
        offset: Duration,
        generation: &mut watch::Receiver<u64>,
    ) -> anyhow::Result<()> {
        let start = tokio::time::Instant::now() + offset;
        let mut reports = tokio::time::interval_at(start, REPORT);
        let mut calls = tokio::time::interval_at(start, swarm.call_every);
        loop {
            tokio::select! {
                changed = generation.changed() => return changed.context("the end"),
                reply = self.replies.message() => drop(reply.context("push stream")?.context("push stream ended")?),
                _ = reports.tick() => {
                    let report = PushRequest { kind: Some(push_request::Kind::Report(ActorReport::default())) };
                    self.requests.send(report).await.context("report")?;
                }
                _ = calls.tick(), if swarm.calling.load(Ordering::Relaxed) => {
                    let began = Instant::now();
                    drop(swarm.watch(&self.channel).await?);
                    let seconds = began.elapsed().as_secs_f64();
                    swarm.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(seconds);
                }
            }
        }
    }
}
