//! What both stages share: the network under training, its optimisers, and one gradient step.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use vpt_policy::{Adam, AdamConfig, Gradients, Parameters, Policy, PolicyConfig, ValueGradient};
use vpt_runtime::faults::{self, Part};

use crate::batch::scalar;
use crate::checkpoint::Weights;
use crate::compute::Compute;
use crate::error::LearnerError;
use crate::metrics;
use crate::nonfinite::{Fault, NonFiniteGuard};
use crate::ranks::Ranks;
use crate::stopwatch::Stopwatch;

/// What the names of the true value head's parameters begin with.
const VALUE_HEAD: &str = "value_head.";
/// What the names of both action heads' parameters begin with.
const ACTION_HEADS: &str = "pi_head.";

/// How far training has come; part of every checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    /// Optimiser steps taken, skipped ones not counted.
    pub(crate) optimizer_steps: u64,
    /// Batches of the BC stream consumed.
    pub(crate) bc_updates: u64,
    /// Policy phases finished.
    pub(crate) policy_phases: u64,
    /// Auxiliary phases finished.
    pub(crate) aux_phases: u64,
    /// Env steps trained on in policy phases (BC: frames).
    pub(crate) env_steps_trained: u64,
    /// Minibatches skipped because a loss or gradient was not finite.
    pub(crate) nonfinite_batches: u64,
    /// Episodes that ended in trained unrolls.
    pub(crate) episodes: u64,
    /// Seconds spent in the training loop, over all starts.
    pub(crate) training_seconds: f64,
}

/// Which optimiser a step is for; the auxiliary phase has its own moments, as in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Main,
    Auxiliary,
}

/// One gradient step's outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepOutcome {
    /// The loss before the step.
    pub(crate) loss: f64,
    /// Global gradient norm before clipping; NaN when the step was skipped.
    pub(crate) grad_norm: f64,
    /// The step was left out because something was not finite.
    pub(crate) skipped: bool,
}

/// The network under training.
pub(crate) struct Trainer {
    pub(crate) config: PolicyConfig,
    pub(crate) compute: Compute,
    pub(crate) parameters: Parameters,
    /// Shares storage with `parameters`: sees every step.
    pub(crate) policy: Policy,
    adam: Adam,
    aux_adam: Option<Adam>,
    stopwatch: Stopwatch,
    /// Who else trains this network; set before the first step.
    pub(crate) ranks: Ranks,
    pub(crate) counters: Counters,
    /// What becomes of minibatches that no step can be taken on.
    pub(crate) nonfinite: NonFiniteGuard,
}

impl Trainer {
    /// A network that starts from `weights`, or from random ones of `seed`.
    pub(crate) fn new(
        compute: Compute,
        config: &PolicyConfig,
        weights: Option<&Weights>,
        seed: u64,
        optimizers: (AdamConfig, Option<AdamConfig>),
        stopwatch: Stopwatch,
    ) -> Result<Self, LearnerError> {
        let device = &compute.device;
        let parameters = match weights {
            Some(weights) => Parameters::from_safetensors(&weights.parameters, config, true, device)?,
            None => Parameters::init(config, seed, device)?,
        };
        let policy = compute.policy(config, &parameters)?;
        let adam = Adam::new(&parameters, optimizers.0)?;
        let aux_adam = optimizers.1.map(|aux| Adam::new(&parameters, aux)).transpose()?;
        let counters = Counters::default();
        let config = config.clone();
        let (ranks, nonfinite) = (Ranks::alone(), NonFiniteGuard::counting());
        Ok(Self {
            config,
            compute,
            parameters,
            policy,
            adam,
            aux_adam,
            stopwatch,
            ranks,
            counters,
            nonfinite,
        })
    }

    /// Gives the true value head a learning rate of its own, in both phases.
    pub(crate) fn set_value_head_lr(&mut self, lr: f64) {
        for adam in [Some(&mut self.adam), self.aux_adam.as_mut()].into_iter().flatten() {
            adam.set_prefix_lr(VALUE_HEAD, lr);
        }
    }

    /// Gives the action heads a learning rate of their own, in the policy phase.
    pub(crate) fn set_action_head_lr(&mut self, lr: f64) {
        self.adam.set_prefix_lr(ACTION_HEADS, lr);
    }

    /// Makes the policy that trains with `gradient`.
    pub(crate) fn set_value_gradient(&mut self, gradient: ValueGradient) -> Result<(), LearnerError> {
        self.policy = self.compute.policy(&self.config, &self.parameters)?.with_value_gradient(gradient);
        Ok(())
    }

