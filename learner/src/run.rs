//! The learner as a role: prepares what training starts from, starts the services and the training thread, and returns
//! when training has ended or was told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vpt_policy::{PolicyConfig, action};
use vpt_runtime::Listeners;
use vpt_runtime::ops::{Health, OpsServer};

use crate::actors::ActorTable;
use crate::admission::{StateSpec, UnrollSpec};
use crate::checkpoint::{CheckpointError, CheckpointFolder, POLICY_FILE, Stored, Weights, load_weights};
use crate::compute::Compute;
use crate::config::{LearnerConfig, Stage};
use crate::error::LearnerError;
use crate::event_log::EventLog;
use crate::frozen_policy::FrozenPolicy;
use crate::ledger::Ledger;
use crate::publish::WeightStore;
use crate::queue::UnrollQueue;
use crate::service::Services;
use crate::session::{SavedState, Session, restore_trainer, saved_state};
use crate::status::StatusBoard;
use crate::stopwatch::Stopwatch;
use crate::training::Trainer;
use crate::version::Version;
use crate::{bc_loop, metrics, ppg_loop, serve};

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
    checkpoints: CheckpointFolder,
    epoch: u32,
    /// The checkpoint to go on from.
    stored: Option<Stored>,
    saved: SavedState,
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
    setup: LearnerSetup,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), LearnerError> {
    setup.learner.validate()?;
    size_thread_pool(setup.learner.threads);
    let handle = vpt_runtime::metrics::install(&[metrics::SPECS])?;
    let health = Health::new(Duration::from_secs_f64(setup.learner.heartbeat_deadline_seconds));
    let served = CancellationToken::new();
    let _stop_serving = served.clone().drop_guard();
    let ops = tokio::spawn(OpsServer::serve(listeners.ops, handle, health.clone(), served.clone()));

    let preparing = setup.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&preparing))
        .await
        .map_err(|_| LearnerError::Panicked { name: "preparation" })??;
    let services = services(&setup, &prepared);
    let grpc = listeners
        .grpc
        .map(|listener| tokio::spawn(serve::serve(listener, services.clone(), served.clone(), SERVE_GRACE)));

    let trained = train_on_thread(setup, prepared, services, health, shutdown)?.await;
    served.cancel();
    if let Some(Ok(Err(error))) = match grpc {
        Some(task) => Some(task.await),
        None => None,
    } {
        tracing::warn!(%error, "the gRPC server failed");
    }
    if let Ok(Err(error)) = ops.await {
        tracing::warn!(%error, "the ops server failed");
    }
    trained.map_err(|_| LearnerError::Panicked { name: "vpt-train" })?
}

/// Sizes the pool that tensor operations run on; the first role in a process decides.
fn size_thread_pool(threads: usize) {
    if threads > 0 && rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err() {
        tracing::debug!(threads, "the thread pool was sized before");
    }
}

/// Reads the newest checkpoint or the initial weights, and the pretrained policy; raises the epoch.
fn prepare(setup: &LearnerSetup) -> Result<Prepared, LearnerError> {
    let learner = &setup.learner;
    let compute = Compute::open(learner)?;
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
    let frozen = match (learner.stage, learner.pretrained.as_str()) {
        (Stage::Ppg, path) if !path.is_empty() => {
            let weights = load_weights(Path::new(path))?;
            let frozen =
                FrozenPolicy::new(compute.clone(), &weights, &setup.policy, learner.ppg.frozen_state_bytes)?;
            if frozen.config().image_size != setup.policy.image_size {
                return Err(LearnerError::PretrainedFrames {
                    path: path.into(),
                    found: frozen.config().image_size,
                    expected: setup.policy.image_size,
                });
            }
            Some(frozen)
        }
        _ => None,
    };
    // Last, and before anything is published.
    let epoch = checkpoints.raise_epoch()?;
    let saved =
        saved.unwrap_or_else(|| SavedState { run_id: new_run_id(setup.run_seed), ..Default::default() });
    Ok(Prepared { compute, checkpoints, epoch, stored, saved, init, frozen })
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
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run_seed.to_le_bytes());
    hasher.update(&now.as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

fn services(setup: &LearnerSetup, prepared: &Prepared) -> Services {
    let learner = &setup.learner;
    let policy = &setup.policy;
    let ledger = Arc::new(match &prepared.stored {
        Some(_) => Ledger::restore(prepared.saved.ledger.clone()),
        None => Ledger::new(),
    });
    let state =
        StateSpec { layers: policy.n_recurrence_layers, memory: policy.maxlen(), width: policy.hidsize };
    Services {
        run_id: prepared.saved.run_id.clone(),
        architecture: policy.fingerprint(),
        spec: UnrollSpec {
            unroll_length: learner.unroll_length,
            frame_height: policy.image_size,
            frame_width: policy.image_size,
            buttons: action::BUTTONS as u32,
            camera: action::CAMERA as u32,
            state: Some(state),
        },
        admission: learner.admission.clone(),
        queue: UnrollQueue::new(&learner.admission, ledger.clone()),
        weights: Arc::new(WeightStore::new()),
        ledger,
        status: Arc::new(StatusBoard::new(&prepared.saved.run_id, learner.stage.name())),
        actors: ActorTable::new(learner.admission.max_actors),
    }
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
        services.queue.discard("draining");
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
    let Prepared { compute, checkpoints, epoch, stored, saved, init, frozen } = prepared;
    let stopwatch = Stopwatch::new();
    let mut trainer = trainer(&setup, compute, stored.as_ref(), init, stopwatch.clone())?;
    let sequence = stored.as_ref().map_or(0, |stored| stored.manifest.version.sequence);
    let stage = setup.learner.stage;
    let mut session = Session {
        log: EventLog::open(&setup.learner.out)?,
        setup,
        run_id: saved.run_id,
        queue: services.queue.clone(),
        weights: services.weights.clone(),
        ledger: services.ledger.clone(),
        status: services.status.clone(),
        health,
        shutdown,
        stopwatch,
        checkpoints,
        version: Version::new(epoch, sequence),
        returns: saved.returns,
        seconds_before: trainer.counters.training_seconds,
        started: Instant::now(),
    };
    match stage {
        Stage::Bc => bc_loop::run(&mut session, &mut trainer, stored.as_ref()),
        Stage::Ppg => {
            drop(stored);
            ppg_loop::run(&mut session, &mut trainer, frozen)
        }
    }
}

fn trainer(
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
