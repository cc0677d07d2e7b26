//! What `vpt bench policy` found: a line for each case, one JSON object at the end.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use serde_json::{Value, json};
use vpt_policy::{Policy, PolicyConfig, Precision, RecurrentState, distribution};

use super::cases::{Case, Op};
use super::work;
use crate::commands::bench::median;
use crate::commands::bench::worker::Worker;

/// What one case took.
pub(super) struct Timed {
    /// Seconds of each call.
    pub(super) ours: Vec<f64>,
    /// Of the faster memory format.
    pub(super) peer: Option<Vec<f64>>,
    /// Ours and the peer's: the most memory in use during a step, less what the process had before it loaded anything.
    pub(super) memory: Option<(f64, Option<f64>)>,
}

impl Timed {
    fn ratio(&self) -> Option<f64> {
        self.peer.as_deref().map(|peer| median(peer) / median(&self.ours))
    }

    pub(super) fn line(&self, case: &Case) -> String {
        let each = |seconds: &[f64]| format!("{:9.2} ms", 1e3 * median(seconds));
        let mut line = format!("{:<24} {}", case.name(), each(&self.ours));
        if let (Some(peer), Some(ratio)) = (&self.peer, self.ratio()) {
            line += &format!("   peer {}   ratio {ratio:.2}", each(peer));
        }
        if let Some((ours, peer)) = self.memory {
            line += &format!("   memory {:.2} GiB", ours / f64::from(1 << 30));
            line += &peer.map_or(String::new(), |p| format!(", peer {:.2} GiB", p / f64::from(1 << 30)));
        }
        line
    }
}

/// Steps of the chunk that is trained on to see whether memory grows.
pub(super) const STEADY_TIME: usize = 2;

/// All cases.
#[derive(Default)]
pub(super) struct Report {
    model: String,
    /// What the peer calls itself.
    pub(super) peer: Option<String>,
    seconds: BTreeMap<String, f64>,
    ratios: BTreeMap<String, f64>,
    kl: BTreeMap<String, f64>,
    resident: BTreeMap<String, f64>,
}

impl Report {
    pub(super) fn of(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    pub(super) fn add(&mut self, case: &Case, timed: &Timed) {
        self.seconds.insert(case.name(), median(&timed.ours));
        if let (Some(peer), Some(ratio)) = (&timed.peer, timed.ratio()) {
            self.seconds.insert(format!("{}.torch", case.name()), median(peer));
            self.ratios.insert(format!("{}.torch", case.name()), ratio);
        }
        if let Some(f32_seconds) = case.in_f32().and_then(|name| self.seconds.get(&name)) {
            self.ratios.insert(format!("{}.f32", case.name()), f32_seconds / median(&timed.ours));
        }
        if let Some((ours, Some(peer))) = timed.memory {
            self.ratios.insert(format!("{}.memory.torch", case.name()), peer / ours);
        }
    }

    /// Resident memory after the first tenth of many steps and after the last.
    pub(super) fn steady(&mut self, ours: &mut Worker, steps: usize) -> anyhow::Result<()> {
        for (name, op) in [("act", Op::Act), ("train", Op::Train)] {
            let case = Case { op, threads: 1, precision: Precision::F32, batch: 1, time: STEADY_TIME };
            let mut resident = Vec::new();
            for _ in 0..steps {
                let bytes = ours.ask(&case.request())?["resident_bytes"].as_f64();
                resident.push(bytes.context("no memory in an answer")?);
            }
            let (early, late) = (resident[steps / 10], resident[steps - 1]);
            eprintln!(
                "{name}: {:.1} MiB resident after {} steps, {:.1} after {steps}",
                early / f64::from(1 << 20),
                steps / 10 + 1,
                late / f64::from(1 << 20)
            );
            self.resident.insert(format!("{name}_growth_bytes"), late - early);
        }
        Ok(())
    }

    /// Mean KL of the f32 policy to each other precision's, over the bench's frames as one stream.
    pub(super) fn divergence(&mut self, config: &PolicyConfig, folder: &Path) -> anyhow::Result<()> {
        let parameters = work::parameters(config, folder, false)?;
        let exact = Policy::new(config, &parameters)?;
        let (frames, first) = work::stream(config, folder, 16)?;
        let start = RecurrentState::initial(config, 1, &Device::Cpu)?;
        let reference = exact.forward(&frames, &first, &start)?;
        for precision in [Precision::Bf16, Precision::Int8] {
            let out =
                Policy::new(config, &parameters)?.for_acting(precision)?.forward(&frames, &first, &start)?;
            let mut kl = 0.0;
            for (p, q) in [
                (&reference.buttons_logits, &out.buttons_logits),
                (&reference.camera_logits, &out.camera_logits),
            ] {
                let (p, q) = (p.flatten_to(1)?, q.flatten_to(1)?);
                kl += f64::from(distribution::kl(&p, &q)?.mean_all()?.to_scalar::<f32>()?);
            }
            self.kl.insert(precision.name().to_owned(), kl);
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        let value = self.seconds.get("act_b8_t1").map(|seconds| 8.0 / seconds);
        json!({
            "bench": "policy", "value": value, "unit": "frames/s acting, batch 8, 1 thread, f32",
            "model": self.model, "peer": self.peer, "seconds": self.seconds, "ratios": self.ratios,
            "kl_to_f32_nats": self.kl, "steady": self.resident,
        })
    }
}
