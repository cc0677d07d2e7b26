//! The rollout of one group of slots: observe, infer, step, append; at unroll boundaries send, swap weights, admit.
//!
//! The slots of a group run in lockstep, so their unroll boundaries coincide. Two groups alternate by themselves: while
//! the inference thread works for one, the worlds of the other step. A slot that breaks leaves a blank row in the batch
//! and rejoins at the next boundary; the others go on.

mod context;
mod memory_age;
mod pace;
mod send;

pub(crate) use context::RolloutContext;

use crate::acting_policy::{ActingPolicy, Batch, DrawKey, Verdict};
use crate::env_client::EnvFault;
use crate::env_slot::Outcome;
use crate::error::ActorError;
use crate::lane::Lane;
use crate::metrics;
use crate::terms::Schedule;
use crate::unroll::UnrollBuilder;
use memory_age::MemoryAge;
use pace::Pace;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vpt_policy::RecurrentState;
use vpt_policy::action;
use vpt_proto::envserver::v1::HumanAction;

/// How often a group without a single running slot looks again.
const ADMIT_POLL: Duration = Duration::from_millis(20);

/// Slots that are inferred as one batch.
pub(crate) struct Group {
    index: usize,
    context: RolloutContext,
    lanes: Vec<Lane>,
    policy: Arc<ActingPolicy>,
    /// Memory before the frames that are to be acted on.
    state: RecurrentState,
    /// What the acting policy says about those frames, when that is known already.
    next: Option<Verdict>,
    /// Steps of the group so far.
    steps: u64,
    memory_age: MemoryAge,
    /// Where the time of the unrolls in progress goes.
    pace: Pace,
    /// The last slot whose session broke, and why.
    lost: Option<(u32, String)>,
}

impl Group {
    /// Runs group `index` until the actor is told to stop.
    pub(crate) async fn run(index: usize, context: RolloutContext) -> Result<(), ActorError> {
        let Some(policy) = context.first_policy(index).await else {
            return Ok(());
        };
        if context.terms(index).await.is_none() {
            return Ok(());
        }
        let lanes = context.lanes(index);
        let state = policy.initial_state(lanes.len())?;
        let window = policy.config().maxlen() * policy.config().n_recurrence_layers;
        let memory_age = MemoryAge::new(window as u64, policy.version());
        let (next, steps, pace, lost) = (None, 0, Pace::start(), None);
        let mut group = Self { index, context, lanes, policy, state, next, steps, memory_age, pace, lost };
        group.roll_out().await
    }

    async fn roll_out(&mut self) -> Result<(), ActorError> {
        while !self.context.shutdown.is_cancelled() {
            let joined = self.admit().await?;
            // Read at each boundary: a restarted learner may want another length.
            let Some(terms) = self.context.terms(self.index).await else {
                break;
            };
            let swapped = match &terms.schedule {
                None => self.follow_weights(),
                Some(schedule) => {
                    self.check_lost()?;
                    if !self.lanes.iter_mut().all(|lane| lane.running().is_some()) {
                        // The first round needs them all.
                        tokio::time::sleep(ADMIT_POLL).await;
                        continue;
                    }
                    let Some(swapped) = self.follow_schedule(schedule).await else { break };
                    swapped
                }
            };
            if joined || swapped {
                // Frame T runs again: with new weights for the next unroll, or with the newcomers in its batch. The
                // bootstrap value that went out stays the old version's.
                self.next = None;
            }
            if self.context.shutdown.is_cancelled()
                || !self.lanes.iter_mut().any(|lane| lane.running().is_some())
            {
                continue;
            }
            let start = self.state.clone();
            if self.play_unroll(terms.unroll_length).await? {
                self.send_unrolls(start).await?;
            }
        }
        for lane in &mut self.lanes {
            lane.drop_unroll("shutdown", &self.context.ledger);
        }
        self.context.activity.enter(self.index, "drain");
        Ok(())
    }

    /// Takes in sessions that opened meanwhile; waits for one when none runs.
    async fn admit(&mut self) -> Result<bool, ActorError> {
        let mut joined = false;
        loop {
            for lane in &mut self.lanes {
                if lane.admit().await? {
                    lane.episode_start = self.steps;
                    joined = true;
                }
            }
            let running = self.lanes.iter_mut().any(|lane| lane.running().is_some());
            if running || self.context.shutdown.is_cancelled() {
                self.context.health.set_ready(running);
                return Ok(joined);
            }
            self.context.activity.enter(self.index, "wait_env");
            self.context.health.heartbeat();
            tokio::time::sleep(ADMIT_POLL).await;
        }
    }

