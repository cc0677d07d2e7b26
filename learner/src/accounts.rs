//! The wall clock of every part of a run, here and in the actors, and what became of it over the last seconds.
//!
//! Parts keep cumulative seconds by state: the training thread and the receiving streams in this process, actors in every
//! report. A sample of all sums is taken a few times a second; what happened lately is the difference of two samples, and
//! [`crate::verdict`] judges by it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vpt_proto::learner::v1::{self as wire, ActorReport, ActorTime, UplinkTime};
use vpt_runtime::pool_account::PoolAccount;

use crate::ledger::{ActorKey, Ledger};
use crate::metrics;
use crate::status::StatusBoard;
use crate::stopwatch::Stopwatch;
use crate::verdict::{ActorShares, Shares, TrainingShares, Verdict, judge};

/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// What the verdict now is judged by: long enough for several reports of every actor.
pub(crate) const NOW: Duration = Duration::from_secs(4);
/// How far back samples reach.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// An actor that has not reported for so long is forgotten.
const FORGET: Duration = Duration::from_secs(120);
/// The shares of one actor are those since a report at least this old.
const ACTOR_WINDOW: Duration = Duration::from_secs(3);
/// More seconds than any process lives; what is beyond is not a time.
const LONGEST_SECONDS: f64 = 1e9;

/// As in [`ActorTime`].
const ACTOR_STATES: [&str; 8] =
    ["start", "infer", "wait_env", "encode", "wait_outbox", "wait_weights", "wait_learner", "drain"];
/// As in [`UplinkTime`].
const UPLINK_STATES: [&str; 5] = ["idle", "wait_credit", "send", "wait_ack", "away"];

/// Cumulative seconds of one actor, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct ActorSums {
    actor: [f64; 8],
    uplink: [f64; 5],
}

/// What one actor said of itself.
#[derive(Debug)]
struct Reported {
    incarnation: u64,
    newest: (Instant, ActorSums),
    /// Older ones, for the difference.
    middle: (Instant, ActorSums),
    oldest: (Instant, ActorSums),
}

/// Every sum at one moment.
#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    training: Vec<(&'static str, f64)>,
    intake: Vec<(&'static str, f64)>,
    actors: ActorSums,
    /// Env steps dropped because they were too old, and env steps trained on.
    stale: u64,
    trained: u64,
}

#[derive(Debug, Default)]
struct State {
    actors: BTreeMap<String, Reported>,
    sums: ActorSums,
    samples: VecDeque<Sample>,
}

/// The accounts of a learner and of its actors.
#[derive(Debug)]
pub struct Accounts {
    training: Stopwatch,
    intake: PoolAccount,
    state: Mutex<State>,
}

