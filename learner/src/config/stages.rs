//! Settings of the two training stages.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vpt_policy::ValueGradient;

use crate::algo::gae::GaeConfig;
use crate::algo::kl::KlDirection;
use crate::algo::ppg::AuxCoefficients;
use crate::algo::vtrace::VtraceConfig;
use crate::error::LearnerError;

/// Behavioural cloning, `[learner.bc]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BcConfig {
    /// Folder of recorded shards.
    pub data_dir: PathBuf,
    /// Streams trained side by side.
    pub batch_sequences: usize,
    /// Steps of one update per stream; recurrent state is carried (without gradient) from one to the next.
    pub sequence_length: usize,
    /// Passes over the data; counts only when neither `max_seconds` nor `max_updates` is set.
    pub epochs: u64,
    /// Learning rate at the first update; falls linearly to 0.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Global norm that gradients are clipped to; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// What becomes of steps without any input: "drop", "mask" or "keep".
    pub null_actions: NullActions,
    /// Stops after this much training time over all starts, which then also paces the learning rate; 0 is no limit.
    pub max_seconds: f64,
    /// Stops after this many updates; 0 is no limit.
    pub max_updates: u64,
    /// "linear" (to 0 at the end) or "constant".
    pub lr_schedule: LrSchedule,
    /// Updates over which the learning rate rises from 0 at the start.
    pub warmup_updates: u64,
    /// Share of episodes held out for validation.
    pub validation_fraction: f64,
    /// Updates between validations; 0 validates only at the end.
    pub validation_every_updates: u64,
    /// Held-out episodes used at most.
    pub validation_episodes: usize,
    /// Batches decoded ahead of training.
    pub prefetch: usize,
}

impl Default for BcConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("runs/demonstrations"),
            batch_sequences: 16,
            sequence_length: 32,
            epochs: 2,
            lr: 1.81e-4,
            weight_decay: 0.039_428,
            max_grad_norm: 5.0,
            null_actions: NullActions::Drop,
            max_seconds: 0.0,
            max_updates: 0,
            lr_schedule: LrSchedule::Linear,
            warmup_updates: 0,
            validation_fraction: 0.05,
            validation_every_updates: 200,
            validation_episodes: 16,
            prefetch: 2,
        }
    }
}

/// What becomes of recorded steps without any input; most of a person's are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullActions {
    /// They are taken out of the episode, frame and all, as OpenAI's data loader does.
    Drop,
    /// Their frames are seen, their actions do not count in the loss.
    Mask,
    /// They count as every other.
    Keep,
}

/// How the learning rate moves over training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// Falls linearly to 0 at the end.
    Linear,
    /// Stays.
    Constant,
}

impl LrSchedule {
    /// The learning rate at `progress` (0 at the start, 1 at the end).
    #[must_use]
    pub fn at(self, lr: f64, progress: f64) -> f64 {
        match self {
            Self::Linear => lr * (1.0 - progress).clamp(0.0, 1.0),
            Self::Constant => lr,
        }
    }
}

/// How far the value losses reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueGradientSetting {
    /// The true head's gradient stops before the trunk.
    Detach,
    /// It reaches the trunk.
    Shared,
}

impl From<ValueGradientSetting> for ValueGradient {
    fn from(setting: ValueGradientSetting) -> Self {
        match setting {
            ValueGradientSetting::Detach => Self::Detach,
            ValueGradientSetting::Shared => Self::Shared,
        }
    }
}

