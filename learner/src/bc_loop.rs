//! The behavioural cloning stage: streams of recorded play, one gradient step a batch, until a limit is reached.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use vpt_policy::{Policy, RecurrentState};

use crate::algo::bc::bc_loss;
use crate::batch::{FlatOutput, SequenceBatch, scalar, to_tensor};
use crate::checkpoint::{Contents, Files, LANES_FILE, Stored};
use crate::config::BcConfig;
use crate::dataset::{Demonstrations, LoadedBatch, SequenceLoader, SequencePlan};
use crate::error::LearnerError;
use crate::lanes;
use crate::metrics;
use crate::nonfinite::{Evidence, state_tensors};
use crate::session::Session;
use crate::training::{Phase, Trainer};
use crate::version::Version;

/// Longest wait for a batch between two looks at the shutdown token.
const POLL: Duration = Duration::from_millis(500);
/// Updates between two lines of the log.
const LOG_EVERY_UPDATES: u64 = 20;
/// Names the order of validation streams, which is the same every time.
const VALIDATION_KEY: u64 = 0x0076_616c;

/// Clones recorded play until a limit of the config is reached or the session stops; ends with a checkpoint.
///
/// # Errors
/// When the data cannot be read, a tensor operation fails, or the last checkpoint cannot be written.
pub(crate) fn run(
    session: &mut Session,
    trainer: &mut Trainer,
    resume: Option<&Stored>,
) -> Result<(), LearnerError> {
    let config = session.setup.learner.bc.clone();
    let seed = session.setup.run_seed;
    let data = Demonstrations::open(&config, &trainer.config, seed)?;
    let (rank, count) = (session.ranks.rank(), config.batch_sequences / session.ranks.count());
    let own = rank * count..(rank + 1) * count;
    let state = match resume.and_then(|stored| stored.files.get(LANES_FILE)) {
        Some(bytes) => {
            let device = &trainer.compute.device;
            let all = lanes::from_bytes(bytes, &trainer.config, config.batch_sequences, device)?;
            lanes::part(&all, own.clone())?
        }
        None => RecurrentState::initial(&trainer.config, own.len(), &trainer.compute.device)?,
    };
    let mut plan = plan_over(&data, &data.training, config.batch_sequences, &config, seed);
    plan.skip(trainer.counters.bc_updates);
    let loader = SequenceLoader::start(
        data.clone(),
        plan,
        own.clone(),
        config.prefetch,
        trainer.compute.device.clone(),
    )?;
    let batch_steps = (config.batch_sequences * config.sequence_length) as u64;
    let pass_updates = data.training_steps().div_ceil(batch_steps);
    let limits = Limits { pass_updates, config: config.clone() };
    let mut bc = BcLoop { session, trainer, config, data, loader, own, state, limits, batch_steps };
    let result = bc.run();
    if let Err(LearnerError::Ranks(error)) = &result {
        tracing::error!(%error, "training stops at the last whole update");
        bc.save_without_ranks()?;
    }
    result
}

/// What ends the stage.
struct Limits {
    pass_updates: u64,
    config: BcConfig,
}

impl Limits {
    /// Updates to take, where that is known beforehand.
    fn updates(&self) -> Option<u64> {
        let BcConfig { max_updates, max_seconds, epochs, .. } = self.config;
        match (max_updates, max_seconds > 0.0) {
            (0, true) => None,
            (0, false) => Some(epochs * self.pass_updates),
            _ => Some(max_updates),
        }
    }

    /// 0 at the start, 1 at the end.
    fn progress(&self, updates: u64, seconds: f64) -> f64 {
        let by_updates = self.updates().map_or(0.0, |limit| updates as f64 / limit.max(1) as f64);
        let max_seconds = self.config.max_seconds;
        let by_seconds = if max_seconds > 0.0 { seconds / max_seconds } else { 0.0 };
        by_updates.max(by_seconds)
    }
}

