//! The policy phase: epochs of minibatches over one batch of unrolls, with the clipped surrogate, the value loss, the
//! entropy bonus and the KL to the pretrained policy.

mod anchor;

use candle_core::{Device, Tensor};
use vpt_policy::{CounterRng, distribution};

use crate::algo::kl::{KlDirection, mean_kl};
use crate::algo::ppo::{RatioStatistics, entropy_bonus, policy_loss, value_loss};
use crate::batch::{FlatOutput, SequenceBatch, scalar, to_tensor};
use crate::batch_traces::BatchTraces;
use crate::config::PpgConfig;
use crate::error::LearnerError;
use crate::experience::{Experience, concat, stack};
use crate::frozen_policy::FrozenOutput;
use crate::nonfinite::Evidence;
use crate::stack_ahead::stack_ahead;
use crate::stopwatch::Stopwatch;
use crate::training::{Phase, Trainer};
use anchor::Anchor;

/// Names the stream of random numbers that orders minibatches.
const ORDER_KEY: u64 = 0x706f_6c69_6379;

/// What one policy phase works on; `frozen` runs parallel to `unrolls` and is empty without a pretrained policy.
pub(crate) struct PolicyPhase<'a> {
    pub(crate) config: &'a PpgConfig,
    pub(crate) unrolls: &'a [Experience],
    pub(crate) frozen: &'a [FrozenOutput],
    pub(crate) seed: u64,
    pub(crate) lr: f64,
    pub(crate) kl_coef: f64,
    pub(crate) stopwatch: &'a Stopwatch,
    pub(crate) traces: &'a BatchTraces,
    /// Called before every minibatch; true ends the phase there.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// Means over the phase's minibatches, except where said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PolicyPhaseStatistics {
    pub(crate) policy_loss: f64,
    pub(crate) value_loss: f64,
    pub(crate) entropy_buttons: f64,
    pub(crate) entropy_camera: f64,
    pub(crate) kl_to_pretrained: f64,
    pub(crate) approx_kl: f64,
    pub(crate) clip_fraction: f64,
    pub(crate) grad_norm: f64,
    pub(crate) loss: f64,
    /// Extremes over the phase.
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
    /// Ratios of the first minibatch, before any step.
    pub(crate) first: Option<RatioStatistics>,
    /// Weight of the KL to the pretrained policy.
    pub(crate) kl_coef: f64,
    /// KL of the policy after the phase from the one before it, over one unroll, where it was measured.
    pub(crate) true_kl: Option<f64>,
    /// Unrolls of all minibatches together that a step was taken on.
    pub(crate) uses: u64,
    /// Approximate KL of the unrolls of the first minibatch that the current weights acted in.
    pub(crate) precision_kl: Option<f64>,
    /// Minibatches that a step was taken on.
    pub(crate) minibatches: u64,
    /// Per unroll whether a step was taken on it.
    pub(crate) trained: Vec<bool>,
}

struct Minibatch {
    sequences: SequenceBatch,
    state: vpt_policy::RecurrentState,
    behaviour_log_prob: Tensor,
    advantages: Tensor,
    value_targets: Vec<f32>,
}

impl Minibatch {
    /// The unrolls of `indices`, one below the other.
    fn stacked(
        unrolls: &[Experience],
        indices: &[usize],
        image_size: usize,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let unrolls: Vec<&Experience> = indices.iter().map(|&i| &unrolls[i]).collect();
        let (sequences, state) = stack(&unrolls, image_size, device)?;
        Ok(Self {
            sequences,
            state,
            behaviour_log_prob: to_tensor(concat(&unrolls, |u| &u.behaviour_log_prob), device)?,
            advantages: to_tensor(concat(&unrolls, |u| &u.advantages), device)?,
            value_targets: concat(&unrolls, |u| &u.value_targets),
        })
    }
}

struct Losses {
    total: Tensor,
    policy: f64,
    value: f64,
    entropy: (f64, f64),
    kl: f64,
    ratios: RatioStatistics,
    precision_kl: Option<f64>,
    /// In phases that measure how far they move the policy.
    anchor: Option<Anchor>,
}

