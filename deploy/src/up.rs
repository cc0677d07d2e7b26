//! `vpt up`: a whole cluster on this machine. Runs the recipe of the paper in small, stage by stage, each stage
//! resumable, every role a child process of its own.
//!
//! The stages and what they leave behind are in [`stage`]; what has been done is in `up.json` ([`journal`]).

pub mod endpoints;
pub mod journal;
pub mod progress;
pub mod stage;
pub mod summary;
pub mod supervisor;
mod train;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use vpt_envserver::worlds::has_scripted_player;
use vpt_runtime::security::Role;
use vpt_runtime::{Security, atomic_file, config, shutdown};

use crate::report;
use crate::run_config::RunConfig;
use endpoints::Endpoints;
use journal::Journal;
use stage::Stage;
use supervisor::Supervisor;

/// Everything a stage needs.
pub(crate) struct Run {
    pub(crate) config: RunConfig,
    pub(crate) dir: PathBuf,
    pub(crate) endpoints: Endpoints,
    pub(crate) supervisor: Supervisor,
    pub(crate) journal: Journal,
    pub(crate) stop: CancellationToken,
}

impl Run {
    /// How recordings and evaluations reach the worlds.
    pub(crate) fn player_security(&self) -> anyhow::Result<Security> {
        crate::commands::security(&self.config.security, Role::Actor)
    }
}

/// Performs or resumes the run of `config` in `out`, or in `runs/<run.name>`.
///
/// # Errors
/// A folder that belongs to another configuration, a process that keeps failing, a stage that fails; each names
/// the folder, process or log at fault.
pub async fn run(config: RunConfig, out: Option<PathBuf>) -> anyhow::Result<()> {
    let dir = out.unwrap_or_else(|| Path::new("runs").join(&config.run.name));
    std::fs::create_dir_all(dir.join("logs")).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
    let journal = Journal::open(&dir, &config)?;
    if journal.finished() {
        println!("{} is finished; name another --out, or remove it to start anew", dir.display());
        print!("{}", summary::last_words(&dir)?);
        return Ok(());
    }
    atomic_file::write(&dir.join("run.toml"), config::dump(&config)?.as_bytes())?;
    let endpoints = Endpoints::choose(&dir, config.up.actors)?;
    let stop = shutdown::token_on_signals()?;
    let supervisor = Supervisor::new(&dir, &config.up, stop.clone())?;
    let mut run = Run { config, dir, endpoints, supervisor, journal, stop };
    let outcome = stages(&mut run).await;
    run.supervisor.stop_all().await;
    match outcome {
        Ok(()) if run.stop.is_cancelled() => {
            println!("stopped; the same command resumes {}", run.dir.display());
            Ok(())
        }
        Ok(()) => {
            print!("{}", summary::last_words(&run.dir)?);
            Ok(())
        }
        // An error that follows from being told to stop is part of stopping.
        Err(error) if run.stop.is_cancelled() => {
            tracing::debug!(%error, "stage interrupted");
            println!("stopped; the same command resumes {}", run.dir.display());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What the run starts from.
fn beginning(config: &RunConfig) -> String {
    let (world, init) = (&config.world.name, &config.learner.init);
    if has_scripted_player(world) {
        return "it starts with demonstrations of the scripted player".to_owned();
    }
    if init.is_empty() {
        return format!(
            "world {world} has no scripted player, so nothing is demonstrated and cloned: PPG starts from random weights; \
             learner.init and learner.pretrained name a network to start from and to stay near"
        );
    }
    format!(
        "world {world} has no scripted player, so nothing is demonstrated and cloned: PPG starts from {init}"
    )
}

async fn stages(run: &mut Run) -> anyhow::Result<()> {
    println!("run {} in {}", run.config.run.name, run.dir.display());
    println!("live page while it trains: http://{}/", run.endpoints.learner_ops);
    println!("{}", beginning(&run.config));
    let envserver = run.endpoints.envserver_arguments(&run.dir);
    run.supervisor.start("envserver", envserver)?;
    for stage in Stage::all(&run.config) {
        if run.journal.done(stage) {
            continue;
        }
        let started = Instant::now();
        run.journal.begin(stage)?;
        let outcome = stage::perform(run, stage).await;
        let seconds = started.elapsed().as_secs_f64();
        let restarts = run.supervisor.restarts();
        run.journal.spent(stage, seconds, &restarts)?;
        outcome.with_context(|| format!("stage {stage} of the run in {}", run.dir.display()))?;
        if run.stop.is_cancelled() {
            return Ok(());
        }
        run.journal.finish(stage)?;
    }
    summary::write(run)?;
    report::write(&run.dir, &run.config)?;
    run.journal.close()
}
