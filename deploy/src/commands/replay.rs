//! `vpt replay`: runs again what was recorded, and says whether it was the same.

mod training;
pub(crate) mod world;

use crate::cli::ReplayCommand;

pub(crate) fn run(command: ReplayCommand) -> anyhow::Result<()> {
    match command {
        ReplayCommand::World(args) => world::replay(&args),
        ReplayCommand::Training(args) => training::run(&args.dir),
    }
}
