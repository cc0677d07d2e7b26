//! `vpt bench`: measures a part of the system and prints one JSON object as its last line.

mod delta;
mod env;
mod ingest;
mod policy;
mod pool;
mod publish;
mod swap;
mod swarm;
mod training_loop;
mod verdict;
mod worker;

use crate::cli::bench::BenchCommand;

pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Env(args) => env::run(&args),
        BenchCommand::Pool(args) => pool::run(&args),
        BenchCommand::Ingest(args) => ingest::run(&args),
        BenchCommand::IngestWorker(args) => ingest::worker(&args),
        BenchCommand::Policy(args) => policy::run(&args),
        BenchCommand::Loop(args) => training_loop::run(&args),
        BenchCommand::Publish(args) => publish::run(&args),
        BenchCommand::Delta(args) => delta::run(&args),
        BenchCommand::Swap(args) => swap::run(&args),
        BenchCommand::Subscriber(args) => publish::subscriber(&args),
        BenchCommand::Swarm(args) => swarm::run(&args),
        BenchCommand::Verdict(args) => verdict::run(&args),
        BenchCommand::PolicyWorker(args) => policy::worker(&args),
    }
}

/// The middle of `values`, of which there must be one at least.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}
