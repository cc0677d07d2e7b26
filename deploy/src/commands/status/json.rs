//! The status as JSON, with the names of the status message.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use vpt_proto::common::v1::PolicyVersion;
use vpt_proto::learner::v1::{Accounts, ActorStatus, GetStatusResponse, Ledger, Verdict};

pub(super) fn status(status: &GetStatusResponse) -> Value {
    json!({
        "verdict": status.verdict.as_ref().map(verdict),
        "verdict_minute": status.verdict_minute.as_ref().map(verdict),
        "run_id": status.run_id,
        "stage": status.stage,
        "phase": status.phase,
        "version": status.version.as_ref().map(version),
        "uptime_seconds": status.uptime_seconds,
        "env_steps_trained": status.env_steps_trained,
        "env_steps_target": status.env_steps_target,
        "optimizer_steps": status.optimizer_steps,
        "env_steps_per_second": status.env_steps_per_second,
        "mean_return": status.mean_return,
        "episodes": status.episodes,
        "kl_to_pretrained": status.kl_to_pretrained,
        "loss": status.loss,
        "staleness": status.staleness,
        "max_staleness": status.max_staleness,
        "queue_unrolls": status.queue_unrolls,
        "queue_capacity_unrolls": status.queue_capacity_unrolls,
        "queue_bytes": status.queue_bytes,
        "credits_in_use": status.credits_in_use,
        "credits": status.credits,
        "ledger": status.ledger.as_ref().map(ledger),
        "time_seconds": sorted(&status.time_seconds),
        "recent": status.recent.as_ref().map(accounts),
        "connected_actors": status.connected_actors,
        "actors": status.actors.iter().map(actor).collect::<Vec<_>>(),
    })
}

fn verdict(verdict: &Verdict) -> Value {
    json!({ "held_back_by": verdict.held_back_by, "evidence": verdict.evidence, "hint": verdict.hint })
}

fn version(version: &PolicyVersion) -> Value {
    json!({ "epoch": version.epoch, "sequence": version.sequence })
}

fn ledger(ledger: &Ledger) -> Value {
    json!({
        "produced": ledger.produced,
        "trained": ledger.trained,
        "dropped": sorted(&ledger.dropped),
        "in_flight": ledger.in_flight,
    })
}

fn accounts(accounts: &Accounts) -> Value {
    json!({
        "seconds": accounts.seconds,
        "training": sorted(&accounts.training),
        "intake": sorted(&accounts.intake),
        "actors": sorted(&accounts.actors),
        "uplink": sorted(&accounts.uplink),
    })
}

fn actor(actor: &ActorStatus) -> Value {
    json!({
        "actor_id": actor.actor_id,
        "connected": actor.connected,
        "env_steps_produced": actor.env_steps_produced,
        "reconnects": actor.reconnects,
        "acting_version": actor.acting_version.as_ref().map(version),
        "time_share": sorted(&actor.time_share),
        "uplink_share": sorted(&actor.uplink_share),
    })
}

/// A map in the order of its keys.
fn sorted<T: Clone + Into<Value>>(map: &HashMap<String, T>) -> Value {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| key.as_str());
    Value::Object(
        entries.into_iter().map(|(key, value)| (key.clone(), value.clone().into())).collect::<Map<_, _>>(),
    )
}
