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
const MATMUL_THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> ExitCode {
    settle_environment();
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

/// Sets what libraries read from the environment before or apart from `main`; the process replaces itself once for it.
///
/// The allocator is to keep freed pages instead of giving them back after a moment: a training step frees and takes
/// the same hundred megabytes again, and pages that come back from the kernel must be cleared first, which costs a
/// third of the step. And candle is to be told the number of threads, or each of its matrix products reads it out of
/// `/proc/cpuinfo`; `learner.threads` and its like still size the thread pool.
fn settle_environment() {
    if std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    if let Ok(binary) = std::env::current_exe() {
        // Comes back only when it fails; then memory is merely slower.
        let mut command = Command::new(binary);
        command.args(std::env::args_os().skip(1)).env(PURGE_DELAY, "-1");
        if std::env::var_os(MATMUL_THREADS).is_none() {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            command.env(MATMUL_THREADS, threads.to_string());
        }
        let error = command.exec();
        eprintln!("warning: cannot set {PURGE_DELAY}: {error}");
    }
}
