//! `vpt bench`: measures a part of the system and prints one JSON object as its last line.

mod policy;
mod training_loop;
mod worker;

use vpt_envserver::bench::{BenchEnvConfig, bench_env};

use crate::cli::{BenchCommand, BenchEnvArgs};

pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Env(args) => env(args),
        BenchCommand::Policy(args) => policy::run(&args),
        BenchCommand::Loop(args) => training_loop::run(&args),
        BenchCommand::PolicyWorker(args) => policy::worker(&args),
    }
}

fn env(args: BenchEnvArgs) -> anyhow::Result<()> {
    let config = BenchEnvConfig {
        size: args.size,
        threads: args.threads,
        seeds: args.seeds,
        steps: args.steps,
        task: args.task,
    };
    let report = bench_env(&config)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// The middle of `values`, of which there must be one at least.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}
