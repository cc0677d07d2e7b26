//! What a training stage works with besides the network: handles to the services, the log, checkpoints, the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vpt_policy::{Adam, ExportDType, Parameters};
use vpt_runtime::ops::Health;

use crate::assignment::{Assignment, Places};
use crate::batch_traces::BatchTraces;
use crate::checkpoint::{
    AUX_OPTIMIZER_FILE, CheckpointError, Contents, Draft, Files, OPTIMIZER_FILE, POLICY_FILE,
    RUN_CONFIG_FILE, STATE_FILE, Stored,
};
use crate::checkpoint_writer::CheckpointWriter;
use crate::comparison::Comparison;
use crate::error::LearnerError;
use crate::journal::{Journal, PublishMark};
use crate::ledger::{Ledger, LedgerState};
use crate::log_writer::LogWriter;
use crate::publisher::Publisher;
use crate::ranks::Ranks;
use crate::ranks::start::RankState;
use crate::returns::ReturnWindow;
use crate::run::LearnerSetup;
use crate::source::UnrollSource;
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
    /// Unrolls consumed: where in the journal to go on.
    #[serde(default)]
    pub(crate) consumed: u64,
    /// The same of the other ranks, from rank 1 on.
    #[serde(default)]
    pub(crate) ranks: Vec<RankState>,
    /// Which rank takes which actor.
    #[serde(default)]
    pub(crate) places: Places,
}

/// A stage's surroundings; lives on the training thread.
pub(crate) struct Session {
    pub(crate) setup: LearnerSetup,
    pub(crate) run_id: String,
    pub(crate) source: UnrollSource,
    /// Of the batch that is trained on.
    pub(crate) traces: BatchTraces,
    pub(crate) journal: Arc<Journal>,
    pub(crate) publisher: Publisher,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) stopwatch: Stopwatch,
    /// Who else trains this model.
    pub(crate) ranks: Ranks,
    /// Which rank takes which actor's slots.
    pub(crate) assignment: Arc<Assignment>,
    /// What the last checkpoint holds of the other ranks.
    pub(crate) other_ranks: Vec<RankState>,
    /// With several ranks: one of them was told to stop, and all know.
    pub(crate) agreed_to_stop: bool,
    /// None in a replay, which leaves nothing behind, and from rank 1 on.
    pub(crate) checkpoints: Option<CheckpointWriter>,
    /// None in a replay.
    pub(crate) log: Option<LogWriter>,
    /// The version these weights are, or the last published one.
    pub(crate) version: Version,
    pub(crate) returns: ReturnWindow,
    /// Unrolls consumed up to the last boundary between phases.
    pub(crate) consumed: u64,
    /// In a replay: what is published is compared with the first time.
    pub(crate) comparison: Option<Comparison>,
    /// Training seconds of earlier starts.
    pub(crate) seconds_before: f64,
    pub(crate) started: Instant,
}

impl Session {
    /// Whether training should end at the next opportunity. With several ranks that changes only in [`Self::agree`], so
    /// that it is the same on all of them.
    pub(crate) fn stopping(&self) -> bool {
        if self.ranks.is_alone() { self.shutdown.is_cancelled() } else { self.agreed_to_stop }
    }

    /// Tells the other ranks whether this one is `ready` and whether it was told to stop; returns whether all are ready.
    pub(crate) fn agree(&mut self, ready: bool) -> Result<bool, LearnerError> {
        if self.ranks.is_alone() {
            return Ok(ready);
        }
        let flags = [!ready, self.shutdown.is_cancelled()];
        let mut numbers = flags.map(|flag| f64::from(u8::from(flag)));
        self.stopwatch.during("exchange", || self.ranks.sum("going on", &mut numbers))?;
        self.agreed_to_stop |= numbers[1] > 0.0;
        Ok(numbers[0] == 0.0)
    }

    /// After a rank was lost: what is left to do is done without the others. False when that is nothing.
    pub(crate) fn leave_ranks(&mut self, trainer: &mut Trainer) -> bool {
        let is_first = self.ranks.is_first();
        self.ranks = Ranks::alone();
        trainer.ranks = Ranks::alone();
        is_first
    }

