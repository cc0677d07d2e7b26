//! Sample Factory's training loop, run by a program of ours in its own Python.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::meter::Meter;
use super::{MINIBATCH_UNROLLS, UNROLL_LENGTH};
use crate::cli::bench::BenchLoopArgs;

/// The peer's program. A file and not an argument: its worker processes import it.
const PROGRAM: &str = include_str!("peer.py");
/// Lines of its log that an error shows.
const LOG_TAIL: usize = 15;

/// Steps trained on per second after the warm-up, of one run.
pub(super) async fn rate(python: &Path, args: &BenchLoopArgs, folder: &Path) -> anyhow::Result<f64> {
    let program = folder.join("sample_factory_peer.py");
    fs::write(&program, PROGRAM).with_context(|| format!("cannot write {}", program.display()))?;
    let own: Map<String, Value> = args
        .peer_set
        .iter()
        .filter_map(|setting| setting.split_once('='))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let request = json!({
        "folder": folder.join("peer"), "slots": args.slots, "workers": args.peer_workers,
        "unroll_length": UNROLL_LENGTH, "batch": MINIBATCH_UNROLLS * UNROLL_LENGTH,
        "seconds": args.warm_up + args.seconds,
        "noise": args.world == "noise", "extra": own,
    });
    let log = folder.join("peer.log");
    let mut child = Command::new(python)
        .arg(&program)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", python.display()))?;
    let mut input = child.stdin.take().context("the peer has no standard input")?;
    input.write_all(format!("{request}\n").as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    // It logs to the same pipe; the answer is the last line.
    let answer = text.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let Some(account) = answer.as_ref().and_then(|answer| answer["account"].as_array()) else {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n  ");
        bail!("--peers {} needs sample-factory; it ended {}:\n  {tail}", python.display(), output.status);
    };
    let mut meter = Meter::default();
    for entry in account {
        let seconds = entry[0].as_f64().context("the peer's account has no times")?;
        meter.add(seconds, entry[1].as_u64().context("the peer's account has no counts")?);
    }
    meter.rate(args.warm_up)
}
