//! Cloning of the scripted player, as the learner's first stage does it, one lane and one chunk an update.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use candle_core::{DType, Device, Tensor};
use vpt_policy::action::{self, EnvAction};
use vpt_policy::{
    Adam, AdamConfig, ExportDType, Gradients, Parameters, Policy, PolicyConfig, RecurrentState, WeightDecay,
    distribution,
};
use vpt_proto::shard::Dataset;

/// Norm that gradients are clipped to, the learner's default.
const MAX_GRAD_NORM: f64 = 5.0;
/// Of play to clone.
const EPISODES: usize = 4;

pub(super) struct Training {
    config: PolicyConfig,
    parameters: Parameters,
    policy: Policy,
    adam: Adam,
    dataset: Dataset,
    state: RecurrentState,
    time: usize,
    episode: usize,
    step: usize,
}

impl Training {
    /// Fresh weights, and play recorded into `folder`.
    pub(super) fn start(config: PolicyConfig, time: usize, folder: &Path) -> anyhow::Result<Self> {
        let out = folder.join("demonstrations");
        let recorded = Command::new(std::env::current_exe()?)
            .args(["record", "--episodes", &EPISODES.to_string(), "--out"])
            .arg(&out)
            .args(["--set", &format!("policy.image_size={}", config.image_size)])
            .stdout(Stdio::null())
            .status()
            .context("cannot start vpt record")?;
        if !recorded.success() {
            bail!("vpt record ended {recorded}");
        }
        let parameters = Parameters::init(&config, 1, &Device::Cpu)?;
        let policy = Policy::new(&config, &parameters)?;
        let decay = WeightDecay::Decoupled;
        // The paper's cloning: its weight decay, and the optimiser's defaults.
        let adam =
            AdamConfig { lr: 0.0, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.039_428, decay };
        let adam = Adam::new(&parameters, adam)?;
        let state = RecurrentState::initial(&config, 1, &Device::Cpu)?;
        let dataset = Dataset::open(&out)?;
        Ok(Self { config, parameters, policy, adam, dataset, state, time, episode: 0, step: 0 })
    }

    /// Takes `updates` steps at `rate`; returns the last one's loss.
    pub(super) fn update(&mut self, rate: f64, updates: usize) -> anyhow::Result<f32> {
        self.adam.set_lr(rate);
        let mut loss = f32::NAN;
        for _ in 0..updates {
            loss = self.one()?;
        }
        Ok(loss)
    }

    /// The weights as they are published.
    pub(super) fn published(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.parameters.to_safetensors(ExportDType::Bf16, false)?)
    }

    fn one(&mut self) -> anyhow::Result<f32> {
        let length = self.dataset.episodes()[self.episode].steps as usize;
        if self.step + self.time > length {
            (self.episode, self.step) = ((self.episode + 1) % self.dataset.episodes().len(), 0);
        }
        let play = self.dataset.read_range(self.episode, self.step, self.time)?;
        self.step += self.time;
        let (device, side, time) = (&Device::Cpu, self.config.image_size, play.steps.len());
        let frames = Tensor::from_vec(play.frames, (1, time, side, side, 3), device)?;
        let first: Vec<u8> = play.steps.iter().map(|step| u8::from(step.is_first)).collect();
        let taken = play.steps.iter().map(|step| {
            let action = &step.action;
            action::to_agent(&EnvAction {
                keys: action.keys,
                pitch: action.pitch_delta,
                yaw: action.yaw_delta,
            })
        });
        let (buttons, camera): (Vec<u32>, Vec<u32>) =
            taken.map(|taken| (taken.buttons, taken.camera)).unzip();
        let is_first = Tensor::from_vec(first, (1, time), device)?.to_dtype(DType::U8)?;
        let out = self.policy.forward(&frames, &is_first, &self.state)?;
        let log_prob = |logits: &Tensor, index: Vec<u32>| -> anyhow::Result<Tensor> {
            Ok(distribution::log_prob(&logits.flatten(0, 1)?, &Tensor::from_vec(index, time, device)?)?)
        };
        let buttons = log_prob(&out.buttons_logits, buttons)?;
        let loss = (buttons + log_prob(&out.camera_logits, camera)?)?.mean_all()?.neg()?;
        let gradients = Gradients::collect(&self.parameters, &loss.backward()?)?;
        self.adam.step(&mut self.parameters, &gradients, Some(MAX_GRAD_NORM))?;
        self.state = out.state;
        Ok(loss.to_scalar::<f32>()?)
    }
}