    /// Acts with the newest weights from here on; true when they are others than before.
    fn follow_weights(&mut self) -> bool {
        let newest = self.context.policies.borrow().clone();
        match newest {
            Some(newest) if newest.version() > self.policy.version() => {
                let began = Instant::now();
                self.memory_age.swapped(self.steps, newest.version());
                ActingPolicy::retire(std::mem::replace(&mut self.policy, newest));
                metrics::swapped(began.elapsed());
                true
            }
            _ => false,
        }
    }

    /// Acts with the version that the schedule gives the next round; none when told to stop.
    async fn follow_schedule(&mut self, schedule: &Schedule) -> Option<bool> {
        let round = self.lanes.first().map_or(0, |lane| lane.sequence);
        let sequence = schedule.sequence(round);
        let policy = self.context.scheduled_policy(self.index, sequence).await?;
        if policy.version().sequence == self.policy.version().sequence {
            return Some(false);
        }
        self.memory_age.swapped(self.steps, policy.version());
        ActingPolicy::retire(std::mem::replace(&mut self.policy, policy));
        Some(true)
    }

    /// In a deterministic run a slot that lost its world ends the actor.
    fn check_lost(&mut self) -> Result<(), ActorError> {
        match self.lost.take() {
            Some((slot, reason)) => Err(ActorError::DeterministicLoss { slot, reason }),
            None => Ok(()),
        }
    }

    /// Plays `length` steps; true when there are unrolls to send, false when no slot is left or the actor stops.
    async fn play_unroll(&mut self, length: usize) -> Result<bool, ActorError> {
        let frame_len = self.context.frame_len();
        for lane in &mut self.lanes {
            let (slot, sequence, episode_start) = (lane.slot, lane.sequence, lane.episode_start);
            lane.builder = lane.running().map(|_| {
                UnrollBuilder::new(length, frame_len, episode_start)
                    .traced(self.context.trace(slot, sequence))
            });
        }
        self.pace = Pace::start();
        for _ in 0..length {
            let verdict = match self.next.take() {
                Some(verdict) => verdict,
                None => self.infer().await?,
            };
            self.act(&verdict);
            self.state = verdict.state;
            let outcomes = self.receive().await;
            self.settle(outcomes).await?;
            self.steps += 1;
            self.context.health.heartbeat();
            if self.lanes.iter().all(|lane| lane.builder.is_none()) {
                return Ok(false);
            }
            let last =
                self.lanes.iter().any(|lane| lane.builder.as_ref().is_some_and(UnrollBuilder::is_full));
            if self.context.shutdown.is_cancelled() && !last {
                return Ok(false);
            }
        }
        self.builders().for_each(|builder| self.pace.note_in(builder.trace()));
        // Frame T under the version that acted: the bootstrap, and the next unroll's frame 0 unless weights swap.
        self.next = Some(self.infer().await?);
        self.builders().for_each(|builder| builder.trace().lap("bootstrap"));
        Ok(true)
    }

    /// The unrolls in progress.
    fn builders(&self) -> impl Iterator<Item = &UnrollBuilder> {
        self.lanes.iter().filter_map(|lane| lane.builder.as_ref())
    }

    /// Runs the policy on the frames that are to be acted on.
    async fn infer(&mut self) -> Result<Verdict, ActorError> {
        let began = Instant::now();
        let blank = self.context.frame_len();
        let mut frames = Vec::with_capacity(blank * self.lanes.len());
        let mut is_first = Vec::with_capacity(self.lanes.len());
        let mut draws: Vec<DrawKey> = Vec::with_capacity(self.lanes.len());
        for lane in &mut self.lanes {
            let slot = lane.slot;
            match lane.running().and_then(|env| Some((env.current()?, env.episode(), env.step()))) {
                Some((observation, episode, step)) => {
                    frames.extend_from_slice(&observation.frame);
                    is_first.push(u8::from(observation.is_first));
                    draws.push(self.context.draw_key(slot, episode, step));
                }
                None => {
                    frames.resize(frames.len() + blank, 0);
                    is_first.push(1);
                    draws.push(self.context.draw_key(slot, u64::MAX, 0));
                }
            }
        }
        metrics::phase("observe", began.elapsed());
        let batch = Batch { state: self.state.clone(), frames, is_first, draws };
        self.decide(batch).await
    }

