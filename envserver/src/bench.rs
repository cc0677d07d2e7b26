//! Benches: how fast a world steps and renders, and how fast steps go over gRPC.
//!
//! # Layout
//! - here: [`bench_env`], recorded actions of the scripted player replayed in a fresh world
//! - [`play`]: recording and replaying; `memory`: what a world takes; [`latency`], [`report`]: what is told
//! - [`luanti`]: games of world `luanti`
//! - [`stream`]: sessions of an in-process server over loopback

use crate::error::EnvserverError;
use crate::native::render::Path;

pub mod latency;
pub mod luanti;
mod memory;
pub mod play;
pub mod report;
pub mod stream;

pub use play::{Games, Pace};
pub use report::BenchEnvReport;

/// Starts on unseen seeds measured beside those that the games bring.
const RESETS: u64 = 24;

/// What to replay.
#[derive(Clone, Debug)]
pub struct BenchEnvConfig {
    /// Width and height of the frames, pixels.
    pub size: (usize, usize),
    /// Threads that replay the same games side by side.
    pub threads: usize,
    /// One recorded game each.
    pub seeds: Vec<u64>,
    /// Ticks a game; it goes on in a fresh episode when one ends.
    pub steps: usize,
    /// Built-in task or the text of a task file.
    pub task: String,
    /// The ray caster of the embedded world.
    pub path: Path,
}

/// Records the scripted player on the seeds, untimed, then replays it on every thread and times it.
///
/// # Errors
/// Unknown tasks or worlds, a path this machine cannot run, or frames that differ between threads.
pub fn bench_env(config: &BenchEnvConfig) -> Result<BenchEnvReport, EnvserverError> {
    let (width, height) = config.size;
    if config.threads == 0 || config.steps == 0 || config.seeds.is_empty() || width * height == 0 {
        return Err(EnvserverError::Bench("size, threads, steps and seeds must not be zero".to_owned()));
    }
    // Before anything is recorded: memory that was freed would be used again and not be counted.
    let none = Games::record(&config.task, config.path, &[], 0)?;
    let bytes = memory::per_world(&none, config.size)?;
    let games = Games::record(&config.task, config.path, &config.seeds, config.steps)?;
    let played = on_every_thread(config.threads, || games.play_all(config.size))?;
    let hashes = on_every_thread(config.threads, || games.hash(config.size))?;
    if hashes.iter().any(|hash| *hash != hashes[0]) {
        return Err(EnvserverError::Bench(
            "the same actions gave different frames on two threads".to_owned(),
        ));
    }
    let resets = games.resets(RESETS, config.size)?;
    Ok(BenchEnvReport::of(config, &played, resets, bytes, hashes[0]))
}

fn on_every_thread<T: Send>(
    threads: usize,
    work: impl Fn() -> Result<T, EnvserverError> + Sync,
) -> Result<Vec<T>, EnvserverError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().map_err(|_| EnvserverError::Bench("a replay thread panicked".to_owned()))?
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(world: &str) -> BenchEnvConfig {
        let task = format!("name='bench'\nworld='{world}'\nepisode_steps=7");
        BenchEnvConfig { size: (16, 12), threads: 2, seeds: vec![1, 2], steps: 20, task, path: Path::best() }
    }

    #[test]
    fn every_recorded_step_and_reset_is_measured() {
        let report = bench_env(&config("null")).unwrap();
        assert_eq!(report.steps, 2 * 2 * 20);
        assert_eq!(report.reset.unwrap().count, 2 * 2 * 3 + RESETS as usize);
        assert_eq!(report.step.unwrap().count, 80);
        assert!(report.gui_step.is_none() && report.value > 0.0);
        let line = serde_json::to_string(&report).unwrap();
        assert!(line.starts_with("{\"bench\":\"env\",\"value\":"), "{line}");
        assert!(report.table().contains("16x12"), "{}", report.table());
    }

    #[test]
    fn kept_views_are_told_from_those_drawn_anew() {
        let report = bench_env(&BenchEnvConfig { seeds: vec![3], ..config("native") }).unwrap();
        let (kept, redrawn) = (report.kept_step.map_or(0, |l| l.count), report.redrawn_step.unwrap().count);
        assert_eq!(kept + redrawn, report.steps);
        assert!((report.redrawn_share - redrawn as f64 / report.steps as f64).abs() < 1e-9);
        let shares = report.time;
        assert!((shares.rules + shares.casting + shares.overlays + shares.resets - 1.0).abs() < 1e-9);
    }

    #[test]
    fn bad_requests_are_named() {
        assert!(bench_env(&config("nowhere")).unwrap_err().to_string().contains("unknown world"));
        let none = BenchEnvConfig { threads: 0, ..config("null") };
        assert!(bench_env(&none).is_err());
    }
}
