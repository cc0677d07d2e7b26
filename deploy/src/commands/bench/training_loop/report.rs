//! What `vpt bench loop` found: a line for each round, one JSON object at the end.

use anyhow::bail;
use serde_json::{Map, Value, json};

use crate::cli::bench::BenchLoopArgs;
use crate::commands::bench::median;

/// Frames per second of every round.
pub(super) struct Report {
    about: Value,
    pub(super) ours: Vec<f64>,
    pub(super) deterministic: Vec<f64>,
    pub(super) peer: Vec<f64>,
    /// Of the weights of runs that must end alike.
    pub(super) hashes: Vec<String>,
}

impl Report {
    pub(super) fn new(args: &BenchLoopArgs, frame: usize) -> Self {
        let about = json!({
            "world": args.world, "net": args.net, "frame": frame, "actors": args.actors, "slots": args.slots,
            "seconds": args.seconds, "warm_up": args.warm_up, "peer_settings": args.peer_set,
        });
        Self { about, ours: vec![], deterministic: vec![], peer: vec![], hashes: vec![] }
    }

    pub(super) fn line(&self, round: usize) -> String {
        let mut line = format!("round {}: {:8.0} frames/s", round + 1, self.ours[round]);
        if let Some(rate) = self.deterministic.get(round) {
            line += &format!("   deterministic {rate:8.0}");
        }
        if let Some(rate) = self.peer.get(round) {
            line += &format!("   Sample Factory {rate:8.0}");
        }
        line
    }

    /// # Errors
    /// Deterministic runs that ended with different weights.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        if self.hashes.windows(2).any(|pair| pair[0] != pair[1]) {
            bail!("two deterministic runs ended with different weights: {:?}", self.hashes);
        }
        let ours = median(&self.ours);
        let mut ratios = Map::new();
        if !self.deterministic.is_empty() {
            ratios.insert("deterministic.free".into(), json!(median(&self.deterministic) / ours));
        }
        if !self.peer.is_empty() {
            ratios.insert("loop.sample_factory".into(), json!(ours / median(&self.peer)));
        }
        Ok(json!({
            "bench": "loop", "value": ours, "unit": "frames/s", "ratios": ratios, "about": self.about,
            "rounds": {"ours": self.ours, "deterministic": self.deterministic, "sample_factory": self.peer},
            "weights": self.hashes.first(),
        }))
    }
}
