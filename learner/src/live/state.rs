//! What the page shows of this moment, as JSON, and the points of its plots.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Map, Value, json};
use vpt_runtime::clock;

use super::history::Newest;
use crate::accounts::{MINUTE, NOW, Window};
use crate::actors::ActorInfo;
use crate::config::Stage;
use crate::service::Services;
use crate::verdict::{Verdict, judge};

/// What is plotted of `charts/`.
const CHARTS: [&str; 3] = ["episodic_return", "episodic_length", "staleness"];
/// Items that are plotted at most: their names come from outside.
const ITEMS: usize = 20;
/// Actors listed at most; the rest is a number.
const ACTORS: usize = 200;
/// Points that a rate is taken over: batches come in lumps.
const RATE_POINTS: usize = 30;

/// Rates of the ledger's sums, from one point to the next.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    sums: VecDeque<(Instant, [u64; 3])>,
}

impl Sampler {
    /// What is to be plotted of this moment, by name.
    pub(super) fn sample(&mut self, services: &Services) -> BTreeMap<String, f64> {
        let status = services.status.snapshot();
        let totals = services.ledger.totals();
        let trained = totals.trained.max(status.env_steps_trained);
        let sums = [totals.produced, trained, totals.dropped.values().sum()];
        let now = Instant::now();
        self.sums.push_back((now, sums));
        if self.sums.len() > RATE_POINTS {
            self.sums.pop_front();
        }
        let mut seen = plotted(services.status.scalars());
        if let Some((since, before)) = self.sums.front().filter(|(since, _)| now > *since) {
            let seconds = (now - *since).as_secs_f64();
            for ((name, sum), before) in ["produced", "trained", "dropped"].into_iter().zip(sums).zip(before)
            {
                seen.insert(format!("rate/{name}"), sum.saturating_sub(*before) as f64 / seconds);
            }
        }
        seen.insert("queue/fill".to_owned(), fill(services));
        seen.insert("actors/connected".to_owned(), services.actors.connected() as f64);
        seen
    }
}

/// Of the newest values of the event log, those that the page has a plot for.
fn plotted(mut scalars: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut items = 0;
    scalars.retain(|tag, _| match tag.split_once('/') {
        Some(("losses", _)) => true,
        Some(("charts", name)) => CHARTS.contains(&name),
        Some(("items", name)) => {
            items += usize::from(name.ends_with("_share"));
            name.ends_with("_share") && items <= ITEMS
        }
        _ => false,
    });
    scalars
}

/// Share of the queue's places that are taken.
fn fill(services: &Services) -> f64 {
    services.queue.len() as f64 / services.queue.capacity().max(1) as f64
}

/// While there is nothing to say yet.
pub(super) fn preparing() -> Value {
    json!({ "ready": false, "time": clock::calendar_seconds() })
}

/// Everything but the plots' past.
pub(super) fn of(services: &Services, newest: Option<Newest>) -> Value {
    let status = services.status.snapshot();
    let accounts = services.status.accounts();
    let recorded = status.stage == Stage::Bc.name();
    let version = services.weights.current().unwrap_or(status.version);
    let credits = services.queue.credits();
    let totals = services.ledger.totals();
    json!({
        "ready": true,
        "time": clock::calendar_seconds(),
        "run_id": status.run_id,
        "stage": status.stage,
        "phase": status.phase,
        "version": version.to_string(),
        "build": vpt_runtime::build_info::VERSION,
        "uptime_seconds": services.status.uptime_seconds(),
        "env_steps_trained": status.env_steps_trained,
        "env_steps_target": status.env_steps_target,
        "env_steps_per_second": status.env_steps_per_second,
        "optimizer_steps": status.optimizer_steps,
        "episodes": status.episodes,
        "staleness": status.staleness,
        "max_staleness": services.queue.max_staleness(),
        "verdict": verdict(judge(&accounts.shares(NOW, recorded))),
        "verdict_minute": verdict(judge(&accounts.shares(MINUTE, recorded))),
        "accounts": accounts.window(NOW).as_ref().map(account),
        "queue": {
            "unrolls": services.queue.len(),
            "capacity": services.queue.capacity(),
            "bytes": services.queue.bytes(),
            "credits_in_use": credits.in_use(),
            "credits": credits.capacity(),
        },
        "ledger": {
            "produced": totals.produced,
            "trained": totals.trained,
            "dropped": totals.dropped,
            "in_flight": totals.in_flight,
            "imbalance": services.ledger.imbalance(),
        },
        "actors": actors(services),
        "actors_connected": services.actors.connected(),
        "actors_known": services.actors.known(),
        "newest": newest.map(|newest| {
            let values: Map<String, Value> =
                newest.values.into_iter().map(|(name, value)| (name, json!(value))).collect();
            json!({ "number": newest.number, "time": newest.time, "values": values })
        }),
    })
}

fn verdict(verdict: Verdict) -> Value {
    json!({
        "cause": verdict.cause.label(),
        "evidence": verdict.evidence,
        "hint": verdict.cause.hint(),
    })
}

fn account(window: &Window) -> Value {
    let wire = window.to_wire();
    // Maps of the wire have no order of their own.
    let sorted = |seconds: std::collections::HashMap<String, f64>| BTreeMap::from_iter(seconds);
    json!({
        "seconds": wire.seconds,
        "training": sorted(wire.training),
        "intake": sorted(wire.intake),
        "actors": sorted(wire.actors),
        "uplink": sorted(wire.uplink),
    })
}

/// The actors, those without a stream first where not all are listed.
fn actors(services: &Services) -> Vec<Value> {
    let mut actors = services.actors.list();
    if actors.len() > ACTORS {
        actors.sort_by_key(|info| info.connected);
        actors.truncate(ACTORS);
    }
    actors.iter().map(|info| actor(services, info)).collect()
}

fn actor(services: &Services, info: &ActorInfo) -> Value {
    let [groups, uplink] = services.status.accounts().actor_shares(&info.key);
    let map = |shares: Vec<(&'static str, f64)>| BTreeMap::from_iter(shares);
    json!({
        "id": info.key.actor_id,
        "incarnation": format!("{:016x}", info.key.incarnation),
        "connected": info.connected,
        "reconnects": info.reconnects,
        "slots": info.slots,
        "version": info.acting_version.map(|version| version.to_string()),
        "behind": info.acting_version.zip(services.weights.current()).map(|(acting, newest)| {
            acting.staleness_from(newest)
        }),
        "produced": services.ledger.produced_by(&info.key),
        "groups": map(groups),
        "uplink": map(uplink),
    })
}
