//! `vpt replay training`: trains again from a checkpoint and the journal, and compares bit for bit.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use vpt_learner::checkpoint::load_policy;
use vpt_learner::{LearnerSetup, ReplayReport, replay_training};
use vpt_runtime::telemetry;

use crate::run_config::RunConfig;

pub(crate) fn run(dir: &Path) -> anyhow::Result<()> {
    telemetry::init("replay");
    let newest = load_policy(&dir.join("checkpoints"))
        .with_context(|| format!("{} is not the folder of a training run", dir.display()))?;
    let run = RunConfig::from_checkpoint(&newest.run_config_toml, &[])
        .with_context(|| format!("the run config in the checkpoint of {}", dir.display()))?;
    let mut learner = run.learner;
    learner.out = dir.to_owned();
    if learner.threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(learner.threads).build_global()?;
    }
    let setup = LearnerSetup {
        learner,
        policy: run.policy,
        run_seed: run.run.seed,
        run_config_toml: newest.run_config_toml,
    };
    let began = Instant::now();
    let report = replay_training(&setup, CancellationToken::new())?;
    print!("{}", table(&report, began.elapsed().as_secs_f64()));
    if report.is_exact() {
        return Ok(());
    }
    if let Some(mark) = report.comparison.first_difference {
        bail!("version {} came out differently, after {} unrolls", mark.version, mark.consumed);
    }
    match report.comparison.different_checkpoints.first() {
        Some(name) => bail!("checkpoint {name} came out differently"),
        None => bail!("the journal holds no publication to compare with: let the run train a phase first"),
    }
}

fn table(report: &ReplayReport, seconds: f64) -> String {
    let comparison = &report.comparison;
    format!(
        "from checkpoint      {}\nunrolls              {}\npolicy phases        {} in {seconds:.1} s\n\
         versions the same    {}\nversions unrecorded  {}\ncheckpoints the same {} of {}\nweights (BLAKE3)     {}\n",
        report.from,
        report.unrolls,
        report.policy_phases,
        comparison.equal,
        comparison.unrecorded,
        comparison.equal_checkpoints.len(),
        comparison.equal_checkpoints.len() + comparison.different_checkpoints.len(),
        report.weights,
    )
}
