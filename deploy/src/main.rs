//! The `vpt` binary: parses the command line, runs one command, turns its outcome into an exit code.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use vpt::cli::Cli;
use vpt::commands;

// Tensor code allocates and frees megabytes per operation; glibc returns such blocks to the kernel each time and
// page faults then dominate. mimalloc keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

fn main() -> ExitCode {
    keep_freed_memory();
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

/// Makes the allocator keep freed pages instead of giving them back after a moment: a training step frees and takes
/// the same hundred megabytes again, and pages that come back from the kernel must be cleared first, which costs a
/// third of the step. The allocator reads the setting before `main`, so the process replaces itself once.
fn keep_freed_memory() {
    if std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    if let Ok(binary) = std::env::current_exe() {
        // Comes back only when it fails; then memory is merely slower.
        let error = Command::new(binary).args(std::env::args_os().skip(1)).env(PURGE_DELAY, "-1").exec();
        eprintln!("warning: cannot set {PURGE_DELAY}: {error}");
    }
}