struct BcLoop<'a> {
    session: &'a mut Session,
    trainer: &'a mut Trainer,
    config: BcConfig,
    data: Arc<Demonstrations>,
    loader: SequenceLoader,
    /// This rank's lanes among all of the batch.
    own: Range<usize>,
    /// Of every lane of this rank, before the next batch.
    state: RecurrentState,
    limits: Limits,
    batch_steps: u64,
}

/// Sums since the last line of the log.
struct Recent {
    since: Instant,
    updates: u64,
    loss: f64,
    grad_norm: f64,
}

impl Recent {
    fn new() -> Self {
        Self { since: Instant::now(), updates: 0, loss: 0.0, grad_norm: 0.0 }
    }
}

impl BcLoop<'_> {
    fn run(&mut self) -> Result<(), LearnerError> {
        let mut recent = Recent::new();
        self.session.health.set_ready(true);
        while self.goes_on()? {
            let Some(batch) = self.next_batch()? else { continue };
            self.session.status.set_phase("bc_update");
            self.update(&batch, &mut recent)?;
            let updates = self.trainer.counters.bc_updates;
            if updates.is_multiple_of(LOG_EVERY_UPDATES) {
                self.log(&mut recent);
            }
            let every = self.config.validation_every_updates;
            if every > 0 && updates.is_multiple_of(every) {
                self.validate()?;
            }
            if updates.is_multiple_of(self.session.setup.learner.checkpoint.every_updates) {
                let lanes = self.lanes_file()?;
                self.session.checkpoint(self.trainer, lanes)?;
            }
        }
        if recent.updates > 0 {
            self.log(&mut recent);
        }
        if !self.session.stopping() {
            self.validate()?;
        }
        self.session.status.set_phase("done");
        self.session.finish_log();
        let lanes = self.lanes_file()?;
        self.session.last_checkpoint(self.trainer, lanes)
    }

    /// Whether there is another update; all ranks come to the same answer.
    fn goes_on(&mut self) -> Result<bool, LearnerError> {
        self.session.agree(true)?;
        Ok(!self.session.stopping() && self.progress() < 1.0)
    }

    /// The next batch. None, where nobody else counts on this update, for another look at whether training goes on.
    fn next_batch(&mut self) -> Result<Option<LoadedBatch>, LearnerError> {
        let stopwatch = self.session.stopwatch.clone();
        self.session.status.set_phase("wait_data");
        loop {
            self.session.health.heartbeat();
            let batch = stopwatch.during("wait_data", || self.loader.recv(POLL))?;
            if batch.is_some() || self.session.ranks.is_alone() {
                return Ok(batch);
            }
        }
    }

    /// After a rank was lost, on rank 0: the checkpoint of the last whole update. Streams of other ranks go on in it with
    /// an empty memory.
    fn save_without_ranks(&mut self) -> Result<(), LearnerError> {
        if !self.session.leave_ranks(self.trainer) {
            return Ok(());
        }
        let rest = self.config.batch_sequences - self.own.len();
        let empty = RecurrentState::initial(&self.trainer.config, rest, &self.trainer.compute.device)?;
        let state = RecurrentState::cat(&[&self.state, &empty])?;
        self.name_checkpoint();
        self.session.last_checkpoint(self.trainer, vec![(LANES_FILE, contents(state))])
    }

    fn progress(&self) -> f64 {
        self.limits.progress(self.trainer.counters.bc_updates, self.session.seconds())
    }

    fn update(&mut self, batch: &LoadedBatch, recent: &mut Recent) -> Result<(), LearnerError> {
        let lr = self.learning_rate();
        let stopwatch = self.session.stopwatch.clone();
        let (loss, state) = stopwatch
            .during("forward", || share_of_loss(self.trainer, &batch.sequences, &self.state, &batch.mask))?;
        let outcome = self.trainer.step(Phase::Main, &loss, lr, self.config.max_grad_norm)?;
        self.state = if outcome.skipped {
            self.examine(batch)?;
            // The batch may have filled the memory with numbers that are not finite.
            RecurrentState::initial(&self.trainer.config, self.own.len(), &self.trainer.compute.device)?
        } else {
            recent.updates += 1;
            recent.loss += outcome.loss;
            recent.grad_norm += outcome.grad_norm;
            state
        };
        let counters = &mut self.trainer.counters;
        counters.bc_updates += 1;
        counters.env_steps_trained += self.batch_steps;
        metrics::frames_consumed(self.batch_steps);
        metrics::null_actions(batch.null_actions);
        Ok(())
    }

    /// Keeps a batch that no step was taken on.
    fn examine(&mut self, batch: &LoadedBatch) -> Result<(), LearnerError> {
        let counters = self.trainer.counters.clone();
        let state = &self.state;
        self.trainer.nonfinite.examine(|| {
            let SequenceBatch { frames, is_first, buttons, camera } = &batch.sequences;
            let shape = is_first.dims2()?;
            let mut tensors = vec![
                ("mask".to_owned(), Tensor::from_slice(&batch.mask, shape, &Device::Cpu)?),
                ("buttons".to_owned(), buttons.reshape(shape)?),
                ("camera".to_owned(), camera.reshape(shape)?),
                ("is_first".to_owned(), is_first.clone()),
                ("frames".to_owned(), frames.clone()),
            ];
            tensors.extend(state_tensors(state));
            Ok(Evidence { phase: "bc", counters, losses: Vec::new(), tensors, unrolls: Vec::new() })
        })
    }

    fn learning_rate(&self) -> f64 {
        let lr = self.config.lr_schedule.at(self.config.lr, self.progress());
        let updates = self.trainer.counters.bc_updates + 1;
        match self.config.warmup_updates {
            warmup if updates < warmup => lr * updates as f64 / warmup as f64,
            _ => lr,
        }
    }

    fn log(&mut self, recent: &mut Recent) {
        let count = recent.updates.max(1) as f64;
        let (loss, grad_norm) = (recent.loss / count, recent.grad_norm / count);
        let seconds = recent.since.elapsed().as_secs_f64();
        let frames_per_second = recent.updates as f64 * self.batch_steps as f64 / seconds.max(1e-9);
        metrics::loss("bc", loss);
        let step = self.trainer.counters.env_steps_trained;
        let pass = self.trainer.counters.bc_updates as f64 / self.limits.pass_updates as f64;
        let learning_rate = self.learning_rate();
        self.session.scalars(
            step,
            [
                ("losses/bc_loss", loss),
                ("losses/grad_norm", grad_norm),
                ("charts/learning_rate", learning_rate),
                ("charts/SPS", frames_per_second),
                ("charts/epoch", pass),
            ],
        );
        self.session.flush();
        let target = match self.limits.updates() {
            Some(updates) => updates * self.batch_steps,
            None => (step as f64 / self.progress().max(1e-9)) as u64,
        };
        self.session.update_status(self.trainer, loss, frames_per_second, target.max(step));
        *recent = Recent::new();
    }

    /// Mean negative log-likelihood of held-out episodes, states carried as in training.
    fn validate(&mut self) -> Result<(), LearnerError> {
        let held_out = self.data.validation.iter().copied().take(self.config.validation_episodes);
        let (rank, count) = (self.session.ranks.rank(), self.session.ranks.count());
        let episodes: Vec<usize> = held_out.skip(rank).step_by(count).collect();
        let mut sums = self.validation_sums(&episodes)?;
        self.session.ranks.sum("validation", &mut sums)?;
        let [sum, kept] = sums;
        if kept == 0.0 {
            return Ok(());
        }
        let step = self.trainer.counters.env_steps_trained;
        let nll = sum / kept;
        tracing::info!(frames = step, validation_nll = nll, "validated");
        self.session.scalars(step, [("losses/validation_nll", nll)]);
        self.session.flush();
        Ok(())
    }

    /// The negative log-likelihood of these episodes, and over how many steps; nothing when told to stop.
    fn validation_sums(&mut self, episodes: &[usize]) -> Result<[f64; 2], LearnerError> {
        let steps: usize = episodes.iter().map(|&episode| self.data.steps(episode)).sum();
        if steps == 0 {
            return Ok([0.0; 2]);
        }
        let lanes = self.config.batch_sequences.min(episodes.len());
        let plan = plan_over(&self.data, episodes, lanes, &self.config, VALIDATION_KEY);
        let device = self.trainer.compute.device.clone();
        let loader = SequenceLoader::start(self.data.clone(), plan, 0..lanes, self.config.prefetch, device)?;
        let stopwatch = self.session.stopwatch.clone();
        let policy =
            self.trainer.compute.policy(&self.trainer.config, &self.trainer.parameters.frozen_copy()?)?;
        let mut state = RecurrentState::initial(&self.trainer.config, lanes, &self.trainer.compute.device)?;
        let (mut sum, mut count) = (0.0, 0.0);
        let mut left = steps.div_ceil(lanes * self.config.sequence_length);
        while left > 0 {
            if self.session.stopping() {
                return Ok([0.0; 2]);
            }
            self.session.health.heartbeat();
            let Some(batch) = stopwatch.during("wait_data", || loader.recv(POLL))? else { continue };
            left -= 1;
            let (loss, next) =
                stopwatch.during("forward", || forward(&policy, &batch.sequences, &state, &batch.mask))?;
            let kept: f32 = batch.mask.iter().sum();
            sum += scalar(&loss)? * f64::from(kept);
            count += f64::from(kept);
            state = next;
        }
        Ok([sum, count])
    }

    /// What a checkpoint of this stage has besides; gives the session its version. The lanes of all ranks come to rank 0.
    fn lanes_file(&mut self) -> Result<Files, LearnerError> {
        self.name_checkpoint();
        if self.session.ranks.is_alone() {
            return Ok(vec![(LANES_FILE, contents(self.state.clone()))]);
        }
        let all = self.session.ranks.gather("lanes", lanes::to_bytes(&self.state)?)?;
        if !self.session.ranks.is_first() {
            return Ok(Files::new());
        }
        let read = |bytes: &Vec<u8>| {
            lanes::from_bytes(bytes, &self.trainer.config, self.own.len(), &self.trainer.compute.device)
        };
        let states = all.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let states = RecurrentState::cat(&states.iter().collect::<Vec<_>>())?;
        Ok(vec![(LANES_FILE, contents(states))])
    }

    /// Nothing is published in this stage: a checkpoint's version counts updates.
    fn name_checkpoint(&mut self) {
        self.session.version = Version::new(self.session.version.epoch, self.trainer.counters.bc_updates);
    }
}