    /// Training seconds over all starts.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Notes scalars at `step` (env steps). A log that cannot be written costs the log, not the training.
    pub(crate) fn scalars<'a>(&self, step: u64, scalars: impl IntoIterator<Item = (&'a str, f64)>) {
        let scalars: Vec<_> = scalars.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect();
        self.status.note(&scalars);
        if let Some(log) = &self.log {
            log.scalars(step, scalars);
        }
    }

    /// Notes at `step` how often each number occurred.
    pub(crate) fn counts(&self, step: u64, tag: &'static str, counts: &BTreeMap<u64, u64>) {
        if let Some(log) = &self.log {
            log.counts(step, tag, counts.clone());
        }
    }

    /// Has the gathered scalars written.
    pub(crate) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }

    /// Waits until they are; for the end of a stage.
    pub(crate) fn finish_log(&self) {
        if let Some(log) = &self.log {
            log.finish();
        }
    }

    /// Publishes the weights as the next version of this epoch.
    pub(crate) fn publish(&mut self, parameters: &Parameters) -> Result<(), LearnerError> {
        self.publish_as(self.version.sequence + 1, parameters)
    }

    /// Publishes the weights that training starts from: after a restart under their old number in the new epoch, so
    /// that later numbers are those of a run that was never stopped.
    pub(crate) fn publish_start(&mut self, parameters: &Parameters) -> Result<(), LearnerError> {
        self.publish_as(self.version.sequence.max(1), parameters)?;
        self.finish_publishing()
    }

    /// Waits until what was published is out.
    pub(crate) fn finish_publishing(&mut self) -> Result<(), LearnerError> {
        let stopwatch = self.stopwatch.clone();
        let marks = stopwatch.during("publish", || self.publisher.finish())?;
        self.note_published(&marks);
        Ok(())
    }

    fn publish_as(&mut self, sequence: u64, parameters: &Parameters) -> Result<(), LearnerError> {
        let stopwatch = self.stopwatch.clone();
        stopwatch.during("publish", || {
            let version = Version::new(self.version.epoch, sequence);
            // Last on rank 0, where actors get it: no rank is to see an unroll of a version that it does not know yet.
            if self.ranks.is_first() {
                self.ranks.total("published", 0.0)?;
            }
            let traces = std::mem::take(&mut self.traces);
            let mut marks = self.publisher.publish(version, parameters, self.consumed, traces)?;
            if !self.ranks.is_first() {
                self.ranks.total("published", 0.0)?;
            }
            if self.comparison.is_some() {
                marks.extend(self.publisher.finish()?);
            }
            self.version = version;
            self.status.update(|status| status.version = version);
            self.note_published(&marks);
            Ok(())
        })
    }

    fn note_published(&mut self, marks: &[PublishMark]) {
        for mark in marks {
            match &mut self.comparison {
                Some(comparison) => comparison.published(mark),
                None => {
                    if let Some(log) = self.log.as_ref().filter(|_| self.journal.has_payload()) {
                        log.mark(*mark);
                    }
                }
            }
        }
    }

    /// In a replay: compares weights and moments with the checkpoint that was made at this point, if one was.
    pub(crate) fn compare_checkpoint(&mut self, trainer: &Trainer) -> Result<(), LearnerError> {
        let consumed = self.consumed;
        let Some(comparison) = self.comparison.as_mut().filter(|it| it.has_checkpoint(consumed)) else {
            return Ok(());
        };
        let weights = trainer.parameters.to_safetensors(ExportDType::F32, true)?;
        let moments = trainer.optimizer_bytes()?;
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        comparison.checkpoint(consumed, &[hash(&weights), hash(&moments)]);
        Ok(())
    }

    /// Compares the books with what is really there; between two phases, when the training thread holds nothing.
    pub(crate) fn audit_ledger(&self) {
        if self.comparison.is_none() {
            // Between two phases, of which the next will do as well: a slow disk must not hold up training.
            let _ = self.journal.held_still_if_free(|| self.ledger.audit(self.source.steps()));
        }
    }

    /// Whether a checkpoint would be taken now.
    pub(crate) fn can_checkpoint(&mut self) -> Result<bool, LearnerError> {
        let free = match &mut self.checkpoints {
            Some(writer) => writer.is_free(),
            None => !self.ranks.is_first(),
        };
        self.ranks.all("checkpoint free", free)
    }

    /// Brings what the checkpoint is to hold of each rank to rank 0.
    fn gather_ranks(&mut self, trainer: &Trainer) -> Result<(), LearnerError> {
        if self.ranks.is_alone() {
            return Ok(());
        }
        self.ranks.check_same(&trainer.parameters, trainer.counters.optimizer_steps)?;
        let (ledger, returns) = (self.ledger.state(), self.returns.clone());
        let own = RankState { ledger, returns, consumed: self.consumed };
        let path = &self.setup.learner.out;
        let unreadable = |source| CheckpointError::State { path: path.clone(), source };
        let all = self.ranks.gather("ranks", serde_json::to_vec(&own).map_err(unreadable)?)?;
        let others = all.iter().skip(1).map(|bytes| serde_json::from_slice(bytes).map_err(unreadable));
        self.other_ranks = others.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Hands a checkpoint of the current version to the thread that writes it; false when that is not done with the one
    /// before, or this one cannot be made. Failures are logged and counted; earlier checkpoints are untouched.
    pub(crate) fn checkpoint(&mut self, trainer: &mut Trainer, extra: Files) -> Result<bool, LearnerError> {
        trainer.counters.training_seconds = self.seconds();
        let stopwatch = self.stopwatch.clone();
        stopwatch.during("checkpoint", || {
            let consumed = self.consumed;
            if !self.can_checkpoint()? {
                return Ok(false);
            }
            self.gather_ranks(trainer)?;
            if !self.ranks.is_first() {
                return Ok(true);
            }
            let draft = self.draft(trainer, extra)?;
            match &mut self.checkpoints {
                Some(writer) => writer.begin(draft, consumed).map(|()| true),
                None => Ok(false),
            }
        })
    }

    /// The checkpoint at a stage's end: waits until it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn last_checkpoint(
        &mut self,
        trainer: &mut Trainer,
        extra: Files,
    ) -> Result<(), LearnerError> {
        // Its failure was that of an earlier one.
        let _ = self.checkpoints.as_mut().map(CheckpointWriter::wait);
        self.checkpoint(trainer, extra)?;
        self.checkpoints.as_mut().map_or(Ok(()), CheckpointWriter::wait)
    }

    fn draft(&self, trainer: &Trainer, extra: Files) -> Result<Draft, LearnerError> {
        let state = SavedState {
            run_id: self.run_id.clone(),
            run_seed: self.setup.run_seed,
            counters: trainer.counters.clone(),
            ledger: self.ledger.state(),
            returns: self.returns.clone(),
            consumed: self.consumed,
            ranks: self.other_ranks.clone(),
            places: self.assignment.places(),
        };
        let out = &self.setup.learner.out;
        let state = serde_json::to_vec_pretty(&state)
            .map_err(|source| CheckpointError::State { path: out.clone(), source })?;
        let masters = trainer.parameters.frozen_copy()?;
        let (optimizer, aux_optimizer) = trainer.frozen_optimizers()?;
        let moments = |adam: Adam| Contents::made(move || Ok(adam.to_safetensors()?));
        let mut files = vec![
            (POLICY_FILE, Contents::made(move || Ok(masters.to_safetensors(ExportDType::F32, true)?))),
            (OPTIMIZER_FILE, moments(optimizer)),
            (STATE_FILE, Contents::Bytes(state)),
            (RUN_CONFIG_FILE, Contents::Bytes(self.setup.run_config_toml.clone().into_bytes())),
        ];
        files.extend(aux_optimizer.map(|adam| (AUX_OPTIMIZER_FILE, moments(adam))));
        files.extend(extra);
        let stage = self.setup.learner.stage.name();
        Ok(Draft { version: self.version, stage, policy: trainer.config.clone(), files })
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
