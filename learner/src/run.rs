//! The learner as a role: prepares what training starts from, starts the services and the training thread, and returns
//! when training has ended or was told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vpt_policy::PolicyConfig;
use vpt_runtime::Listeners;
use vpt_runtime::ops::{Health, OpsServer};

use crate::actors::ActorTable;
use crate::admission::UnrollSpec;
use crate::assignment::Assignment;
use crate::batch_traces::BatchTraces;
use crate::checkpoint::{
    CheckpointError, CheckpointFolder, FROZEN_STREAMS_FILE, POLICY_FILE, Stored, Weights, load_weights,
};
use crate::checkpoint_writer::CheckpointWriter;
use crate::compute::Compute;
use crate::config::{LearnerConfig, Stage};
use crate::error::LearnerError;
use crate::event_log::EventLog;
use crate::frozen_policy::FrozenPolicy;
use crate::journal::{Journal, JournalMode, Record, Replay};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::log_writer::LogWriter;
use crate::nonfinite::NonFiniteGuard;
use crate::publish::{KEPT_VERSIONS, WeightStore};
use crate::publisher::Publisher;
use crate::queue::UnrollQueue;
use crate::ranks::Ranks;
use crate::ranks::start::Start;
use crate::schedule::Schedule;
use crate::service::Services;
use crate::session::{SavedState, Session, restore_trainer, saved_state};
use crate::source::UnrollSource;
use crate::status::StatusBoard;
use crate::stopwatch::Stopwatch;
use crate::training::Trainer;
use crate::turnstile::Turnstile;
use crate::version::Version;
use crate::{accounts, bc_loop, bookkeeper, metrics, ppg_loop, serve};

/// Why unrolls that came too late are dropped.
const DRAINING: &str = "draining";
/// Stack of the training thread: candle walks the graph recursively, and big networks have deep graphs.
const TRAINING_STACK_BYTES: usize = 256 << 20;
/// How long streams get to end when the learner drains.
const SERVE_GRACE: Duration = Duration::from_secs(3);

/// What a learner process is told.
#[derive(Clone, Debug)]
pub struct LearnerSetup {
    /// Section `[learner]`.
    pub learner: LearnerConfig,
    /// Section `[policy]`.
    pub policy: PolicyConfig,
    /// Every random decision is a hash of this and of what is decided.
    pub run_seed: u64,
    /// The resolved run config; copied into every checkpoint.
    pub run_config_toml: String,
}

/// What training starts from.
struct Prepared {
    compute: Compute,
    /// None from rank 1 on.
    checkpoints: Option<CheckpointFolder>,
    ranks: Ranks,
    epoch: u32,
    /// The checkpoint to go on from.
    stored: Option<Stored>,
    saved: SavedState,
    ledger: Arc<Ledger>,
    journal: Arc<Journal>,
    /// What the journal holds beyond the checkpoint.
    replay: Replay,
    /// Where there is no checkpoint: what `learner.init` names.
    init: Option<Weights>,
    /// What `learner.pretrained` names.
    frozen: Option<FrozenPolicy>,
}

