//! What each command does, and how its outcome becomes an exit code: 0 done, 1 failed, 64 bad usage or
//! configuration.

mod bench;
mod certs;
mod dev;
mod doctor;
mod eval;
mod healthcheck;
mod infer;
mod record;
mod replay;
mod role;
mod status;
mod worlds;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use vpt_runtime::config::ConfigError;
use vpt_runtime::security::Role;
use vpt_runtime::{config, telemetry};

use crate::cli::{Cli, Command, ConfigArgs, RecordArgs, RecordCommand};
use crate::run_config::RunConfig;
use crate::up;

pub(crate) use eval::setup as eval_setup;
pub(crate) use role::security;
pub(crate) use status::fetch as fetch_status;

/// Exit code for bad usage or configuration (`EX_USAGE`).
pub const USAGE: u8 = 64;

/// How long threads that a role has left behind may take to end.
const LAST_THREADS: Duration = Duration::from_secs(2);

/// Threads for what blocks, decoding, the journal, files: so many, or two a core.
const BLOCKING_THREADS: usize = 8;

/// Marks an error as the user's to fix in the command line or the configuration.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs one command to its end.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.chain().any(|cause| cause.is::<Usage>() || cause.is::<ConfigError>());
    if usage { USAGE } else { 1 }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Up(args) => {
            let mut sets = args.config.sets.clone();
            sets.extend(args.actors.map(|n| format!("up.actors={n}")));
            let Some(config) = load_config(&ConfigArgs { sets, ..args.config })? else { return Ok(()) };
            runtime()?.block_on(up::run(config, args.out))
        }
        Command::Learner(args) => {
            let Some(config) = load_role(&args.config, Role::Learner)? else { return Ok(()) };
            telemetry::init("learner");
            serve(role::learner(config, args.exit_with_parent))
        }
        Command::Actor(args) => {
            let Some(config) = load_role(&args.role.config, Role::Actor)? else { return Ok(()) };
            telemetry::init("actor");
            serve(role::actor(config, args.with_envserver, args.role.exit_with_parent))
        }
        Command::Relay(args) => {
            let Some(config) = load_role(&args.config, Role::Relay)? else { return Ok(()) };
            telemetry::init("relay");
            serve(role::relay(config, args.exit_with_parent))
        }
        Command::Envserver(args) => {
            let Some(config) = load_role(&args.config, Role::Envserver)? else { return Ok(()) };
            telemetry::init("envserver");
            serve(role::envserver(config, args.exit_with_parent))
        }
        Command::Record(RecordArgs { command: Some(RecordCommand::World(args)), .. }) => {
            replay::world::record(&args)
        }
        Command::Record(args) => {
            let Some(config) = load_config(&args.config)? else { return Ok(()) };
            runtime()?.block_on(record::run(config, args))
        }
        Command::Eval(args) => runtime()?.block_on(eval::run(args)),
        Command::Infer(args) => infer::run(&args),
        Command::Replay(command) => replay::run(command),
        Command::Status(args) => {
            let Some(config) = load_config(&args.config)? else { return Ok(()) };
            let security = role::security(&config.security, Role::Operator)?;
            runtime()?.block_on(status::run(&args, &security))
        }
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Doctor(args) => {
            let Some(config) = load_config(&args)? else { return Ok(()) };
            let runtime = runtime()?;
            // Listeners belong to a runtime.
            let _entered = runtime.enter();
            doctor::run(&config)
        }
        Command::Bench(command) => bench::run(command),
        Command::Dev(command) => dev::run(command),
    }
}

/// `None` when the command only had to show or check the configuration.
fn load_config(args: &ConfigArgs) -> anyhow::Result<Option<RunConfig>> {
    let loaded = RunConfig::load(args.config.as_deref(), &args.sets)?;
    if args.dump_config {
        print!("{}", config::dump(&loaded)?);
        return Ok(None);
    }
    if args.check_config {
        println!("configuration is usable");
        return Ok(None);
    }
    Ok(Some(loaded))
}

/// [`load_config`] for a process that plays `role`: its own section must make sense too, and a check also says how
/// long the process takes to end, which is what manifests have to grant it.
fn load_role(args: &ConfigArgs, role: Role) -> anyhow::Result<Option<RunConfig>> {
    let Some(config) = load_config(&ConfigArgs { check_config: false, ..args.clone() })? else {
        return Ok(None);
    };
    let drain = role::check(&config, role)? + LAST_THREADS;
    if args.check_config {
        println!(
            "configuration is usable; told to stop, the {role} ends within {:.0} s",
            drain.as_secs_f64().ceil()
        );
        return Ok(None);
    }
    Ok(Some(config))
}

/// Runs a role; what still blocks a thread when it has ended, such as a disk that does not answer, is not waited for.
fn serve(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let result = runtime.block_on(role);
    runtime.shutdown_timeout(LAST_THREADS);
    result
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Each keeps memory of its own, for its stack and in the allocator, and more would only wait for cores.
        .max_blocking_threads(BLOCKING_THREADS.max(2 * cores))
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}
