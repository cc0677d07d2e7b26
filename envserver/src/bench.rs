//! Benches: how fast a world steps and renders, and how fast steps go over gRPC.
//!
//! # Layout
//! - here: [`bench_env`], recorded actions of the scripted player replayed in a fresh world
//! - [`stream`]: sessions of an in-process server over loopback

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;
use vpt_runtime::counter_hash::counter_hash;

use crate::episode::Episode;
use crate::error::EnvserverError;
use crate::task::Task;
use crate::world::{Action, World};
use crate::worlds::Worlds;

pub mod stream;

/// What to replay.
#[derive(Clone, Debug)]
pub struct BenchEnvConfig {
    /// Side of the square frames, pixels.
    pub size: usize,
    /// Threads that replay the same games side by side.
    pub threads: usize,
    /// One recorded game each.
    pub seeds: Vec<u64>,
    /// Ticks a game; it goes on in a fresh episode when one ends.
    pub steps: usize,
    /// Built-in task or the text of a task file.
    pub task: String,
}

/// What was measured; serialises to the bench's JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct BenchEnvReport {
    /// "env".
    pub bench: &'static str,
    /// Steps a second of all threads: world step, rendering, and resets.
    pub value: f64,
    /// "steps/s".
    pub unit: &'static str,
    /// The same for one thread.
    pub per_thread: f64,
    /// The same for one thread and a second of its CPU time: what a free core would do.
    pub per_cpu_second: f64,
    /// Steps replayed by all threads.
    pub steps: usize,
    /// Frame side, pixels.
    pub size: usize,
    /// Threads.
    pub threads: usize,
    /// Step and rendering with no screen open.
    pub step: Option<Latency>,
    /// Step and rendering with a screen open.
    pub gui_step: Option<Latency>,
    /// Start of an episode with its first frame.
    pub reset: Option<Latency>,
    /// Hash of every frame of a thread, the same for all; equal actions must give equal frames.
    pub frames_hash: String,
}

/// Distribution of one kind of operation, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: usize,
    /// Mean: a world may keep a view that has not changed, so the median alone flatters it.
    pub mean_us: f64,
    /// Median.
    pub median_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
}

impl Latency {
    /// Sorts `seconds`; none when there are no samples.
    fn of(seconds: &mut [f64]) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let at = |q: f64| seconds[(seconds.len().saturating_sub(1) as f64 * q).round() as usize] * 1e6;
        let mean_us = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64 * 1e6;
        (!seconds.is_empty()).then(|| Self {
            count: seconds.len(),
            mean_us,
            median_us: at(0.5),
            p99_us: at(0.99),
        })
    }
}

/// What a game did, tick by tick.
struct Recording {
    seed: u64,
    actions: Vec<Action>,
}

