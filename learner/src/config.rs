//! Every setting of the learner, with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vpt_policy::{AdamConfig, ExportDType, Precision, WeightDecay};

pub use self::stages::{BcConfig, LrSchedule, NullActions, PpgConfig, ValueGradientSetting};
use crate::admission::AdmissionConfig;
use crate::error::LearnerError;
use crate::journal::{JournalConfig, JournalMode};
pub use crate::nonfinite::NonFiniteConfig;
use crate::ranks::RanksConfig;
use crate::schedule::ScheduleConfig;

mod stages;

/// What this learner trains by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Behavioural cloning of recorded play.
    #[default]
    Bc,
    /// Phasic policy gradient on unrolls from actors.
    Ppg,
}

impl Stage {
    /// The name used in configs, logs and the status reply.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bc => "bc",
            Self::Ppg => "ppg",
        }
    }
}

/// The `[learner]` section of a run file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// "bc" or "ppg".
    pub stage: Stage,
    /// Address of the gRPC port that actors connect to.
    pub listen: String,
    /// Address of the plain HTTP port with metrics and health.
    pub ops_listen: String,
    /// Folder of this stage's checkpoints, event files and metrics.
    pub out: PathBuf,
    /// Checkpoint folder, `latest` file, `.safetensors` file or OpenAI's `.weights` to start from; empty starts from random
    /// weights.
    pub init: String,
    /// The frozen policy of the KL term, named as `init` is; empty switches the term off.
    pub pretrained: String,
    /// Threads of one training step; 0 takes every core.
    pub threads: usize,
    /// "cpu"; "cuda" or "cuda:1" for a GPU; "auto" for a GPU if this build and this machine have one, else the CPU.
    pub device: String,
    /// In which numbers networks multiply: "f32", or on a GPU "bf16"; parameters and optimiser are f32 in both.
    pub precision: Precision,
    /// Steps of one unroll, told to actors at the handshake.
    pub unroll_length: usize,
    /// Longest gap between two heartbeats of the training thread before `/livez` fails, in seconds; more than the
    /// longest optimiser step. Waiting for data beats.
    pub heartbeat_deadline_seconds: f64,
    /// How long training may take to end once told to stop, its last checkpoint included, in seconds; then the process
    /// ends without it.
    pub drain_seconds: f64,
    /// Trains on unrolls in a logical order instead of that of their arrival, so that every run of the same config ends
    /// with the same weights.
    pub deterministic: bool,
    /// That order.
    pub schedule: ScheduleConfig,
    /// What is kept on disk of the unrolls that were let in.
    pub journal: JournalConfig,
    /// Several learners that train one model.
    pub ranks: RanksConfig,
    /// Behavioural cloning.
    pub bc: BcConfig,
    /// Phasic policy gradient.
    pub ppg: PpgConfig,
    /// Adam.
    pub optimizer: OptimizerConfig,
    /// Which unrolls are trained on, and how many wait.
    pub admission: AdmissionConfig,
    /// How weights go to actors.
    pub publish: PublishConfig,
    /// When checkpoints are written and how many stay.
    pub checkpoint: CheckpointConfig,
    /// What becomes of minibatches whose loss or gradient is not finite.
    pub nonfinite: NonFiniteConfig,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            stage: Stage::Bc,
            listen: "127.0.0.1:50051".into(),
            ops_listen: "127.0.0.1:9090".into(),
            out: PathBuf::from("runs/default"),
            init: String::new(),
            pretrained: String::new(),
            threads: 0,
            device: "auto".into(),
            precision: Precision::F32,
            unroll_length: 32,
            heartbeat_deadline_seconds: 300.0,
            drain_seconds: 60.0,
            deterministic: false,
            schedule: ScheduleConfig::default(),
            journal: JournalConfig::default(),
            ranks: RanksConfig::default(),
            bc: BcConfig::default(),
            ppg: PpgConfig::default(),
            optimizer: OptimizerConfig::default(),
            admission: AdmissionConfig::default(),
            publish: PublishConfig::default(),
            checkpoint: CheckpointConfig::default(),
            nonfinite: NonFiniteConfig::default(),
        }
    }
}

/// Adam's settings that both stages share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// "decoupled" (AdamW) or "coupled" (L2 added to the gradient, what the reference does).
    pub decay: DecaySetting,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: DecaySetting::Coupled }
    }
}

impl OptimizerConfig {
    /// Adam with these settings and a stage's learning rate and weight decay.
    #[must_use]
    pub fn adam(&self, lr: f64, weight_decay: f64) -> AdamConfig {
        let decay = match self.decay {
            DecaySetting::Decoupled => WeightDecay::Decoupled,
            DecaySetting::Coupled => WeightDecay::Coupled,
        };
        AdamConfig { lr, beta1: self.beta1, beta2: self.beta2, eps: self.eps, weight_decay, decay }
    }
}

/// How weight decay enters the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecaySetting {
    /// Subtracted from the parameter.
    Decoupled,
    /// Added to the gradient.
    Coupled,
}

/// How weights go to actors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// "bf16" (half the bytes; the acting policy is then the rounded one) or "f32".
    pub dtype: PublishDType,
    /// Also offer what changed since the version before, entropy coded; a thread of its own works it out. Pays with bf16.
    pub deltas: bool,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self { dtype: PublishDType::Bf16, deltas: true }
    }
}

/// Precision of published weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishDType {
    /// Round to nearest even of the f32 masters.
    Bf16,
    /// The masters.
    F32,
}

impl PublishDType {
    /// The name in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }

