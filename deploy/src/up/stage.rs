//! The stages of `vpt up`, in order, and how each is performed.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use vpt_actor::evaluate::evaluate;
use vpt_actor::player::Player;
use vpt_actor::record::{RecordSetup, record};
use vpt_envserver::worlds::has_scripted_player;
use vpt_policy::Parameters;

use super::progress::Progress;
use super::summary::Arm;
use super::{Run, train};
use crate::commands::eval_setup;
use crate::run_config::RunConfig;

/// One stage; everything it leaves behind lies in the run's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Demonstrations of the scripted player: `demonstrations/`.
    Demonstrations,
    /// The scripted player on the held-out seeds.
    EvalScripted,
    /// The freshly initialised network on the held-out seeds.
    EvalUntrained,
    /// Behavioural cloning: `bc/`; its result is the frozen pretrained policy.
    Bc,
    /// The clone on the held-out seeds.
    EvalBc,
    /// PPG with KL to the clone, or, where nobody gave demonstrations, to what `learner.pretrained` names: `checkpoints/`.
    Ppg,
    /// The result of PPG on the held-out seeds.
    EvalPpg,
    /// The clone trained on for as long as PPG took: `bc_continued/`.
    BcContinued,
    /// That control on the held-out seeds.
    EvalBcContinued,
    /// PPG without its auxiliary phase: `ppo_only/`.
    PpoOnly,
    /// Its result on the held-out seeds.
    EvalPpoOnly,
    /// PPG from the clone without KL to it: `no_kl/`.
    NoKl,
    /// Its result on the held-out seeds.
    EvalNoKl,
    /// PPG from random weights: `from_scratch/`.
    FromScratch,
    /// Its result on the held-out seeds.
    EvalFromScratch,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demonstrations => "record demonstrations",
            Self::EvalScripted => "evaluate scripted player",
            Self::EvalUntrained => "evaluate untrained policy",
            Self::Bc => "behavioural cloning",
            Self::EvalBc => "evaluate clone",
            Self::Ppg => "PPG with KL",
            Self::EvalPpg => "evaluate PPG",
            Self::BcContinued => "continued cloning (control)",
            Self::EvalBcContinued => "evaluate control",
            Self::PpoOnly => "without auxiliary phase",
            Self::EvalPpoOnly => "evaluate without auxiliary phase",
            Self::NoKl => "without KL",
            Self::EvalNoKl => "evaluate without KL",
            Self::FromScratch => "from scratch",
            Self::EvalFromScratch => "evaluate from scratch",
        })
    }
}

impl Stage {
    /// The stages of a run, in order.
    pub fn all(config: &RunConfig) -> Vec<Self> {
        if !has_scripted_player(&config.world.name) {
            // Nothing to clone: PPG alone, from the network that is given or from random weights.
            let before = config.learner.init.is_empty().then_some(Self::EvalUntrained);
            return before.into_iter().chain([Self::Ppg, Self::EvalPpg]).collect();
        }
        let mut stages = vec![Self::Demonstrations, Self::EvalScripted, Self::EvalUntrained];
        stages.extend([Self::Bc, Self::EvalBc, Self::Ppg, Self::EvalPpg]);
        if config.up.bc_continued {
            stages.extend([Self::BcContinued, Self::EvalBcContinued]);
        }
        if config.up.ablations {
            stages.extend([Self::PpoOnly, Self::EvalPpoOnly, Self::NoKl, Self::EvalNoKl]);
            stages.extend([Self::FromScratch, Self::EvalFromScratch]);
        }
        stages
    }
}

