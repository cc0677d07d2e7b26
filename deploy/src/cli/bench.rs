//! The flags of `vpt bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// One benchmark.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Steps per second of the embedded world with rendering, replaying the scripted player's actions; or of a real game.
    Env(BenchEnvArgs),
    /// Worlds over gRPC as fast as they go, for minutes: steps per second, and sessions given up as hung though none is.
    Pool(BenchPoolArgs),
    /// Acting and training steps of a published network on this CPU, in every precision, against PyTorch.
    Policy(BenchPolicyArgs),
    /// Frames per second trained on end to end, every role a process of its own, against Sample Factory.
    Loop(BenchLoopArgs),
    /// One version of weights to a subscriber in another process, against shardcast, and to many through relays.
    Publish(BenchPublishArgs),
    /// What changes between consecutive versions in training: sizes of deltas, and their coder's speed.
    Delta(BenchDeltaArgs),
    /// How long acting stops for new weights.
    Swap(BenchSwapArgs),
    /// A process that takes weights in `bench publish`.
    #[command(hide = true)]
    Subscriber(BenchSubscriberArgs),
    /// Thousands of simulated actors on one learner, with and without TLS: control calls, memory, all reconnecting.
    Swarm(BenchSwarmArgs),
    /// Unrolls from an actor process to a learner process that hashes every frame, against Reverb.
    Ingest(BenchIngestArgs),
    /// A process that `bench ingest` measures.
    #[command(hide = true)]
    IngestWorker(BenchIngestWorkerArgs),
    /// Whether the learner names the part that is slowed down on purpose, for every part, run after run.
    Verdict(BenchVerdictArgs),
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

/// What frames `vpt bench ingest` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FrameKind {
    /// Incompressible.
    Random,
    /// The scripted player's on the road to the diamond pickaxe in the embedded world.
    Video,
}

/// Arguments of `vpt bench ingest`.
#[derive(Debug, Args)]
pub struct BenchIngestArgs {
    /// What the frames are.
    #[arg(long, value_enum, default_value = "video")]
    pub frames: FrameKind,
    /// Different frames that are sent again and again, 128x128; rounded down to whole unrolls.
    #[arg(long, default_value_t = 4096, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(64..=65536))]
    pub count: usize,
    /// Steps of an unroll.
    #[arg(long, default_value_t = 32, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub unroll_length: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds from the first unroll to the start of a measurement.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Measurements of each kind; medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub rounds: usize,
    /// Frames per second that are sent at most; 0 sends as many as go.
    #[arg(long, default_value_t = 0.0, value_parser = frames_per_second)]
    pub rate: f64,
    /// Measure with TLS too, in turns, and report what it costs.
    #[arg(long)]
    pub tls: bool,
    /// Processors that all processes share, the peer's too.
    #[arg(long, default_value_t = 2, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub cores: usize,
    /// A Python with dm-reverb, tensorflow and xxhash to compare with, in the same run.
    #[arg(long, value_name = "PYTHON")]
    pub peers: Option<PathBuf>,
}

/// Arguments of a process that `vpt bench ingest` measures.
#[derive(Debug, Args)]
pub struct BenchIngestWorkerArgs {
    /// Which end: actor or learner.
    #[arg(long)]
    pub end: String,
    /// Folder with the frames.
    #[arg(long)]
    pub folder: PathBuf,
    /// Steps of an unroll.
    #[arg(long)]
    pub unroll_length: usize,
}

/// Arguments of `vpt bench loop`.
#[derive(Debug, Args)]
pub struct BenchLoopArgs {
    /// World to step: null (one fixed frame at no cost), noise (frames that nothing compresses) or native.
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
    /// A setting of the peer's own, for example `--peer-set batched_sampling=True`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub peer_set: Vec<String>,
}

/// Arguments of `vpt bench publish`.
#[derive(Debug, Args)]
pub struct BenchPublishArgs {
    /// Network whose weights are sent: tiny, 1x, 2x (496 MB as bf16) or 3x.
    #[arg(long, default_value = "2x")]
    pub model: String,
    /// Versions that count; medians are reported.
    #[arg(long, default_value_t = 5, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub rounds: usize,
    /// Subscribers behind relays; 0 leaves them out.
    #[arg(long, default_value_t = 8)]
    pub subscribers: usize,
    /// Relays between them and the origin.
    #[arg(long, default_value_t = 2, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub relays: usize,
    /// A Python with shardcast to compare with, in the same run.
    #[arg(long, value_name = "PYTHON")]
    pub peers: Option<PathBuf>,
}