/// Seconds by state between two samples.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    seconds: f64,
    training: Vec<(&'static str, f64)>,
    intake: Vec<(&'static str, f64)>,
    actors: ActorSums,
    /// Share of the steps that were too old.
    stale: f64,
}

impl Accounts {
    /// Opens the accounts of this process.
    pub(crate) fn new() -> Self {
        let intake = metrics::intake_account();
        Self { training: Stopwatch::new(), intake, state: Mutex::default() }
    }

    /// The training thread's clock.
    pub(crate) fn training(&self) -> &Stopwatch {
        &self.training
    }

    /// The time of the streams that receive unrolls, by [`metrics::INTAKE_STATES`].
    pub(crate) fn intake(&self) -> &PoolAccount {
        &self.intake
    }

    /// Takes an actor's own account over.
    pub(crate) fn reported(&self, actor: &ActorKey, report: &ActorReport) {
        let Some(sums) = ActorSums::of(report) else { return };
        let now = Instant::now();
        let mut state = self.lock();
        let State { actors, sums: total, .. } = &mut *state;
        let fresh = Reported {
            incarnation: actor.incarnation,
            newest: (now, sums),
            middle: (now, sums),
            oldest: (now, sums),
        };
        match actors.get_mut(&actor.actor_id) {
            Some(known) if known.incarnation == actor.incarnation => {
                total.add(&sums.since(&known.newest.1));
                known.newest = (now, sums);
                if now - known.middle.0 >= ACTOR_WINDOW {
                    known.oldest = std::mem::replace(&mut known.middle, known.newest);
                }
            }
            _ => {
                // What it did before this learner heard of it is not of this moment.
                actors.insert(actor.actor_id.clone(), fresh);
            }
        }
    }

    /// Shares of an actor's wall clock lately, by state: of its groups and of its uplink; empty before its second report.
    pub(crate) fn actor_shares(&self, actor: &ActorKey) -> [Vec<(&'static str, f64)>; 2] {
        let state = self.lock();
        let known = state.actors.get(&actor.actor_id).filter(|known| known.incarnation == actor.incarnation);
        let sums = known.map_or_else(ActorSums::default, |known| known.newest.1.since(&known.oldest.1));
        [shares(named(&ACTOR_STATES, &sums.actor)), shares(named(&UPLINK_STATES, &sums.uplink))]
    }

    /// Takes a sample, brings the exported figures up to now, and says what holds the run back.
    pub(crate) fn sample(&self, ledger: &Ledger, recorded: bool) -> Verdict {
        self.training.export();
        self.intake.export();
        let totals = ledger.totals();
        let now = Instant::now();
        let mut state = self.lock();
        state.actors.retain(|_, known| now - known.newest.0 < FORGET);
        while state.samples.front().is_some_and(|sample| now - sample.at > MINUTE) {
            state.samples.pop_front();
        }
        let sample = Sample {
            at: now,
            training: self.training.by_state(),
            intake: self.intake.seconds(),
            actors: state.sums,
            stale: totals.dropped.get("stale").copied().unwrap_or(0),
            trained: totals.trained,
        };
        state.samples.push_back(sample);
        drop(state);
        judge(&self.shares(NOW, recorded))
    }

    /// What happened over the last `length`, or since the first sample.
    pub(crate) fn window(&self, length: Duration) -> Option<Window> {
        let state = self.lock();
        let last = state.samples.back()?;
        let first = state.samples.iter().find(|sample| last.at - sample.at <= length)?;
        (first.at < last.at).then(|| Window::between(first, last))
    }

    /// What the last `length` is judged by; `recorded` where training is on recorded play.
    pub(crate) fn shares(&self, length: Duration, recorded: bool) -> Shares {
        self.window(length).map_or_else(Shares::default, |window| window.shares(recorded))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Samples until `end`, and shows the verdict.
pub(crate) async fn keep(
    status: std::sync::Arc<StatusBoard>,
    ledger: std::sync::Arc<Ledger>,
    recorded: bool,
    end: CancellationToken,
) {
    let mut ticks = tokio::time::interval(SAMPLE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => metrics::verdict(status.accounts().sample(&ledger, recorded).cause),
        }
    }
}

impl ActorSums {
    /// The sums of a report; none when it has none, or numbers that are no times.
    fn of(report: &ActorReport) -> Option<Self> {
        let ActorTime { start, infer, wait_env, encode, wait_outbox, wait_weights, wait_learner, drain } =
            report.actor_time?;
        let UplinkTime { idle, wait_credit, send, wait_ack, away } = report.uplink_time?;
        let actor = [start, infer, wait_env, encode, wait_outbox, wait_weights, wait_learner, drain];
        let uplink = [idle, wait_credit, send, wait_ack, away];
        let is_time = |seconds: &f64| (0.0..=LONGEST_SECONDS).contains(seconds);
        actor.iter().chain(&uplink).all(is_time).then_some(Self { actor, uplink })
    }

    fn since(&self, earlier: &Self) -> Self {
        let difference = |now: f64, before: f64| (now - before).max(0.0);
        Self {
            actor: std::array::from_fn(|i| difference(self.actor[i], earlier.actor[i])),
            uplink: std::array::from_fn(|i| difference(self.uplink[i], earlier.uplink[i])),
        }
    }

    fn add(&mut self, more: &Self) {
        for (sum, more) in self.actor.iter_mut().zip(more.actor) {
            *sum += more;
        }
        for (sum, more) in self.uplink.iter_mut().zip(more.uplink) {
            *sum += more;
        }
    }
}

impl Window {
    fn between(first: &Sample, last: &Sample) -> Self {
        let difference = |now: &[(&'static str, f64)], before: &[(&'static str, f64)]| {
            now.iter().zip(before).map(|((state, now), (_, before))| (*state, now - before)).collect()
        };
        let (stale, trained) =
            (last.stale - first.stale.min(last.stale), last.trained.saturating_sub(first.trained));
        Self {
            seconds: (last.at - first.at).as_secs_f64(),
            training: difference(&last.training, &first.training),
            intake: difference(&last.intake, &first.intake),
            actors: last.actors.since(&first.actors),
            stale: stale as f64 / (stale + trained).max(1) as f64,
        }
    }

    fn shares(&self, recorded: bool) -> Shares {
        let training = TrainingShares {
            wait_data: self.training_share("wait_data"),
            publish: self.training_share("publish"),
        };
        let total: f64 = self.actors.actor.iter().sum();
        let share = |state| seconds_of(&named(&ACTOR_STATES, &self.actors.actor), state) / total;
        let uplink = shares(named(&UPLINK_STATES, &self.actors.uplink));
        let actors = (total > 0.0).then(|| ActorShares {
            infer: share("infer"),
            encode: share("encode"),
            wait_env: share("wait_env"),
            wait_outbox: share("wait_outbox"),
            wait_weights: share("wait_weights"),
            wait_credit: seconds_of(&uplink, "wait_credit"),
        });
        let received: f64 = self.intake.iter().map(|(_, seconds)| seconds).sum();
        let taking_in = received - seconds_of(&self.intake, "wait_actor");
        let decode = if received > 0.0 { taking_in / received } else { 0.0 };
        Shares { training: Some(training), actors, decode, stale: self.stale, recorded }
    }

    fn training_share(&self, state: &str) -> f64 {
        seconds_of(&self.training, state) / self.seconds.max(1e-9)
    }

    /// As the status reply has it.
    pub(crate) fn to_wire(&self) -> wire::Accounts {
        let map = |seconds: Vec<(&'static str, f64)>| {
            seconds.into_iter().map(|(state, seconds)| (state.to_owned(), seconds)).collect()
        };
        wire::Accounts {
            seconds: self.seconds,
            training: map(self.training.clone()),
            intake: map(self.intake.clone()),
            actors: map(named(&ACTOR_STATES, &self.actors.actor)),
            uplink: map(named(&UPLINK_STATES, &self.actors.uplink)),
        }
    }
}

fn named(states: &[&'static str], seconds: &[f64]) -> Vec<(&'static str, f64)> {
    states.iter().copied().zip(seconds.iter().copied()).collect()
}

fn seconds_of(account: &[(&'static str, f64)], state: &str) -> f64 {
    account.iter().filter(|(name, _)| *name == state).map(|(_, seconds)| seconds).sum()
}

/// Seconds as shares of their sum; nothing when that is 0.
fn shares(account: Vec<(&'static str, f64)>) -> Vec<(&'static str, f64)> {
    let total: f64 = account.iter().map(|(_, seconds)| seconds).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    account.into_iter().map(|(state, seconds)| (state, seconds / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Cause;

    fn key(incarnation: u64) -> ActorKey {
        ActorKey { actor_id: "a".to_owned(), incarnation }
    }

    fn report(wait_env: f64, infer: f64) -> ActorReport {
        ActorReport {
            actor_time: Some(ActorTime { wait_env, infer, ..ActorTime::default() }),
            uplink_time: Some(UplinkTime { idle: wait_env + infer, ..UplinkTime::default() }),
            ..ActorReport::default()
        }
    }

    #[test]
    fn what_actors_report_is_judged_from_their_second_report_on() {
        let (accounts, ledger) = (Accounts::new(), Ledger::new());
        accounts.training().enter("wait_data");
        // Long before this learner was started it inferred.
        accounts.reported(&key(1), &report(1.0, 1000.0));
        assert_eq!(accounts.sample(&ledger, false).cause, Cause::Unknown);
        assert!(accounts.actor_shares(&key(1))[0].is_empty());
        std::thread::sleep(Duration::from_millis(5));
        accounts.reported(&key(1), &report(1.75, 1000.25));
        let verdict = accounts.sample(&ledger, false);
        assert_eq!(verdict.cause, Cause::Env, "{}", verdict.evidence);
        let [groups, uplink] = accounts.actor_shares(&key(1));
        assert_eq!(seconds_of(&groups, "wait_env"), 0.75);
        assert_eq!(seconds_of(&uplink, "idle"), 1.0);
        let window = accounts.window(NOW).unwrap().to_wire();
        assert_eq!(window.actors["infer"], 0.25);
        let training: f64 = window.training.values().sum();
        assert!((training - window.seconds).abs() <= 0.01 * window.seconds, "{window:?}");
    }

    #[test]
    fn a_new_process_and_numbers_that_are_no_times_count_nothing() {
        let accounts = Accounts::new();
        accounts.reported(&key(1), &report(5.0, 5.0));
        accounts.reported(&key(2), &report(1.0, 1.0));
        accounts.reported(&key(2), &report(f64::NAN, 1.0));
        accounts.reported(&key(2), &report(-1.0, 1.0));
        accounts.reported(&key(2), &report(1e12, 1.0));
        assert_eq!(accounts.lock().sums, ActorSums::default());
        accounts.reported(&key(2), &report(2.0, 1.0));
        assert_eq!(accounts.lock().sums.actor[2], 1.0);
    }
}