    /// The exporter's word for it.
    #[must_use]
    pub fn export(self) -> ExportDType {
        match self {
            Self::Bf16 => ExportDType::Bf16,
            Self::F32 => ExportDType::F32,
        }
    }
}

/// When checkpoints are written and how many stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Policy phases between checkpoints; one is written at the first phase boundary after them whose auxiliary buffer
    /// is empty.
    pub every_phases: u64,
    /// Updates between checkpoints of the BC stage.
    pub every_updates: u64,
    /// Newest checkpoints kept; older ones are deleted.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_phases: 8, every_updates: 500, keep: 3 }
    }
}

impl LearnerConfig {
    /// Checks what the type system cannot, naming the key at fault.
    ///
    /// # Errors
    /// [`LearnerError::Config`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), LearnerError> {
        let (bc, ppg) = (&self.bc, &self.ppg);
        let rules: [(&'static str, bool, &'static str); 26] = [
            ("unroll_length", self.unroll_length > 0, "must be at least 1"),
            (
                "precision",
                self.precision != Precision::Int8,
                "must be \"f32\" or \"bf16\": int8 is for acting only",
            ),
            (
                "precision",
                self.precision != Precision::Bf16 || self.device != "cpu",
                "must be \"f32\" on the CPU: bf16 needs a GPU",
            ),
            ("heartbeat_deadline_seconds", self.heartbeat_deadline_seconds > 0.0, "must be above 0"),
            (
                "drain_seconds",
                self.drain_seconds > 0.0 && self.drain_seconds <= 86_400.0,
                "must be above 0 and at most 86400",
            ),
            ("bc.batch_sequences", bc.batch_sequences > 0, "must be at least 1"),
            ("bc.sequence_length", bc.sequence_length > 0, "must be at least 1"),
            (
                "bc.epochs",
                bc.epochs > 0 || bc.max_updates > 0 || bc.max_seconds > 0.0,
                "one of bc.epochs, bc.max_updates and bc.max_seconds must be above 0, or training never ends",
            ),
            (
                "bc.validation_fraction",
                (0.0..1.0).contains(&bc.validation_fraction),
                "must be at least 0 and below 1",
            ),
            ("ppg.batch_unrolls", ppg.batch_unrolls > 0, "must be at least 1"),
            (
                "ppg.minibatch_unrolls",
                (1..=ppg.batch_unrolls).contains(&ppg.minibatch_unrolls),
                "must be between 1 and ppg.batch_unrolls",
            ),
            ("ppg.epochs", ppg.epochs > 0, "must be at least 1"),
            (
                "ppg.policy_phases_per_aux",
                ppg.policy_phases_per_aux > 0,
                "must be at least 1 (ppg.aux_epochs = 0 switches the auxiliary phase off)",
            ),
            ("ppg.discount", (0.0..=1.0).contains(&ppg.discount), "must be between 0 and 1"),
            ("ppg.gae_lambda", (0.0..=1.0).contains(&ppg.gae_lambda), "must be between 0 and 1"),
            ("ppg.value_head_lr", ppg.value_head_lr >= 0.0, "must not be negative"),
            ("ppg.action_head_lr", ppg.action_head_lr >= 0.0, "must not be negative"),
            ("ppg.return_window", ppg.return_window > 0, "must be at least 1"),
            (
                "ppg.max_seconds",
                !self.deterministic || self.stage != Stage::Ppg || ppg.max_seconds == 0.0,
                "must be 0 when learner.deterministic is true: a clock is not deterministic",
            ),
            ("schedule.actors", self.schedule.actors > 0, "must be at least 1"),
            ("schedule.lag_phases", self.schedule.lag_phases <= 64, "must be at most 64"),
            (
                "journal.max_bytes",
                self.journal.mode == JournalMode::Off || self.journal.max_bytes >= 1 << 20,
                "must be at least 1048576",
            ),
            (
                "bc.max_seconds",
                !self.deterministic || self.stage != Stage::Bc || bc.max_seconds == 0.0,
                "must be 0 when learner.deterministic is true: a clock is not deterministic",
            ),
            ("checkpoint.every_phases", self.checkpoint.every_phases > 0, "must be at least 1"),
            ("checkpoint.every_updates", self.checkpoint.every_updates > 0, "must be at least 1"),
            ("checkpoint.keep", self.checkpoint.keep > 0, "must be at least 1"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, reason)) => Err(LearnerError::Config { key, reason: reason.into() }),
            None => {
                self.ppg.validate(self.deterministic || self.journal.mode == JournalMode::Payload)?;
                self.ranks.validate(self)?;
                self.admission.validate()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        LearnerConfig::default().validate().unwrap();
    }

    #[test]
    fn unrolls_that_are_used_again_and_exact_restarts_exclude_each_other() {
        let mut config = LearnerConfig::default();
        config.ppg.aux_max_reuse = 6;
        config.validate().unwrap();
        config.journal.mode = JournalMode::Payload;
        assert!(config.validate().unwrap_err().to_string().contains("learner.ppg.aux_max_reuse"));
        config.ppg = PpgConfig { vtrace_c_clip: 1.5, ..PpgConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("learner.ppg.vtrace_c_clip"));
    }

    #[test]
    fn a_senseless_value_names_its_key() {
        let mut config = LearnerConfig::default();
        config.ppg.minibatch_unrolls = config.ppg.batch_unrolls + 1;
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains("learner.ppg.minibatch_unrolls"), "{message}");
        for (device, precision) in [("auto", Precision::Int8), ("cpu", Precision::Bf16)] {
            let config = LearnerConfig { device: device.into(), precision, ..LearnerConfig::default() };
            assert!(config.validate().unwrap_err().to_string().contains("learner.precision"));
        }
    }
}
