//! Plays a fixed list of episodes on a fixed number of slots, all in step.
//!
//! Episode i is played by slot i % slots, the batch always has one row a slot, and actions are keyed by (seed, episode,
//! step): nothing depends on which world answers first, so the same seeds give the same games. A session that breaks
//! is opened again at the episode it broke in, which then starts over.

use crate::acting_policy::{ActingPolicy, Batch, Verdict};
use crate::config::{Deadlines, WorldConfig};
use crate::env_client::{EnvClient, EnvFault};
use crate::env_slot::{EnvSlot, Outcome};
use crate::error::ActorError;
use crate::inference::Inference;
use crate::player::Player;
use crate::slips::Slips;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vpt_policy::{RecurrentState, action};
use vpt_proto::envserver::v1::{HumanAction, Observation, OpenSession};
use vpt_proto::limits::PROTOCOL_VERSION;
use vpt_runtime::{Backoff, Security};

/// How long a broken session is tried again, twice as long as one may take to open at least, before the work is given up.
const RECOVERY: Duration = Duration::from_secs(60);

/// What is to be played.
pub(crate) struct Plan<'a> {
    pub(crate) envserver: &'a str,
    pub(crate) security: &'a Security,
    pub(crate) deadlines: Deadlines,
    pub(crate) world: &'a WorldConfig,
    pub(crate) player: &'a Player,
    /// Height and width of frames.
    pub(crate) frame: (usize, usize),
    /// Seed of every episode.
    pub(crate) seeds: Vec<u64>,
    pub(crate) slots: usize,
    /// First words of every draw's key: a seed and a role.
    pub(crate) draw_key: [u64; 2],
    /// Slips of the scripted player's hand.
    pub(crate) slips: Slips,
}

/// One step of one episode.
pub(crate) struct Played {
    pub(crate) episode: usize,
    /// The frame before the action.
    pub(crate) frame: Bytes,
    pub(crate) is_first: bool,
    pub(crate) gui_open: bool,
    pub(crate) action: HumanAction,
    pub(crate) outcome: Outcome,
}

/// What a tick brought.
pub(crate) enum Event {
    /// A step was taken; its outcome says whether the episode ended.
    Played(Box<Played>),
    /// The episode starts over: what was seen of it is void.
    Restarted {
        /// Which one.
        episode: usize,
    },
}

struct Seat {
    /// Episodes left, the one in progress first.
    episodes: std::collections::VecDeque<usize>,
    env: Option<EnvSlot>,
}

/// The game in progress.
pub(crate) struct Lockstep {
    client: EnvClient,
    open: OpenSession,
    recovery: Duration,
    seeds: Vec<u64>,
    draw_key: [u64; 2],
    seats: Vec<Seat>,
    acting: Option<(Arc<ActingPolicy>, RecurrentState, Inference)>,
    slips: Slips,
}

impl Lockstep {
    /// Opens every slot's session.
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, ActorError> {
        let slots = plan.slots.clamp(1, plan.seeds.len().max(1));
        let Deadlines { step, open } = plan.deadlines;
        let client = EnvClient::new(plan.security, plan.envserver, "envserver", step, open)?;
        let recovery = RECOVERY.max(2 * open);
        let acting = match plan.player.ready(plan.frame)? {
            Some(policy) => {
                let state = policy.initial_state(slots)?;
                Some((policy, state, Inference::start(1)?))
            }
            None => None,
        };
        let open = OpenSession {
            protocol_version: PROTOCOL_VERSION,
            world: plan.world.name.clone(),
            task: plan.world.task.clone(),
            frame_height: plan.frame.0 as u32,
            frame_width: plan.frame.1 as u32,
            advise: acting.is_none(),
            max_episode_steps: plan.world.episode_steps,
            client: plan.player.name().to_owned(),
            ..OpenSession::default()
        };
        let seats = (0..slots)
            .map(|slot| Seat { episodes: (slot..plan.seeds.len()).step_by(slots).collect(), env: None })
            .collect();
        let Plan { seeds, draw_key, slips, .. } = plan;
        let mut game = Self { client, open, recovery, seeds, draw_key, seats, acting, slips };
        for row in 0..slots {
            game.take_seat(row).await?;
        }
        Ok(game)
    }

    /// Whether every episode has been played.
    pub(crate) fn is_over(&self) -> bool {
        self.seats.iter().all(|seat| seat.episodes.is_empty())
    }

