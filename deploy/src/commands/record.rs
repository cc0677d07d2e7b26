//! `vpt record`: plays episodes behind the Play stream and writes them as shards.

use anyhow::Context;
use candle_core::Device;
use vpt_actor::player::Player;
use vpt_actor::record::{RecordSetup, record};
use vpt_envserver::worlds::has_scripted_player;
use vpt_policy::Parameters;
use vpt_runtime::shutdown;

use super::Usage;
use super::worlds::Worlds;
use crate::cli::{PlayerKind, RecordArgs};
use crate::run_config::RunConfig;
use crate::up::progress::Progress;

pub(crate) async fn run(config: RunConfig, args: RecordArgs) -> anyhow::Result<()> {
    let Some(out) = args.out.clone() else {
        return Err(Usage("where the shards go is missing: give --out DIR".to_owned()).into());
    };
    if out.join("dataset.json").exists() {
        if args.keep_existing {
            println!("{} already holds a dataset, which is kept", out.display());
            return Ok(());
        }
        let text = format!("{} already holds a dataset; name another --out or remove it", out.display());
        return Err(Usage(text).into());
    }
    let player = choose_player(&config, &args)?;
    let worlds = Worlds::at_or_embedded(args.envserver, &config).await?;
    let setup = RecordSetup {
        envserver: worlds.address.clone(),
        security: worlds.security.clone(),
        deadlines: config.actor.deadlines(),
        world: config.world.clone(),
        player,
        frame: (config.policy.image_size, config.policy.image_size),
        episodes: args.episodes,
        slots: config.demonstrations.slots.min(args.episodes),
        run_seed: config.run.seed,
        slips: config.demonstrations.slips,
        out: out.clone(),
    };
    let progress = Progress::new("record");
    let report = |done: u64, total: u64| progress.update(done, total, "steps", String::new());
    let summary = record(setup, &report, shutdown::token_on_signals()?).await.context("recording stopped")?;
    progress.finish(&format!(
        "{} episodes, {} steps, mean return {:.2} ± {:.2} in {}",
        summary.episodes,
        summary.steps,
        summary.mean_return,
        summary.stderr,
        out.display()
    ));
    Ok(())
}

fn choose_player(config: &RunConfig, args: &RecordArgs) -> anyhow::Result<Player> {
    match (args.player, &args.checkpoint) {
        (PlayerKind::Scripted, _) if !has_scripted_player(&config.world.name) => {
            let text = format!(
                "world {} has no scripted player: record a policy's play, with --player policy --checkpoint DIR",
                config.world.name
            );
            Err(Usage(text).into())
        }
        (PlayerKind::Scripted, _) => Ok(Player::Scripted),
        (PlayerKind::Policy, None) => Err(Usage("--player policy needs --checkpoint DIR".into()).into()),
        (PlayerKind::Policy, Some(path)) => {
            let loaded = vpt_learner::checkpoint::load_policy(path)?;
            let parameters =
                Parameters::from_safetensors(&loaded.parameters, &loaded.config, false, &Device::Cpu)?;
            Ok(config.evaluation.player(loaded.config, parameters))
        }
    }
}
