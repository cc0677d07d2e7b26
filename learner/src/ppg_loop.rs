//! The phasic policy gradient stage: collect a batch, policy phase, now and then an auxiliary phase, publish, checkpoint.

mod report;

use std::time::{Duration, Instant};

use vpt_policy::ValueGradient;

use crate::algo::kl::kl_coefficient;
use crate::aux_phase::AuxPhase;
use crate::checkpoint::{Contents, FROZEN_STREAMS_FILE, Files};
use crate::config::PpgConfig;
use crate::error::LearnerError;
use crate::experience::Experience;
use crate::frozen_policy::FrozenPolicy;
use crate::metrics;
use crate::off_policy;
use crate::policy_phase::{PolicyPhase, PolicyPhaseStatistics};
use crate::returns::ItemRewards;
use crate::session::Session;
use crate::source::{Arrival, Preparation};
use crate::training::Trainer;

/// Longest wait for an unroll between two looks at the shutdown token.
const POLL: Duration = Duration::from_millis(500);
/// Waiting this long for data is worth a warning, repeated as often.
const STARVED: Duration = Duration::from_secs(30);

/// Trains until `total_env_steps` or `max_seconds` is reached, or the session stops; ends with a checkpoint.
///
/// # Errors
/// When a tensor operation fails or the last checkpoint cannot be written.
pub(crate) fn run(
    session: &mut Session,
    trainer: &mut Trainer,
    frozen: Option<FrozenPolicy>,
) -> Result<(), LearnerError> {
    let config = session.setup.learner.ppg.clone();
    if config.value_head_lr > 0.0 {
        trainer.set_value_head_lr(config.value_head_lr);
    }
    let mut ppg = PpgLoop::new(session, trainer, frozen, config);
    let result = ppg.run();
    if let Err(LearnerError::Ranks(error)) = &result {
        tracing::error!(%error, "training stops at the last whole step");
        ppg.save_without_ranks()?;
    }
    result
}

struct PpgLoop<'a> {
    session: &'a mut Session,
    trainer: &'a mut Trainer,
    frozen: Option<FrozenPolicy>,
    config: PpgConfig,
    /// Unrolls of the policy phases since the last auxiliary phase, and older ones that may be used again.
    buffer: Vec<Experience>,
    /// Policy phases since the last auxiliary phase.
    buffered_phases: u64,
    /// Rewards by item since the last policy phase.
    item_rewards: ItemRewards,
    /// Policy phases at the last checkpoint.
    at_checkpoint: u64,
}

impl<'a> PpgLoop<'a> {
    fn new(
        session: &'a mut Session,
        trainer: &'a mut Trainer,
        frozen: Option<FrozenPolicy>,
        config: PpgConfig,
    ) -> Self {
        let at_checkpoint = trainer.counters.policy_phases;
        Self {
            session,
            trainer,
            frozen,
            config,
            buffer: Vec::new(),
            buffered_phases: 0,
            item_rewards: ItemRewards::default(),
            at_checkpoint,
        }
    }

    fn run(&mut self) -> Result<(), LearnerError> {
        self.session.source.start(Preparation {
            policy: self.trainer.config.clone(),
            gae: self.config.gae(),
            device: self.trainer.compute.device.clone(),
            ahead: self.config.batch_unrolls,
        })?;
        self.session.publish_start(&self.trainer.parameters)?;
        if self.trainer.counters.policy_phases == 0 && self.session.journal.has_payload() {
            // The start that a crash before the first regular one goes back to.
            self.checkpoint()?;
        }
        self.session.update_status(self.trainer, 0.0, 0.0, self.config.total_env_steps);
        self.session.health.set_ready(true);
        while !self.session.stopping() && self.progress() < 1.0 && !self.session.source.has_ended() {
            let started = Instant::now();
            self.session.status.set_phase("wait_data");
            let Some(mut batch) = self.collect()? else { break };
            let wait_seconds = started.elapsed().as_secs_f64();
            let stopwatch = self.session.stopwatch.clone();
            if self.config.vtrace {
                stopwatch
                    .during("forward", || off_policy::correct(self.trainer, &self.config, &mut batch))?;
            }
            let summary = stopwatch.during("batch", || self.summarise(&mut batch, wait_seconds))?;
            let statistics = self.policy_phase(&batch)?;
            if self.stopping() && !statistics.trained.contains(&true) {
                // Cut off before its first gradient step: nothing to publish or to report.
                break;
            }
            self.keep(batch);
            if self.buffered_phases >= self.config.policy_phases_per_aux {
                self.aux_phase()?;
            }
            self.session.consumed = self.session.source.taken();
            self.session.publish(&self.trainer.parameters)?;
            self.session.compare_checkpoint(self.trainer)?;
            self.session.audit_ledger();
            stopwatch
                .during("report", || self.report(&summary, &statistics, started.elapsed().as_secs_f64()));
            let due = self.trainer.counters.policy_phases
                >= self.at_checkpoint + self.session.setup.learner.checkpoint.every_phases;
            let due =
                self.session.ranks.any("checkpoint due", due || self.session.journal.wants_checkpoint())?;
            if due && self.buffered_phases == 0 {
                self.checkpoint()?;
            }
        }
        self.session.health.set_ready(false);
        self.session.status.set_phase("done");
        self.session.finish_publishing()?;
        self.session.finish_log();
        if self.session.journal.has_payload() && !self.buffer.is_empty() {
            // The checkpoint before and the journal say more than one that lacks the buffer of the auxiliary phase.
            return Ok(());
        }
        let streams = self.frozen_streams()?;
        self.session.last_checkpoint(self.trainer, streams)
    }