/// Records the scripted player on the seeds, untimed, then replays it on every thread and times it.
///
/// # Errors
/// Unknown tasks or worlds, or frames that differ between threads.
pub fn bench_env(config: &BenchEnvConfig) -> Result<BenchEnvReport, EnvserverError> {
    if config.threads == 0 || config.steps == 0 || config.seeds.is_empty() || config.size == 0 {
        return Err(EnvserverError::Bench("size, threads, steps and seeds must not be zero".to_owned()));
    }
    let task = Task::resolve(&config.task)?;
    let recordings =
        config.seeds.iter().map(|seed| record(&task, *seed, config.steps)).collect::<Result<Vec<_>, _>>()?;
    let replays = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..config.threads)
            .map(|_| scope.spawn(|| Replay::run(&task, &recordings, config.size)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().map_err(|_| EnvserverError::Bench("a replay thread panicked".to_owned()))?
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    report(config, replays)
}

fn build(task: &Task) -> Result<Box<dyn World>, EnvserverError> {
    let worlds = Worlds::built_in();
    worlds
        .build(&task.world)
        .ok_or_else(|| EnvserverError::UnknownWorld { name: task.world.clone(), known: worlds.known() })
}

fn episode_seed(seed: u64, n: u64) -> u64 {
    counter_hash(&[seed, n])
}

fn record(task: &Task, seed: u64, steps: usize) -> Result<Recording, EnvserverError> {
    let mut world = build(task)?;
    let mut episode = Episode::new(task.clone(), 0);
    let mut actions = Vec::with_capacity(steps);
    let mut episodes = 0;
    episode.start(world.as_mut(), episode_seed(seed, episodes))?;
    while actions.len() < steps {
        let action = world.advise();
        actions.push(action);
        if episode.step(world.as_mut(), &action).is_last() {
            episodes += 1;
            episode.start(world.as_mut(), episode_seed(seed, episodes))?;
        }
    }
    Ok(Recording { seed, actions })
}

/// What was timed.
#[derive(Clone, Copy)]
enum Kind {
    Reset,
    Step,
    GuiStep,
}

/// Replays the recordings in a fresh world; `each` gets the seconds and the frame of every step and reset.
fn replay(
    task: &Task,
    recordings: &[Recording],
    size: usize,
    mut each: impl FnMut(Kind, f64, &[u8]),
) -> Result<(), EnvserverError> {
    let mut world = build(task)?;
    let mut episode = Episode::new(task.clone(), 0);
    let mut frame = Vec::new();
    for recording in recordings {
        let (mut episodes, mut over) = (0, true);
        for action in &recording.actions {
            if over {
                let began = Instant::now();
                episode.start(world.as_mut(), episode_seed(recording.seed, episodes))?;
                world.render(size, size, &mut frame);
                each(Kind::Reset, began.elapsed().as_secs_f64(), &frame);
                episodes += 1;
            }
            let began = Instant::now();
            let outcome = episode.step(world.as_mut(), action);
            world.render(size, size, &mut frame);
            let kind = if outcome.gui_open { Kind::GuiStep } else { Kind::Step };
            each(kind, began.elapsed().as_secs_f64(), &frame);
            over = outcome.is_last();
        }
    }
    Ok(())
}

/// One thread's measurements, seconds.
struct Replay {
    steps: Vec<f64>,
    gui_steps: Vec<f64>,
    resets: Vec<f64>,
    cpu: f64,
    hash: blake3::Hash,
}

impl Replay {
    /// Plays everything twice: timed, then for the hash, which would otherwise be measured with it.
    fn run(task: &Task, recordings: &[Recording], size: usize) -> Result<Self, EnvserverError> {
        let (mut steps, mut gui_steps, mut resets) = (Vec::new(), Vec::new(), Vec::new());
        let cpu_before = cpu_seconds();
        replay(task, recordings, size, |kind, seconds, _| {
            let samples = match kind {
                Kind::Reset => &mut resets,
                Kind::Step => &mut steps,
                Kind::GuiStep => &mut gui_steps,
            };
            samples.push(seconds);
        })?;
        let cpu = cpu_seconds() - cpu_before;
        let mut hasher = blake3::Hasher::new();
        replay(task, recordings, size, |_, _, frame| {
            hasher.update(frame);
        })?;
        Ok(Self { steps, gui_steps, resets, cpu, hash: hasher.finalize() })
    }

    fn count(&self) -> usize {
        self.steps.len() + self.gui_steps.len()
    }

    fn seconds(&self) -> f64 {
        [&self.steps, &self.gui_steps, &self.resets].into_iter().flatten().sum()
    }
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("RUSAGE_THREAD exists on Linux");
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn report(config: &BenchEnvConfig, replays: Vec<Replay>) -> Result<BenchEnvReport, EnvserverError> {
    let hash = replays[0].hash;
    if replays.iter().any(|replay| replay.hash != hash) {
        return Err(EnvserverError::Bench(
            "the same actions gave different frames on two threads".to_owned(),
        ));
    }
    let value: f64 = replays.iter().map(|replay| replay.count() as f64 / replay.seconds()).sum();
    let cpu: f64 = replays.iter().map(|replay| replay.cpu).sum();
    let steps = replays.iter().map(Replay::count).sum();
    let merged = |part: fn(&Replay) -> &Vec<f64>| {
        Latency::of(&mut replays.iter().flat_map(|replay| part(replay).iter().copied()).collect::<Vec<_>>())
    };
    Ok(BenchEnvReport {
        bench: "env",
        value,
        unit: "steps/s",
        per_thread: value / config.threads as f64,
        per_cpu_second: steps as f64 / cpu.max(1e-9),
        steps,
        size: config.size,
        threads: config.threads,
        step: merged(|replay| &replay.steps),
        gui_step: merged(|replay| &replay.gui_steps),
        reset: merged(|replay| &replay.resets),
        frames_hash: hash.to_hex().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(world: &str) -> BenchEnvConfig {
        let task = format!("name='bench'\nworld='{world}'\nepisode_steps=7");
        BenchEnvConfig { size: 16, threads: 2, seeds: vec![1, 2], steps: 20, task }
    }

    #[test]
    fn every_recorded_step_and_reset_is_measured() {
        let report = bench_env(&config("null")).unwrap();
        assert_eq!(report.steps, 2 * 2 * 20);
        assert_eq!(report.reset.unwrap().count, 2 * 2 * 3);
        assert_eq!(report.step.unwrap().count, 80);
        assert!(report.gui_step.is_none() && report.value > 0.0);
        let line = serde_json::to_string(&report).unwrap();
        assert!(line.starts_with("{\"bench\":\"env\",\"value\":"), "{line}");
    }

    #[test]
    fn bad_requests_are_named() {
        assert!(bench_env(&config("nowhere")).unwrap_err().to_string().contains("unknown world"));
        let none = BenchEnvConfig { threads: 0, ..config("null") };
        assert!(bench_env(&none).is_err());
    }
}
