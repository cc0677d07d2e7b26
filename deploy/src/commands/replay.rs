//! `vpt replay`: runs again what was recorded, and says whether it was the same.

mod training;

use crate::cli::ReplayCommand;

pub(crate) fn run(command: ReplayCommand) -> anyhow::Result<()> {
    match command {
        ReplayCommand::Training(args) => training::run(&args.dir),
    }
}
