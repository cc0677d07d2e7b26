//! What a training stage works with besides the network: handles to the services, the log, checkpoints, the clock.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vpt_policy::{ExportDType, Parameters};
use vpt_runtime::ops::Health;

use crate::checkpoint::{
    AUX_OPTIMIZER_FILE, CheckpointError, CheckpointFolder, OPTIMIZER_FILE, POLICY_FILE, RUN_CONFIG_FILE,
    STATE_FILE, Snapshot, Stored,
};
use crate::error::LearnerError;
use crate::event_log::EventLog;
use crate::ledger::{Ledger, LedgerState};
use crate::metrics;
use crate::publish::WeightStore;
use crate::queue::UnrollQueue;
use crate::returns::ReturnWindow;
use crate::run::LearnerSetup;
use crate::status::StatusBoard;
use crate::stopwatch::Stopwatch;
use crate::training::{Counters, Trainer};
use crate::version::Version;

/// `state.json`: what is neither weights nor moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedState {
    pub(crate) run_id: String,
    pub(crate) run_seed: u64,
    pub(crate) counters: Counters,
    pub(crate) ledger: LedgerState,
    pub(crate) returns: ReturnWindow,
}

/// A stage's surroundings; lives on the training thread.
pub(crate) struct Session {
    pub(crate) setup: LearnerSetup,
    pub(crate) run_id: String,
    pub(crate) queue: Arc<UnrollQueue>,
    pub(crate) weights: Arc<WeightStore>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) checkpoints: CheckpointFolder,
    pub(crate) log: EventLog,
    /// The version these weights are, or the last published one.
    pub(crate) version: Version,
    pub(crate) returns: ReturnWindow,
    /// Training seconds of earlier starts.
    pub(crate) seconds_before: f64,
    pub(crate) started: Instant,
}

impl Session {
    /// Whether training should end at the next opportunity.
    pub(crate) fn stopping(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Training seconds over all starts.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Notes scalars at `step` (env steps). A log that cannot be written costs the log, not the training.
    pub(crate) fn scalars<'a>(&mut self, step: u64, scalars: impl IntoIterator<Item = (&'a str, f64)>) {
        for (tag, value) in scalars {
            if let Err(error) = self.log.scalar(tag, step, value) {
                tracing::warn!(%error, "scalars not logged");
                return;
            }
        }
    }

    /// Writes the gathered scalars.
    pub(crate) fn flush(&mut self) {
        if let Err(error) = self.log.flush() {
            tracing::warn!(%error, "scalars not logged");
        }
    }

    /// Publishes the weights as the next version of this epoch.
    pub(crate) fn publish(&mut self, parameters: &Parameters) -> Result<(), LearnerError> {
        let dtype = self.setup.learner.publish.dtype;
        let stopwatch = self.stopwatch.clone();
        stopwatch.during("publish", || {
            let version = Version::new(self.version.epoch, self.version.sequence + 1);
            let payload = Bytes::from(parameters.to_safetensors(dtype.export(), false)?);
            self.weights.publish(version, payload, dtype.name(), &parameters.fingerprint())?;
            self.version = version;
            self.status.update(|status| status.version = version);
            Ok(())
        })
    }

    /// Writes a checkpoint of the current version. A failure is logged and counted, and left for the caller to
    /// decide on; earlier checkpoints are untouched.
    pub(crate) fn checkpoint(
        &mut self,
        trainer: &mut Trainer,
        extra: Vec<(&'static str, Vec<u8>)>,
    ) -> Result<(), LearnerError> {
        trainer.counters.training_seconds = self.seconds();
        let stopwatch = self.stopwatch.clone();
        let result = stopwatch.during("checkpoint", || self.write_checkpoint(trainer, extra));
        match &result {
            Ok(()) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                metrics::checkpoint_success(now.as_secs_f64());
                tracing::info!(version = %self.version, "checkpoint written");
            }
            Err(error) => {
                metrics::checkpoint_failure();
                tracing::error!(%error, "checkpoint not written; training goes on and tries again");
            }
        }
        result
    }

    fn write_checkpoint(
        &self,
        trainer: &Trainer,
        extra: Vec<(&'static str, Vec<u8>)>,
    ) -> Result<(), LearnerError> {
        let state = SavedState {
            run_id: self.run_id.clone(),
            run_seed: self.setup.run_seed,
            counters: trainer.counters.clone(),
            ledger: self.ledger.state(),
            returns: self.returns.clone(),
        };
        let state = serde_json::to_vec_pretty(&state)
            .map_err(|source| CheckpointError::State { path: self.checkpoints.dir().to_owned(), source })?;
        let (optimizer, aux_optimizer) = trainer.optimizer_bytes()?;
        let mut files = vec![
            (POLICY_FILE, trainer.parameters.to_safetensors(ExportDType::F32, true)?),
            (OPTIMIZER_FILE, optimizer),
            (STATE_FILE, state),
            (RUN_CONFIG_FILE, self.setup.run_config_toml.clone().into_bytes()),
        ];
        files.extend(aux_optimizer.map(|bytes| (AUX_OPTIMIZER_FILE, bytes)));
        files.extend(extra);
        let stage = self.setup.learner.stage.name();
        let policy = trainer.config.clone();
        self.checkpoints.write(&Snapshot { version: self.version, stage, policy, files })?;
        Ok(())
    }

    /// Copies what every stage reports onto the status board.
    pub(crate) fn update_status(&self, trainer: &Trainer, loss: f64, steps_per_second: f64, target: u64) {
        let counters = &trainer.counters;
        let returns = self.returns.returns();
        self.status.update(|status| {
            status.env_steps_trained = counters.env_steps_trained;
            status.env_steps_target = target;
            status.optimizer_steps = counters.optimizer_steps;
            status.env_steps_per_second = steps_per_second;
            status.mean_return = returns.mean;
            status.episodes = counters.episodes;
            status.loss = loss;
            status.time_seconds = self.stopwatch.seconds().collect();
        });
    }
}

/// The saved state of a checkpoint.
///
/// # Errors
/// When the file is missing or does not parse.
pub(crate) fn saved_state(stored: &Stored) -> Result<SavedState, CheckpointError> {
    serde_json::from_slice(stored.file(STATE_FILE)?)
        .map_err(|source| CheckpointError::State { path: stored.path.clone(), source })
}

/// Brings a trainer to where a checkpoint left it (its weights are loaded already).
pub(crate) fn restore_trainer(trainer: &mut Trainer, stored: &Stored) -> Result<(), LearnerError> {
    let aux = stored.files.get(AUX_OPTIMIZER_FILE).map(Vec::as_slice);
    trainer.load_optimizers(stored.file(OPTIMIZER_FILE)?, aux)?;
    trainer.counters = saved_state(stored)?.counters;
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing;