    async fn decide(&mut self, batch: Batch) -> Result<Verdict, ActorError> {
        let began = Instant::now();
        self.context.activity.enter(self.index, "infer");
        let verdict = self.context.inference.decide(&self.policy, batch).await?;
        let took = began.elapsed();
        metrics::phase("infer", took);
        self.pace.inferred(took, verdict.took);
        Ok(verdict)
    }

    /// Appends the decisions and sends the actions.
    fn act(&mut self, verdict: &Verdict) {
        for row in 0..self.lanes.len() {
            let (decision, value) = (&verdict.decisions[row], verdict.values[row]);
            let lane = &mut self.lanes[row];
            let Some(mut builder) = lane.builder.take() else {
                continue;
            };
            let sent = lane.running().and_then(|env| {
                builder.decide(env.current()?, decision, value);
                let taken = action::to_env(decision.action);
                Some(env.send(HumanAction {
                    keys: taken.keys,
                    pitch_delta: taken.pitch,
                    yaw_delta: taken.yaw,
                }))
            });
            lane.builder = Some(builder);
            match sent {
                Some(Ok(())) => {}
                Some(Err(fault)) => self.break_off(row, &fault),
                None => self.break_off(row, &session_over()),
            }
        }
    }

    /// What came of every action, by row.
    async fn receive(&mut self) -> Vec<Option<Outcome>> {
        let began = Instant::now();
        self.context.activity.enter(self.index, "wait_env");
        let mut outcomes = Vec::with_capacity(self.lanes.len());
        let mut deadline = None;
        for row in 0..self.lanes.len() {
            let lane = &mut self.lanes[row];
            let acted = lane.builder.is_some();
            let result = match lane.running() {
                // Streams fill while others are read: waiting one by one costs nothing, also of their deadline.
                Some(env) if acted => {
                    let deadline = *deadline.get_or_insert_with(|| env.deadline());
                    Some(env.receive(deadline).await)
                }
                _ => None,
            };
            outcomes.push(match result {
                Some(Ok(outcome)) => Some(outcome),
                Some(Err(fault)) => {
                    self.break_off(row, &fault);
                    None
                }
                None => None,
            });
        }
        let took = began.elapsed();
        metrics::phase("step", took);
        self.pace.stepped(took);
        outcomes
    }

    /// Appends the outcomes, with the value of the final frame where an episode was truncated.
    async fn settle(&mut self, outcomes: Vec<Option<Outcome>>) -> Result<(), ActorError> {
        let mut values = self.truncation_values(&outcomes).await?.into_iter();
        let mut taken = 0;
        for (lane, outcome) in self.lanes.iter_mut().zip(&outcomes) {
            let (Some(builder), Some(outcome)) = (&mut lane.builder, outcome) else {
                continue;
            };
            let value = if outcome.truncated { values.next() } else { None };
            builder.settle(outcome, value);
            taken += 1;
            if outcome.ended.is_some() {
                self.context.ledger.episode();
                lane.episode_start = self.steps + 1;
            }
        }
        self.context.ledger.produced(taken);
        Ok(())
    }

    /// V(final frame) of every truncated episode, in row order; the memory of the slots is not touched by it.
    async fn truncation_values(&mut self, outcomes: &[Option<Outcome>]) -> Result<Vec<f32>, ActorError> {
        let mut frames = Vec::new();
        let mut rows = Vec::new();
        for (row, outcome) in outcomes.iter().enumerate() {
            if let Some(Outcome { truncated: true, ended: Some(ended), .. }) = outcome {
                frames.extend_from_slice(&ended.final_frame);
                rows.push(self.state.row(row)?);
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let is_first = vec![0; rows.len()];
        let state = RecurrentState::cat(&rows.iter().collect::<Vec<_>>())?;
        Ok(self.decide(Batch { state, frames, is_first, draws: Vec::new() }).await?.values)
    }

    fn break_off(&mut self, row: usize, fault: &EnvFault) {
        self.lost = Some((self.lanes[row].slot, fault.detail.clone()));
        let context = &self.context;
        self.lanes[row].break_off(fault, &context.env, &context.config, &context.ledger);
    }
}

fn session_over() -> EnvFault {
    EnvFault { reason: "ended", detail: "the session has no more episodes".to_owned(), fatal: false }
}