/// Trains until the stage ends or `shutdown`; either way the last thing it does is a checkpoint.
///
/// # Errors
/// A config that cannot work, weights or data that cannot be used, a port that fails, a failed tensor operation, or a
/// last checkpoint that cannot be written.
pub async fn run(
    mut setup: LearnerSetup,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), LearnerError> {
    setup.learner.validate()?;
    setup.learner = setup.learner.of_this_rank();
    if let Some(address) = listeners.grpc.as_ref().and_then(|listener| listener.local_addr().ok())
        && setup.learner.ranks.advertise.is_empty()
    {
        setup.learner.ranks.advertise = format!("http://{address}");
    }
    check_addresses(&setup.learner, &listeners)?;
    size_thread_pool(setup.learner.threads);
    let specs = [metrics::SPECS, vpt_runtime::net::METRICS, vpt_runtime::traces::METRICS];
    let handle = vpt_runtime::metrics::install(&specs)?;
    let health = Health::new(Duration::from_secs_f64(setup.learner.heartbeat_deadline_seconds));
    let served = CancellationToken::new();
    let _stop_serving = served.clone().drop_guard();
    let live = Live::default();
    let (ops, routes) = (listeners.ops, live.routes());
    let ops = tokio::spawn(OpsServer::serve_with(ops, handle, health.clone(), routes, served.clone()));

    let (preparing, stop) = (setup.clone(), shutdown.clone());
    let prepared = tokio::task::spawn_blocking(move || prepare(&preparing, &stop))
        .await
        .map_err(|_| LearnerError::Panicked { name: "preparation" })??;
    let services = services(&setup, &prepared)?;
    metrics::stage(setup.learner.stage);
    let recorded = setup.learner.stage == Stage::Bc;
    tokio::spawn(accounts::keep(services.status.clone(), services.ledger.clone(), recorded, served.clone()));
    tokio::spawn(live.keep(services.clone(), served.clone()));
    let grpc = listeners.grpc.map(|listener| {
        let (services, security, served) = (services.clone(), listeners.security.clone(), served.clone());
        tokio::spawn(async move { serve::serve(listener, services, &security, served, SERVE_GRACE).await })
    });

    let books = tokio::spawn(bookkeeper::keep(services.clone(), served.clone()));
    let drain = setup.learner.drain_seconds;
    let training = train_on_thread(setup, prepared, services, health, shutdown.clone())?;
    let trained = tokio::select! {
        trained = training => trained.map_err(|_| LearnerError::Panicked { name: "vpt-train" }).flatten(),
        () = overdue(&shutdown, drain) => Err(LearnerError::Drain { seconds: drain }),
    };
    served.cancel();
    if let Some(Ok(Err(error))) = match grpc {
        Some(task) => Some(task.await),
        None => None,
    } {
        tracing::warn!(%error, "the gRPC server failed");
    }
    let _ = books.await;
    if let Ok(Err(error)) = ops.await {
        tracing::warn!(%error, "the ops server failed");
    }
    trained
}

impl LearnerConfig {
    /// The longest a learner takes to end once told to stop; whoever stops it has to wait longer before killing it.
    #[must_use]
    pub fn longest_drain(&self) -> Duration {
        Duration::from_secs_f64(self.drain_seconds) + SERVE_GRACE + vpt_runtime::ops::GRACE
    }
}

