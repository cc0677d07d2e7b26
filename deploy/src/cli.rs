//! The command line: every command and flag, with the help a newcomer works from.

pub mod bench;
pub mod dev;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use bench::BenchCommand;
use dev::DevCommand;

/// Train agents that see pixels and act through keyboard and mouse, after OpenAI's Video PreTraining.
///
/// Start with `vpt up`: it records demonstrations, clones them, and improves the clone by reinforcement
/// learning, all on this machine. Exit codes: 0 done, 1 failed, 64 bad usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "vpt", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster on this machine: envserver, actors and learner as child processes.
    ///
    /// Records demonstrations, trains by behavioural cloning, then by PPG with KL to the clone, evaluates every
    /// stage on the same held-out seeds and writes a report. Ctrl-C drains and checkpoints; the same command
    /// again resumes.
    Up(UpArgs),
    /// Run the learner: receives unrolls, trains, publishes weights, writes checkpoints.
    Learner(RoleArgs),
    /// Run an actor: steps env slots with the newest policy and streams unrolls to the learner.
    Actor(ActorArgs),
    /// Run a relay: takes published weights from the learner or another relay and hands them on to actors and relays.
    Relay(RoleArgs),
    /// Run an envserver: hosts worlds behind gRPC.
    Envserver(RoleArgs),
    /// Record play as shards, for behavioural cloning; or one episode's actions, to be replayed.
    Record(RecordArgs),
    /// Play what was recorded again and check that it comes out the same, to the last bit.
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Play held-out episodes with a checkpoint, or with a published model, and report return and item shares with
    /// standard errors.
    Eval(EvalArgs),
    /// Run a published network over recorded frames: log-probabilities, values and memory out.
    Infer(InferArgs),
    /// Show one screen of what a learner is doing, first of all what holds the run back.
    Status(StatusArgs),
    /// Ask a role's ops port how it is: exit code 0 when it is well, 1 when not. For containers without a shell.
    Healthcheck(HealthcheckArgs),
    /// Make a development certificate authority: a certificate and key for each role, and a run token.
    ///
    /// Give every process the files of its own role, `ca.pem` and `token` in a folder that `security.certs` names, and
    /// set `security.mode = "mtls"`. The authority's own key is not kept. Certificates are read when a process
    /// starts: to renew them, make a new folder before the old ones end, and restart every process with it.
    Certs(CertsArgs),
    /// Say whether a run is possible on this machine, and what to install or set where it is not.
    ///
    /// Looks at memory, ports and the games of worlds `luanti` and `minerl`; one that the run needs it starts once. Exit
    /// code 1 when the run that is configured lacks something.
    Doctor(ConfigArgs),
    /// Measure a part of the system; the last line printed is one JSON object.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Tools for who develops or tries this system.
    #[command(subcommand)]
    Dev(DevCommand),
}

/// Where the configuration comes from: built-in defaults < file < `VPT__SECTION__KEY` variables < `--set`.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Run file (TOML); without it the built-in `chop` run is used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one key, for example `--set learner.ppg.lr=1e-4`. May be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
    /// Print the configuration in force, defaults included, and exit.
    #[arg(long)]
    pub dump_config: bool,
    /// Check the configuration and exit: 0 when it is usable, 64 when not. For a role also says how long it takes at
    /// most to end once told to stop.
    #[arg(long)]
    pub check_config: bool,
}

/// Arguments of `vpt up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Configuration sources.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Number of actor processes (config key `up.actors`).
    #[arg(long)]
    pub actors: Option<usize>,
    /// Folder of the run; default `runs/<run.name>`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of a role process.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// Configuration sources.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Drain and exit when standard input closes; the local launcher uses it so that nothing outlives it.
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// Arguments of `vpt actor`.
#[derive(Debug, Args)]
pub struct ActorArgs {
    /// What every role takes.
    #[command(flatten)]
    pub role: RoleArgs,
    /// Also serve the worlds, inside this process and to it alone; `actor.envserver` does not count then.
    #[arg(long)]
    pub with_envserver: bool,
}

/// Who plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlayerKind {
    /// The scripted player of the world.
    Scripted,
    /// A policy from a checkpoint.
    Policy,
}

/// Arguments of `vpt record`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RecordArgs {
    /// What else to record.
    #[command(subcommand)]
    pub command: Option<RecordCommand>,
    /// Configuration sources.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Who plays.
    #[arg(long, value_enum, default_value = "scripted")]
    pub player: PlayerKind,
    /// Checkpoint of the policy that plays, with `--player policy`.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// How many episodes.
    #[arg(long, default_value_t = 64)]
    pub episodes: usize,
    /// Folder for the shards; it must not hold a dataset yet. Needed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Done at once when the folder already holds a dataset; for whoever starts this again after a restart.
    #[arg(long)]
    pub keep_existing: bool,
    /// Address of a running envserver; without it one is started inside this process.
    #[arg(long, value_name = "URL")]
    pub envserver: Option<String>,
}

