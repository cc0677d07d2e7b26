//! `vpt bench policy`: acting and training steps of a published size on this CPU, and the same in PyTorch where a Python
//! that has it is given: same weights and frames, a process each, calls interleaved, medians compared.

mod cases;
mod report;
mod work;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use vpt_policy::{Parameters, PolicyConfig, openai};

use super::worker::Worker;
use crate::cli::bench::BenchPolicyArgs;
use cases::{Case, Op};
use report::{Report, STEADY_TIME, Timed};

pub(crate) use work::run as worker;

/// The opponent's program, given to its Python.
const PEER: &str = include_str!("policy/peer.py");
/// Calls before the first that counts.
const WARM_UP: usize = 2;
/// How far the peer's log-probabilities and values may lie from ours: both are f32.
const AGREEMENT: f32 = 2e-4;

pub(crate) fn config(model: &str) -> anyhow::Result<PolicyConfig> {
    Ok(match model {
        "tiny" => PolicyConfig::tiny(),
        "1x" => PolicyConfig::one_x(),
        "2x" => PolicyConfig::two_x(),
        "3x" => PolicyConfig::three_x(),
        _ => bail!(crate::commands::Usage(format!("--model {model}: known are tiny, 1x, 2x and 3x"))),
    })
}

pub(crate) fn run(args: &BenchPolicyArgs) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("vpt-bench-policy-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = measure(args, &folder);
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    result
}

fn measure(args: &BenchPolicyArgs, folder: &Path) -> anyhow::Result<()> {
    let config = config(&args.model)?;
    let cases = cases::of(args);
    write_inputs(folder, &config, cases.iter().map(Case::frames).max().unwrap_or(1).max(STEADY_TIME))?;
    let ours = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "policy-worker", "--model", &args.model, "--folder"]).arg(folder);
        Worker::start(command)
    };
    let peer = || {
        args.peers.as_ref().map(|python| {
            let mut command = Command::new(python);
            command.arg("-c").arg(PEER).arg(folder);
            Worker::start(command).with_context(|| format!("--peers {} needs torch", python.display()))
        })
    };
    let mut report = Report::of(&args.model);
    // Acting and training in processes of their own, so that training's memory is its own.
    for op in [Op::Act, Op::Train] {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.op == op).collect();
        if cases.is_empty() {
            continue;
        }
        let mut ours = ours()?;
        let mut peer = peer().transpose()?;
        if let Some(peer) = &mut peer {
            report.peer = Some(peer.name().to_owned());
            agree(&mut ours, peer, folder, op)?;
        }
        for case in cases {
            // The peer is f32; of our other precisions the ratio to our own f32 counts.
            let peer = peer.as_mut().filter(|_| case.in_f32().is_none());
            let timed = time(&mut ours, peer, case, args.rounds)?;
            eprintln!("{}", timed.line(case));
            report.add(case, &timed);
        }
    }
    if args.steady > 0 {
        report.steady(&mut ours()?, args.steady)?;
    }
    report.divergence(&config, folder)?;
    println!("{}", report.json());
    Ok(())
}

/// Weights under OpenAI's names and frames of all kinds, for every process.
fn write_inputs(folder: &Path, config: &PolicyConfig, frames: usize) -> anyhow::Result<()> {
    let parameters = Parameters::init(config, 1, &candle_core::Device::Cpu)?;
    let named = parameters.names().filter(|name| !name.starts_with("aux_value_head"));
    let tensors = named.map(|name| Ok((name.to_owned(), parameters.get(name)?.detach())));
    openai::write_weights(&folder.join("model.weights"), &tensors.collect::<anyhow::Result<_>>()?)?;
    let side = config.image_size;
    fs::write(folder.join("frames.bin"), work::frames(side, frames))?;
    let described = json!({
        "side": side, "hidsize": config.hidsize, "attention_heads": config.attention_heads,
        "n_recurrence_layers": config.n_recurrence_layers, "maxlen": config.maxlen(),
        "temperature": config.temperature,
    });
    fs::write(folder.join("config.json"), described.to_string())?;
    Ok(())
}

/// Refuses to compare what does not compute the same.
fn agree(ours: &mut Worker, peer: &mut Worker, folder: &Path, op: Op) -> anyhow::Result<()> {
    if op == Op::Train {
        return Ok(());
    }
    let read = |worker: &mut Worker, name: &str| -> anyhow::Result<Vec<f32>> {
        let path = folder.join(name);
        for _ in 0..2 {
            worker.ask(&json!({
                "op": "act", "batch": 2, "threads": 1, "precision": "f32", "channels_last": false,
                "save": path,
            }))?;
        }
        let bytes = fs::read(&path)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let (a, b) = (read(ours, "ours.f32")?, read(peer, "peer.f32")?);
    let apart: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect();
    let furthest = apart.iter().copied().fold(0.0, f32::max);
    if a.len() != b.len() || !apart.iter().all(|apart| *apart <= AGREEMENT) {
        bail!("the peer computes something else: {} and {} numbers, {furthest} apart", a.len(), b.len());
    }
    eprintln!("peer agrees: log-probabilities and values within {furthest:.1e}");
    Ok(())
}

fn time(ours: &mut Worker, peer: Option<&mut Worker>, case: &Case, rounds: usize) -> anyhow::Result<Timed> {
    let request = |channels_last: bool| {
        let mut request = case.request();
        request["channels_last"] = json!(channels_last);
        request
    };
    let call = |worker: &mut Worker, request: &Value| -> anyhow::Result<(f64, Value)> {
        let answer = worker.ask(request)?;
        Ok((answer["seconds"].as_f64().context("no seconds in an answer")?, answer))
    };
    let mut peer = match peer {
        None => None,
        Some(worker) => {
            let mut best: Option<(f64, Value)> = None;
            for channels_last in [false, true] {
                let request = request(channels_last);
                let mut seconds = f64::INFINITY;
                for _ in 0..=WARM_UP {
                    seconds = seconds.min(call(worker, &request)?.0);
                }
                if best.as_ref().is_none_or(|(fastest, _)| seconds < *fastest) {
                    best = Some((seconds, request));
                }
            }
            let (_, request) = best.context("two formats were tried")?;
            for _ in 0..WARM_UP {
                call(worker, &request)?;
            }
            Some((worker, request, Vec::new()))
        }
    };
    let mine = case.request();
    for _ in 0..WARM_UP {
        call(ours, &mine)?;
    }
    let (mut seconds, mut memory) = (Vec::new(), None);
    let used = |answer: &Value| Some(answer["peak_bytes"].as_f64()? - answer["base_bytes"].as_f64()?);
    for _ in 0..rounds {
        let (took, answer) = call(ours, &mine)?;
        seconds.push(took);
        memory = used(&answer).map(|bytes| (bytes, memory.and_then(|(_, peer)| peer)));
        if let Some((worker, request, all)) = &mut peer {
            let (took, answer) = call(worker, request)?;
            all.push(took);
            memory = memory.map(|(bytes, _)| (bytes, used(&answer)));
        }
    }
    Ok(Timed { ours: seconds, peer: peer.map(|(_, _, seconds)| seconds), memory })
}