    /// Backward, average over ranks, clip, step. A loss or gradient that is not finite on any rank leaves everything as it
    /// was on all of them and is counted; the caller then shows the minibatch to [`Self::nonfinite`].
    pub(crate) fn step(
        &mut self,
        phase: Phase,
        loss: &Tensor,
        lr: f64,
        max_norm: f64,
    ) -> Result<StepOutcome, LearnerError> {
        let (value, gradients) = self.gradients(loss)?;
        let gradients = match gradients {
            Ok(gradients) => gradients,
            Err(fault) => {
                self.skip(fault);
                return Ok(StepOutcome { loss: value, grad_norm: f64::NAN, skipped: true });
            }
        };
        let stopwatch = self.stopwatch.clone();
        let adam = match phase {
            Phase::Main => &mut self.adam,
            Phase::Auxiliary => self.aux_adam.as_mut().expect("the PPG stage makes both optimisers"),
        };
        adam.set_lr(lr);
        let max_norm = (max_norm > 0.0).then_some(max_norm);
        let grad_norm = stopwatch.during("optimizer", || {
            faults::sleep(Part::TrainStep);
            adam.step(&mut self.parameters, &gradients, max_norm)
        })?;
        self.counters.optimizer_steps += 1;
        metrics::optimizer_steps(self.counters.optimizer_steps);
        metrics::grad_norm(grad_norm);
        metrics::learning_rate(lr);
        Ok(StepOutcome { loss: value, grad_norm, skipped: false })
    }

    /// The loss averaged over ranks, and its gradients likewise, or what is not finite; a fault on another rank is one of
    /// the loss here.
    pub(crate) fn gradients(&self, loss: &Tensor) -> Result<(f64, Result<Gradients, Fault>), LearnerError> {
        // Reading the number waits for the forward pass.
        let own = self.stopwatch.during("forward", || scalar(loss))?;
        let here = self.own_gradients(loss, own)?;
        let mut agreed = [f64::from(u8::from(here.is_err())), own];
        self.stopwatch.during("exchange", || self.ranks.sum("losses", &mut agreed))?;
        let [unusable, sum] = agreed;
        let value = sum / self.ranks.count() as f64;
        let mut gradients = match here {
            Ok(gradients) if unusable == 0.0 => gradients,
            Ok(_) => return Ok((value, Err(Fault::of_loss(value)))),
            Err(fault) => return Ok((value, Err(fault))),
        };
        if !self.ranks.is_alone() {
            self.stopwatch.during("exchange", || self.ranks.average(&mut gradients))?;
            // The sum may be too large where no part was.
            if !gradients.is_finite()? {
                return Ok((value, Err(Fault::of_gradients(value, &gradients)?)));
            }
        }
        Ok((value, Ok(gradients)))
    }

    /// The gradients of this rank's part.
    fn own_gradients(&self, loss: &Tensor, value: f64) -> Result<Result<Gradients, Fault>, LearnerError> {
        if !value.is_finite() {
            return Ok(Err(Fault::of_loss(value)));
        }
        self.stopwatch.during("backward", || {
            let gradients = Gradients::collect(&self.parameters, &loss.backward()?)?;
            if gradients.is_finite()? {
                return Ok(Ok(gradients));
            }
            Ok(Err(Fault::of_gradients(value, &gradients)?))
        })
    }

    fn skip(&mut self, fault: Fault) {
        self.counters.nonfinite_batches += 1;
        self.nonfinite.note(fault);
    }

    /// Copies of the optimisers for a checkpoint: (main, auxiliary).
    pub(crate) fn frozen_optimizers(&self) -> Result<(Adam, Option<Adam>), LearnerError> {
        let aux = self.aux_adam.as_ref().map(Adam::frozen_copy).transpose()?;
        Ok((self.adam.frozen_copy()?, aux))
    }

    /// The main optimiser's state as a file of a checkpoint.
    pub(crate) fn optimizer_bytes(&self) -> Result<Vec<u8>, LearnerError> {
        Ok(self.adam.to_safetensors()?)
    }

    /// Takes the optimisers' state back from a checkpoint.
    pub(crate) fn load_optimizers(&mut self, main: &[u8], aux: Option<&[u8]>) -> Result<(), LearnerError> {
        self.adam.load(main)?;
        if let (Some(adam), Some(bytes)) = (self.aux_adam.as_mut(), aux) {
            adam.load(bytes)?;
        }
        Ok(())
    }
}