/// Arguments of a process that takes weights.
#[derive(Debug, Args)]
pub struct BenchSubscriberArgs {
    /// Size of the network.
    #[arg(long)]
    pub model: String,
    /// Whom to ask, in order.
    #[arg(long = "parent")]
    pub parents: Vec<String>,
}

/// Arguments of `vpt bench delta`.
#[derive(Debug, Args)]
pub struct BenchDeltaArgs {
    /// Network that trains: tiny, 1x, 2x or 3x.
    #[arg(long, default_value = "1x")]
    pub model: String,
    /// Learning rates.
    #[arg(long, value_delimiter = ',', default_value = "2e-5,1.8e-4")]
    pub rates: Vec<f64>,
    /// Updates before the first version that counts, at each rate.
    #[arg(long, default_value_t = 30)]
    pub warm_up: usize,
    /// Consecutive versions that are compared, at each rate.
    #[arg(long, default_value_t = 5)]
    pub versions: usize,
    /// Updates from a version to the next.
    #[arg(long, default_value_t = 1)]
    pub updates: usize,
    /// Steps of the chunk an update trains on.
    #[arg(long, default_value_t = 32)]
    pub time: usize,
}

/// Arguments of `vpt bench swap`.
#[derive(Debug, Args)]
pub struct BenchSwapArgs {
    /// Network that acts: tiny, 1x, 2x or 3x.
    #[arg(long, default_value = "1x")]
    pub model: String,
    /// Swaps in each precision.
    #[arg(long, default_value_t = 200)]
    pub swaps: usize,
    /// Environments that act at once.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
}

/// Arguments of `vpt bench verdict`.
#[derive(Debug, Args)]
pub struct BenchVerdictArgs {
    /// How often each part is slowed down.
    #[arg(long, default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub runs: usize,
    /// Seconds from the fault on after which the verdict counts; it must be right then.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds without a fault in between.
    #[arg(long, default_value_t = 4.0)]
    pub rest: f64,
    /// World to step: null or native.
    #[arg(long, default_value = "null")]
    pub world: String,
    /// Network: linear or tiny.
    #[arg(long, default_value = "linear")]
    pub net: String,
    /// Actor processes.
    #[arg(long, default_value_t = 2)]
    pub actors: usize,
    /// Order of the parts and lengths of the delays.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `vpt bench swarm`.
#[derive(Debug, Args)]
pub struct BenchSwarmArgs {
    /// Actors, each with a connection of its own.
    #[arg(long, default_value_t = 2000)]
    pub actors: usize,
    /// Seconds of control calls.
    #[arg(long, default_value_t = 20.0)]
    pub seconds: f64,
    /// Seconds between two control calls of one actor.
    #[arg(long, default_value_t = 2.0)]
    pub call_seconds: f64,
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

/// Arguments of `vpt bench pool`.
#[derive(Debug, Args)]
pub struct BenchPoolArgs {
    /// Minutes of play.
    #[arg(long, default_value_t = 1.0)]
    pub minutes: f64,
    /// Sessions at a time; with more than there are cores each waits for the others.
    #[arg(long, default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    pub sessions: usize,
    /// World to step: native or null.
    #[arg(long, default_value = "native")]
    pub world: String,
    /// Built-in task to play in the embedded world.
    #[arg(long, default_value = "diamond_pickaxe")]
    pub task: String,
    /// Side of the square frames, pixels.
    #[arg(long, default_value_t = 128)]
    pub size: u32,
}

/// Arguments of `vpt bench env`.
#[derive(Debug, Args)]
pub struct BenchEnvArgs {
    /// The world: `native`, or `luanti` for a real game, played and not replayed; `--size` is its window then.
    #[arg(long, default_value = "native", value_parser = ["native", "luanti"])]
    pub world: String,
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
    /// How far one sees in world `luanti`, metres; default: as `envserver.luanti.viewing_range`.
    #[arg(long, value_name = "METRES")]
    pub viewing_range: Option<u32>,
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

fn frames_per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate == 0.0 || (1.0..=1e9).contains(rate));
    rate.ok_or_else(|| "want 0 or a number from 1 to 1e9".to_owned())
}

fn frame_size(text: &str) -> Result<(usize, usize), String> {
    let number = |part: &str| part.parse().ok().filter(|number| (1..=4096).contains(number));
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    number(width).zip(number(height)).ok_or_else(|| "want WIDTHxHEIGHT, each from 1 to 4096".to_owned())
}
