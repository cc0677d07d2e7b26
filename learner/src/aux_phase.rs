//! The auxiliary phase: the trunk learns the value through the auxiliary head while a KL to the policy before the phase
//! holds the policy in place. The value normaliser stands still.

use vpt_policy::{CounterRng, Policy, distribution};

use crate::algo::ppg::{AuxInput, aux_loss};
use crate::batch::{FlatOutput, scalar, to_tensor};
use crate::config::PpgConfig;
use crate::error::LearnerError;
use crate::experience::{Experience, concat, stack};
use crate::nonfinite::Evidence;
use crate::stopwatch::Stopwatch;
use crate::training::{Phase, Trainer};

/// Names the stream of random numbers that orders minibatches.
const ORDER_KEY: u64 = 0x61_7578;

/// What one auxiliary phase works on.
pub(crate) struct AuxPhase<'a> {
    pub(crate) config: &'a PpgConfig,
    /// Every unroll since the last auxiliary phase, and older ones that may be used again; their uses are counted.
    pub(crate) unrolls: &'a mut [Experience],
    pub(crate) seed: u64,
    pub(crate) lr: f64,
    pub(crate) stopwatch: &'a Stopwatch,
    /// Called before every minibatch; true ends the phase there.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// Means over the phase's minibatches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AuxPhaseStatistics {
    pub(crate) aux_value_loss: f64,
    pub(crate) true_value_loss: f64,
    pub(crate) clone_kl: f64,
    pub(crate) grad_norm: f64,
    pub(crate) minibatches: u64,
    /// Unrolls of all minibatches together.
    pub(crate) uses: u64,
}

impl AuxPhase<'_> {
    /// Runs the phase; the counters' `aux_phases` names its random numbers and is left to the caller to raise.
    pub(crate) fn run(&mut self, trainer: &mut Trainer) -> Result<AuxPhaseStatistics, LearnerError> {
        // Its logits are recomputed per minibatch: kept, they would be 34 KB a step.
        let old = trainer.compute.policy(&trainer.config, &trainer.parameters.frozen_copy()?)?;
        let mut statistics = AuxPhaseStatistics::default();
        let phase = trainer.counters.aux_phases;
        'epochs: for epoch in 0..self.config.aux_epochs {
            let mut order: Vec<usize> = (0..self.unrolls.len()).collect();
            CounterRng::new(&[self.seed, ORDER_KEY, phase, epoch]).shuffle(&mut order);
            if self.config.aux_max_reuse > 0 {
                order.retain(|&i| self.unrolls[i].aux_uses < self.config.aux_max_reuse);
            }
            for indices in order.chunks(self.config.minibatch_unrolls) {
                if (self.stop)() {
                    break 'epochs;
                }
                self.step(trainer, &old, indices, &mut statistics)?;
                statistics.uses += indices.len() as u64;
                for &i in indices {
                    self.unrolls[i].aux_uses += 1;
                }
            }
        }
        let count = statistics.minibatches.max(1) as f64;
        statistics.aux_value_loss /= count;
        statistics.true_value_loss /= count;
        statistics.clone_kl /= count;
        statistics.grad_norm /= count;
        Ok(statistics)
    }

    fn step(
        &self,
        trainer: &mut Trainer,
        old: &Policy,
        indices: &[usize],
        statistics: &mut AuxPhaseStatistics,
    ) -> Result<(), LearnerError> {
        let unrolls: Vec<&Experience> = indices.iter().map(|&i| &self.unrolls[i]).collect();
        let size = trainer.config.image_size;
        let (batch, state) =
            self.stopwatch.during("batch", || stack(&unrolls, size, &trainer.compute.device))?;
        let losses = self.stopwatch.during("forward", || -> Result<_, LearnerError> {
            let before = FlatOutput::new(old.forward(&batch.frames, &batch.is_first, &state)?)?;
            let output = trainer.policy.forward(&batch.frames, &batch.is_first, &state)?;
            let output = FlatOutput::new(output)?;
            let buttons = distribution::kl(&before.buttons_logits, &output.buttons_logits)?;
            let camera = distribution::kl(&before.camera_logits, &output.camera_logits)?;
            let normalizer = trainer.parameters.normalizer()?;
            let targets = concat(&unrolls, |unroll| &unroll.value_targets);
            let targets = targets.into_iter().map(|target| normalizer.normalize(target)).collect();
            let input = AuxInput {
                value: &output.value,
                aux_value: output.aux_value.as_ref().ok_or(LearnerError::NoAuxHead)?,
                normalized_targets: &to_tensor(targets, &trainer.compute.device)?,
                clone_kl: &(buttons + camera)?,
            };
            Ok(aux_loss(input, self.config.aux())?)
        })?;
        let outcome = trainer.step(Phase::Auxiliary, &losses.loss, self.lr, self.config.max_grad_norm)?;
        let terms = [
            ("aux_value", scalar(&losses.aux_value)?),
            ("true_value", scalar(&losses.true_value)?),
            ("clone_kl", scalar(&losses.clone_kl)?),
        ];
        if outcome.skipped {
            let counters = trainer.counters.clone();
            return trainer
                .nonfinite
                .examine(|| Evidence::of_unrolls("auxiliary", &counters, &unrolls, terms.to_vec()));
        }
        let [aux_value, true_value, clone_kl] = terms.map(|(_, loss)| loss);
        statistics.minibatches += 1;
        statistics.aux_value_loss += aux_value;
        statistics.true_value_loss += true_value;
        statistics.clone_kl += clone_kl;
        statistics.grad_norm += outcome.grad_norm;
        Ok(())
    }
}