/// Another thing to record.
#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// Record the actions of the scripted player in one episode, with hashes of what it sees, as a small file that
    /// `vpt replay world` checks on any machine.
    World(RecordWorldArgs),
}

/// Arguments of `vpt record world`.
#[derive(Debug, Args)]
pub struct RecordWorldArgs {
    /// The action log to write; it must not exist yet.
    pub file: PathBuf,
    /// Built-in task to play, or a task file (its name ends in `.toml`).
    #[arg(long, default_value = "diamond_pickaxe")]
    pub task: String,
    /// Seed of the episode.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many ticks, twenty to a second; the player's death ends the log earlier. Default: the task's length.
    #[arg(long)]
    pub ticks: Option<u64>,
    /// Side in pixels of the square frame that is hashed every 100 ticks.
    #[arg(long, default_value_t = 128)]
    pub size: u32,
}

/// What to replay.
#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Play an action log of `vpt record world`: after every tick the state, and every 100th frame must be as recorded.
    ///
    /// Exit code 1 and the first tick that differs, with the expected and the found hash, when they are not.
    World(ReplayWorldArgs),
    /// Train again on a run's journal, from the oldest checkpoint it reaches back to, and compare every version.
    ///
    /// The run must have been trained with `learner.journal.mode = "payload"`. Every published version and every later
    /// checkpoint must come out the same to the last bit, also those trained after a crash. Nothing in DIR is changed.
    Training(ReplayTrainingArgs),
}

/// Arguments of `vpt replay world`.
#[derive(Debug, Args)]
pub struct ReplayWorldArgs {
    /// The action log.
    pub file: PathBuf,
}

/// Arguments of `vpt replay training`.
#[derive(Debug, Args)]
pub struct ReplayTrainingArgs {
    /// Folder of the run: what was `learner.out`, or the `--out` of `vpt up`.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Arguments of `vpt eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Checkpoint folder, or the `latest` file beside checkpoints.
    #[arg(long, value_name = "DIR", required_unless_present = "model", conflicts_with_all = ["model", "weights"])]
    pub checkpoint: Option<PathBuf>,
    /// Instead of a checkpoint, a published policy: OpenAI's `.model` file.
    #[arg(long, value_name = "FILE", requires = "weights")]
    pub model: Option<PathBuf>,
    /// The weights of the published policy: OpenAI's `.weights`, or safetensors with the same names.
    #[arg(long, value_name = "FILE", requires = "model")]
    pub weights: Option<PathBuf>,
    /// Run file (TOML) that a published policy plays by; default: the built-in `chop` run. A checkpoint has its own.
    #[arg(long, value_name = "FILE", requires = "model")]
    pub config: Option<PathBuf>,
    /// World to play in; default: the run file's, which for a checkpoint is the one it was trained in.
    #[arg(long)]
    pub world: Option<String>,
    /// Task to play; default: the run file's.
    #[arg(long)]
    pub task: Option<String>,
    /// How many held-out episodes; default: the run's `evaluation.episodes`.
    #[arg(long)]
    pub episodes: Option<usize>,
    /// Folder for `eval.json` and `returns.png`.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Address of a running envserver; without it one is started inside this process.
    #[arg(long, value_name = "URL")]
    pub envserver: Option<String>,
    /// Override one key of the run file.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Arguments of `vpt infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// OpenAI's `.model` file: which network it is.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Its weights: OpenAI's `.weights`, or safetensors with the same names.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Frames to look at (safetensors): `frames` u8 [B, T, H, W, 3] and, for a policy, `first` u8 [B, T].
    #[arg(long, value_name = "FILE")]
    pub frames: PathBuf,
    /// Where the results go (safetensors).
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Memory to start from, written by `--state-out` of an earlier call.
    #[arg(long, value_name = "FILE")]
    pub state_in: Option<PathBuf>,
    /// Where the memory after the last frame goes.
    #[arg(long, value_name = "FILE")]
    pub state_out: Option<PathBuf>,
    /// "cpu"; "cuda" or "cuda:1" for a GPU; "auto" for a GPU if there is one, else the CPU.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

/// Arguments of `vpt status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Address of the learner, for example `127.0.0.1:50051`; `vpt up` writes it to `endpoints.json`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    pub learner: String,
    /// Ask again every so many seconds until interrupted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
    pub watch: Option<f64>,
    /// Print everything as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Configuration sources; of it, `[security]` says how the learner is reached.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What is asked of an ops port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Whether its main loop turns.
    Live,
    /// Whether it serves.
    Ready,
}

/// Arguments of `vpt healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Address of the ops port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub ops: String,
    /// What to ask.
    #[arg(long, value_enum, default_value = "ready")]
    pub probe: Probe,
}

/// Arguments of `vpt certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// Folder for the files; none of them may be there already.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Days until the certificates end.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}
