//! `vpt bench env`: steps a second of the embedded world with rendering, and of other pixel worlds where a Python that
//! has them is given: taking turns with ours in the same run, medians compared.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use vpt_envserver::bench::luanti::{BenchLuantiConfig, bench_luanti};
use vpt_envserver::bench::{BenchEnvConfig, Games, Pace, bench_env};
use vpt_envserver::luanti::LuantiWorld;
use vpt_envserver::luanti::config::LuantiConfig;
use vpt_envserver::native::render;

use super::median;
use super::worker::Worker;
use crate::cli::bench::BenchEnvArgs;
use crate::commands::Usage;

/// The peers' program, given to their Python.
const PEER: &str = include_str!("env/peer.py");
/// Seconds a peer plays in a round.
const SECONDS: f64 = 2.0;
/// The peers' worlds, and the frame sizes they are played at.
const PEERS: [(&str, &str, (usize, usize)); 5] = [
    ("vizdoom basic", "vizdoom", (160, 120)),
    ("vizdoom deathmatch", "vizdoom", (160, 120)),
    ("vizdoom deathmatch", "vizdoom", (640, 360)),
    ("crafter", "crafter", (64, 64)),
    ("crafter", "crafter", (128, 128)),
];

pub(crate) fn run(args: &BenchEnvArgs) -> anyhow::Result<()> {
    if args.world == LuantiWorld::NAME {
        return luanti(args);
    }
    let config = BenchEnvConfig {
        size: args.size,
        threads: args.threads,
        seeds: args.seeds.clone(),
        steps: args.steps,
        task: args.task.clone(),
        path: args.path.unwrap_or_else(render::Path::best),
    };
    let report = bench_env(&config)?;
    eprintln!("{}", report.table());
    let mut line = serde_json::to_value(&report)?;
    if let Some(python) = &args.peers {
        line["peers"] = compare(python, &config, args.rounds)?;
    }
    println!("{line}");
    Ok(())
}

/// Games of world `luanti`, one a thread.
fn luanti(args: &BenchEnvArgs) -> anyhow::Result<()> {
    let default = LuantiConfig::default();
    let viewing_range = args.viewing_range.unwrap_or(default.viewing_range);
    let luanti = LuantiConfig { width: args.size.0, viewing_range, ..default };
    luanti.validate().map_err(|error| Usage(format!("--world luanti: {error} (--size is the window's)")))?;
    let config =
        BenchLuantiConfig { luanti, games: args.threads, steps: args.steps, task: args.task.clone() };
    let report = bench_luanti(&config)?;
    eprintln!("{}", report.table());
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Steps a second and nanoseconds a pixel in each round.
#[derive(Default)]
struct Rounds {
    steps_per_second: Vec<f64>,
    ns_per_pixel: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, pace: Pace) {
        self.steps_per_second.push(pace.steps_per_second);
        self.ns_per_pixel.push(pace.ns_per_pixel);
    }

    fn median(&self) -> Pace {
        let (steps_per_second, ns_per_pixel) = (median(&self.steps_per_second), median(&self.ns_per_pixel));
        Pace { steps_per_second, ns_per_pixel }
    }
}

/// Plays ours and the peers' worlds in turns, one thread each.
fn compare(python: &Path, config: &BenchEnvConfig, rounds: usize) -> anyhow::Result<Value> {
    let mut command = Command::new(python);
    command.arg("-c").arg(PEER);
    let peer = Worker::start(command);
    let mut peer = peer.with_context(|| format!("--peers {} needs vizdoom and crafter", python.display()))?;
    let games = Games::record(&config.task, config.path, &config.seeds, config.steps)?;
    let mut sizes = vec![config.size];
    sizes.extend(PEERS.iter().map(|(_, _, size)| *size));
    sizes.sort_unstable();
    sizes.dedup();
    let mut ours: Vec<Rounds> = sizes.iter().map(|_| Rounds::default()).collect();
    let mut theirs: Vec<Rounds> = PEERS.iter().map(|_| Rounds::default()).collect();
    for round in 0..rounds.max(1) {
        for (size, rounds) in sizes.iter().zip(&mut ours) {
            rounds.add(games.pace(round, *size)?);
        }
        for ((name, kind, (width, height)), rounds) in PEERS.iter().zip(&mut theirs) {
            let scenario = name.split(' ').nth(1);
            let answer = peer.ask(&json!({
                "world": kind, "scenario": scenario, "width": width, "height": height, "seconds": SECONDS,
            }))?;
            let steps_per_second = answer["steps_per_second"].as_f64().context("no pace in an answer")?;
            let ns_per_pixel = 1e9 / steps_per_second / (width * height) as f64;
            rounds.add(Pace { steps_per_second, ns_per_pixel });
        }
    }
    Ok(told(&sizes, &ours, &theirs, peer.name()))
}

/// Prints a line for each world and returns the same as JSON.
fn told(sizes: &[(usize, usize)], ours: &[Rounds], theirs: &[Rounds], name: &str) -> Value {
    let line = |name: &str, (width, height): (usize, usize), pace: Pace| {
        let Pace { steps_per_second, ns_per_pixel } = pace;
        format!(
            "{name:<20} {width:>4}x{height:<4} {steps_per_second:>8.0} steps/s {ns_per_pixel:>8.2} ns a pixel"
        )
    };
    let value =
        |pace: Pace| json!({ "steps_per_second": pace.steps_per_second, "ns_per_pixel": pace.ns_per_pixel });
    let (mut all, mut mine) = (serde_json::Map::new(), Vec::new());
    for (size, rounds) in sizes.iter().zip(ours) {
        let pace = rounds.median();
        eprintln!("{}", line("ours", *size, pace));
        all.insert(format!("ours {}x{}", size.0, size.1), value(pace));
        mine.push((*size, pace));
    }
    for ((peer, _, size), rounds) in PEERS.iter().zip(theirs) {
        let pace = rounds.median();
        let Some((_, own)) = mine.iter().find(|(own, _)| own == size) else { continue };
        let ratio = own.steps_per_second / pace.steps_per_second;
        eprintln!("{}   ours is {ratio:.2} times as fast", line(peer, *size, pace));
        let mut told = value(pace);
        told["ours_is_times_as_fast"] = json!(ratio);
        all.insert(format!("{peer} {}x{}", size.0, size.1), told);
    }
    all.insert("versions".to_owned(), json!(name));
    Value::Object(all)
}
