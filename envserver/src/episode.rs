//! One episode of a task in any world: rewards, success, and the time limit.

use std::collections::BTreeMap;

use crate::reward::RewardLedger;
use crate::task::Task;
use crate::world::{Action, Event, EventKind, World, WorldError};

/// An event and what it earned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaidEvent {
    /// What happened.
    pub event: Event,
    /// Its reward: 0 for what the task does not pay.
    pub reward: f32,
}

/// What one action brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// Sum over the events.
    pub reward: f32,
    /// Success or death: the episode is over and nothing follows.
    pub terminated: bool,
    /// The time limit cut the episode; never together with `terminated`.
    pub truncated: bool,
    /// A screen is open.
    pub gui_open: bool,
    /// In the order they happened.
    pub events: Vec<PaidEvent>,
}

impl StepOutcome {
    /// Whether the episode ended.
    pub fn is_last(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// Applies a task to a world, episode after episode.
#[derive(Debug)]
pub struct Episode {
    task: Task,
    max_steps: u32,
    /// Length of the current episode.
    limit: u32,
    ledger: RewardLedger,
    obtained: BTreeMap<&'static str, u32>,
    steps: u32,
}

impl Episode {
    /// Episodes of `task`; `max_steps` overrides its length unless 0.
    pub fn new(task: Task, max_steps: u32) -> Self {
        let max_steps = if max_steps == 0 { task.episode_steps } else { max_steps };
        let ledger = RewardLedger::new(&task);
        Self { ledger, task, max_steps, limit: max_steps, obtained: BTreeMap::new(), steps: 0 }
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Length in ticks.
    pub fn max_steps(&self) -> u32 {
        self.max_steps
    }

    /// Actions taken in the current episode.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Starts the episode with that seed.
    ///
    /// # Errors
    /// When the world cannot play the task.
    pub fn start(&mut self, world: &mut dyn World, seed: u64) -> Result<(), WorldError> {
        world.reset(seed, &self.task)?;
        self.begin();
        Ok(())
    }

    /// Starts an episode in a world that is already reset, to this task and the episode's seed.
    pub fn begin(&mut self) {
        self.ledger.reset();
        self.obtained.clear();
        self.steps = 0;
        self.limit = self.max_steps;
    }

    /// Truncates the current episode, and only this one, after `steps` if that is earlier.
    pub fn shorten(&mut self, steps: u32) {
        self.limit = self.limit.min(steps);
    }

    /// Plays one action.
    pub fn step(&mut self, world: &mut dyn World, action: &Action) -> StepOutcome {
        let tick = world.step(action);
        self.steps += 1;
        let mut outcome = StepOutcome { gui_open: tick.gui_open, ..StepOutcome::default() };
        for event in tick.events {
            let reward = self.ledger.pay(&event);
            outcome.reward += reward;
            outcome.events.push(PaidEvent { event, reward });
            if matches!(event.kind, EventKind::Pickup | EventKind::CraftItem) {
                *self.obtained.entry(event.item).or_default() += event.quantity;
            }
        }
        outcome.terminated = tick.died || self.succeeded();
        outcome.truncated = !outcome.terminated && self.steps >= self.limit;
        outcome
    }

    fn succeeded(&self) -> bool {
        let reached = |item: &str, count| self.obtained.get(item).is_some_and(|have| *have >= count);
        self.task.terminate_on.iter().any(|goal| reached(&goal.item, goal.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Tick;

    /// Picks up a log every other tick.
    struct LogRain {
        ticks: u32,
    }

    impl World for LogRain {
        fn reset(&mut self, _seed: u64, _task: &Task) -> Result<(), WorldError> {
            self.ticks = 0;
            Ok(())
        }
        fn step(&mut self, _action: &Action) -> Tick {
            self.ticks += 1;
            let log = Event { kind: EventKind::Pickup, item: "log", quantity: 1 };
            let events = if self.ticks.is_multiple_of(2) { vec![log] } else { Vec::new() };
            Tick { events, ..Tick::default() }
        }
        fn render(&mut self, _height: usize, _width: usize, _out: &mut Vec<u8>) {}
        fn gui_open(&self) -> bool {
            false
        }
        fn advise(&mut self) -> Action {
            Action::NOOP
        }
        fn state_hash(&self) -> u64 {
            u64::from(self.ticks)
        }
    }

    #[test]
    fn the_time_limit_truncates_and_does_not_terminate() {
        let mut episode = Episode::new(Task::resolve("chop").unwrap(), 4);
        let mut world = LogRain { ticks: 0 };
        for _ in 0..2 {
            episode.start(&mut world, 1).unwrap();
            let outcomes: Vec<_> = (0..4).map(|_| episode.step(&mut world, &Action::NOOP)).collect();
            assert_eq!(outcomes.iter().map(|o| o.reward).sum::<f32>(), 2.0);
            assert!(outcomes[..3].iter().all(|o| !o.is_last()));
            assert!(outcomes[3].truncated && !outcomes[3].terminated);
        }
    }

    #[test]
    fn success_terminates_and_wins_over_the_time_limit() {
        let text = "name='two'\nepisode_steps=4\n[[terminate_on]]\nitem='log'\ncount=2";
        let mut episode = Episode::new(Task::parse(text).unwrap(), 0);
        let mut world = LogRain { ticks: 0 };
        episode.start(&mut world, 1).unwrap();
        let last = (0..4).map(|_| episode.step(&mut world, &Action::NOOP)).last().unwrap();
        assert!(last.terminated && !last.truncated);
    }
}
