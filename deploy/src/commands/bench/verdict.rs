//! `vpt bench verdict`: a cluster whose parts are slowed down on purpose, one at a time, and what the learner says holds it
//! back.
//!
//! Every run slows one part by a delay of random length; the verdict is asked for several times a second, and counts as
//! right when it names the part at the end of the run. Reported besides: after how long it was right for good.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vpt_policy::CounterRng;
use vpt_runtime::{atomic_file, shutdown};

use super::median;
use super::training_loop::cluster::Cluster;
use super::training_loop::{self, Order};
use crate::cli::bench::{BenchLoopArgs, BenchVerdictArgs};
use crate::run_config::RunConfig;

/// Between two looks at the status.
const POLL: Duration = Duration::from_millis(200);
/// From the first answer of the learner to the first fault.
const WARM_UP: Duration = Duration::from_secs(8);
/// Unrolls that may wait for the training thread: two batches.
const QUEUE_UNROLLS: usize = 64;
/// Delays are this long up to three times as long, so that the part becomes the slowest by far, and by how far varies.
const PARTS: [(&str, &str, u64); 6] = [
    ("env", "env_step_ms", 20),
    ("inference", "inference_ms", 20),
    ("network", "uplink_ms", 300),
    ("decode", "decode_ms", 300),
    ("train", "train_step_ms", 300),
    ("publish", "publish_ms", 400),
];

/// By how much the shortest delay of a publication is longer than the undisturbed time from version to version.
const PUBLISH_LONGER: f64 = 1.5;

pub(crate) fn run(args: &BenchVerdictArgs) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("vpt-bench-verdict-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = crate::commands::runtime()?.block_on(measure(args, &folder));
    // What is left in the folder for temporary files is the system's to clear.
    let _ = std::fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

async fn measure(args: &BenchVerdictArgs, folder: &Path) -> anyhow::Result<serde_json::Value> {
    let stop = shutdown::token_on_signals()?;
    let faults = folder.join("faults.toml");
    let config = config(args, &faults)?;
    let steps_a_version = (config.learner.ppg.batch_unrolls * config.learner.unroll_length) as f64;
    let mut cluster = Cluster::start(config, folder, &stop)?;
    let outcome = Trial { args, cluster: &cluster, faults, stop: &stop, steps_a_version }.run().await;
    cluster.stop().await;
    outcome
}

fn config(args: &BenchVerdictArgs, faults: &Path) -> anyhow::Result<RunConfig> {
    let like = BenchLoopArgs {
        world: args.world.clone(),
        net: args.net.clone(),
        actors: args.actors,
        slots: 8 * args.actors,
        learner_threads: 2,
        seconds: 0.0,
        warm_up: 0.0,
        rounds: 1,
        deterministic: false,
        updates: 0,
        peers: None,
        peer_workers: 0,
        peer_set: Vec::new(),
    };
    let mut config = training_loop::config(&like, Order::Free)?;
    config.learner.admission.queue_unrolls = QUEUE_UNROLLS;
    config.faults.enabled = true;
    config.faults.file = faults.to_owned();
    Ok(config)
}

/// The cluster under test.
struct Trial<'a> {
    args: &'a BenchVerdictArgs,
    cluster: &'a Cluster,
    faults: PathBuf,
    stop: &'a CancellationToken,
    /// Env steps that a version is trained on.
    steps_a_version: f64,
}

/// How one run went.
struct Outcome {
    /// The verdict at its end.
    last: String,
    /// Seconds from the fault to the verdict that stayed.
    settled: Option<f64>,
}