    /// Hands a checkpoint over; when that cannot be now, the next boundary tries again.
    fn checkpoint(&mut self) -> Result<(), LearnerError> {
        if !self.session.can_checkpoint()? {
            return Ok(());
        }
        let streams = self.frozen_streams()?;
        if self.session.checkpoint(self.trainer, streams)? {
            self.at_checkpoint = self.trainer.counters.policy_phases;
        }
        Ok(())
    }

    /// After a rank was lost, on rank 0: a checkpoint of the weights after the last step that all ranks took, under a
    /// version of their own.
    fn save_without_ranks(&mut self) -> Result<(), LearnerError> {
        if !self.session.leave_ranks(self.trainer) {
            return Ok(());
        }
        self.session.publish(&self.trainer.parameters)?;
        let streams = self.frozen_streams()?;
        self.session.last_checkpoint(self.trainer, streams)
    }

    fn frozen_streams(&self) -> Result<Files, LearnerError> {
        let Some(frozen) = &self.frozen else { return Ok(Files::new()) };
        let streams = frozen.saved_streams()?;
        Ok(vec![(FROZEN_STREAMS_FILE, Contents::made(move || streams.to_bytes()))])
    }

    /// Whether to end inside a phase. With everything in the journal a phase is always finished, so that a run that was
    /// stopped goes on as one that was not.
    fn stopping(&self) -> bool {
        self.session.stopping() && !self.session.journal.has_payload()
    }

    /// 0 at the start, 1 at the end.
    fn progress(&self) -> f64 {
        let steps =
            self.trainer.counters.env_steps_trained as f64 / self.config.total_env_steps.max(1) as f64;
        let seconds = self.config.max_seconds;
        if seconds > 0.0 { steps.max(self.session.seconds() / seconds) } else { steps }
    }

    /// Waits for one batch; `None` when the session stopped first, what had arrived is then booked as `draining`.
    fn collect(&mut self) -> Result<Option<Vec<Experience>>, LearnerError> {
        let stopwatch = self.session.stopwatch.clone();
        let mut batch: Vec<Experience> = Vec::with_capacity(self.config.batch_unrolls);
        let mut heard = Instant::now();
        loop {
            self.session.health.heartbeat();
            let is_full = batch.len() >= self.config.batch_unrolls;
            if self.session.agree(is_full)? {
                return Ok(Some(batch));
            }
            let timed_out = self.config.max_seconds > 0.0 && self.progress() >= 1.0;
            if self.session.stopping() || timed_out || self.session.source.has_ended() {
                if !self.session.journal.has_payload() {
                    let steps = batch.iter().map(|unroll| unroll.steps() as u64).sum();
                    self.session.ledger.dropped("draining", steps);
                }
                return Ok(None);
            }
            if is_full {
                // Others are still waiting for theirs.
                continue;
            }
            let current = self.session.version;
            match stopwatch.during("wait_data", || self.session.source.recv(POLL, current))? {
                Some(arrival) => {
                    heard = Instant::now();
                    let index = batch.len();
                    batch.extend(stopwatch.during("batch", || self.accept(arrival, index)));
                }
                None if heard.elapsed() >= STARVED => {
                    heard = Instant::now();
                    tracing::warn!(
                        have = batch.len(),
                        want = self.config.batch_unrolls,
                        "waiting for unrolls"
                    );
                }
                None => {}
            }
        }
    }

