//! Every metric of an actor, declared once, and typed setters for them.

use std::time::Duration;
use vpt_runtime::metrics::{MetricSpec, TIME_BUCKETS};

/// Fates of an unroll.
pub(crate) const UNROLL_OUTCOMES: &[&str] = &[
    "sent",
    "resent",
    "accepted",
    "duplicate",
    "rejected_stale",
    "rejected_invalid",
    "dropped_partial",
    "dropped",
];
/// Why env steps never reached the learner.
pub(crate) const DROP_REASONS: &[&str] = &["env_fault", "shutdown", "undelivered"];
/// Why an env session was opened anew.
pub(crate) const ENV_RESTART_REASONS: &[&str] = &["timeout", "closed", "status", "protocol", "ended"];
/// Why a stream to the learner was opened anew.
pub(crate) const RECONNECT_REASONS: &[&str] = &["unavailable", "timeout", "closed", "status"];
/// Why fetched weights were thrown away.
pub(crate) const WEIGHTS_FAULTS: &[&str] =
    &["status", "timeout", "hash", "delta", "format", "length", "older"];
/// What weights come as.
pub(crate) const WEIGHTS_KINDS: &[&str] = &["full", "delta"];
/// Why weights are asked for elsewhere than before.
pub(crate) const PARENT_REASONS: &[&str] = &["lost", "return"];
/// Phases of a step.
pub(crate) const PHASES: &[&str] = &["observe", "infer", "step", "encode", "send"];
/// What an actor's groups do with their wall clock.
pub(crate) const STATES: &[&str] =
    &["start", "infer", "wait_env", "encode", "wait_outbox", "wait_weights", "wait_learner", "drain"];
/// What holds up the unrolls that are to go to the learner.
pub(crate) const UPLINK_STATES: &[&str] = &["away", "idle", "wait_credit", "send", "wait_ack"];

const ENV_STEPS: &str = "vpt_actor_env_steps_total";
const ENV_FRAMES: &str = "vpt_actor_env_frames_total";
const EPISODES: &str = "vpt_actor_episodes_total";
const PHASE: &str = "vpt_actor_step_phase_duration_seconds";
const UNROLLS: &str = "vpt_actor_unrolls_total";
const DROPPED: &str = "vpt_actor_env_steps_dropped_total";
const VERSION: &str = "vpt_actor_policy_version";
const EPOCH: &str = "vpt_actor_policy_epoch";
const WEIGHTS_AGE: &str = "vpt_actor_weights_age_seconds";
const WEIGHTS_FAULT: &str = "vpt_actor_weights_faults_total";
const WEIGHTS_RECEIVED: &str = "vpt_actor_weights_received_bytes_total";
const WEIGHTS_PARENT: &str = "vpt_actor_weights_parent_changes_total";
const SWAP: &str = "vpt_actor_swap_pause_seconds";
const ENV_RESTARTS: &str = "vpt_actor_env_restarts_total";
const RECONNECTS: &str = "vpt_actor_learner_reconnects_total";
const RETURN: &str = "vpt_actor_episode_return";
const LENGTH: &str = "vpt_actor_episode_length_steps";
const ITEM_REWARD: &str = "vpt_actor_item_reward_total";
const PENDING: &str = "vpt_actor_pending_unrolls";
const CREDITS: &str = "vpt_actor_credits";
const SENT_BYTES: &str = "vpt_actor_sent_bytes_total";
/// Wall clock by [`STATES`].
pub(crate) const TIME: &str = "vpt_actor_time_seconds";
/// Wall clock of the uplink by [`UPLINK_STATES`].
pub(crate) const UPLINK_TIME: &str = "vpt_actor_uplink_time_seconds";

/// All metrics of an actor.
pub const METRICS: &[MetricSpec] = &[
    MetricSpec::counter(ENV_STEPS, "Env steps taken.").labels(&[("task", &[])]),
    MetricSpec::counter(ENV_FRAMES, "Frames received from envservers, final frames included."),
    MetricSpec::counter(EPISODES, "Episodes that ended.")
        .labels(&[("outcome", &["terminated", "truncated"])]),
    MetricSpec::histogram(PHASE, "Time of a group's step by phase.", "seconds", TIME_BUCKETS)
        .labels(&[("phase", PHASES)]),
    MetricSpec::counter(UNROLLS, "Unrolls by what became of them.").labels(&[("outcome", UNROLL_OUTCOMES)]),
    MetricSpec::counter(DROPPED, "Env steps that never reached the learner.")
        .labels(&[("reason", DROP_REASONS)]),
    MetricSpec::gauge(VERSION, "Sequence of the policy version that acts.", ""),
    MetricSpec::gauge(EPOCH, "Epoch of the policy version that acts.", ""),
    MetricSpec::gauge(WEIGHTS_AGE, "Time since the acting weights arrived.", "seconds"),
    MetricSpec::counter(WEIGHTS_FAULT, "Weights that could not be fetched or were refused.")
        .labels(&[("reason", WEIGHTS_FAULTS)]),
    MetricSpec::counter(WEIGHTS_RECEIVED, "Bytes of weights received.").labels(&[("kind", WEIGHTS_KINDS)]),
    MetricSpec::counter(WEIGHTS_PARENT, "Changes to another place to take weights from.")
        .labels(&[("reason", PARENT_REASONS)]),
    MetricSpec::histogram(
        SWAP,
        "Time a group's steps wait at an unroll's end for newer weights to take over.",
        "seconds",
        TIME_BUCKETS,
    ),
    MetricSpec::counter(ENV_RESTARTS, "Env sessions opened anew.").labels(&[("reason", ENV_RESTART_REASONS)]),
    MetricSpec::counter(RECONNECTS, "Streams to the learner opened anew.")
        .labels(&[("reason", RECONNECT_REASONS)]),
    MetricSpec::histogram(
        RETURN,
        "Return of episodes.",
        "",
        &[0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0],
    )
    .labels(&[("task", &[])]),
    MetricSpec::histogram(
        LENGTH,
        "Length of episodes.",
        "steps",
        &[50.0, 100.0, 200.0, 400.0, 600.0, 1200.0, 3000.0, 6000.0, 12000.0],
    )
    .labels(&[("task", &[])]),
    MetricSpec::counter(ITEM_REWARD, "Reward by item.").labels(&[("item", &[])]),
    MetricSpec::gauge(PENDING, "Finished unrolls the learner has not acknowledged.", ""),
    MetricSpec::gauge(CREDITS, "Unrolls the learner allows to be sent.", ""),
    MetricSpec::counter(SENT_BYTES, "Encoded unroll bytes sent to the learner."),
    MetricSpec::gauge(
        TIME,
        "Wall clock by what the groups of slots did, the mean over groups; the states add up.",
        "seconds",
    )
    .labels(&[("state", STATES)]),
    MetricSpec::gauge(
        UPLINK_TIME,
        "Wall clock by what held up the unrolls that were to go to the learner; the states add up.",
        "seconds",
    )
    .labels(&[("state", UPLINK_STATES)]),
];

