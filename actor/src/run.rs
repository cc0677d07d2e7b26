//! The actor role: starts the threads and tasks, waits for the end, drains.

use crate::acting_policy::ActingPolicy;
use crate::activity::Activity;
use crate::config::{ActorConfig, WorldConfig, seconds};
use crate::env_client::EnvClient;
use crate::error::ActorError;
use crate::inference::Inference;
use crate::ledger::{Ledger, LedgerFile};
use crate::metrics;
use crate::policy_shelf::PolicyShelf;
use crate::rollout::{Group, RolloutContext};
use crate::uplink::Uplink;
use crate::weights::{self, ActingWeights};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vpt_policy::PolicyConfig;
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::envserver::v1::OpenSession;
use vpt_proto::limits::PROTOCOL_VERSION;
use vpt_runtime::Listeners;
use vpt_runtime::Security;
use vpt_runtime::ops::{Health, OpsServer};

/// An actor whose groups have not stirred for this long is dead; a step of a large network may take a while.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(120);
const EXPORT: Duration = Duration::from_secs(1);

/// What an actor needs to know.
#[derive(Debug, Clone)]
pub struct ActorSetup {
    /// Its own settings.
    pub actor: ActorConfig,
    /// The network's architecture, the learner's too.
    pub policy: PolicyConfig,
    /// What is played.
    pub world: WorldConfig,
    /// Seed of the run.
    pub run_seed: u64,
}

/// Runs an actor until `shutdown`, then drains: full unrolls go up, partial ones are dropped and counted.
///
/// # Errors
/// Settings that cannot be used; an envserver or a learner that refuses for good; a failing network.
pub async fn run(
    setup: ActorSetup,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ActorError> {
    setup.actor.validate()?;
    setup.policy.validate()?;
    let handle = vpt_runtime::metrics::install(&[metrics::METRICS, vpt_runtime::traces::METRICS])?;
    let health = Health::new(HEARTBEAT_DEADLINE);
    let ops_end = CancellationToken::new();
    let ops = tokio::spawn(OpsServer::serve(listeners.ops, handle, health.clone(), ops_end.clone()));
    // One role's failure stops the others; the caller's token stays its own.
    let stop = shutdown.child_token();
    let result = run_tasks(setup, listeners.security, health.clone(), &stop).await;
    health.set_ready(false);
    ops_end.cancel();
    if let Ok(Err(error)) = ops.await {
        tracing::warn!(%error, "the ops server failed");
    }
    result
}

async fn run_tasks(
    setup: ActorSetup,
    security: Security,
    health: Health,
    stop: &CancellationToken,
) -> Result<(), ActorError> {
    let ActorSetup { actor: config, policy, world, run_seed } = setup;
    let identity = ActorIdentity { actor_id: config.id.clone(), incarnation: incarnation() };
    tracing::info!(actor_id = config.id, incarnation = identity.incarnation, "actor starts");
    let (terms_tx, terms) = watch::channel(None);
    let shelf = PolicyShelf::new();
    let (policies_tx, policies) = watch::channel(None);
    // The bound that counts is the outbox's; this one only hands over.
    let (outbox, inbox) = mpsc::channel(1);
    let drain = config.drain_deadline();
    let (ledger, predecessor) = match config.ledger_file.as_str() {
        "" => (Ledger::default(), None),
        path => {
            let (file, before) = LedgerFile::open(path.as_ref(), identity.incarnation)?;
            (Ledger::kept_in(file), before)
        }
    };
    let activity = Activity::new(config.groups);
    let context = RolloutContext {
        identity: identity.clone(),
        run_seed,
        open: open_session(&config.id, &world, &policy),
        env: EnvClient::new(
            &security,
            &config.envserver,
            "actor.envserver",
            seconds(config.step_timeout_seconds),
            seconds(config.open_timeout_seconds),
        )?,
        inference: Inference::start(config.groups)?,
        policies: policies.clone(),
        terms,
        shelf: shelf.clone(),
        outbox,
        ledger: ledger.clone(),
        activity: activity.clone(),
        health: health.clone(),
        shutdown: stop.clone(),
        config: config.clone(),
    };
    let mut tasks = JoinSet::new();
    for group in 0..config.groups {
        tasks.spawn(Group::run(group, context.clone()));
    }
    // The uplink is done when every group's sender is gone.
    drop(context);
    let architecture = policy.fingerprint();
    let acting = (config.precision, config.temperature);
    let weights = ActingWeights { policy, acting, policies: policies_tx, shelf: shelf.clone() };
    tasks.spawn(weights::follower(&config, &security, weights, stop.clone())?.run());
    let uplink = Uplink {
        config,
        security,
        identity,
        architecture,
        streams: AtomicU64::new(0),
        inbox,
        terms: terms_tx,
        shelf,
        policies: policies.clone(),
        ledger,
        activity: activity.clone(),
        predecessor,
        shutdown: stop.clone(),
    };
    tasks.spawn(uplink.run());
    let exporter = tokio::spawn(export(activity.clone(), policies));
    let result = all_ended(tasks, stop, drain).await;
    exporter.abort();
    activity.export();
    result
}

/// Waits for every task; the first that fails stops the others, and what does not stop is given up.
async fn all_ended(
    mut tasks: JoinSet<Result<(), ActorError>>,
    stop: &CancellationToken,
    drain: Duration,
) -> Result<(), ActorError> {
    let mut result = Ok(());
    let overdue = overdue(stop, drain);
    tokio::pin!(overdue);
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = &mut overdue => return Err(ActorError::Drain { seconds: drain.as_secs_f64() }),
        };
        let Some(ended) = ended else { return result };
        if let Err(error) = ended.map_err(ActorError::from).and_then(|ended| ended) {
            tracing::error!(%error, "actor stops");
            stop.cancel();
            if result.is_ok() {
                result = Err(error);
            }
        }
    }
}

/// Waits until `drain` after `stop`.
async fn overdue(stop: &CancellationToken, drain: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(drain).await;
}

impl ActorConfig {
    /// How long everything may take once told to stop: a step, a stream that opens, and the drain itself.
    fn drain_deadline(&self) -> Duration {
        let waits = [self.step_timeout_seconds, self.open_timeout_seconds, self.learner_timeout_seconds];
        seconds(waits.iter().sum::<f64>() + self.drain_seconds)
    }

    /// The longest an actor takes to end once told to stop; whoever stops it has to wait longer before killing it.
    #[must_use]
    pub fn longest_drain(&self) -> Duration {
        self.drain_deadline() + vpt_runtime::ops::GRACE
    }
}

/// Brings gauges that change by themselves up to now, every second.
async fn export(activity: Activity, mut policies: watch::Receiver<Option<Arc<ActingPolicy>>>) {
    let mut ticks = tokio::time::interval(EXPORT);
    let mut arrived = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
                arrived = Instant::now();
            }
        }
        activity.export();
        if let Some(policy) = policies.borrow_and_update().as_ref() {
            let version = policy.version();
            metrics::acting(version.epoch, version.sequence, arrived.elapsed());
        }
    }
}

/// What every session of this actor asks for, but its seeds.
fn open_session(client: &str, world: &WorldConfig, policy: &PolicyConfig) -> OpenSession {
    OpenSession {
        protocol_version: PROTOCOL_VERSION,
        world: world.name.clone(),
        task: world.task.clone(),
        frame_height: policy.image_size as u32,
        frame_width: policy.image_size as u32,
        max_episode_steps: world.episode_steps,
        client: client.to_owned(),
        ..OpenSession::default()
    }
}

/// Random per process start: the hasher's keys come from the operating system.
fn incarnation() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