/// Performs one stage to its end, or until the run is told to stop.
pub(crate) async fn perform(run: &mut Run, stage: Stage) -> anyhow::Result<()> {
    match stage {
        Stage::Demonstrations => demonstrations(run).await,
        Stage::EvalScripted => evaluation(run, Arm::Scripted, Player::Scripted).await,
        Stage::EvalUntrained => {
            let config = run.config.policy.clone();
            let parameters = Parameters::init(&config, run.config.run.seed, &Device::Cpu)?.frozen_copy()?;
            let player = run.config.evaluation.player(config, parameters);
            evaluation(run, Arm::Untrained, player).await
        }
        Stage::Bc => train::bc(run).await,
        Stage::EvalBc => checkpoint(run, Arm::Bc, "bc/checkpoints/latest").await,
        Stage::Ppg => train::ppg(run).await,
        Stage::EvalPpg => checkpoint(run, Arm::Ppg, "checkpoints/latest").await,
        Stage::BcContinued => train::bc_continued(run).await,
        Stage::EvalBcContinued => checkpoint(run, Arm::BcContinued, "bc_continued/checkpoints/latest").await,
        Stage::PpoOnly => train::ppo_only(run).await,
        Stage::EvalPpoOnly => checkpoint(run, Arm::PpoOnly, "ppo_only/checkpoints/latest").await,
        Stage::NoKl => train::no_kl(run).await,
        Stage::EvalNoKl => checkpoint(run, Arm::NoKl, "no_kl/checkpoints/latest").await,
        Stage::FromScratch => train::from_scratch(run).await,
        Stage::EvalFromScratch => checkpoint(run, Arm::FromScratch, "from_scratch/checkpoints/latest").await,
    }
}

async fn demonstrations(run: &mut Run) -> anyhow::Result<()> {
    let out = run.dir.join("demonstrations");
    // A dataset without its index is a recording that was cut off: nothing in it was used yet.
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    }
    let config = &run.config;
    let setup = RecordSetup {
        envserver: run.endpoints.envserver_url(),
        security: run.player_security()?,
        deadlines: config.actor.deadlines(),
        world: config.world.clone(),
        player: Player::Scripted,
        frame: (config.policy.image_size, config.policy.image_size),
        episodes: config.demonstrations.episodes,
        slots: config.demonstrations.slots.min(config.demonstrations.episodes),
        run_seed: config.run.seed,
        slips: config.demonstrations.slips,
        out,
    };
    let progress = Progress::new("record demonstrations");
    let report = |done: u64, total: u64| progress.update(done, total, "env steps", String::new());
    let summary = record(setup, &report, run.stop.clone()).await?;
    let (mean, stderr) = (summary.mean_return, summary.stderr);
    progress.finish(&format!("{} episodes, mean return {mean:.2} ± {stderr:.2}", summary.episodes));
    Ok(())
}

async fn checkpoint(run: &mut Run, arm: Arm, path: &str) -> anyhow::Result<()> {
    let loaded = vpt_learner::checkpoint::load_policy(&run.dir.join(Path::new(path)))?;
    let parameters = Parameters::from_safetensors(&loaded.parameters, &loaded.config, false, &Device::Cpu)?;
    let player = run.config.evaluation.player(loaded.config, parameters);
    evaluation(run, arm, player).await
}

async fn evaluation(run: &mut Run, arm: Arm, player: Player) -> anyhow::Result<()> {
    let progress = Progress::new(&format!("evaluate {arm}"));
    let setup = eval_setup(&run.config, (&run.endpoints.envserver_url(), &run.player_security()?), player);
    let report = |done: u64, total: u64| progress.update(done, total, "episodes", String::new());
    let summary = evaluate(setup, &report, run.stop.clone()).await?;
    progress.finish(&format!("mean return {:.3} ± {:.3}", summary.mean, summary.stderr));
    run.journal.record_arm(arm, &summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_without_a_scripted_player_is_trained_in_by_ppg_alone() {
        let stages = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
            Stage::all(&RunConfig::load(None, &sets).expect("built-in run"))
        };
        assert_eq!(stages(&["world.name=minerl"]), [Stage::EvalUntrained, Stage::Ppg, Stage::EvalPpg]);
        let given = stages(&["world.name=minerl", "learner.init=foundation.weights"]);
        assert_eq!(given, [Stage::Ppg, Stage::EvalPpg]);
        assert!(stages(&[]).contains(&Stage::Demonstrations));
    }
}
