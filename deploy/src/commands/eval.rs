//! `vpt eval`: plays held-out episodes with a checkpoint and reports return and item shares, from the checkpoint
//! alone.

use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use serde_json::json;
use vpt_actor::evaluate::{EvalSetup, EvalSummary, evaluate};
use vpt_actor::player::Player;
use vpt_policy::Parameters;
use vpt_runtime::{Security, atomic_file, shutdown};

use super::worlds::Worlds;
use crate::cli::EvalArgs;
use crate::report::plots;
use crate::run_config::RunConfig;
use crate::up::progress::Progress;

pub(crate) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let loaded = vpt_learner::checkpoint::load_policy(&args.checkpoint)?;
    let mut sets = args.sets.clone();
    sets.extend(args.world.as_ref().map(|world| format!("world.name={world}")));
    sets.extend(args.task.as_ref().map(|task| format!("world.task={task}")));
    sets.extend(args.episodes.map(|episodes| format!("evaluation.episodes={episodes}")));
    let config = RunConfig::from_checkpoint(&loaded.run_config_toml, &sets)?;
    let parameters = Parameters::from_safetensors(&loaded.parameters, &loaded.config, false, &Device::Cpu)?;
    let worlds = Worlds::at_or_embedded(args.envserver, &config).await?;
    let player = config.evaluation.player(loaded.config, parameters);
    let progress = Progress::new("eval");
    let summary = {
        let report = |done: u64, total: u64| progress.update(done, total, "episodes", String::new());
        evaluate(
            setup(&config, (&worlds.address, &worlds.security), player),
            &report,
            shutdown::token_on_signals()?,
        )
        .await?
    };
    progress.finish(&format!("{} episodes", summary.episodes));
    print!("{}", table(&config.world.task, &summary));
    write(&args.out, &config, &args.checkpoint, &summary)
}

/// The held-out evaluation of `config`; every arm of a run goes through it.
pub(crate) fn setup(config: &RunConfig, envserver: (&str, &Security), player: Player) -> EvalSetup {
    EvalSetup {
        envserver: envserver.0.to_owned(),
        security: envserver.1.clone(),
        deadlines: config.actor.deadlines(),
        world: config.world.clone(),
        player,
        frame: (config.policy.image_size, config.policy.image_size),
        episodes: config.evaluation.episodes,
        slots: config.evaluation.slots,
        seed: config.evaluation.seed,
    }
}

fn table(task: &str, summary: &EvalSummary) -> String {
    let mut text = format!(
        "task {task}: mean return {:.3} ± {:.3} over {} episodes\n",
        summary.mean, summary.stderr, summary.episodes
    );
    for (item, (share, stderr)) in &summary.item_shares {
        text += &format!("  {item:<16} in {:5.1} % ± {:4.1} of episodes\n", 100.0 * share, 100.0 * stderr);
    }
    text
}

fn write(out: &Path, config: &RunConfig, checkpoint: &Path, summary: &EvalSummary) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let shares: serde_json::Map<_, _> = summary
        .item_shares
        .iter()
        .map(|(item, (share, stderr))| (item.clone(), json!({"share": share, "stderr": stderr})))
        .collect();
    let report = json!({
        "checkpoint": checkpoint.display().to_string(),
        "world": config.world.name,
        "task": config.world.task,
        "mean": summary.mean,
        "stderr": summary.stderr,
        "episodes": summary.episodes,
        "item_shares": shares,
        "returns": summary.returns,
    });
    atomic_file::write(&out.join("eval.json"), &serde_json::to_vec_pretty(&report)?)?;
    plots::histogram(&out.join("returns.png"), "return per episode", &summary.returns)?;
    println!("written: {}", out.join("eval.json").display());
    Ok(())
}