impl PolicyPhase<'_> {
    /// Runs the phase; the counters' `policy_phases` names its random numbers and is left to the caller to raise.
    pub(crate) fn run(&self, trainer: &mut Trainer) -> Result<PolicyPhaseStatistics, LearnerError> {
        let mut statistics = PolicyPhaseStatistics {
            trained: vec![false; self.unrolls.len()],
            ratio_min: f64::INFINITY,
            ratio_max: f64::NEG_INFINITY,
            kl_coef: self.kl_coef,
            ..Default::default()
        };
        let mut anchor = None;
        let minibatches = self.minibatches(trainer.counters.policy_phases);
        let (size, device) = (trainer.config.image_size, trainer.compute.device.clone());
        let (unrolls, mut stopped) = (self.unrolls, false);
        stack_ahead(
            &minibatches,
            self.stopwatch,
            |indices| Minibatch::stacked(unrolls, indices, size, &device),
            |indices, minibatch| {
                stopped = (self.stop)();
                if !stopped {
                    let step = || self.step(trainer, indices, &minibatch, &mut statistics);
                    anchor = self.traces.minibatch(indices, self.stopwatch, step)?.or(anchor.take());
                }
                Ok(!stopped)
            },
        )?;
        if stopped {
            return Ok(statistics.averaged());
        }
        if let Some(anchor) = anchor {
            let kl = self.stopwatch.during("forward", || anchor.kl(trainer, self.unrolls))?;
            statistics.true_kl = Some(kl);
        }
        Ok(statistics.averaged())
    }

    /// Indices of the unrolls of every minibatch of this phase.
    fn minibatches(&self, phase: u64) -> Vec<Vec<usize>> {
        let orders = (0..self.config.epochs).map(|epoch| {
            let mut order: Vec<usize> = (0..self.unrolls.len()).collect();
            CounterRng::new(&[self.seed, ORDER_KEY, phase, epoch]).shuffle(&mut order);
            order
        });
        let size = self.config.minibatch_unrolls;
        orders.flat_map(|order| order.chunks(size).map(<[usize]>::to_vec).collect::<Vec<_>>()).collect()
    }

    fn step(
        &self,
        trainer: &mut Trainer,
        indices: &[usize],
        minibatch: &Minibatch,
        statistics: &mut PolicyPhaseStatistics,
    ) -> Result<Option<Anchor>, LearnerError> {
        let normalizer = trainer.parameters.normalizer()?;
        let mut losses = self.stopwatch.during("forward", || self.losses(trainer, minibatch, indices))?;
        let anchor = losses.anchor.take().filter(|_| statistics.first.is_none());
        let outcome = trainer.step(Phase::Main, &losses.total, self.lr, self.config.max_grad_norm)?;
        if statistics.first.is_none() {
            statistics.first = Some(losses.ratios);
            statistics.precision_kl = losses.precision_kl;
        }
        if outcome.skipped {
            // Targets that are not finite would stay in its running means for good.
            trainer.parameters.set_normalizer(&normalizer)?;
            self.examine(trainer, indices, &losses)?;
            return Ok(anchor);
        }
        statistics.uses += indices.len() as u64;
        statistics.minibatches += 1;
        for &i in indices {
            statistics.trained[i] = true;
        }
        statistics.add(&losses, outcome.loss, outcome.grad_norm);
        Ok(anchor)
    }

    /// What the policy says about the first unroll, in phases that measure how far they move it.
    fn anchor(
        &self,
        trainer: &Trainer,
        output: &FlatOutput,
        indices: &[usize],
    ) -> Result<Option<Anchor>, LearnerError> {
        let every = self.config.true_kl_every_phases;
        if every == 0 || !trainer.counters.policy_phases.is_multiple_of(every) {
            return Ok(None);
        }
        let first = indices[0];
        Anchor::new(output, first, self.unrolls[first].steps()).map(Some)
    }

    /// Keeps a minibatch that no step was taken on.
    fn examine(&self, trainer: &mut Trainer, indices: &[usize], losses: &Losses) -> Result<(), LearnerError> {
        let counters = trainer.counters.clone();
        trainer.nonfinite.examine(|| {
            let unrolls: Vec<&Experience> = indices.iter().map(|&i| &self.unrolls[i]).collect();
            let terms = vec![
                ("policy", losses.policy),
                ("value", losses.value),
                ("entropy_buttons", losses.entropy.0),
                ("entropy_camera", losses.entropy.1),
                ("kl_pretrained", losses.kl),
            ];
            Evidence::of_unrolls("policy", &counters, &unrolls, terms)
        })
    }

    fn losses(
        &self,
        trainer: &mut Trainer,
        minibatch: &Minibatch,
        indices: &[usize],
    ) -> Result<Losses, LearnerError> {
        let config = self.config;
        let Minibatch { sequences, state, .. } = minibatch;
        let output = trainer.policy.forward(&sequences.frames, &sequences.is_first, state)?;
        let output = FlatOutput::new(output)?;
        let anchor = self.anchor(trainer, &output, indices)?;
        let log_prob = output.log_prob(sequences)?;
        let policy =
            policy_loss(&log_prob, &minibatch.behaviour_log_prob, &minibatch.advantages, config.clip)?;
        let mut normalizer = trainer.parameters.normalizer()?;
        normalizer.update_sums(trainer.ranks.target_sums(&minibatch.value_targets)?);
        trainer.parameters.set_normalizer(&normalizer)?;
        let targets = minibatch.value_targets.iter().map(|&target| normalizer.normalize(target)).collect();
        let value =
            value_loss(&output.value, &to_tensor(targets, &trainer.compute.device)?, config.value_coef)?;
        let (buttons, camera) = self.entropies(&output)?;
        let kl = self.kl(&output, indices)?;
        let kl_weight = match &kl {
            Some((_, kept)) => trainer.ranks.mean_weight(*kept)?,
            None => 1.0,
        };
        let kl = kl.map(|(mean, _)| mean);
        let value_number = scalar(&value)?;
        let total = if trainer.counters.policy_phases < config.value_warmup_phases {
            value
        } else {
            let mut total = (&policy.loss + value)?;
            if config.entropy_coef != 0.0 {
                total = (total + entropy_bonus(&(&buttons + &camera)?, config.entropy_coef)?)?;
            }
            match &kl {
                Some(kl) if self.kl_coef != 0.0 => (total + (kl * (self.kl_coef * kl_weight))?)?,
                _ => total,
            }
        };
        Ok(Losses {
            policy: scalar(&policy.loss)?,
            value: value_number,
            entropy: (scalar(&buttons.mean_all()?)?, scalar(&camera.mean_all()?)?),
            kl: kl.as_ref().map_or(Ok(0.0), scalar)?,
            ratios: policy.statistics,
            precision_kl: self.precision_kl(&log_prob, indices)?,
            anchor,
            total,
        })
    }

    /// Per-step entropy of each head, without gradient unless the bonus wants it.
    fn entropies(&self, output: &FlatOutput) -> Result<(Tensor, Tensor), LearnerError> {
        let entropy = |logits: &Tensor| {
            if self.config.entropy_coef == 0.0 {
                distribution::entropy(&logits.detach())
            } else {
                distribution::entropy(logits)
            }
        };
        Ok((entropy(&output.buttons_logits)?, entropy(&output.camera_logits)?))
    }

    /// Mean KL between the pretrained and the current policy over steps with an exact pretrained state, and how many
    /// those are.
    fn kl(&self, output: &FlatOutput, indices: &[usize]) -> Result<Option<(Tensor, f64)>, LearnerError> {
        if self.frozen.is_empty() {
            return Ok(None);
        }
        let frozen: Vec<&FrozenOutput> = indices.iter().map(|&i| &self.frozen[i]).collect();
        let buttons = Tensor::cat(&frozen.iter().map(|f| &f.buttons_logits).collect::<Vec<_>>(), 0)?;
        let camera = Tensor::cat(&frozen.iter().map(|f| &f.camera_logits).collect::<Vec<_>>(), 0)?;
        let mask: Vec<f32> = frozen.iter().flat_map(|f| f.mask.iter().copied()).collect();
        let kept = mask.iter().map(|&m| f64::from(m)).sum();
        let kl = |frozen: &Tensor, current: &Tensor| match self.config.kl_direction {
            KlDirection::PretrainedToCurrent => distribution::kl(frozen, current),
            KlDirection::CurrentToPretrained => distribution::kl(current, frozen),
        };
        let per_step = (kl(&buttons, &output.buttons_logits)? + kl(&camera, &output.camera_logits)?)?;
        Ok(Some((mean_kl(&per_step, &to_tensor(mask, per_step.device())?)?, kept)))
    }

    /// `0.5 * mean((log p_new - log p_behaviour)^2)` over unrolls that the current version acted in.
    fn precision_kl(&self, log_prob: &Tensor, indices: &[usize]) -> Result<Option<f64>, LearnerError> {
        let log_prob: Vec<f32> = log_prob.detach().to_vec1()?;
        let mut rest = log_prob.as_slice();
        let (mut sum, mut count) = (0.0, 0usize);
        for unroll in indices.iter().map(|&i| &self.unrolls[i]) {
            let (own, others) = rest.split_at(unroll.steps());
            rest = others;
            if unroll.staleness == 0 {
                count += own.len();
                let pairs = own.iter().zip(&unroll.behaviour_log_prob);
                sum += pairs.map(|(new, old)| 0.5 * f64::from(new - old).powi(2)).sum::<f64>();
            }
        }
        Ok((count > 0).then(|| sum / count as f64))
    }
}

impl PolicyPhaseStatistics {
    fn add(&mut self, losses: &Losses, loss: f64, grad_norm: f64) {
        self.policy_loss += losses.policy;
        self.value_loss += losses.value;
        self.entropy_buttons += losses.entropy.0;
        self.entropy_camera += losses.entropy.1;
        self.kl_to_pretrained += losses.kl;
        self.approx_kl += losses.ratios.approx_kl;
        self.clip_fraction += losses.ratios.clip_fraction;
        self.ratio_min = self.ratio_min.min(losses.ratios.ratio_min);
        self.ratio_max = self.ratio_max.max(losses.ratios.ratio_max);
        self.loss += loss;
        self.grad_norm += grad_norm;
    }

    fn averaged(mut self) -> Self {
        let count = self.minibatches.max(1) as f64;
        for sum in [
            &mut self.policy_loss,
            &mut self.value_loss,
            &mut self.entropy_buttons,
            &mut self.entropy_camera,
            &mut self.kl_to_pretrained,
            &mut self.approx_kl,
            &mut self.clip_fraction,
            &mut self.loss,
            &mut self.grad_norm,
        ] {
            *sum /= count;
        }
        self
    }
}

#[cfg(test)]
mod tests;
