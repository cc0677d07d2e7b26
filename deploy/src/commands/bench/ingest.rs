//! `vpt bench ingest`: frames per second from an actor process to a learner process whose consumer hashes every decoded
//! frame, over the production path, with TLS too where asked for; raw TCP between the same processes; and Reverb where a
//! Python that has it is given, with the consumer in a third process and inside the server. Rounds interleaved, medians
//! compared.

mod actor_end;
mod codecs;
mod frames;
mod learner_end;
mod peer;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};
use vpt_runtime::Security;
use vpt_runtime::security::{Authority, Role};

use super::worker::{Worker, serve};
use crate::cli::bench::{BenchIngestArgs, BenchIngestWorkerArgs};
use codecs::Packing;
use report::{Report, Round};

/// Rows and columns of a frame.
const SIDE: usize = 128;
/// Bytes of a frame.
const FRAME: usize = SIDE * SIDE * 3;
/// What both ends say they train; only its equality counts here.
const ARCHITECTURE: &str = "bench-ingest";

pub(crate) fn run(args: &BenchIngestArgs) -> anyhow::Result<()> {
    share_cores(args.cores)?;
    let folder = std::env::temp_dir().join(format!("vpt-bench-ingest-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = measure(args, &folder);
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

/// One end of the measured path, as a process of its own.
pub(crate) fn worker(args: &BenchIngestWorkerArgs) -> anyhow::Result<()> {
    match args.end.as_str() {
        "actor" => {
            let mut actor = actor_end::ActorEnd::new(args)?;
            serve("actor", |request| actor.answer(request))
        }
        "learner" => {
            let mut learner = learner_end::LearnerEnd::new(args)?;
            serve("learner", |request| learner.answer(request))
        }
        other => bail!("--end {other}: known are actor and learner"),
    }
}

/// Keeps this process, and all that it starts, on the first `count` processors it may use.
fn share_cores(count: usize) -> anyhow::Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot read the processor mask")?;
    let mut chosen = CpuSet::new();
    let usable = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    for cpu in usable.take(count) {
        chosen.set(cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &chosen).context("cannot set the processor mask")
}

fn measure(args: &BenchIngestArgs, folder: &Path) -> anyhow::Result<Value> {
    let count = args.count / args.unroll_length * args.unroll_length;
    let made = frames::make(args.frames, count, &folder.join("frames.bin"))?;
    eprintln!("{}", made.line());
    let packings = codecs::measure(&made.bytes, args.unroll_length)?;
    packings.iter().for_each(|packing| eprintln!("{}", packing.line()));
    let mut report = Report::new(args, &made, Packing::json(&packings));
    drop(made);
    let certs = args.tls.then(|| folder.join("certs"));
    if let Some(certs) = &certs {
        Authority::create(certs, 1)?;
    }
    let mut peer = args.peers.as_deref().map(|python| peer::start(python, folder, args)).transpose()?;
    for round in 0..args.rounds {
        let mut taken = Round {
            tcp: tcp(args, folder)?,
            ours: ours(args, folder, None)?,
            tls: None,
            third: None,
            inside: None,
        };
        if let Some(certs) = &certs {
            taken.tls = Some(ours(args, folder, Some(certs))?);
        }
        if let Some(peer) = &mut peer {
            report.peer = Some(peer.name().to_owned());
            taken.third = Some(peer::rate(peer, "third", args)?);
            taken.inside = Some(peer::rate(peer, "inside", args)?);
        }
        eprintln!("round {}: {}", round + 1, taken.line());
        report.rounds.push(taken);
    }
    report.json()
}

/// What one way of moving frames achieved.
#[derive(Clone, Copy, Debug)]
struct Rate {
    frames_per_second: f64,
    /// On the wire.
    bytes_per_frame: f64,
    /// Of all its processes, per 10^9 bytes of decoded frames.
    core_seconds_per_gb: f64,
}

impl Rate {
    fn of(frames: f64, seconds: f64, bytes_per_frame: f64, cpu_seconds: f64) -> Self {
        let core_seconds_per_gb = cpu_seconds / (frames * FRAME as f64 / 1e9);
        Self { frames_per_second: frames / seconds, bytes_per_frame, core_seconds_per_gb }
    }
}

fn start(end: &str, args: &BenchIngestArgs, folder: &Path) -> anyhow::Result<Worker> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "ingest-worker", "--end", end, "--folder"]).arg(folder);
    command.args(["--unroll-length", &args.unroll_length.to_string()]);
    Worker::start(command)
}

/// Frames per second from an actor process to a learner process, over TLS with certificates from `certs`.
fn ours(args: &BenchIngestArgs, folder: &Path, certs: Option<&Path>) -> anyhow::Result<Rate> {
    let (mut learner, mut actor) = (start("learner", args, folder)?, start("actor", args, folder)?);
    let serving = learner.ask(&json!({ "do": "serve", "certs": certs }))?;
    let (url, version) = (&serving["url"], &serving["version"]);
    let push = json!({ "do": "push", "url": url, "version": version, "certs": certs, "rate": args.rate });
    actor.ask(&push)?;
    learner.ask(&json!({ "do": "consume", "seconds": args.warm_up }))?;
    let before = number(&actor.ask(&json!({ "do": "usage" }))?, "cpu_seconds")?;
    let consumed = learner.ask(&json!({ "do": "consume", "seconds": args.seconds }))?;
    let after = number(&actor.ask(&json!({ "do": "usage" }))?, "cpu_seconds")?;
    let sent = actor.ask(&json!({ "do": "stop" }))?;
    let cpu = number(&consumed, "cpu_seconds")? + after - before;
    let (frames, seconds) = (number(&consumed, "frames")?, number(&consumed, "seconds")?);
    Ok(Rate::of(frames, seconds, number(&sent, "bytes_per_frame")?, cpu))
}

/// Bytes per second over a plain connection between the same two processes.
fn tcp(args: &BenchIngestArgs, folder: &Path) -> anyhow::Result<f64> {
    let (mut learner, mut actor) = (start("learner", args, folder)?, start("actor", args, folder)?);
    let address = learner.ask(&json!({ "do": "drain" }))?;
    let sent =
        actor.ask(&json!({ "do": "flood", "address": address["address"], "seconds": args.seconds }))?;
    number(&sent, "bytes_per_second")
}

/// How an end plays `role`: with the certificates that `request` names, or in the clear.
fn security(request: &Value, role: Role) -> anyhow::Result<Security> {
    let certs = request["certs"].as_str().map(PathBuf::from);
    Ok(certs.map(|certs| Security::development(certs, role)).transpose()?.unwrap_or_default())
}

fn number(answer: &Value, key: &str) -> anyhow::Result<f64> {
    answer[key].as_f64().with_context(|| format!("no {key} in {answer}"))
}

/// CPU seconds of this process, user and system.
fn cpu_seconds() -> anyhow::Result<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