impl Trial<'_> {
    async fn run(&self) -> anyhow::Result<serde_json::Value> {
        self.cluster.status().await?;
        tokio::time::sleep(WARM_UP).await;
        let before = self.cluster.status().await?;
        eprintln!("undisturbed: {:.0} env steps/s, {}", before.env_steps_per_second, said(&before).1);
        let between_versions = self.steps_a_version / before.env_steps_per_second.max(1.0) * 1000.0;
        let mut right = [0usize; PARTS.len()];
        let mut settled: [Vec<f64>; PARTS.len()] = Default::default();
        for round in 0..self.args.runs {
            let mut order: Vec<usize> = (0..PARTS.len()).collect();
            let mut random = CounterRng::new(&[self.args.seed, round as u64]);
            random.shuffle(&mut order);
            for part in order {
                let (expected, key, mut shortest) = PARTS[part];
                if expected == "publish" {
                    // On a slow machine training a version takes longer than that, and is then what holds the run back.
                    shortest = shortest.max((PUBLISH_LONGER * between_versions) as u64);
                }
                let delay = shortest + random.below(2 * shortest + 1);
                let outcome = self.slow_down(key, delay, expected).await?;
                let is_right = outcome.last == expected;
                eprintln!(
                    "run {round}: {key} = {delay}: {} ({}), settled after {:.1} s",
                    outcome.last,
                    if is_right { "right" } else { "WRONG" },
                    outcome.settled.unwrap_or(f64::NAN)
                );
                right[part] += usize::from(is_right);
                settled[part].extend(outcome.settled);
            }
        }
        Ok(self.report(&right, &settled))
    }

    /// One run: the fault begins, the verdict is watched, the fault ends.
    async fn slow_down(&self, key: &str, delay: u64, expected: &str) -> anyhow::Result<Outcome> {
        atomic_file::write(&self.faults, format!("{key} = {delay}\n").as_bytes())?;
        let began = Instant::now();
        let mut outcome = Outcome { last: String::new(), settled: None };
        while began.elapsed().as_secs_f64() < self.args.seconds {
            if self.stop.is_cancelled() {
                bail!("stopped");
            }
            tokio::time::sleep(POLL).await;
            let (verdict, sentence) = said(&self.cluster.status().await?);
            if verdict != outcome.last {
                eprintln!("  {:4.1} s: {sentence}", began.elapsed().as_secs_f64());
            }
            if verdict != expected {
                outcome.settled = None;
            } else if outcome.settled.is_none() {
                outcome.settled = Some(began.elapsed().as_secs_f64());
            }
            outcome.last = verdict;
        }
        atomic_file::write(&self.faults, b"")?;
        tokio::time::sleep(Duration::from_secs_f64(self.args.rest.clamp(0.0, 3600.0))).await;
        Ok(outcome)
    }

    fn report(&self, right: &[usize; PARTS.len()], settled: &[Vec<f64>; PARTS.len()]) -> serde_json::Value {
        let runs = self.args.runs;
        let by_part = |value: &dyn Fn(usize) -> serde_json::Value| -> serde_json::Value {
            PARTS.iter().enumerate().map(|(part, (name, ..))| ((*name).to_owned(), value(part))).collect()
        };
        let longest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        json!({
            "bench": "verdict",
            "value": right.iter().sum::<usize>() as f64 / (runs * PARTS.len()) as f64,
            "unit": "share of runs whose verdict is right",
            "ratios": {},
            "runs_per_part": runs,
            "seconds": self.args.seconds,
            "right": by_part(&|part| json!(right[part])),
            "seconds_to_verdict_median": by_part(&|part| match settled[part].as_slice() {
                [] => serde_json::Value::Null,
                times => json!(median(times)),
            }),
            "seconds_to_verdict_longest": by_part(&|part| json!(longest(&settled[part]))),
            "world": self.args.world,
            "net": self.args.net,
            "actors": self.args.actors,
        })
    }
}

/// The verdict and its sentence.
fn said(status: &vpt_proto::learner::v1::GetStatusResponse) -> (String, String) {
    let verdict = status.verdict.clone().unwrap_or_default();
    let sentence = format!("{} ({})", verdict.held_back_by, verdict.evidence);
    (verdict.held_back_by, sentence)
}
