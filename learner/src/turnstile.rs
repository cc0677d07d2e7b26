//! The order of admission in a deterministic run: unrolls come in as they arrive and go on as the schedule says.
//!
//! Round by round, actors by name, slots by number. One that is early is held, with its credit, until all before it
//! have come; its ack follows when it has its place. Held unrolls are in no journal and not acknowledged: after a crash
//! their actors send them again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vpt_proto::learner::v1::Ack;
use vpt_proto::learner::v1::ack::Outcome;

use crate::intake::{Arrival, Placed};
use crate::journal::JournalError;
use crate::ledger::ActorKey;
use crate::schedule::Schedule;
use crate::service::Services;

/// An unroll that waits for its turn, and who is to be answered.
#[derive(Debug)]
struct Held<R> {
    arrival: Arrival,
    reply: R,
}

/// What taking in one unroll has led to.
#[derive(Debug)]
pub(crate) struct Passage<R> {
    /// Whom to answer what.
    pub(crate) answers: Vec<(R, Ack)>,
    /// Why the next one has no place yet, though its turn has come: its stream should end and try again.
    pub(crate) failure: Option<JournalError>,
}

/// Lets unrolls through in the schedule's order; `R` is how an actor is answered.
#[derive(Debug)]
pub(crate) struct Turnstile<R> {
    schedule: Schedule,
    state: Mutex<State<R>>,
}

#[derive(Debug)]
struct State<R> {
    /// Slots of each actor, once the first has connected.
    slots: Option<u32>,
    /// Names of the run's actors.
    actors: BTreeSet<String>,
    /// Place in the order of the next unroll to go on.
    next: u64,
    /// By (round, actor, slot).
    held: BTreeMap<(u64, String, u32), Held<R>>,
}

impl<R> Turnstile<R> {
    /// A turnstile that `passed` unrolls of the run have gone through.
    pub(crate) fn new(schedule: Schedule, passed: u64) -> Self {
        let state = State { slots: None, actors: BTreeSet::new(), next: passed, held: BTreeMap::new() };
        Self { schedule, state: Mutex::new(state) }
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Takes in an actor with `slots`; says why it cannot be part of the run.
    pub(crate) fn join(&self, actor_id: &str, slots: u32) -> Result<(), String> {
        let mut state = self.lock();
        let expected = *state.slots.get_or_insert(slots);
        if slots != expected {
            return Err(format!(
                "{slots} slots; in a deterministic run all actors have the same number, here {expected}"
            ));
        }
        if !state.actors.contains(actor_id) && state.actors.len() >= self.schedule.actors as usize {
            let known = state.actors.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "the deterministic run is complete with {known}; learner.schedule.actors is {}",
                self.schedule.actors
            ));
        }
        state.actors.insert(actor_id.to_owned());
        Ok(())
    }

    /// Takes in an unroll and gives all whose turn it is their places; blocks on the disk. One that cannot be recorded
    /// waits where it is.
    pub(crate) fn enter(&self, learner: &Services, arrival: Arrival, reply: R) -> Passage<R> {
        let mut state = self.lock();
        let key = (arrival.entry.sequence, arrival.entry.actor.actor_id.clone(), arrival.entry.slot);
        // One that is sent again over a new stream takes the old one's place, which nobody waits for.
        state.held.insert(key, Held { arrival, reply });
        let mut answers = Vec::new();
        while let Some((key, held)) = state.take_next(&self.schedule) {
            let Held { arrival, reply } = held;
            let (slot, sequence) = (arrival.entry.slot, arrival.entry.sequence);
            match learner.place(arrival) {
                Ok(placed) => {
                    state.next += u64::from(placed == Placed::Accepted);
                    answers.push((
                        reply,
                        Ack { slot, sequence, outcome: outcome(placed).into(), ..Ack::default() },
                    ));
                }
                Err((error, arrival)) => {
                    state.held.insert(key, Held { arrival: *arrival, reply });
                    return Passage { answers, failure: Some(error) };
                }
            }
        }
        Passage { answers, failure: None }
    }

    /// Calls `then` with the env steps of `actor` that wait here, while none of them goes on.
    pub(crate) fn while_waiting(&self, actor: &ActorKey, then: impl FnOnce(u64)) {
        let state = self.lock();
        let own = state.held.values().map(|held| &held.arrival.entry).filter(|entry| entry.actor == *actor);
        then(own.map(|entry| entry.steps).sum());
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // A panic between two unrolls leaves both where they belong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> State<R> {
    /// The held unroll whose turn it is.
    fn take_next(&mut self, schedule: &Schedule) -> Option<((u64, String, u32), Held<R>)> {
        if self.actors.len() < schedule.actors as usize {
            return None;
        }
        let slots = u64::from(self.slots?);
        let total = schedule.total_slots(self.slots?).max(1);
        let (round, place) = (self.next / total, self.next % total);
        let first = self.held.first_key_value()?.0;
        if first.0 < round {
            // It has had its place: its actor does not know yet.
            return self.held.pop_first();
        }
        let actor = self.actors.iter().nth((place / slots.max(1)) as usize)?;
        let key = (round, actor.clone(), (place % slots.max(1)) as u32);
        self.held.remove_entry(&key)
    }
}

fn outcome(placed: Placed) -> Outcome {
    match placed {
        Placed::Accepted => Outcome::Accepted,
        Placed::Duplicate => Outcome::Duplicate,
        Placed::Draining => Outcome::Draining,
    }
}