/// Waits until `seconds` after `shutdown`.
async fn overdue(shutdown: &CancellationToken, seconds: f64) {
    shutdown.cancelled().await;
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Refuses addresses through which strangers could listen in, before anything is read or trained.
fn check_addresses(learner: &LearnerConfig, listeners: &Listeners) -> Result<(), LearnerError> {
    if let Some(address) = listeners.grpc.as_ref().and_then(|listener| listener.local_addr().ok()) {
        listeners.security.check_listen(address, "learner.listen")?;
    }
    if learner.ranks.count > 1 {
        let rendezvous = &learner.ranks.rendezvous;
        let host = rendezvous.rsplit_once(':').map_or(rendezvous.as_str(), |(host, _)| host);
        listeners.security.check_ranks(host, "learner.ranks.rendezvous")?;
    }
    Ok(())
}

/// Sizes the pool that tensor operations run on; the first role in a process decides.
fn size_thread_pool(threads: usize) {
    if threads > 0 && rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err() {
        tracing::debug!(threads, "the thread pool was sized before");
    }
}

/// Reads the newest checkpoint or the initial weights, and the pretrained policy; raises the epoch. From rank 1 on, takes
/// over what rank 0 has read.
fn prepare(setup: &LearnerSetup, shutdown: &CancellationToken) -> Result<Prepared, LearnerError> {
    let learner = &setup.learner;
    let compute = Compute::open(learner)?;
    if learner.ranks.rank > 0 {
        return follow(setup, compute, shutdown);
    }
    let checkpoints = CheckpointFolder::open(&learner.out, learner.checkpoint.keep)?;
    let architecture = setup.policy.fingerprint();
    let stored = checkpoints.newest(&architecture)?;
    let saved = stored.as_ref().map(saved_state).transpose()?;
    if let Some(stored) = stored.as_ref().filter(|s| s.manifest.stage != learner.stage.name()) {
        return Err(LearnerError::OtherStage {
            path: stored.path.clone(),
            found: stored.manifest.stage.clone(),
            expected: learner.stage.name(),
        });
    }
    let init = match (&stored, learner.init.as_str()) {
        (Some(stored), _) => {
            tracing::info!(checkpoint = %stored.path.display(), "resuming");
            None
        }
        (None, "") => None,
        (None, path) => Some(same_architecture(load_weights(Path::new(path))?, path, &architecture)?),
    };
    let frozen = frozen(setup, &compute, stored.as_ref())?;
    let ranks = Ranks::join(setup, &compute, shutdown)?;
    // Last, and before anything is published.
    let epoch = checkpoints.raise_epoch()?;
    let resumed = saved.is_some();
    let saved =
        saved.unwrap_or_else(|| SavedState { run_id: new_run_id(setup.run_seed), ..Default::default() });
    if !ranks.is_alone() {
        let (run_id, stored, init) = (saved.run_id.clone(), stored.clone(), init.clone());
        ranks.broadcast(Start { epoch, run_id, stored, init }.to_bytes()?)?;
    }
    let (journal, ledger, replay) = take_up_journal(learner, &saved, resumed)?;
    let checkpoints = Some(checkpoints);
    Ok(Prepared { compute, checkpoints, ranks, epoch, stored, saved, ledger, journal, replay, init, frozen })
}

/// What rank 0 starts from, and this rank's own part of it.
fn follow(
    setup: &LearnerSetup,
    compute: Compute,
    shutdown: &CancellationToken,
) -> Result<Prepared, LearnerError> {
    // The frozen policy's streams in a checkpoint are rank 0's.
    let frozen = frozen(setup, &compute, None)?;
    let ranks = Ranks::join(setup, &compute, shutdown)?;
    let Start { epoch, run_id, stored, init } = Start::from_bytes(&ranks.broadcast(Vec::new())?)?;
    let mut saved = stored.as_ref().map(saved_state).transpose()?.unwrap_or_default();
    let own = saved.ranks.get(ranks.rank() - 1).cloned().unwrap_or_default();
    saved = SavedState { run_id, ledger: own.ledger, returns: own.returns, consumed: own.consumed, ..saved };
    std::fs::create_dir_all(&setup.learner.out)
        .map_err(|source| LearnerError::Io { path: setup.learner.out.clone(), source })?;
    let (journal, ledger, replay) = take_up_journal(&setup.learner, &saved, stored.is_some())?;
    Ok(Prepared {
        compute,
        checkpoints: None,
        ranks,
        epoch,
        stored,
        saved,
        ledger,
        journal,
        replay,
        init,
        frozen,
    })
}

/// The pretrained policy, with the streams of the checkpoint to go on from.
pub(crate) fn frozen(
    setup: &LearnerSetup,
    compute: &Compute,
    stored: Option<&Stored>,
) -> Result<Option<FrozenPolicy>, LearnerError> {
    let learner = &setup.learner;
    let path = learner.pretrained.as_str();
    if learner.stage != Stage::Ppg || path.is_empty() {
        return Ok(None);
    }
    let weights = load_weights(Path::new(path))?;
    let mut frozen =
        FrozenPolicy::new(compute.clone(), &weights, &setup.policy, learner.ppg.frozen_state_bytes)?;
    if frozen.config().image_size != setup.policy.image_size {
        return Err(LearnerError::PretrainedFrames {
            path: path.into(),
            found: frozen.config().image_size,
            expected: setup.policy.image_size,
        });
    }
    if let Some(bytes) = stored.and_then(|stored| stored.files.get(FROZEN_STREAMS_FILE)) {
        frozen.load_streams(bytes)?;
    }
    Ok(Some(frozen))
}

/// Opens the journal and brings the books up to what it holds beyond the checkpoint.
fn take_up_journal(
    learner: &LearnerConfig,
    saved: &SavedState,
    resumed: bool,
) -> Result<(Arc<Journal>, Arc<Ledger>, Replay), LearnerError> {
    if learner.stage == Stage::Bc {
        return Ok((Arc::new(Journal::off()), Arc::new(Ledger::new()), Replay::empty()));
    }
    let journal = Journal::open(&learner.out, &learner.journal)?;
    if resumed && learner.deterministic && !journal.has_payload() {
        return Err(LearnerError::DeterministicResume);
    }
    let ledger = match (resumed, journal.has_payload()) {
        (true, true) => Ledger::resume(saved.ledger.clone()),
        (true, false) => Ledger::restore(saved.ledger.clone()),
        (false, _) => Ledger::new(),
    };
    // A run that begins anew where there is no checkpoint has no use for what an earlier one recorded.
    let from = if resumed || journal.has_payload() { saved.consumed } else { journal.next_index() };
    let mut records = journal.replay_from(from.min(journal.next_index()))?;
    while let Some(record) = records.next()? {
        let Record::Unroll { entry, .. } = record else { continue };
        let is_new = ledger.arrived(&entry.actor, entry.slot, entry.sequence, entry.steps);
        if is_new && !journal.has_payload() {
            ledger.dropped("learner_crash", entry.steps);
        }
    }
    if journal.has_payload() {
        let replay = journal.replay_from(from)?;
        if replay.left() > 0 {
            tracing::info!(unrolls = replay.left(), "training on what the journal holds first");
        }
        return Ok((Arc::new(journal), Arc::new(ledger), replay));
    }
    if learner.journal.mode != JournalMode::Off {
        journal.restart_at(saved.consumed)?;
    }
    Ok((Arc::new(journal), Arc::new(ledger), Replay::empty()))
}

fn same_architecture(weights: Weights, path: &str, expected: &str) -> Result<Weights, LearnerError> {
    match weights.config.as_ref().map(PolicyConfig::fingerprint) {
        Some(found) if found != expected => {
            Err(CheckpointError::Architecture { path: path.into(), found, expected: expected.to_owned() }
                .into())
        }
        _ => Ok(weights),
    }
}

/// Random per training run; an identity, never a seed.
fn new_run_id(run_seed: u64) -> String {
    let now = vpt_runtime::clock::calendar_unix();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run_seed.to_le_bytes());
    hasher.update(&now.as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The unrolls that this run takes.
pub(crate) fn spec(setup: &LearnerSetup) -> UnrollSpec {
    UnrollSpec::new(&setup.policy, setup.learner.unroll_length, true)
}

fn services(setup: &LearnerSetup, prepared: &Prepared) -> Result<Services, LearnerError> {
    let learner = &setup.learner;
    let ledger = prepared.ledger.clone();
    let schedule = Schedule::of(learner).filter(|_| learner.stage == Stage::Ppg);
    let kept = schedule.as_ref().map_or(KEPT_VERSIONS, Schedule::kept_versions);
    let passed = prepared.journal.next_index();
    let spec = spec(setup);
    let admission = learner.admission.within_bytes(&spec)?;
    let weights = WeightStore::keeping(kept).with_every(schedule.is_some());
    let weights = if learner.publish.deltas { weights.with_deltas()? } else { weights };
    Ok(Services {
        run_id: prepared.saved.run_id.clone(),
        architecture: setup.policy.fingerprint(),
        spec,
        queue: UnrollQueue::new(&admission, ledger.clone()),
        admission,
        weights: Arc::new(weights),
        ledger,
        journal: prepared.journal.clone(),
        turnstile: schedule.map(|schedule| Arc::new(Turnstile::new(schedule, passed))),
        status: Arc::new(StatusBoard::new(&prepared.saved.run_id, learner.stage.name())),
        slots: Arc::default(),
        assignment: Assignment::over(prepared.ranks.urls(), prepared.saved.places.clone()),
        actors: ActorTable::new(learner.admission.max_actors),
    })
}

/// Starts the training thread; the receiver resolves with its result, or fails when it panicked.
fn train_on_thread(
    setup: LearnerSetup,
    prepared: Prepared,
    services: Services,
    health: Health,
    shutdown: CancellationToken,
) -> Result<tokio::sync::oneshot::Receiver<Result<(), LearnerError>>, LearnerError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let work = move || {
        let result = train(setup, prepared, &services, health, shutdown);
        services.queue.close();
        if !services.journal.has_payload() {
            services.queue.discard(DRAINING);
        }
        // The receiver waits for exactly this.
        let _ = sender.send(result);
    };
    std::thread::Builder::new()
        .name("vpt-train".into())
        .stack_size(TRAINING_STACK_BYTES)
        .spawn(work)
        .map_err(|source| LearnerError::Thread { name: "vpt-train", source })?;
    Ok(receiver)
}

/// Everything the training thread does.
fn train(
    setup: LearnerSetup,
    prepared: Prepared,
    services: &Services,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), LearnerError> {
    let Prepared { compute, checkpoints, ranks, epoch, stored, saved, journal, replay, init, frozen, .. } =
        prepared;
    let stopwatch = services.status.accounts().training().clone();
    let mut trainer = trainer(&setup, compute, stored.as_ref(), init, stopwatch.clone())?;
    trainer.ranks = ranks.clone();
    trainer.nonfinite = NonFiniteGuard::new(&setup.learner.nonfinite, &setup.learner.out);
    let sequence = stored.as_ref().map_or(0, |stored| stored.manifest.version.sequence);
    let stage = setup.learner.stage;
    let resumed = stored.is_some().then_some(saved.consumed);
    let source = UnrollSource::live(services.queue.clone(), spec(&setup), saved.consumed).replaying(replay);
    let publisher = Publisher::start(services.weights.clone(), setup.learner.publish.dtype)?;
    let mut session = Session {
        log: Some(LogWriter::start(EventLog::open(&setup.learner.out)?, journal.clone())?),
        setup,
        run_id: saved.run_id,
        source,
        traces: BatchTraces::default(),
        journal: journal.clone(),
        publisher,
        ledger: services.ledger.clone(),
        status: services.status.clone(),
        health,
        shutdown,
        stopwatch,
        ranks,
        assignment: services.assignment.clone(),
        other_ranks: saved.ranks,
        agreed_to_stop: false,
        checkpoints: checkpoints
            .map(|folder| CheckpointWriter::start(folder, journal, resumed))
            .transpose()?,
        version: Version::new(epoch, sequence),
        returns: saved.returns,
        consumed: saved.consumed,
        comparison: None,
        seconds_before: trainer.counters.training_seconds,
        started: Instant::now(),
    };
    let result = match stage {
        Stage::Bc => bc_loop::run(&mut session, &mut trainer, stored.as_ref()),
        Stage::Ppg => {
            drop(stored);
            ppg_loop::run(&mut session, &mut trainer, frozen)
        }
    };
    let keeps_unrolls = session.journal.has_payload();
    session.source.close((!keeps_unrolls).then_some(DRAINING));
    result
}

pub(crate) fn trainer(
    setup: &LearnerSetup,
    compute: Compute,
    stored: Option<&Stored>,
    init: Option<Weights>,
    stopwatch: Stopwatch,
) -> Result<Trainer, LearnerError> {
    let learner = &setup.learner;
    let adam = |lr, weight_decay| learner.optimizer.adam(lr, weight_decay);
    let optimizers = match learner.stage {
        Stage::Bc => (adam(learner.bc.lr, learner.bc.weight_decay), None),
        Stage::Ppg => {
            let ppg = &learner.ppg;
            (adam(ppg.lr, ppg.weight_decay), Some(adam(ppg.aux_lr, ppg.weight_decay)))
        }
    };
    let weights = match stored {
        Some(stored) => Some(Weights { config: None, parameters: stored.file(POLICY_FILE)?.to_vec() }),
        None => init,
    };
    let mut trainer =
        Trainer::new(compute, &setup.policy, weights.as_ref(), setup.run_seed, optimizers, stopwatch)?;
    if let Some(stored) = stored {
        restore_trainer(&mut trainer, stored)?;
    }
    Ok(trainer)
}

#[cfg(test)]
mod tests;
