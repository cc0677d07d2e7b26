//! Games of the scripted player: recorded untimed, replayed with every step, rendering and reset timed.

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use vpt_runtime::counter_hash::counter_hash;

use crate::episode::Episode;
use crate::error::EnvserverError;
use crate::native::NativeWorld;
use crate::native::item::Item;
use crate::native::render::Path;
use crate::task::{ItemCount, Task};
use crate::world::{Action, World};
use crate::worlds::Worlds;

/// What a game did, tick by tick.
struct Recording {
    seed: u64,
    actions: Vec<Action>,
}

/// Recorded games, to be replayed in fresh worlds.
pub struct Games {
    task: Task,
    path: Path,
    recordings: Vec<Recording>,
}

/// One step of a replay, seconds.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) step: f64,
    pub(super) render: f64,
    /// A screen was open.
    pub(super) gui: bool,
    /// The view was drawn anew, not kept.
    pub(super) redrawn: bool,
}

impl Frame {
    pub(super) fn seconds(&self) -> f64 {
        self.step + self.render
    }
}

/// What a replay took.
pub(super) struct Played {
    pub(super) frames: Vec<Frame>,
    /// Seconds of each start of an episode with its first frame.
    pub(super) resets: Vec<f64>,
    /// CPU seconds of all of it.
    pub(super) cpu: f64,
}

impl Played {
    pub(super) fn seconds(&self) -> f64 {
        self.frames.iter().map(Frame::seconds).sum::<f64>() + self.resets.iter().sum::<f64>()
    }
}

/// How fast a replay went.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Step, rendering and resets.
    pub steps_per_second: f64,
    /// The same divided by the pixels of a frame.
    pub ns_per_pixel: f64,
}

impl Games {
    /// Records the scripted player, untimed, on every seed: `steps` ticks each, in a fresh episode when one ends.
    ///
    /// # Errors
    /// Unknown tasks or worlds, or a path that this machine cannot run.
    pub fn record(task: &str, path: Path, seeds: &[u64], steps: usize) -> Result<Self, EnvserverError> {
        if !path.is_available() {
            return Err(EnvserverError::Bench(format!("this machine cannot run the path {path}")));
        }
        let task = ended(Task::resolve(task)?);
        let mut games = Self { task, path, recordings: Vec::new() };
        for seed in seeds {
            games.recordings.push(games.record_one(*seed, steps)?);
        }
        Ok(games)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.recordings.len()
    }

    /// Replays one game in a world of its own, frames `size` (width, height) pixels large.
    ///
    /// # Errors
    /// When the world cannot be made.
    pub fn pace(&self, game: usize, size: (usize, usize)) -> Result<Pace, EnvserverError> {
        let played = self.play(std::slice::from_ref(&self.recordings[game % self.count()]), size, |_| ())?;
        let each = played.seconds() / played.frames.len() as f64;
        Ok(Pace { steps_per_second: 1.0 / each, ns_per_pixel: each * 1e9 / (size.0 * size.1) as f64 })
    }

    /// Replays all games one after the other.
    pub(super) fn play_all(&self, size: (usize, usize)) -> Result<Played, EnvserverError> {
        self.play(&self.recordings, size, |_| ())
    }

    /// The hash of every frame; not timed, for hashing costs as much as drawing.
    pub(super) fn hash(&self, size: (usize, usize)) -> Result<blake3::Hash, EnvserverError> {
        let mut hasher = blake3::Hasher::new();
        self.play(&self.recordings, size, |frame| {
            hasher.update(frame);
        })?;
        Ok(hasher.finalize())
    }

    /// Seconds that starts on seeds nobody has seen take, each with its first frame.
    pub(super) fn resets(&self, count: u64, size: (usize, usize)) -> Result<Vec<f64>, EnvserverError> {
        let (mut world, mut episode, mut frame) = (self.world()?, self.episode(), Vec::new());
        (0..count)
            .map(|n| {
                let began = Instant::now();
                episode.start(world.as_mut(), counter_hash(&[u64::MAX, n]))?;
                world.render(size.1, size.0, &mut frame);
                Ok(began.elapsed().as_secs_f64())
            })
            .collect()
    }

    /// A world in the middle of an episode, as it is kept for a session.
    pub(super) fn world_at_play(
        &self,
        seed: u64,
        ticks: usize,
        size: (usize, usize),
    ) -> Result<(Box<dyn World>, Vec<u8>), EnvserverError> {
        let (mut world, mut episode, mut frame) = (self.world()?, self.episode(), Vec::new());
        episode.start(world.as_mut(), seed)?;
        for _ in 0..ticks {
            let action = world.advise();
            episode.step(world.as_mut(), &action);
            world.render(size.1, size.0, &mut frame);
        }
        Ok((world, frame))
    }

    fn world(&self) -> Result<Box<dyn World>, EnvserverError> {
        if self.task.world == NativeWorld::NAME {
            return Ok(Box::new(NativeWorld::drawn_by(self.path)));
        }
        let worlds = Worlds::built_in();
        let world = worlds.build(&self.task.world);
        world.ok_or_else(|| EnvserverError::UnknownWorld {
            name: self.task.world.clone(),
            known: worlds.known(),
        })
    }

    fn episode(&self) -> Episode {
        Episode::new(self.task.clone(), 0)
    }

    fn record_one(&self, seed: u64, steps: usize) -> Result<Recording, EnvserverError> {
        let (mut world, mut episode) = (self.world()?, self.episode());
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

    fn play(
        &self,
        recordings: &[Recording],
        (width, height): (usize, usize),
        mut each: impl FnMut(&[u8]),
    ) -> Result<Played, EnvserverError> {
        let (mut world, mut episode, mut frame) = (self.world()?, self.episode(), Vec::new());
        let mut played = Played { frames: Vec::new(), resets: Vec::new(), cpu: 0.0 };
        let cpu_before = cpu_seconds();
        for recording in recordings {
            let (mut episodes, mut over) = (0, true);
            for action in &recording.actions {
                if over {
                    let began = Instant::now();
                    episode.start(world.as_mut(), episode_seed(recording.seed, episodes))?;
                    world.render(height, width, &mut frame);
                    played.resets.push(began.elapsed().as_secs_f64());
                    each(&frame);
                    episodes += 1;
                }
                let began = Instant::now();
                let outcome = episode.step(world.as_mut(), action);
                let step = began.elapsed().as_secs_f64();
                world.render(height, width, &mut frame);
                let render = began.elapsed().as_secs_f64() - step;
                let (gui, redrawn) = (outcome.gui_open, world.drew_anew());
                played.frames.push(Frame { step, render, gui, redrawn });
                each(&frame);
                over = outcome.is_last();
            }
        }
        played.cpu = cpu_seconds() - cpu_before;
        Ok(played)
    }
}

/// A task whose road ends at the diamond pickaxe ends there: the scripted player would have nothing left to do, and an
/// idle player's view costs nothing to draw.
fn ended(mut task: Task) -> Task {
    let end = Item::DiamondPickaxe.name();
    if task.terminate_on.is_empty() && task.rewards.iter().any(|rule| rule.item == end) {
        task.terminate_on.push(ItemCount { item: end.to_owned(), count: 1 });
    }
    task
}

fn episode_seed(seed: u64, n: u64) -> u64 {
    counter_hash(&[seed, n])
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("RUSAGE_THREAD exists on Linux");
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_road_ends_where_it_has_led() {
        let goals = |name| ended(Task::resolve(name).unwrap()).terminate_on;
        assert_eq!(goals("diamond_pickaxe")[0].item, "diamond_pickaxe");
        assert!(goals("chop").is_empty());
    }
}
