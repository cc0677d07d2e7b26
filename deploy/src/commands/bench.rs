//! `vpt bench`: measures a part of the system and prints one JSON object as its last line.

mod env;
mod policy;
mod worker;

use crate::cli::BenchCommand;

pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Env(args) => env::run(&args),
        BenchCommand::Policy(args) => policy::run(&args),
        BenchCommand::PolicyWorker(args) => policy::worker(&args),
    }
}
