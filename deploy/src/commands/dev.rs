//! `vpt dev`: tools for developers.

use std::path::Path;

use anyhow::Context;
use vpt_envserver::task::Task;
use vpt_minerl_standin::{Ended, Faults, Options, Server, install};
use vpt_runtime::telemetry;

use super::Usage;
use crate::cli::dev::{DevCommand, MinerlStandinArgs};

pub(crate) fn run(command: DevCommand) -> anyhow::Result<()> {
    let DevCommand::MinerlStandin(args) = command;
    let task = Task::resolve(&args.task).map_err(|error| Usage(format!("--task: {error}")))?;
    let faults: Faults = args.faults.parse().map_err(|error| Usage(format!("--faults: {error}")))?;
    if let Some(dir) = &args.install {
        return install_script(dir, &args);
    }
    let faults = faults.claim()?;
    telemetry::init("minerl-standin");
    let server = Server::bind(Options { port: args.port, task, faults })
        .with_context(|| format!("no port from {} on could be taken (--port)", args.port))?;
    println!("{}", server.announcement());
    match server.serve() {
        Ended::Exit | Ended::Stopped => Ok(()),
        Ended::Died => anyhow::bail!("died on demand (--faults die_after)"),
    }
}

fn install_script(dir: &Path, args: &MinerlStandinArgs) -> anyhow::Result<()> {
    let binary = std::env::current_exe().context("this program's own path is unknown")?;
    let mut words = vec!["dev", "minerl-standin", "--task", &args.task];
    if !args.faults.is_empty() {
        words.extend(["--faults", &args.faults]);
    }
    let script = install::install(dir, &binary, &words)
        .with_context(|| format!("cannot write {}", dir.join(install::SCRIPT).display()))?;
    println!("written: {}", script.display());
    Ok(())
}