    /// Notes what an unroll brings that is to be number `index` of the batch; one that cannot be used is booked as
    /// `invalid`.
    fn accept(&mut self, arrival: Arrival, index: usize) -> Option<Experience> {
        let Arrival { steps, episode_ends, events, experience, trace } = arrival;
        for end in &episode_ends {
            self.session.returns.push(end, self.config.return_window);
            self.trainer.counters.episodes += 1;
        }
        self.item_rewards.add(&events);
        metrics::frames_consumed(steps);
        match experience {
            Ok(experience) => {
                self.session.traces.add(index, trace);
                Some(experience)
            }
            Err(error) => {
                tracing::warn!(%error, "unroll not usable");
                trace.lost("invalid");
                self.session.ledger.dropped("invalid", steps);
                None
            }
        }
    }

    fn policy_phase(&mut self, batch: &[Experience]) -> Result<PolicyPhaseStatistics, LearnerError> {
        self.session.status.set_phase("policy_phase");
        let phase = self.trainer.counters.policy_phases;
        let warmup = phase < self.config.value_warmup_phases;
        let gradient =
            if warmup { ValueGradient::Detach } else { ValueGradient::from(self.config.value_gradient) };
        self.trainer.set_value_gradient(gradient)?;
        self.session.traces.begin_phase(phase);
        let stopwatch = self.session.stopwatch.clone();
        let frozen = match &mut self.frozen {
            // Followed in the warm-up too, so that its states have no gap afterwards.
            Some(frozen) => stopwatch.during("forward", || frozen.follow(batch))?,
            None => Vec::new(),
        };
        if self.config.action_head_lr > 0.0 {
            let lr = self.config.lr_schedule.at(self.config.action_head_lr, self.progress());
            self.trainer.set_action_head_lr(lr);
        }
        let kl_coef = kl_coefficient(self.config.kl_coef, self.config.kl_decay, phase);
        metrics::kl_coef(kl_coef);
        let session = &*self.session;
        let statistics = PolicyPhase {
            config: &self.config,
            unrolls: batch,
            frozen: &frozen,
            seed: session.setup.run_seed,
            lr: self.config.lr_schedule.at(self.config.lr, self.progress()),
            kl_coef,
            stopwatch: &stopwatch,
            traces: &session.traces,
            stop: &|| beat(session),
        }
        .run(self.trainer)?;
        session.traces.end_phase(&statistics.trained);
        self.book(batch, &statistics.trained)?;
        if !self.stopping() || statistics.trained.contains(&true) {
            self.trainer.counters.policy_phases += 1;
        }
        Ok(statistics)
    }

    /// Books every step as trained, or why not.
    fn book(&mut self, batch: &[Experience], trained: &[bool]) -> Result<(), LearnerError> {
        let (mut kept, mut lost) = (0, 0);
        for (unroll, &trained) in batch.iter().zip(trained) {
            *(if trained { &mut kept } else { &mut lost }) += unroll.steps() as u64;
        }
        self.trainer.counters.env_steps_trained +=
            self.session.ranks.total("trained steps", kept as f64)? as u64;
        self.session.ledger.trained(kept);
        if lost > 0 {
            self.session.ledger.dropped(if self.stopping() { "draining" } else { "nonfinite" }, lost);
        }
        Ok(())
    }

    /// Keeps a batch for the auxiliary phase, where there is one.
    fn keep(&mut self, batch: Vec<Experience>) {
        if self.config.aux_epochs > 0 {
            self.buffer.extend(batch);
            self.buffered_phases += 1;
            let keep = self.config.aux_unrolls;
            if keep > 0 {
                self.buffer.drain(..self.buffer.len().saturating_sub(keep));
            }
        }
    }

    fn aux_phase(&mut self) -> Result<(), LearnerError> {
        self.session.status.set_phase("aux_phase");
        self.trainer.set_value_gradient(self.config.value_gradient.into())?;
        let mut unrolls = std::mem::take(&mut self.buffer);
        self.buffered_phases = 0;
        let stopwatch = self.session.stopwatch.clone();
        let session = &*self.session;
        let statistics = AuxPhase {
            config: &self.config,
            unrolls: &mut unrolls,
            seed: session.setup.run_seed,
            lr: self.config.lr_schedule.at(self.config.aux_lr, self.progress()),
            stopwatch: &stopwatch,
            stop: &|| beat(session),
        }
        .run(self.trainer)?;
        self.session.traces.lap("aux_phase");
        self.trainer.counters.aux_phases += 1;
        stopwatch.during("report", || self.report_aux(statistics, unrolls.len()));
        // Without a limit on their use, unrolls serve one auxiliary phase.
        self.buffer = unrolls;
        self.buffer.retain(|unroll| unroll.aux_uses < self.config.aux_max_reuse);
        Ok(())
    }
}

/// Says that the thread is alive; true when it should stop.
fn beat(session: &Session) -> bool {
    session.health.heartbeat();
    session.stopping() && !session.journal.has_payload()
}

#[cfg(test)]
mod tests;
