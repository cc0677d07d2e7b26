//! `vpt bench loop`: frames per second that are trained on end to end, worlds to actors to learner over gRPC, every role a
//! process as `vpt up` starts them; against Sample Factory where a Python that has it is given, rounds interleaved.

pub(super) mod cluster;
mod meter;
mod peer;
mod report;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use vpt_actor::config::WorldConfig;
use vpt_learner::config::{Stage, ValueGradientSetting};
use vpt_policy::PolicyConfig;
use vpt_runtime::shutdown;

use crate::cli::bench::BenchLoopArgs;
use crate::commands::Usage;
use crate::run_config::RunConfig;
use cluster::Cluster;
use report::Report;

/// Groups of an actor: one steps its worlds while another is inferred.
const GROUPS: usize = 2;
/// Steps of an unroll, ours and the peer's.
const UNROLL_LENGTH: usize = 32;
/// Unrolls of an update, ours and the peer's: 1024 frames, its default.
const MINIBATCH_UNROLLS: usize = 32;
/// Unrolls of an update where a thousand updates are run to the end.
const SHORT_MINIBATCH_UNROLLS: usize = 8;
/// More steps than any bench takes.
const ENDLESS: u64 = 1 << 40;

/// How the order of training is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As unrolls arrive.
    Free,
    /// By the schedule.
    Deterministic,
}

pub(crate) fn run(args: &BenchLoopArgs) -> anyhow::Result<()> {
    let slots_per_actor = args.slots / args.actors.max(1);
    if args.slots == 0 || args.actors == 0 || slots_per_actor * args.actors != args.slots {
        bail!(Usage(format!("--slots {} do not split among --actors {}", args.slots, args.actors)));
    }
    if !slots_per_actor.is_multiple_of(GROUPS) {
        bail!(Usage(format!("--slots {}: every actor needs {GROUPS} groups of the same size", args.slots)));
    }
    let folder = std::env::temp_dir().join(format!("vpt-bench-loop-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = crate::commands::runtime()?.block_on(measure(args, &folder));
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

async fn measure(args: &BenchLoopArgs, folder: &Path) -> anyhow::Result<serde_json::Value> {
    let stop = shutdown::token_on_signals()?;
    let mut report = Report::new(args, config(args, Order::Free)?.policy.image_size);
    for round in 0..args.rounds {
        let ours = Round { args, folder, stop: &stop, round };
        report.ours.push(ours.rate(Order::Free).await?);
        if args.deterministic {
            report.deterministic.push(ours.rate(Order::Deterministic).await?);
        }
        if let Some(python) = &args.peers {
            report.peer.push(peer::rate(python, args, folder).await?);
        }
        eprintln!("{}", report.line(round));
        if stop.is_cancelled() {
            bail!("stopped");
        }
    }
    if args.deterministic && args.updates > 0 {
        for run in 0..2 {
            let hash = Round { args, folder, stop: &stop, round: args.rounds + run }.hash().await?;
            eprintln!("weights after {} updates: {hash}", args.updates);
            report.hashes.push(hash);
        }
    }
    report.json()
}

/// One measurement of ours.
struct Round<'a> {
    args: &'a BenchLoopArgs,
    folder: &'a Path,
    stop: &'a CancellationToken,
    round: usize,
}

impl Round<'_> {
    /// Frames trained on per second after the warm-up.
    async fn rate(&self, order: Order) -> anyhow::Result<f64> {
        let dir = self.folder.join(format!("{order:?}-{}", self.round));
        let mut cluster = Cluster::start(config(self.args, order)?, &dir, self.stop)?;
        let outcome = cluster.rate(self.args.warm_up, self.args.seconds).await;
        cluster.stop().await;
        outcome
    }

    /// Hash of the weights after a fixed number of deterministic updates.
    async fn hash(&self) -> anyhow::Result<String> {
        let dir = self.folder.join(format!("exact-{}", self.round));
        let mut config = config(self.args, Order::Deterministic)?;
        let ppg = &mut config.learner.ppg;
        ppg.minibatch_unrolls = SHORT_MINIBATCH_UNROLLS.min(ppg.batch_unrolls);
        ppg.total_env_steps = self.args.updates * (ppg.minibatch_unrolls * UNROLL_LENGTH) as u64;
        let mut cluster = Cluster::start(config, &dir, self.stop)?;
        let outcome = cluster.final_weights().await;
        cluster.stop().await;
        outcome
    }
}

/// PPG without an auxiliary phase or a pretrained policy, which is PPO: what the peer does.
pub(super) fn config(args: &BenchLoopArgs, order: Order) -> anyhow::Result<RunConfig> {
    let policy = match args.net.as_str() {
        "linear" => PolicyConfig::linear(),
        "tiny" => PolicyConfig::tiny(),
        other => bail!(Usage(format!("--net {other}: known are linear and tiny"))),
    };
    let world = match args.world.as_str() {
        name @ ("null" | "noise") => {
            WorldConfig { name: name.into(), task: "null".into(), episode_steps: 1000 }
        }
        "native" => WorldConfig::default(),
        other => bail!(Usage(format!("--world {other}: known are null, noise and native"))),
    };
    let mut config = RunConfig { policy, world, ..RunConfig::default() };
    config.up.actors = args.actors;
    config.actor.groups = GROUPS;
    config.actor.slots_per_group = args.slots / args.actors / GROUPS;
    config.actor.threads = 1;
    let learner = &mut config.learner;
    learner.stage = Stage::Ppg;
    learner.threads = args.learner_threads;
    learner.unroll_length = UNROLL_LENGTH;
    learner.deterministic = order == Order::Deterministic;
    learner.schedule.actors = u32::try_from(args.actors)?;
    learner.checkpoint.every_phases = ENDLESS;
    // Room for what the schedule lets actors be ahead.
    learner.admission.queue_unrolls = args.slots * 16;
    let ppg = &mut learner.ppg;
    ppg.total_env_steps = ENDLESS;
    (ppg.batch_unrolls, ppg.minibatch_unrolls) = (MINIBATCH_UNROLLS, MINIBATCH_UNROLLS);
    ppg.aux_epochs = 0;
    ppg.value_gradient = ValueGradientSetting::Shared;
    ppg.weight_decay = 0.0;
    ppg.lr = 1e-4;
    Ok(config)
}