/// States are never changed in place: holding them is enough.
fn contents(state: RecurrentState) -> Contents {
    Contents::made(move || lanes::to_bytes(&state))
}

fn plan_over(
    data: &Demonstrations,
    episodes: &[usize],
    lanes: usize,
    config: &BcConfig,
    seed: u64,
) -> SequencePlan {
    let episodes = episodes.iter().map(|&episode| (episode, data.steps(episode))).collect();
    SequencePlan::new(episodes, lanes, config.sequence_length, seed)
}

/// What this rank adds to the loss, so that the average over ranks is the mean over all kept steps, and the state after
/// the batch.
fn share_of_loss(
    trainer: &Trainer,
    sequences: &SequenceBatch,
    state: &RecurrentState,
    mask: &[f32],
) -> Result<(candle_core::Tensor, RecurrentState), LearnerError> {
    let (loss, state) = forward(&trainer.policy, sequences, state, mask)?;
    let kept: f32 = mask.iter().sum();
    let weight = trainer.ranks.mean_weight(f64::from(kept))?;
    Ok((if weight == 1.0 { loss } else { (loss * weight)? }, state))
}

/// The loss of a batch and the state after it.
fn forward(
    policy: &Policy,
    sequences: &SequenceBatch,
    state: &RecurrentState,
    mask: &[f32],
) -> Result<(candle_core::Tensor, RecurrentState), LearnerError> {
    let output = FlatOutput::new(policy.forward(&sequences.frames, &sequences.is_first, state)?)?;
    let log_prob = output.log_prob(sequences)?;
    let mask = to_tensor(mask.to_vec(), log_prob.device())?;
    Ok((bc_loss(&log_prob, &mask)?, output.state))
}

#[cfg(test)]
mod tests;
