//! `vpt record world` and `vpt replay world`: one episode's actions in a file, and whether they still give the same
//! frames.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use vpt_envserver::Worlds;
use vpt_envserver::action_log::{self, Header, Reader};
use vpt_envserver::task::Task;
use vpt_runtime::atomic_file;

use crate::cli::{RecordWorldArgs, ReplayWorldArgs};
use crate::commands::Usage;

pub(crate) fn record(args: &RecordWorldArgs) -> anyhow::Result<()> {
    if args.file.exists() {
        let text = format!("{} already exists; name another file or remove it", args.file.display());
        return Err(Usage(text).into());
    }
    let task = task(&args.task)?;
    let ticks = args.ticks.unwrap_or(task.episode_steps.into());
    let header = Header::new(&task, args.seed, args.size, args.size)?;
    let log = action_log::record(&Worlds::built_in(), &header, ticks, Vec::new())?;
    let played = Reader::open(&log[..])?.verify()?;
    atomic_file::write(&args.file, &log)?;
    println!(
        "{}: {played} ticks of {}, seed {}, {} bytes",
        args.file.display(),
        task.name,
        args.seed,
        log.len()
    );
    Ok(())
}

fn task(name_or_file: &str) -> anyhow::Result<Task> {
    if !name_or_file.ends_with(".toml") {
        return Ok(Task::resolve(name_or_file)?);
    }
    let text =
        std::fs::read_to_string(name_or_file).with_context(|| format!("cannot read {name_or_file}"))?;
    Task::parse(&text).with_context(|| name_or_file.to_owned())
}

pub(crate) fn replay(args: &ReplayWorldArgs) -> anyhow::Result<()> {
    let named = || args.file.display().to_string();
    // A damaged log would show as a world that differs: first of all the log must be whole.
    Reader::open(open(&args.file)?).and_then(Reader::verify).with_context(named)?;
    let replayed = action_log::replay(&Worlds::built_in(), open(&args.file)?).with_context(named)?;
    println!(
        "{}: {} ticks of {}, seed {}: the state after every tick and {} frames are as recorded",
        named(),
        replayed.ticks,
        replayed.header.task,
        replayed.header.seed,
        replayed.frames
    );
    Ok(())
}

fn open(file: &Path) -> anyhow::Result<File> {
    File::open(file).with_context(|| format!("cannot open {}", file.display()))
}
