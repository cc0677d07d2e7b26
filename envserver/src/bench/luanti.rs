//! The bench of world `luanti`: games side by side, each on a thread of its own, played by the scripted player.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;

use super::latency::Latency;
use crate::episode::Episode;
use crate::error::EnvserverError;
use crate::luanti::LuantiWorld;
use crate::luanti::config::LuantiConfig;
use crate::task::Task;
use crate::world::{Action, World};

/// Starts that are measured besides the first.
const RESETS: u64 = 24;
/// Steps of standing still that are measured.
const VIEW_STEPS: usize = 200;
/// Side of the frames, pixels: the policy's.
const FRAME: usize = 128;
/// Seeds of games are this far apart.
const APART: u64 = 1000;

/// What to play.
#[derive(Clone, Debug)]
pub struct BenchLuantiConfig {
    /// The games' settings.
    pub luanti: LuantiConfig,
    /// Games side by side.
    pub games: usize,
    /// Steps of the scripted player in each.
    pub steps: usize,
    /// Built-in task or the text of a task file.
    pub task: String,
}

/// What was measured; serialises to the bench's JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct BenchLuantiReport {
    /// "env".
    pub bench: &'static str,
    /// Steps a second of all games together, played by the scripted player, resets left out.
    pub value: f64,
    /// "steps/s".
    pub unit: &'static str,
    /// "luanti".
    pub world: &'static str,
    /// Width and height of the window, pixels.
    pub window: (usize, usize),
    /// Games side by side.
    pub games: usize,
    /// The task.
    pub task: String,
    /// CPU milliseconds of the game's process a step, played.
    pub cpu_ms_per_step: f64,
    /// Games that one core carries at twenty steps a second, by that CPU time.
    pub games_per_core: f64,
    /// A step and its frame while the scripted player plays.
    pub step: Option<Latency>,
    /// The same while nobody acts.
    pub view_step: Option<Latency>,
    /// Start of a game on a new land, with its first episode.
    pub start: Option<Latency>,
    /// Start of an episode in a place that was not played before.
    pub reset_new: Option<Latency>,
    /// Start of an episode in a place that was.
    pub reset_known: Option<Latency>,
    /// Resident memory of a game's process, bytes.
    pub game_bytes: u64,
    /// Items that the scripted player was paid for, an episode.
    pub mean_return: f64,
}

/// What one game took.
#[derive(Default)]
struct Played {
    start: f64,
    reset_new: Vec<f64>,
    reset_known: Vec<f64>,
    view: Vec<f64>,
    play: Vec<f64>,
    cpu: f64,
    bytes: u64,
    returns: Vec<f64>,
}

