//! The command line: every command and flag, with the help a newcomer works from.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Run an envserver: hosts worlds behind gRPC.
    Envserver(RoleArgs),
    /// Record play as shards, for behavioural cloning; or one episode's actions, to be replayed.
    Record(RecordArgs),
    /// Play what was recorded again and check that it comes out the same, to the last bit.
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Play held-out episodes with a checkpoint and report return and item shares with standard errors.
    Eval(EvalArgs),
    /// Run a published network over recorded frames: log-probabilities, values and memory out.
    Infer(InferArgs),
    /// Show one screen of what a learner is doing.
    Status(StatusArgs),
    /// Measure a part of the system; the last line printed is one JSON object.
    #[command(subcommand)]
    Bench(BenchCommand),
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
    /// Check the configuration and exit: 0 when it is usable, 64 when not.
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
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// World to play in; default: the one the checkpoint was trained in.
    #[arg(long)]
    pub world: Option<String>,
    /// Task to play; default: the one the checkpoint was trained on.
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
    /// Override one key of the checkpoint's run file.
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
}

/// One benchmark.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Steps per second of the embedded world with rendering, replaying the scripted player's actions.
    Env(BenchEnvArgs),
    /// Acting and training steps of a published network on this CPU, in every precision, against PyTorch.
    Policy(BenchPolicyArgs),
    /// Frames per second trained on end to end, every role a process of its own, against Sample Factory.
    Loop(BenchLoopArgs),
    /// The process that `bench policy` measures.
    #[command(hide = true)]
    PolicyWorker(BenchPolicyWorkerArgs),
}

/// Arguments of `vpt bench policy`.
#[derive(Debug, Args)]
pub struct BenchPolicyArgs {
    /// Size of the network: tiny, 1x, 2x or 3x.
    #[arg(long, default_value = "1x")]
    pub model: String,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    pub threads: Vec<usize>,
    /// Environments that act at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    pub batches: Vec<usize>,
    /// Steps of the chunk that is trained on; 0 leaves training out.
    #[arg(long, default_value_t = 64)]
    pub time: usize,
    /// Calls of each case that count; medians are reported.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Steps of acting and of training whose memory must not grow; 0 leaves them out.
    #[arg(long, default_value_t = 0)]
    pub steady: usize,
    /// A Python with torch to compare with, in the same run.
    #[arg(long, value_name = "PYTHON")]
    pub peers: Option<PathBuf>,
}

/// Arguments of `vpt bench loop`.
#[derive(Debug, Args)]
pub struct BenchLoopArgs {
    /// World to step: null (one fixed frame at no cost) or native.
    #[arg(long, default_value = "null")]
    pub world: String,
    /// Network: linear (the heads on averages over quarters of a 128x128 frame) or tiny (64x64).
    #[arg(long, default_value = "linear")]
    pub net: String,
    /// Actor processes.
    #[arg(long, default_value_t = 2)]
    pub actors: usize,
    /// Env slots of all actors together, and of the peer.
    #[arg(long, default_value_t = 16)]
    pub slots: usize,
    /// Threads of a training step.
    #[arg(long, default_value_t = 2)]
    pub learner_threads: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 15.0)]
    pub seconds: f64,
    /// Seconds from the first trained step to the start of a measurement.
    #[arg(long, default_value_t = 5.0)]
    pub warm_up: f64,
    /// Measurements of each kind; medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub rounds: usize,
    /// Measure deterministic training too, and check that two runs end with the same weights.
    #[arg(long)]
    pub deterministic: bool,
    /// Updates after which the weights of two deterministic runs are compared; 0 leaves that out.
    #[arg(long, default_value_t = 1000)]
    pub updates: u64,
    /// A Python with sample-factory to compare with, in the same run.
    #[arg(long, value_name = "PYTHON")]
    pub peers: Option<PathBuf>,
    /// Processes of the peer that step its environments.
    #[arg(long, default_value_t = 2)]
    pub peer_workers: usize,
}

/// Arguments of the process that `vpt bench policy` measures.
#[derive(Debug, Args)]
pub struct BenchPolicyWorkerArgs {
    /// Size of the network.
    #[arg(long)]
    pub model: String,
    /// Folder with weights and frames.
    #[arg(long)]
    pub folder: PathBuf,
}

/// Arguments of `vpt bench env`.
#[derive(Debug, Args)]
pub struct BenchEnvArgs {
    /// Frame size in pixels: WIDTHxHEIGHT, or one number for a square.
    #[arg(long, default_value = "128x128", value_parser = frame_size, value_name = "WIDTHxHEIGHT")]
    pub size: (usize, usize),
    /// Worlds stepped at the same time, one thread each.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Steps per thread.
    #[arg(long, default_value_t = 12_000)]
    pub steps: usize,
    /// Built-in task to play.
    #[arg(long, default_value = "diamond_pickaxe")]
    pub task: String,
    /// World seeds to record and replay.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    pub seeds: Vec<u64>,
    /// Ray caster: scalar, avx2 or avx512; default: the widest that this machine can run.
    #[arg(long, value_name = "NAME")]
    pub path: Option<vpt_envserver::native::render::Path>,
    /// A Python with vizdoom and crafter to compare with, in the same run.
    #[arg(long, value_name = "PYTHON")]
    pub peers: Option<PathBuf>,
    /// Rounds in which the peers and we take turns; medians are reported.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
}

fn frame_size(text: &str) -> Result<(usize, usize), String> {
    let number = |part: &str| part.parse().ok().filter(|number| (1..=4096).contains(number));
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    number(width).zip(number(height)).ok_or_else(|| "want WIDTHxHEIGHT, each from 1 to 4096".to_owned())
}
