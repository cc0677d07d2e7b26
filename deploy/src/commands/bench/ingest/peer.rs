//! Reverb with the same frames, run by a program of ours in its own Python.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::json;

use super::{Rate, number};
use crate::cli::bench::BenchIngestArgs;
use crate::commands::bench::worker::Worker;

/// The peer's program. A file and not an argument: its processes import it.
const PROGRAM: &str = include_str!("peer.py");

pub(super) fn start(python: &Path, folder: &Path, args: &BenchIngestArgs) -> anyhow::Result<Worker> {
    let program = folder.join("reverb_peer.py");
    fs::write(&program, PROGRAM).with_context(|| format!("cannot write {}", program.display()))?;
    let log = fs::File::create(folder.join("peer.log"))?;
    let mut command = Command::new(python);
    command.arg(&program).arg(folder.join("frames.bin")).arg(args.unroll_length.to_string());
    command.stderr(Stdio::from(log)).env("TF_CPP_MIN_LOG_LEVEL", "3");
    Worker::start(command)
        .with_context(|| format!("--peers {} needs dm-reverb, tensorflow and xxhash", python.display()))
}

/// Its rate with the consumer in a `third` process, or `inside` the server.
pub(super) fn rate(peer: &mut Worker, consumer: &str, args: &BenchIngestArgs) -> anyhow::Result<Rate> {
    let request = json!({ "consumer": consumer, "seconds": args.seconds, "warm_up": args.warm_up });
    let answer = peer.ask(&request)?;
    let number = |key| number(&answer, key);
    Ok(Rate::of(number("frames")?, number("seconds")?, number("bytes_per_frame")?, number("cpu_seconds")?))
}