    /// One step of every episode in progress, in slot order.
    pub(crate) async fn tick(&mut self) -> Result<Vec<Event>, ActorError> {
        let actions = self.choose().await?;
        let mut faults: Vec<Option<EnvFault>> = Vec::with_capacity(self.seats.len());
        let mut befores = Vec::with_capacity(self.seats.len());
        for (seat, action) in self.seats.iter_mut().zip(&actions) {
            befores.push(seat.current().map(|seen| (seen.frame.clone(), seen.is_first, seen.gui_open)));
            faults.push(match (&mut seat.env, action) {
                (Some(env), Some(action)) => env.send(*action).err(),
                _ => None,
            });
        }
        let mut events = Vec::with_capacity(self.seats.len());
        let mut deadline = None;
        for row in 0..self.seats.len() {
            let (Some(action), Some((frame, is_first, gui_open))) = (actions[row], befores[row].take())
            else {
                continue;
            };
            let seat = &mut self.seats[row];
            let received = match (faults[row].take(), &mut seat.env) {
                (None, Some(env)) => {
                    let deadline = *deadline.get_or_insert_with(|| env.deadline());
                    env.receive(deadline).await
                }
                (Some(fault), _) => Err(fault),
                (None, None) => continue,
            };
            let episode = seat.episodes[0];
            match received {
                Ok(outcome) => {
                    if outcome.ended.is_some() {
                        seat.episodes.pop_front();
                    }
                    let played = Played { episode, frame, is_first, gui_open, action, outcome };
                    events.push(Event::Played(Box::new(played)));
                }
                Err(fault) => {
                    tracing::warn!(
                        episode,
                        reason = fault.reason,
                        detail = fault.detail,
                        "episode starts over"
                    );
                    seat.env = None;
                    events.push(Event::Restarted { episode });
                }
            }
            let starved = seat.current().is_none() && !seat.episodes.is_empty();
            if starved {
                self.take_seat(row).await?;
            }
        }
        Ok(events)
    }

    /// The action of every seat that is playing.
    async fn choose(&mut self) -> Result<Vec<Option<HumanAction>>, ActorError> {
        let Some((policy, state, inference)) = &mut self.acting else {
            // Advice is absent only on final frames, which nobody acts on.
            let advice = |seat: &Seat| {
                let seen = seat.current()?;
                let slip = self.slips.at(*seat.episodes.front()? as u64, u64::from(seen.episode_step));
                Some(slip.unwrap_or_else(|| seen.advice.unwrap_or_default()))
            };
            return Ok(self.seats.iter().map(advice).collect());
        };
        let blank = self.open.frame_height as usize * self.open.frame_width as usize * 3;
        let rows = self.seats.len();
        let mut batch = Batch {
            state: state.clone(),
            frames: Vec::with_capacity(rows * blank),
            is_first: Vec::with_capacity(rows),
            draws: Vec::with_capacity(rows),
        };
        for seat in &self.seats {
            let [seed, role] = self.draw_key;
            match (seat.current(), &seat.env) {
                (Some(seen), Some(env)) => {
                    batch.frames.extend_from_slice(&seen.frame);
                    batch.is_first.push(u8::from(seen.is_first));
                    batch.draws.push([seed, role, 0, 0, seat.episodes[0] as u64, u64::from(env.step())]);
                }
                _ => {
                    batch.frames.resize(batch.frames.len() + blank, 0);
                    batch.is_first.push(1);
                    batch.draws.push([seed, role, 0, 0, u64::MAX, 0]);
                }
            }
        }
        let Verdict { decisions, state: after, .. } = inference.decide(policy, batch).await?;
        *state = after;
        let act = |(seat, decision): (&Seat, &crate::acting_policy::Decision)| {
            seat.current().map(|_| {
                let taken = action::to_env(decision.action);
                HumanAction { keys: taken.keys, pitch_delta: taken.pitch, yaw_delta: taken.yaw }
            })
        };
        Ok(self.seats.iter().zip(&decisions).map(act).collect())
    }

    /// Opens a session for what seat `row` has left to play, trying again until the recovery deadline.
    async fn take_seat(&mut self, row: usize) -> Result<(), ActorError> {
        let seat = &mut self.seats[row];
        let seeds = seat.episodes.iter().map(|&episode| self.seeds[episode]).collect();
        let open = OpenSession { episode_seeds: seeds, ..self.open.clone() };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2), row as u64);
        let began = Instant::now();
        loop {
            let fault = match EnvSlot::open(&self.client, open.clone()).await {
                Ok(env) => {
                    seat.env = Some(env);
                    return Ok(());
                }
                Err(fault) => fault,
            };
            let address = self.client.address().to_owned();
            if fault.fatal {
                return Err(ActorError::EnvRefused { address, reason: fault.detail });
            }
            if began.elapsed() > self.recovery {
                let seconds = self.recovery.as_secs_f64();
                return Err(ActorError::EnvLost { address, seconds, reason: fault.detail });
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

impl Seat {
    /// The frame to act on, while there is one.
    fn current(&self) -> Option<&Observation> {
        self.env.as_ref().filter(|_| !self.episodes.is_empty()).and_then(EnvSlot::current)
    }
}
