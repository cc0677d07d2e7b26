//! One session's episodes: what is answered to each action. No I/O: [`crate::play`] moves the messages.

use bytes::Bytes;
use vpt_proto::envserver::v1::{HumanAction, ItemEvent, Observation, OpenSession, SessionOpened, item_event};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, speaks};
use vpt_runtime::counter_hash::counter_hash;

use crate::episode::{Episode, PaidEvent, StepOutcome};
use crate::error::SessionError;
use crate::metrics::count_spare;
use crate::minerl::MineRlWorld;
use crate::noise::NoiseWorld;
use crate::null::NullWorld;
use crate::spare::{SparePool, Spares};
use crate::task::Task;
use crate::world::{Action, EventKind, World};
use crate::worlds::Worlds;

/// Room in a message for everything but the frame.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// Largest RGB frame that fits a message.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES - ENVELOPE_BYTES;

/// A world, a task, and which episodes of it to play.
pub(crate) struct Session {
    world: Box<dyn World>,
    spares: Spares,
    episode: Episode,
    frame: (usize, usize),
    seeds: Seeds,
    played: u64,
    /// Length of the first episode; 0 leaves it as the others.
    first_steps: u32,
    seed: u64,
    advise: bool,
}

/// The seeds of a session's episodes.
struct Seeds {
    list: Vec<u64>,
    session_seed: u64,
    first_episode: u64,
}

impl Seeds {
    /// The seed of the session's n-th episode; none after the last of a list.
    fn get(&self, n: u64) -> Option<u64> {
        if self.list.is_empty() {
            return Some(episode_seed(self.session_seed, self.first_episode.wrapping_add(n)));
        }
        usize::try_from(n).ok().and_then(|n| self.list.get(n).copied())
    }
}

/// The seed of an endless session's episode. The top bit stays clear: seeds that have it are left for held-out
/// episodes, which clients list explicitly.
#[must_use]
pub fn episode_seed(session_seed: u64, episode: u64) -> u64 {
    counter_hash(&[session_seed, episode]) & (u64::MAX >> 1)
}

impl Session {
    /// Checks what the client asks for and builds its world.
    pub(crate) fn open(
        open: OpenSession,
        worlds: &Worlds,
        pool: &SparePool,
    ) -> Result<(Self, SessionOpened), SessionError> {
        if !speaks(open.protocol_version) {
            return Err(SessionError::Version { theirs: open.protocol_version });
        }
        let frame = frame_size(&open)?;
        let Some(world) = worlds.build(&open.world) else {
            return Err(SessionError::UnknownWorld { name: open.world, known: worlds.known() });
        };
        let without_content = [NullWorld::NAME, NoiseWorld::NAME].contains(&open.world.as_str());
        let unnamed = without_content && (open.task.is_empty() || open.task == "null");
        let minecraft = open.world == MineRlWorld::NAME && open.task.is_empty();
        let name = if minecraft { MineRlWorld::TASK } else { &open.task };
        let task = if unnamed { NullWorld::task() } else { Task::resolve(name)?.in_world(&open.world) };
        let opened = SessionOpened {
            protocol_version: open.protocol_version,
            session_id: 0,
            world: open.world,
            task: task.name.clone(),
            max_episode_steps: 0,
            reward_items: task.reward_items(),
        };
        let spares = Spares::new(pool, worlds, &task, world.as_ref());
        let episode = Episode::new(task, open.max_episode_steps);
        let opened = SessionOpened { max_episode_steps: episode.max_steps(), ..opened };
        let seeds = Seeds {
            list: open.episode_seeds,
            session_seed: open.session_seed,
            first_episode: open.first_episode,
        };
        let (first_steps, advise) = (open.first_episode_steps, open.advise);
        let session = Self { world, spares, episode, frame, seeds, played: 0, first_steps, seed: 0, advise };
        Ok((session, opened))
    }

