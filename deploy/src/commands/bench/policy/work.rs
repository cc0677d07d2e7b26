//! Our side of `vpt bench policy`: the process that acts and trains.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vpt_learner::algo::bc::bc_loss;
use vpt_policy::{
    Adam, AdamConfig, CounterRng, Gradients, Parameters, Policy, PolicyConfig, Precision, RecurrentState,
    WeightDecay, distribution, openai,
};

use crate::cli::bench::BenchPolicyWorkerArgs;
use crate::commands::bench::worker::serve;

/// Frames like blocks of colour with grain: u8 `[n, side, side, 3]`.
pub(super) fn frames(side: usize, n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n * side * side * 3);
    for i in 0..n as u64 {
        let mut grain = CounterRng::new(&[7, i]);
        let mut colours = CounterRng::new(&[8, i]);
        let blocks: Vec<u8> = (0..3 * side.div_ceil(8).pow(2)).map(|_| colours.next_u64() as u8).collect();
        for y in 0..side {
            for x in 0..side {
                let noise = grain.next_u64();
                for c in 0..3 {
                    let block = blocks[(y / 8 * side.div_ceil(8) + x / 8) * 3 + c];
                    bytes.push((block & 0xf0) | (noise >> (8 * c)) as u8 & 0x0f);
                }
            }
        }
    }
    bytes
}

/// The weights that the bench wrote.
pub(super) fn parameters(
    config: &PolicyConfig,
    folder: &Path,
    trainable: bool,
) -> anyhow::Result<Parameters> {
    let tensors = openai::read_weights(&folder.join("model.weights"))?;
    Ok(Parameters::from_tensors(&tensors, config, trainable, &Device::Cpu)?)
}

/// The first `n` frames as one stream: u8 `[1, n, side, side, 3]` and flags of no episode's start.
pub(super) fn stream(config: &PolicyConfig, folder: &Path, n: usize) -> anyhow::Result<(Tensor, Tensor)> {
    let side = config.image_size;
    let bytes = fs::read(folder.join("frames.bin"))?;
    let n = n.min(bytes.len() / (side * side * 3));
    let frames = Tensor::from_slice(&bytes[..n * side * side * 3], (1, n, side, side, 3), &Device::Cpu)?;
    Ok((frames, Tensor::zeros((1, n), DType::U8, &Device::Cpu)?))
}

pub(crate) fn run(args: &BenchPolicyWorkerArgs) -> anyhow::Result<()> {
    let base = memory("VmRSS:")?;
    let config = super::config(&args.model)?;
    let mut work = Work { config, folder: &args.folder, base, acting: BTreeMap::new(), training: None };
    let mut pools = BTreeMap::new();
    serve("vpt", |request| {
        let threads = request["threads"].as_u64().context("threads")? as usize;
        let pool = match pools.entry(threads) {
            Entry::Occupied(pool) => pool.into_mut(),
            Entry::Vacant(place) => {
                place.insert(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
            }
        };
        pool.install(|| match request["op"].as_str() {
            Some("act") => work.act(request),
            Some("train") => work.train(request),
            other => bail!("no operation is called {other:?}"),
        })
    })
}

struct Work<'a> {
    config: PolicyConfig,
    folder: &'a Path,
    /// Bytes resident before anything was loaded.
    base: u64,
    /// The network and its memory, by precision and batch.
    acting: BTreeMap<(&'static str, usize), (Policy, RecurrentState)>,
    training: Option<(Parameters, Adam)>,
}

impl Work<'_> {
    fn act(&mut self, request: &Value) -> anyhow::Result<Value> {
        let precision: Precision = request["precision"].as_str().context("precision")?.parse()?;
        let batch = request["batch"].as_u64().context("batch")? as usize;
        let key = (precision.name(), batch);
        if !self.acting.contains_key(&key) {
            let parameters = parameters(&self.config, self.folder, false)?;
            let policy = Policy::new(&self.config, &parameters)?.for_acting(precision)?;
            let state = RecurrentState::initial(&self.config, batch, &Device::Cpu)?;
            self.acting.insert(key, (policy, state));
        }
        let (policy, state) = self.acting.get_mut(&key).context("inserted above")?;
        let (frames, first) = stream(&self.config, self.folder, batch)?;
        let (frames, first) = (frames.transpose(0, 1)?.contiguous()?, first.t()?.contiguous()?);
        let start = Instant::now();
        let out = policy.forward(&frames, &first, state)?;
        let buttons = log_softmax(&out.buttons_logits)?;
        let camera = log_softmax(&out.camera_logits)?;
        let seconds = start.elapsed().as_secs_f64();
        *state = out.state;
        if let Some(path) = request["save"].as_str() {
            let all = [buttons, camera, out.value.flatten_all()?.to_vec1()?].concat();
            fs::write(path, all.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        Ok(json!({ "seconds": seconds, "resident_bytes": memory("VmRSS:")? }))
    }

    fn train(&mut self, request: &Value) -> anyhow::Result<Value> {
        let time = request["time"].as_u64().context("time")? as usize;
        // So that the peak from here on is this step's.
        fs::write("/proc/self/clear_refs", "5")?;
        if self.training.is_none() {
            let parameters = parameters(&self.config, self.folder, true)?;
            let lr = request["lr"].as_f64().context("lr")?;
            let (decay, weight_decay) = (WeightDecay::Decoupled, 0.01);
            let adam = AdamConfig { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decay };
            let adam = Adam::new(&parameters, adam)?;
            self.training = Some((parameters, adam));
        }
        let (parameters, adam) = self.training.as_mut().context("set above")?;
        let policy = Policy::new(&self.config, parameters)?;
        let (frames, first) = stream(&self.config, self.folder, time)?;
        let target = |step: usize, classes: usize| {
            let all: Vec<u32> = (0..time).map(|t| (t * step % classes) as u32).collect();
            Tensor::from_vec(all, time, &Device::Cpu)
        };
        let (buttons, camera) = (target(131, 8641)?, target(17, 121)?);
        let state = RecurrentState::initial(&self.config, 1, &Device::Cpu)?;
        let kept = Tensor::ones(time, DType::F32, &Device::Cpu)?;
        let start = Instant::now();
        let out = policy.forward(&frames, &first, &state)?;
        let log_prob = (distribution::log_prob(&out.buttons_logits.flatten(0, 1)?, &buttons)?
            + distribution::log_prob(&out.camera_logits.flatten(0, 1)?, &camera)?)?;
        let loss = bc_loss(&log_prob, &kept)?;
        let gradients = Gradients::collect(parameters, &loss.backward()?)?;
        adam.step(parameters, &gradients, None)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({
            "seconds": seconds, "loss": loss.to_scalar::<f32>()?,
            "peak_bytes": memory("VmHWM:")?, "base_bytes": self.base, "resident_bytes": memory("VmRSS:")?,
        }))
    }
}

/// `[B, 1, K]` to log-probabilities, row by row.
fn log_softmax(logits: &Tensor) -> anyhow::Result<Vec<f32>> {
    let classes = logits.dim(2)?;
    let mut numbers = logits.flatten_all()?.to_vec1::<f32>()?;
    let sums = vpt_policy::ops::log_sum_exp_rows(&numbers, classes);
    for (row, sum) in numbers.chunks_exact_mut(classes).zip(sums) {
        row.iter_mut().for_each(|logit| *logit -= sum);
    }
    Ok(numbers)
}

/// A line of `/proc/self/status` in bytes.
fn memory(field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such line")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
