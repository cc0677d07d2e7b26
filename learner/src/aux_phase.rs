//! The auxiliary phase: the trunk learns the value through the auxiliary head while a KL to the policy before the phase
//! holds the policy in place. The value normaliser stands still.

use vpt_policy::{CounterRng, Policy, RecurrentState, distribution};

use crate::algo::ppg::{AuxInput, aux_loss};
use crate::batch::{FlatOutput, SequenceBatch, scalar, to_tensor};
use crate::config::PpgConfig;
use crate::error::LearnerError;
use crate::experience::{Experience, concat, stack};
use crate::nonfinite::Evidence;
use crate::stack_ahead::stack_ahead;
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
        let minibatches = self.minibatches(trainer.counters.aux_phases);
        let (size, device) = (trainer.config.image_size, trainer.compute.device.clone());
        let mut uses = vec![0; self.unrolls.len()];
        let unrolls = &*self.unrolls;
        stack_ahead(
            &minibatches,
            self.stopwatch,
            |indices| stack(&picked(unrolls, indices), size, &device),
            |indices, stacked| {
                if (self.stop)() {
                    return Ok(false);
                }
                self.step(trainer, &old, indices, stacked, &mut statistics)?;
                for &i in indices {
                    uses[i] += 1;
                }
                Ok(true)
            },
        )?;
        for (unroll, uses) in self.unrolls.iter_mut().zip(uses) {
            statistics.uses += uses;
            unroll.aux_uses += uses;
        }
        let count = statistics.minibatches.max(1) as f64;
        statistics.aux_value_loss /= count;
        statistics.true_value_loss /= count;
        statistics.clone_kl /= count;
        statistics.grad_norm /= count;
        Ok(statistics)
    }

    /// Indices of the unrolls of every minibatch of this phase, none used more often than allowed.
    fn minibatches(&self, phase: u64) -> Vec<Vec<usize>> {
        let mut minibatches = Vec::new();
        for epoch in 0..self.config.aux_epochs {
            let mut order: Vec<usize> = (0..self.unrolls.len()).collect();
            CounterRng::new(&[self.seed, ORDER_KEY, phase, epoch]).shuffle(&mut order);
            if self.config.aux_max_reuse > 0 {
                order.retain(|&i| self.unrolls[i].aux_uses + epoch < self.config.aux_max_reuse);
            }
            minibatches.extend(order.chunks(self.config.minibatch_unrolls).map(<[usize]>::to_vec));
        }
        minibatches
    }

    fn step(
        &self,
        trainer: &mut Trainer,
        old: &Policy,
        indices: &[usize],
        (batch, state): (SequenceBatch, RecurrentState),
        statistics: &mut AuxPhaseStatistics,
    ) -> Result<(), LearnerError> {
        let unrolls = picked(self.unrolls, indices);
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

fn picked<'a>(unrolls: &'a [Experience], indices: &[usize]) -> Vec<&'a Experience> {
    indices.iter().map(|&i| &unrolls[i]).collect()
}