    /// Starts the next episode: its reset frame, or none when the session's list of seeds is used up.
    pub(crate) fn start_episode(&mut self) -> Result<Option<Observation>, SessionError> {
        let Some(seed) = self.seeds.get(self.played) else { return Ok(None) };
        let swap = self.spares.swap(&mut self.world, seed);
        if let Some(label) = swap.label() {
            count_spare(label);
        }
        if swap.is_in_place() {
            self.episode.begin();
        } else {
            self.episode.start(self.world.as_mut(), seed)?;
        }
        if let Some(next) = self.seeds.get(self.played + 1) {
            self.spares.prepare(next);
        }
        if self.played == 0 && self.first_steps > 0 {
            self.episode.shorten(self.first_steps);
        }
        self.seed = seed;
        let outcome = StepOutcome { gui_open: self.world.gui_open(), ..StepOutcome::default() };
        Ok(Some(self.observe(outcome)))
    }

    /// Plays one action; [`show`](Self::show) is next.
    pub(crate) fn act(&mut self, action: &HumanAction) -> Result<StepOutcome, SessionError> {
        let action = Action::sanitised(action.keys, action.pitch_delta, action.yaw_delta)?;
        let outcome = self.episode.step(self.world.as_mut(), &action);
        match self.world.take_fault() {
            Some(error) => Err(error.into()),
            None => Ok(outcome),
        }
    }

    /// Renders what came of an action; when it was the last of its episode, the next one has to be started.
    pub(crate) fn show(&mut self, outcome: StepOutcome) -> Observation {
        let last = outcome.is_last();
        let observation = self.observe(outcome);
        if last {
            self.played += 1;
        }
        observation
    }

    fn observe(&mut self, outcome: StepOutcome) -> Observation {
        let (height, width) = self.frame;
        let mut frame = Vec::with_capacity(height * width * 3);
        self.world.render(height, width, &mut frame);
        debug_assert_eq!(frame.len(), height * width * 3);
        let advice = (self.advise && !outcome.is_last()).then(|| self.world.advise());
        Observation {
            frame: Bytes::from(frame),
            is_first: self.episode.steps() == 0,
            reward: outcome.reward,
            terminated: outcome.terminated,
            truncated: outcome.truncated,
            gui_open: outcome.gui_open,
            events: outcome.events.iter().map(event_message).collect(),
            advice: advice.map(|a| HumanAction {
                keys: a.keys,
                pitch_delta: a.pitch_delta,
                yaw_delta: a.yaw_delta,
            }),
            episode: self.seeds.first_episode.wrapping_add(self.played),
            episode_seed: self.seed,
            episode_step: self.episode.steps(),
        }
    }
}

fn frame_size(open: &OpenSession) -> Result<(usize, usize), SessionError> {
    let (height, width) = (open.frame_height, open.frame_width);
    let bytes = (u64::from(height) * u64::from(width)).saturating_mul(3);
    if bytes == 0 || bytes > MAX_FRAME_BYTES as u64 {
        return Err(SessionError::FrameSize { height, width, max_bytes: MAX_FRAME_BYTES });
    }
    Ok((height as usize, width as usize))
}

fn event_message(paid: &PaidEvent) -> ItemEvent {
    let kind = match paid.event.kind {
        EventKind::MineBlock => item_event::Kind::MineBlock,
        EventKind::Pickup => item_event::Kind::Pickup,
        EventKind::CraftItem => item_event::Kind::CraftItem,
        EventKind::UseItem => item_event::Kind::UseItem,
        EventKind::Drop => item_event::Kind::Drop,
        EventKind::BreakItem => item_event::Kind::BreakItem,
        EventKind::KillEntity => item_event::Kind::KillEntity,
    };
    ItemEvent {
        kind: kind.into(),
        item: paid.event.item.to_owned(),
        quantity: paid.event.quantity,
        reward: paid.reward,
    }
}

#[cfg(test)]
mod tests {
    use vpt_proto::limits::PROTOCOL_VERSION;

    use super::*;

    impl Session {
        fn step(&mut self, action: &HumanAction) -> Result<Observation, SessionError> {
            let outcome = self.act(action)?;
            Ok(self.show(outcome))
        }
    }