/// Phasic policy gradient, `[learner.ppg]`.
///
/// Policy phase: `L = policy + value_coef * mean((V - target)^2) - entropy_coef * H + kl_coef * kl_decay^phase * KL`.
/// Auxiliary phase: `L = aux_value_coef * 0.5 * mean((V_aux - target)^2) + aux_true_value_coef * 0.5 * mean((V -
/// target)^2) + beta_clone * KL(old || new)`. Targets are normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpgConfig {
    /// Env steps to train on before the stage ends.
    pub total_env_steps: u64,
    /// Stops after this much training time; 0 is no limit.
    pub max_seconds: f64,
    /// Unrolls of one policy phase.
    pub batch_unrolls: usize,
    /// Unrolls of one gradient step.
    pub minibatch_unrolls: usize,
    /// Passes over a policy phase's unrolls.
    pub epochs: u64,
    /// Per-step discount.
    pub discount: f64,
    /// Lambda of the advantage estimator.
    pub gae_lambda: f64,
    /// Corrects advantages and value targets of unrolls that older weights acted in (V-trace); costs a forward pass over
    /// those unrolls.
    pub vtrace: bool,
    /// Bound of V-trace's weight on each temporal difference.
    pub vtrace_rho_clip: f64,
    /// Bound of V-trace's weight on what follows; at most `vtrace_rho_clip`.
    pub vtrace_c_clip: f64,
    /// Probability ratios are clipped to 1 +- this; 0 switches clipping off.
    pub clip: f64,
    /// Weight of the value loss in the policy phase.
    pub value_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: f64,
    /// Weight of the KL to the pretrained policy at phase 0.
    pub kl_coef: f64,
    /// Factor on that weight per policy phase.
    pub kl_decay: f64,
    /// Which policy the KL's expectation is taken under.
    pub kl_direction: KlDirection,
    /// Policy phases before each auxiliary phase.
    pub policy_phases_per_aux: u64,
    /// Unrolls an auxiliary phase trains on, the newest since the one before; 0 is all of them.
    pub aux_unrolls: usize,
    /// Passes of an auxiliary phase; 0 switches it off.
    pub aux_epochs: u64,
    /// Passes of auxiliary phases over one unroll at most: above 0 an unroll stays for the auxiliary phases after the
    /// first one until it has had that many (the newest `aux_unrolls` stay at most; they are not part of checkpoints and
    /// gather anew after a restart). 0: an unroll serves one auxiliary phase, `aux_epochs` passes.
    pub aux_max_reuse: u64,
    /// Weight of the auxiliary head's loss.
    pub aux_value_coef: f64,
    /// Weight of the true head's loss in the auxiliary phase.
    pub aux_true_value_coef: f64,
    /// Weight of the KL that holds the policy in place during the auxiliary phase.
    pub beta_clone: f64,
    /// Learning rate of the policy phase.
    pub lr: f64,
    /// Learning rate of the true value head, in every phase; 0 takes the phase's. Apart from the trunk it can follow the
    /// returns much faster than the policy may move.
    pub value_head_lr: f64,
    /// Learning rate of the action heads in the policy phase, where `lr_schedule` applies to it; 0 takes `lr`.
    pub action_head_lr: f64,
    /// Learning rate of the auxiliary phase.
    pub aux_lr: f64,
    /// "constant" or "linear" (to 0 at `total_env_steps` or `max_seconds`).
    pub lr_schedule: LrSchedule,
    /// Weight decay.
    pub weight_decay: f64,
    /// Global norm that gradients are clipped to; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Treats a truncated episode as terminated, as OpenAI's PPG code does.
    pub time_limit_is_terminal: bool,
    /// "detach" or "shared".
    pub value_gradient: ValueGradientSetting,
    /// Brings each phase's advantages to zero mean and unit variance.
    pub normalize_advantages: bool,
    /// The first phases train only the value heads, so that the policy is not moved by a value head that knows nothing.
    pub value_warmup_phases: u64,
    /// Bytes of the frozen policy's recurrent states, one per slot; the least recently used are evicted.
    pub frozen_state_bytes: usize,
    /// Policy phases between two measurements of how far one moves the policy (exact KL over one unroll, which costs a
    /// forward pass over it); 0 never measures.
    pub true_kl_every_phases: u64,
    /// Episodes over which the mean return is reported.
    pub return_window: usize,
}

impl Default for PpgConfig {
    fn default() -> Self {
        Self {
            total_env_steps: 1_000_000,
            max_seconds: 0.0,
            batch_unrolls: 64,
            minibatch_unrolls: 16,
            epochs: 1,
            discount: 0.999,
            gae_lambda: 0.95,
            vtrace: false,
            vtrace_rho_clip: 1.0,
            vtrace_c_clip: 1.0,
            clip: 0.2,
            value_coef: 0.5,
            entropy_coef: 0.0,
            kl_coef: 0.2,
            kl_decay: 0.9995,
            kl_direction: KlDirection::PretrainedToCurrent,
            policy_phases_per_aux: 8,
            aux_unrolls: 0,
            aux_epochs: 1,
            aux_max_reuse: 0,
            aux_value_coef: 0.5,
            aux_true_value_coef: 0.5,
            beta_clone: 1.0,
            lr: 2e-5,
            value_head_lr: 0.0,
            action_head_lr: 0.0,
            aux_lr: 2e-5,
            lr_schedule: LrSchedule::Constant,
            weight_decay: 0.04,
            max_grad_norm: 5.0,
            time_limit_is_terminal: false,
            value_gradient: ValueGradientSetting::Detach,
            normalize_advantages: true,
            value_warmup_phases: 0,
            frozen_state_bytes: 256 << 20,
            true_kl_every_phases: 4,
            return_window: 100,
        }
    }
}

impl PpgConfig {
    /// The advantage estimator's share of the settings.
    #[must_use]
    pub fn gae(&self) -> GaeConfig {
        GaeConfig {
            discount: self.discount,
            gae_lambda: self.gae_lambda,
            time_limit_is_terminal: self.time_limit_is_terminal,
        }
    }

    /// The off-policy correction's share of the settings.
    #[must_use]
    pub fn vtrace(&self) -> VtraceConfig {
        VtraceConfig { gae: self.gae(), rho_clip: self.vtrace_rho_clip, c_clip: self.vtrace_c_clip }
    }

    /// Checks what belongs to this stage alone; `continues_exactly` where a restart must go on bit for bit.
    pub(super) fn validate(&self, continues_exactly: bool) -> Result<(), LearnerError> {
        let rules = [
            (
                "ppg.vtrace_c_clip",
                self.vtrace_c_clip > 0.0 && self.vtrace_c_clip <= self.vtrace_rho_clip,
                "must be above 0 and at most ppg.vtrace_rho_clip",
            ),
            (
                "ppg.aux_max_reuse",
                self.aux_max_reuse == 0 || !continues_exactly,
                "must be 0 when learner.deterministic is true or learner.journal.mode is \"payload\": unrolls that wait \
                 for another auxiliary phase are not part of checkpoints",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, reason)) => Err(LearnerError::Config { key, reason: reason.into() }),
            None => Ok(()),
        }
    }

    /// The auxiliary phase's weights.
    #[must_use]
    pub fn aux(&self) -> AuxCoefficients {
        AuxCoefficients {
            aux_value: self.aux_value_coef,
            true_value: self.aux_true_value_coef,
            beta_clone: self.beta_clone,
        }
    }
}