pub(crate) fn env_steps(task: &str, steps: u64, frames: u64) {
    metrics::counter!(ENV_STEPS, "task" => task.to_owned()).increment(steps);
    metrics::counter!(ENV_FRAMES).increment(frames);
}

pub(crate) fn episode(task: &str, terminated: bool, episode_return: f32, length: u32) {
    let outcome = if terminated { "terminated" } else { "truncated" };
    metrics::counter!(EPISODES, "outcome" => outcome).increment(1);
    metrics::histogram!(RETURN, "task" => task.to_owned()).record(f64::from(episode_return));
    metrics::histogram!(LENGTH, "task" => task.to_owned()).record(f64::from(length));
}

pub(crate) fn item_reward(item: &str, reward: f32) {
    // Counters hold whole numbers; rewards of the task tables are multiples of a thousandth or lost here.
    metrics::counter!(ITEM_REWARD, "item" => item.to_owned()).increment(reward.max(0.0).round() as u64);
}

pub(crate) fn phase(name: &'static str, spent: Duration) {
    metrics::histogram!(PHASE, "phase" => name).record(spent.as_secs_f64());
}

pub(crate) fn unroll(outcome: &'static str) {
    metrics::counter!(UNROLLS, "outcome" => outcome).increment(1);
}

pub(crate) fn dropped(reason: &'static str, steps: u64) {
    metrics::counter!(DROPPED, "reason" => reason).increment(steps);
}

pub(crate) fn acting(epoch: u32, sequence: u64, age: Duration) {
    metrics::gauge!(EPOCH).set(f64::from(epoch));
    metrics::gauge!(VERSION).set(sequence as f64);
    metrics::gauge!(WEIGHTS_AGE).set(age.as_secs_f64());
}

pub(crate) fn weights_fault(reason: &'static str) {
    metrics::counter!(WEIGHTS_FAULT, "reason" => reason).increment(1);
}

pub(crate) fn weights_received(kind: &'static str, bytes: u64) {
    metrics::counter!(WEIGHTS_RECEIVED, "kind" => kind).increment(bytes);
}

pub(crate) fn weights_parent(reason: &'static str) {
    metrics::counter!(WEIGHTS_PARENT, "reason" => reason).increment(1);
}

pub(crate) fn swapped(pause: Duration) {
    metrics::histogram!(SWAP).record(pause.as_secs_f64());
}

pub(crate) fn env_restart(reason: &'static str) {
    metrics::counter!(ENV_RESTARTS, "reason" => reason).increment(1);
}

pub(crate) fn learner_reconnect(reason: &'static str) {
    metrics::counter!(RECONNECTS, "reason" => reason).increment(1);
}

pub(crate) fn outbox(pending: usize, credits: u32) {
    metrics::gauge!(PENDING).set(pending as f64);
    metrics::gauge!(CREDITS).set(f64::from(credits));
}

pub(crate) fn sent_bytes(bytes: usize) {
    metrics::counter!(SENT_BYTES).increment(bytes as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_served_and_the_setters_use_declared_names() {
        let handle = vpt_runtime::metrics::install(&[METRICS]).unwrap();
        env_steps("chop", 3, 4);
        episode("chop", false, 2.0, 200);
        item_reward("log", 1.0);
        phase("infer", Duration::from_millis(3));
        unroll("sent");
        dropped("env_fault", 5);
        acting(1, 2, Duration::from_secs(3));
        weights_fault("hash");
        weights_received("delta", 3);
        weights_parent("lost");
        swapped(Duration::from_micros(3));
        env_restart("closed");
        learner_reconnect("closed");
        outbox(3, 4);
        sent_bytes(10);
        handle.run_upkeep();
        let text = handle.render();
        for spec in METRICS.iter().filter(|spec| ![TIME, UPLINK_TIME].contains(&spec.name)) {
            assert!(text.contains(spec.name), "{} is missing in {text}", spec.name);
        }
        assert!(text.contains("vpt_actor_env_steps_total{task=\"chop\"} 3"), "{text}");
        assert!(text.contains("vpt_actor_env_steps_dropped_total{reason=\"shutdown\"} 0"), "{text}");
    }
}