    fn open() -> OpenSession {
        OpenSession {
            protocol_version: PROTOCOL_VERSION,
            world: "null".to_owned(),
            frame_height: 4,
            frame_width: 6,
            max_episode_steps: 2,
            ..OpenSession::default()
        }
    }

    #[test]
    fn endless_sessions_seed_by_counter_and_can_start_anywhere() {
        let play = |first_episode| {
            let request = OpenSession { session_seed: 9, first_episode, ..open() };
            let (mut session, _) = Session::open(request, &Worlds::built_in(), &SparePool::none()).unwrap();
            let mut seeds = Vec::new();
            for _ in 0..4 {
                let first = session.start_episode().unwrap().unwrap();
                assert!(first.is_first && first.episode_step == 0 && first.frame.len() == 72);
                session.step(&HumanAction::default()).unwrap();
                let last = session.step(&HumanAction::default()).unwrap();
                assert!(last.truncated && !last.is_first && last.episode == first.episode);
                assert_eq!((last.episode_step, last.episode_seed), (2, first.episode_seed));
                seeds.push((first.episode, first.episode_seed));
            }
            seeds
        };
        let (all, tail) = (play(0), play(2));
        assert_eq!(all[2..], tail[..2]);
        assert!(all.iter().all(|(_, seed)| seed >> 63 == 0));
        assert_eq!(all[3], (3, episode_seed(9, 3)));
    }

    #[test]
    fn listed_seeds_are_played_in_order_and_end_the_session() {
        let request = OpenSession { episode_seeds: vec![u64::MAX, 5], ..open() };
        let (mut session, opened) = Session::open(request, &Worlds::built_in(), &SparePool::none()).unwrap();
        assert_eq!((opened.max_episode_steps, opened.task.as_str()), (2, "null"));
        for seed in [u64::MAX, 5] {
            assert_eq!(session.start_episode().unwrap().unwrap().episode_seed, seed);
            session.step(&HumanAction::default()).unwrap();
            session.step(&HumanAction::default()).unwrap();
        }
        assert!(session.start_episode().unwrap().is_none());
    }

    #[test]
    fn minecraft_has_a_task_of_its_own_where_none_is_named() {
        let opened = |task: &str| {
            let request =
                OpenSession { world: "minerl".into(), task: task.into(), max_episode_steps: 0, ..open() };
            Session::open(request, &Worlds::built_in(), &SparePool::none()).unwrap().1
        };
        assert_eq!((opened("").task.as_str(), opened("").max_episode_steps), ("diamond_pickaxe", 12_000));
        assert_eq!(opened("chop").task, "chop");
    }

    #[test]
    fn only_the_first_episode_is_shortened() {
        let request = OpenSession { max_episode_steps: 3, first_episode_steps: 1, ..open() };
        let (mut session, _) = Session::open(request, &Worlds::built_in(), &SparePool::none()).unwrap();
        let lengths = [1, 3, 3].map(|_| {
            session.start_episode().unwrap();
            let end = |session: &mut Session| session.step(&HumanAction::default()).unwrap();
            std::iter::repeat_with(|| end(&mut session)).take(4).position(|o| o.truncated).unwrap() + 1
        });
        assert_eq!(lengths, [1, 3, 3]);
    }

    #[test]
    fn frames_that_do_not_fit_a_message_are_refused() {
        for (frame_height, frame_width) in [(0, 5), (5, 0), (600, 600), (u32::MAX, u32::MAX)] {
            let request = OpenSession { frame_height, frame_width, ..open() };
            let error = Session::open(request, &Worlds::built_in(), &SparePool::none()).err().unwrap();
            assert!(matches!(error, SessionError::FrameSize { .. }), "{error}");
        }
        let request = OpenSession { frame_height: 360, frame_width: 640, ..open() };
        assert!(Session::open(request, &Worlds::built_in(), &SparePool::none()).is_ok());
    }
}