/// Plays games side by side and times them.
///
/// # Errors
/// Unknown tasks, and games that cannot be started or played.
pub fn bench_luanti(config: &BenchLuantiConfig) -> Result<BenchLuantiReport, EnvserverError> {
    let task = Task::resolve(&config.task)?.in_world(LuantiWorld::NAME);
    let games = 0..config.games.max(1) as u64;
    let played = std::thread::scope(|scope| {
        let threads: Vec<_> = games
            .map(|game| {
                scope.spawn({
                    let task = &task;
                    move || play(config, task, game * APART)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| EnvserverError::Bench("a game's thread panicked".to_owned()))?
        });
        joined.collect::<Result<Vec<_>, EnvserverError>>()
    })?;
    let all = |of: fn(&Played) -> &Vec<f64>| {
        Latency::of(played.iter().flat_map(|played| of(played).iter().copied()))
    };
    let steps: usize = played.iter().map(|played| played.play.len()).sum();
    let cpu = played.iter().map(|played| played.cpu).sum::<f64>() / steps as f64;
    let returns: Vec<f64> = played.iter().flat_map(|played| played.returns.iter().copied()).collect();
    Ok(BenchLuantiReport {
        bench: "env",
        value: played.iter().map(|played| played.play.len() as f64 / played.play.iter().sum::<f64>()).sum(),
        unit: "steps/s",
        world: LuantiWorld::NAME,
        window: (config.luanti.width, config.luanti.width * 9 / 16),
        games: played.len(),
        task: config.task.clone(),
        cpu_ms_per_step: cpu * 1e3,
        games_per_core: 1.0 / (cpu * 20.0),
        step: all(|played| &played.play),
        view_step: all(|played| &played.view),
        start: Latency::of(played.iter().map(|played| played.start)),
        reset_new: all(|played| &played.reset_new),
        reset_known: all(|played| &played.reset_known),
        game_bytes: played.iter().map(|played| played.bytes).sum::<u64>() / played.len() as u64,
        mean_return: returns.iter().sum::<f64>() / returns.len().max(1) as f64,
    })
}

fn play(config: &BenchLuantiConfig, task: &Task, seed: u64) -> Result<Played, EnvserverError> {
    let mut world = LuantiWorld::new(config.luanti.clone());
    let mut episode = Episode::new(task.clone(), 0);
    let (mut played, mut frame, mut places) = (Played::default(), Vec::new(), BTreeSet::new());
    for n in 0..=RESETS {
        let began = Instant::now();
        episode.start(&mut world, seed + n)?;
        world.render(FRAME, FRAME, &mut frame);
        let seconds = began.elapsed().as_secs_f64();
        let is_new = places.insert(world.place(seed + n));
        match (n, is_new) {
            (0, _) => played.start = seconds,
            (_, true) => played.reset_new.push(seconds),
            (_, false) => played.reset_known.push(seconds),
        }
    }
    played.view = timed(&mut world, &mut episode, VIEW_STEPS, &mut frame, |_| Action::NOOP)?.0;
    let process = world.process().unwrap_or_default();
    let (cpu, mut next) = (cpu_seconds(process), seed + RESETS);
    let mut within_resets = 0.0;
    while played.play.len() < config.steps {
        next += 1;
        let before = cpu_seconds(process);
        episode.start(&mut world, next)?;
        within_resets += cpu_seconds(process) - before;
        let length = (config.steps - played.play.len()).min(episode.max_steps() as usize);
        let (times, paid) = timed(&mut world, &mut episode, length, &mut frame, LuantiWorld::advise)?;
        played.play.extend(times);
        if length == episode.max_steps() as usize {
            played.returns.push(paid);
        }
    }
    played.cpu = cpu_seconds(process) - cpu - within_resets;
    played.bytes = resident(process);
    Ok(played)
}

/// Plays steps, each with its frame: seconds of each, and what they paid.
fn timed(
    world: &mut LuantiWorld,
    episode: &mut Episode,
    steps: usize,
    frame: &mut Vec<u8>,
    mut act: impl FnMut(&mut LuantiWorld) -> Action,
) -> Result<(Vec<f64>, f64), EnvserverError> {
    let (mut times, mut paid) = (Vec::with_capacity(steps), 0.0);
    for _ in 0..steps {
        let action = act(world);
        let began = Instant::now();
        paid += f64::from(episode.step(world, &action).reward);
        world.render(FRAME, FRAME, frame);
        times.push(began.elapsed().as_secs_f64());
        if let Some(error) = world.take_fault() {
            return Err(error.into());
        }
    }
    Ok((times, paid))
}

/// CPU seconds of a process so far.
fn cpu_seconds(process: u32) -> f64 {
    /// Of `/proc`, by the kernel's interface.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name in brackets; user and system time are the 14th and 15th fields of all.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    times.sum::<f64>() / TICKS_PER_SECOND
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1024
}

impl BenchLuantiReport {
    /// The same as lines to read.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!(
            "luanti {}x{}, {} game(s), {}: {:.0} steps/s, {:.1} CPU ms a step ({:.1} games a core at 20 Hz), {:.0} MB a game, \
             return {:.2}",
            self.window.0,
            self.window.1,
            self.games,
            self.task,
            self.value,
            self.cpu_ms_per_step,
            self.games_per_core,
            self.game_bytes as f64 / 1e6,
            self.mean_return
        )];
        lines.push(format!(
            "{:<22} {:>7} {:>9} {:>9} {:>9} {:>9}",
            "milliseconds", "count", "mean", "median", "p99", "max"
        ));
        for (name, row) in [
            ("step, played", &self.step),
            ("step, standing still", &self.view_step),
            ("start on a new land", &self.start),
            ("reset, new place", &self.reset_new),
            ("reset, known place", &self.reset_known),
        ] {
            if let Some(row) = row {
                let [mean, median, p99, max] =
                    [row.mean_us, row.median_us, row.p99_us, row.max_us].map(|us| us / 1e3);
                lines.push(format!(
                    "{name:<22} {:>7} {mean:>9.1} {median:>9.1} {p99:>9.1} {max:>9.1}",
                    row.count
                ));
            }
        }
        lines.join("\n")
    }
}
