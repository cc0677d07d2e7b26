//! The `vpt` binary: parses the command line, runs one command, turns its outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use vpt::cli::Cli;
use vpt::commands;

// Tensor code allocates and frees megabytes per operation; glibc returns such blocks to the kernel each time and
// page faults then dominate. mimalloc keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) => {
            let help = !error.use_stderr();
            // A closed pipe is no reason to fail while printing help.
            let _ = error.print();
            if help { ExitCode::SUCCESS } else { ExitCode::from(commands::USAGE) }
        }
    }
}
