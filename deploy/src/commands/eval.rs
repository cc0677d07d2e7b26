//! `vpt eval`: plays held-out episodes with a checkpoint, or a published policy, and reports return and item shares,
//! from its files alone.

use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use serde_json::{Map, Value, json};
use vpt_actor::evaluate::{EvalSetup, EvalSummary, evaluate};
use vpt_actor::player::Player;
use vpt_policy::Parameters;
use vpt_policy::openai::{self, ModelFile};
use vpt_runtime::{Security, atomic_file, shutdown};

use super::Usage;
use super::worlds::Worlds;
use crate::cli::EvalArgs;
use crate::report::plots;
use crate::run_config::RunConfig;
use crate::up::progress::Progress;

pub(crate) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let Subject { config, parameters, source } = Subject::load(&args)?;
    let worlds = Worlds::at_or_embedded(args.envserver, &config).await?;
    let player = config.evaluation.player(config.policy.clone(), parameters);
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
    write(&args.out, &config, source, &summary)
}

/// Who is evaluated, and by which run file.
struct Subject {
    config: RunConfig,
    parameters: Parameters,
    /// The files, for the report.
    source: Map<String, Value>,
}

impl Subject {
    fn load(args: &EvalArgs) -> anyhow::Result<Self> {
        let mut sets = args.sets.clone();
        sets.extend(args.world.as_ref().map(|world| format!("world.name={world}")));
        sets.extend(args.task.as_ref().map(|task| format!("world.task={task}")));
        sets.extend(args.episodes.map(|episodes| format!("evaluation.episodes={episodes}")));
        match (&args.checkpoint, &args.model, &args.weights) {
            (Some(checkpoint), ..) => Self::of_checkpoint(checkpoint, &sets),
            (None, Some(model), Some(weights)) => {
                Self::published(RunConfig::load(args.config.as_deref(), &sets)?, model, weights)
            }
            _ => Err(Usage("give --checkpoint DIR, or --model FILE and --weights FILE".to_owned()).into()),
        }
    }

    fn of_checkpoint(checkpoint: &Path, sets: &[String]) -> anyhow::Result<Self> {
        let loaded = vpt_learner::checkpoint::load_policy(checkpoint)?;
        let mut config = RunConfig::from_checkpoint(&loaded.run_config_toml, sets)?;
        let parameters =
            Parameters::from_safetensors(&loaded.parameters, &loaded.config, false, &Device::Cpu)?;
        config.policy = loaded.config;
        Ok(Self { config, parameters, source: named("checkpoint", checkpoint).collect() })
    }

    fn published(mut config: RunConfig, model: &Path, weights: &Path) -> anyhow::Result<Self> {
        let ModelFile::Policy(policy) = openai::read_model(model)? else {
            let text = format!("{} is of an inverse dynamics model, which does not play", model.display());
            return Err(Usage(text).into());
        };
        let parameters =
            Parameters::from_tensors(&openai::read_weights(weights)?, &policy, false, &Device::Cpu)?;
        config.policy = policy;
        let source = named("model", model).chain(named("weights", weights)).collect();
        Ok(Self { config, parameters, source })
    }
}

fn named(key: &str, path: &Path) -> impl Iterator<Item = (String, Value)> {
    std::iter::once((key.to_owned(), path.display().to_string().into()))
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

fn write(
    out: &Path,
    config: &RunConfig,
    source: Map<String, Value>,
    summary: &EvalSummary,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let shares: serde_json::Map<_, _> = summary
        .item_shares
        .iter()
        .map(|(item, (share, stderr))| (item.clone(), json!({"share": share, "stderr": stderr})))
        .collect();
    let mut report = source;
    let results = [
        ("world", json!(config.world.name)),
        ("task", json!(config.world.task)),
        ("mean", json!(summary.mean)),
        ("stderr", json!(summary.stderr)),
        ("episodes", json!(summary.episodes)),
        ("item_shares", Value::Object(shares)),
        ("returns", json!(summary.returns)),
    ];
    report.extend(results.map(|(key, value)| (key.to_owned(), value)));
    atomic_file::write(&out.join("eval.json"), &serde_json::to_vec_pretty(&report)?)?;
    plots::histogram(&out.join("returns.png"), "return per episode", &summary.returns)?;
    println!("written: {}", out.join("eval.json").display());
    Ok(())
}
