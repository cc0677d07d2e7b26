//! Every metric the learner exports, declared once, and a setter for each.
//!
//! Labels are closed lists; actors, slots and versions are never labels.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use vpt_runtime::clock::TimeAccount;
use vpt_runtime::metrics::{MetricSpec, TIME_BUCKETS};
use vpt_runtime::pool_account::PoolAccount;

use crate::config::Stage;
use crate::ledger::{REASONS, Totals};
use crate::verdict::Cause;
use crate::version::Version;

/// States of the training thread that are timed.
pub const PHASES: &[&str] = &[
    "other",
    "wait_data",
    "batch",
    "upload",
    "forward",
    "backward",
    "exchange",
    "optimizer",
    "publish",
    "checkpoint",
    "report",
];
/// States of a stream that receives unrolls.
pub const INTAKE_STATES: &[&str] = &["wait_actor", "decode", "place"];
/// What became of an unroll that reached the learner.
pub const OUTCOMES: &[&str] = &["accepted", "stale", "duplicate", "invalid", "draining", "broken"];
/// Terms of the loss.
pub const LOSS_TERMS: &[&str] = &[
    "total",
    "policy",
    "value",
    "entropy",
    "kl_pretrained",
    "aux_value",
    "aux_true_value",
    "aux_clone",
    "bc",
];
/// Ends of the range of probability ratios.
const EXTREMES: &[&str] = &["min", "max"];
/// What is said of a batch's advantages.
const STATISTICS: &[&str] = &["mean", "std", "min", "max"];
/// Phases that train on unrolls.
const REUSES: &[&str] = &["policy", "auxiliary"];
/// Heads of the policy.
pub const HEADS: &[&str] = &["buttons", "camera"];
/// Why a stream of an actor was ended by the learner.
pub const REFUSALS: &[&str] = &[
    "handshake",
    "superseded",
    "replay",
    "protocol",
    "data_loss",
    "no_credit",
    "deadline",
    "draining",
    "journal",
];

/// Protocol versions that are spoken with actors, [`vpt_proto::limits::OLDEST_PROTOCOL_VERSION`] and up.
pub(crate) const PROTOCOLS: &[&str] = &["2", "3"];

/// Stages, by the names they have in the config.
const STAGES: &[&str] = &[Stage::Bc.name(), Stage::Ppg.name()];

/// Forms of an unroll's frames.
const FORMS: &[&str] = &["packed", "raw"];

const STALENESS_BUCKETS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0];

/// All metrics of this crate.
pub const SPECS: &[MetricSpec] = &[
    MetricSpec::histogram(
        "vpt_learner_step_phase_duration_seconds",
        "Time of the training thread by what it was doing.",
        "seconds",
        TIME_BUCKETS,
    )
    .labels(&[("phase", PHASES)]),
    MetricSpec::gauge(
        "vpt_learner_time_seconds",
        "Wall-clock time of the training thread by state; the states add up.",
        "seconds",
    )
    .labels(&[("state", PHASES)]),
    MetricSpec::gauge(
        "vpt_learner_intake_time_seconds",
        "Time of all streams that receive unrolls: waiting for the actor, decoding, journal and queue.",
        "seconds",
    )
    .labels(&[("state", INTAKE_STATES)]),
    MetricSpec::gauge("vpt_learner_verdict", "1 for what holds the run back, 0 for the rest.", "")
        .labels(&[("verdict", Cause::LABELS)]),
    MetricSpec::gauge("vpt_learner_stage", "1 for the stage that is trained, 0 for the other.", "")
        .labels(&[("stage", STAGES)]),
    MetricSpec::gauge("vpt_learner_queue_unrolls", "Unrolls waiting for the training thread.", ""),
    MetricSpec::gauge("vpt_learner_queue_bytes", "Memory of the waiting unrolls.", "bytes"),
    MetricSpec::gauge("vpt_learner_connected_actors", "Actors with an open push stream.", ""),
    MetricSpec::gauge(
        "vpt_learner_push_streams",
        "Open push streams by the protocol version that the actor speaks.",
        "",
    )
    .labels(&[("protocol", PROTOCOLS)]),
    MetricSpec::counter("vpt_learner_actor_reconnects_total", "Push streams of actors seen before."),
    MetricSpec::counter("vpt_learner_push_refused_total", "Push streams the learner ended, by reason.")
        .labels(&[("reason", REFUSALS)]),
    MetricSpec::counter("vpt_learner_unrolls_total", "Unrolls that reached the learner, by outcome.")
        .labels(&[("outcome", OUTCOMES)]),
    MetricSpec::counter("vpt_learner_unroll_bytes_total", "Encoded bytes of complete unrolls received."),
    MetricSpec::histogram(
        "vpt_learner_decode_duration_seconds",
        "Time to unpack the frames of an unroll, off the training thread.",
        "seconds",
        TIME_BUCKETS,
    ),
    MetricSpec::counter(
        "vpt_learner_frame_bytes_total",
        "Bytes of frames as they came and as they were unpacked; their ratio is what packing saves.",
    )
    .labels(&[("form", FORMS)]),
    MetricSpec::histogram(
        "vpt_learner_staleness_versions",
        "Published versions between the acting and the current one, at consumption.",
        "",
        STALENESS_BUCKETS,
    ),
    MetricSpec::gauge(
        "vpt_learner_capacity_frames_per_second",
        "Frames the learner could consume: frames per step over step time without waiting.",
        "",
    ),
    MetricSpec::gauge("vpt_learner_policy_version", "Sequence of the newest published weights.", ""),
    MetricSpec::gauge("vpt_learner_policy_epoch", "Epoch of the newest published weights.", ""),
    MetricSpec::counter("vpt_learner_optimizer_steps_total", "Optimiser steps taken."),
    MetricSpec::counter("vpt_learner_env_frames_consumed_total", "Frames taken into training batches."),
    MetricSpec::counter("vpt_learner_env_steps_produced_total", "Env steps taken by all actors."),
    MetricSpec::counter("vpt_learner_env_steps_trained_total", "Env steps trained on."),
    MetricSpec::counter("vpt_learner_env_steps_dropped_total", "Env steps given up, by reason.")
        .labels(&[("reason", &REASONS)]),
    MetricSpec::gauge("vpt_learner_env_steps_in_flight", "Env steps neither trained on nor dropped yet.", ""),
    MetricSpec::gauge(
        "vpt_learner_ledger_imbalance_env_steps",
        "Env steps that vanished (above zero) or were counted twice (below): must read zero.",
        "",
    ),
    MetricSpec::counter(
        "vpt_learner_actor_leases_expired_total",
        "Actor processes given up for their silence, what they held counted as lost.",
    ),
    MetricSpec::gauge("vpt_learner_loss", "Last value of each term of the loss.", "")
        .labels(&[("term", LOSS_TERMS)]),
    MetricSpec::gauge(
        "vpt_learner_kl_to_pretrained_nats",
        "KL between pretrained and current policy.",
        "nats",
    ),
    MetricSpec::gauge("vpt_learner_approx_kl_nats", "Approximate KL from the behaviour policy.", "nats"),
    MetricSpec::gauge(
        "vpt_learner_true_kl_nats",
        "Exact KL between the policy before and after a policy phase, over one unroll.",
        "nats",
    ),
    MetricSpec::gauge(
        "vpt_learner_precision_kl_nats",
        "Approximate KL at zero lag: what rounding the published weights costs.",
        "nats",
    ),
    MetricSpec::gauge("vpt_learner_entropy_nats", "Entropy of each head.", "nats").labels(&[("head", HEADS)]),
    MetricSpec::gauge("vpt_learner_clip_fraction_ratio", "Share of steps whose ratio was clipped.", "ratio"),
    MetricSpec::gauge("vpt_learner_policy_ratio", "Extreme probability ratios of a policy phase.", "ratio")
        .labels(&[("extreme", EXTREMES)]),
    MetricSpec::gauge("vpt_learner_advantage", "Advantages of a batch before they are normalised.", "")
        .labels(&[("statistic", STATISTICS)]),
    MetricSpec::gauge(
        "vpt_learner_sample_reuse",
        "Gradient steps per unroll in the last phase of its kind.",
        "",
    )
    .labels(&[("phase", REUSES)]),
    MetricSpec::gauge("vpt_learner_episode_return", "Mean return of the episodes that ended lately.", ""),
    MetricSpec::gauge(
        "vpt_learner_episode_length_steps",
        "Mean length of the episodes that ended lately.",
        "steps",
    ),
    MetricSpec::gauge(
        "vpt_learner_item_reward_per_step",
        "Reward for each item per env step of a batch.",
        "",
    )
    .labels(&[("item", &[])]),
    MetricSpec::gauge(
        "vpt_learner_item_episodes_ratio",
        "Share of the episodes that ended lately in which each item was obtained.",
        "ratio",
    )
    .labels(&[("item", &[])]),
    MetricSpec::gauge("vpt_learner_explained_variance_ratio", "Explained variance of the values.", "ratio"),
    MetricSpec::gauge("vpt_learner_grad_norm", "Norm of the gradient before clipping.", ""),
    MetricSpec::gauge("vpt_learner_learning_rate", "Learning rate in force.", ""),
    MetricSpec::gauge("vpt_learner_kl_coef", "Coefficient of the KL to the pretrained policy.", ""),
    MetricSpec::counter(
        "vpt_learner_weights_publish_bytes_total",
        "Bytes of weights handed to actors and relays.",
    ),
    MetricSpec::gauge(
        "vpt_learner_weights_delta_bytes",
        "Size of the newest delta between versions.",
        "bytes",
    ),
    MetricSpec::histogram(
        "vpt_learner_weights_delta_duration_seconds",
        "Time to work out a delta between versions.",
        "seconds",
        TIME_BUCKETS,
    ),
    MetricSpec::gauge(
        "vpt_learner_checkpoint_last_success_timestamp_seconds",
        "Unix time of the last checkpoint.",
        "seconds",
    ),
    MetricSpec::counter("vpt_learner_checkpoint_failures_total", "Checkpoints that could not be written."),
    MetricSpec::counter(
        "vpt_learner_nonfinite_batches_total",
        "Batches skipped for a non-finite loss or gradient.",
    ),
    MetricSpec::counter(
        "vpt_learner_kl_masked_steps_total",
        "Steps without a KL term because the pretrained policy's state had a gap.",
    ),
    MetricSpec::gauge("vpt_learner_journal_bytes", "Bytes of the journal on disk.", "bytes"),
    MetricSpec::counter("vpt_learner_journal_failures_total", "Records that could not be written."),
    MetricSpec::counter(
        "vpt_learner_log_dropped_total",
        "Entries of the event log and publication marks dropped because the disk did not keep up.",
    ),
    MetricSpec::counter("vpt_learner_null_actions_total", "Demonstration steps left out for doing nothing."),
];

/// Time the training thread spent in one of [`PHASES`], in seconds.
pub fn phase_duration(phase: &'static str, seconds: f64) {
    histogram!("vpt_learner_step_phase_duration_seconds", "phase" => phase).record(seconds);
}

/// The account of the training thread's time by [`PHASES`], opened now in the first of them.
pub(crate) fn time_account() -> TimeAccount {
    TimeAccount::new("vpt_learner_time_seconds", PHASES)
}

/// The account of the receiving streams by [`INTAKE_STATES`].
pub(crate) fn intake_account() -> PoolAccount {
    PoolAccount::new("vpt_learner_intake_time_seconds", INTAKE_STATES)
}

/// What holds the run back.
pub(crate) fn verdict(cause: Cause) {
    for label in Cause::LABELS {
        gauge!("vpt_learner_verdict", "verdict" => *label).set(f64::from(u8::from(*label == cause.label())));
    }
}

/// The stage that is trained.
pub(crate) fn stage(stage: Stage) {
    for label in STAGES {
        gauge!("vpt_learner_stage", "stage" => *label).set(f64::from(u8::from(*label == stage.name())));
    }
}

/// What the queue holds.
pub(crate) fn queue(unrolls: usize, bytes: u64) {
    gauge!("vpt_learner_queue_unrolls").set(unrolls as f64);
    gauge!("vpt_learner_queue_bytes").set(bytes as f64);
}

/// Actors with an open stream.
pub(crate) fn connected_actors(count: usize) {
    gauge!("vpt_learner_connected_actors").set(count as f64);
}

/// A known actor came back.
pub(crate) fn actor_reconnect() {
    counter!("vpt_learner_actor_reconnects_total").increment(1);
}

/// A push stream was ended for one of [`REFUSALS`].
pub(crate) fn push_streams(protocol: u32, change: f64) {
    gauge!("vpt_learner_push_streams", "protocol" => protocol.to_string()).increment(change);
}

pub(crate) fn push_refused(reason: &'static str) {
    counter!("vpt_learner_push_refused_total", "reason" => reason).increment(1);
}

/// An unroll with one of [`OUTCOMES`].
pub(crate) fn unroll(outcome: &'static str) {
    counter!("vpt_learner_unrolls_total", "outcome" => outcome).increment(1);
}

/// Encoded size of an unroll received.
pub(crate) fn unroll_bytes(bytes: u64) {
    counter!("vpt_learner_unroll_bytes_total").increment(bytes);
}

/// An unroll's frames were unpacked: their bytes before and after, and how long it took.
pub(crate) fn decoded(packed: u64, raw: u64, took: Duration) {
    histogram!("vpt_learner_decode_duration_seconds").record(took.as_secs_f64());
    counter!("vpt_learner_frame_bytes_total", "form" => "packed").increment(packed);
    counter!("vpt_learner_frame_bytes_total", "form" => "raw").increment(raw);
}

/// Staleness of an unroll at consumption.
pub(crate) fn staleness(versions: u64) {
    histogram!("vpt_learner_staleness_versions").record(versions as f64);
}

/// Frames the learner could consume per second.
pub fn capacity(frames_per_second: f64) {
    gauge!("vpt_learner_capacity_frames_per_second").set(frames_per_second);
}

/// The newest published weights.
pub(crate) fn policy_version(version: Version) {
    gauge!("vpt_learner_policy_version").set(version.sequence as f64);
    gauge!("vpt_learner_policy_epoch").set(f64::from(version.epoch));
}

/// Optimiser steps taken over the whole run.
pub fn optimizer_steps(total: u64) {
    counter!("vpt_learner_optimizer_steps_total").absolute(total);
}

/// Frames just taken into a batch.
pub fn frames_consumed(frames: u64) {
    counter!("vpt_learner_env_frames_consumed_total").increment(frames);
}

/// The ledger's sums.
pub(crate) fn ledger(totals: &Totals, imbalance: i64) {
    counter!("vpt_learner_env_steps_produced_total").absolute(totals.produced);
    counter!("vpt_learner_env_steps_trained_total").absolute(totals.trained);
    for (reason, &steps) in &totals.dropped {
        let reason = crate::ledger::bounded(reason);
        counter!("vpt_learner_env_steps_dropped_total", "reason" => reason).absolute(steps);
    }
    gauge!("vpt_learner_env_steps_in_flight").set(totals.in_flight as f64);
    gauge!("vpt_learner_ledger_imbalance_env_steps").set(imbalance as f64);
}

/// Actors that were given up for their silence.
pub(crate) fn leases_expired(actors: usize) {
    counter!("vpt_learner_actor_leases_expired_total").increment(actors as u64);
}

/// One of [`LOSS_TERMS`].
pub fn loss(term: &'static str, value: f64) {
    gauge!("vpt_learner_loss", "term" => term).set(value);
}

/// KL between the pretrained and the current policy, in nats.
pub fn kl_to_pretrained(nats: f64) {
    gauge!("vpt_learner_kl_to_pretrained_nats").set(nats);
}

/// Approximate KL from the behaviour policy, in nats.
pub fn approx_kl(nats: f64) {
    gauge!("vpt_learner_approx_kl_nats").set(nats);
}

/// Exact KL between the policy before and after a policy phase, in nats.
pub fn true_kl(nats: f64) {
    gauge!("vpt_learner_true_kl_nats").set(nats);
}

/// Smallest and largest probability ratio of a policy phase.
pub fn policy_ratio(min: f64, max: f64) {
    gauge!("vpt_learner_policy_ratio", "extreme" => "min").set(min);
    gauge!("vpt_learner_policy_ratio", "extreme" => "max").set(max);
}

/// One of [`STATISTICS`] of a batch's advantages before they are normalised.
pub(crate) fn advantage(statistic: &'static str, value: f64) {
    gauge!("vpt_learner_advantage", "statistic" => statistic).set(value);
}

/// Gradient steps per unroll in the last of one of the [`REUSES`].
pub(crate) fn sample_reuse(phase: &'static str, steps: f64) {
    gauge!("vpt_learner_sample_reuse", "phase" => phase).set(steps);
}

/// Mean return and length, in steps, of the episodes that ended lately.
pub fn episodes(episode_return: f64, length: f64) {
    gauge!("vpt_learner_episode_return").set(episode_return);
    gauge!("vpt_learner_episode_length_steps").set(length);
}

/// Reward for an item per env step; the caller bounds the items.
pub fn item_reward(item: &str, per_step: f64) {
    gauge!("vpt_learner_item_reward_per_step", "item" => item.to_owned()).set(per_step);
}

/// Share of episodes in which an item was obtained, 0 to 1; the caller bounds the items.
pub fn item_share(item: &str, share: f64) {
    gauge!("vpt_learner_item_episodes_ratio", "item" => item.to_owned()).set(share);
}

/// An entry of the event log or a publication mark was dropped.
pub(crate) fn log_drop() {
    counter!("vpt_learner_log_dropped_total").increment(1);
}

/// Approximate KL at zero lag, in nats.
pub fn precision_kl(nats: f64) {
    gauge!("vpt_learner_precision_kl_nats").set(nats);
}

/// Entropy of one of [`HEADS`], in nats.
pub fn entropy(head: &'static str, nats: f64) {
    gauge!("vpt_learner_entropy_nats", "head" => head).set(nats);
}

/// Share of steps whose ratio was clipped, 0 to 1.
pub fn clip_fraction(ratio: f64) {
    gauge!("vpt_learner_clip_fraction_ratio").set(ratio);
}

/// Explained variance of the values, at most 1.
pub fn explained_variance(ratio: f64) {
    gauge!("vpt_learner_explained_variance_ratio").set(ratio);
}

/// Norm of the gradient before clipping.
pub fn grad_norm(norm: f64) {
    gauge!("vpt_learner_grad_norm").set(norm);
}

/// Learning rate in force.
pub fn learning_rate(rate: f64) {
    gauge!("vpt_learner_learning_rate").set(rate);
}

/// Coefficient of the KL to the pretrained policy.
pub fn kl_coef(coef: f64) {
    gauge!("vpt_learner_kl_coef").set(coef);
}

/// Bytes of weights handed to an actor.
pub(crate) fn weights_bytes(bytes: u64) {
    counter!("vpt_learner_weights_publish_bytes_total").increment(bytes);
}

/// A delta of `bytes` was worked out in `spent`.
pub(crate) fn weights_delta(bytes: u64, spent: Duration) {
    gauge!("vpt_learner_weights_delta_bytes").set(bytes as f64);
    histogram!("vpt_learner_weights_delta_duration_seconds").record(spent.as_secs_f64());
}

/// A checkpoint was written at this Unix time, in seconds.
pub fn checkpoint_success(unix_seconds: f64) {
    gauge!("vpt_learner_checkpoint_last_success_timestamp_seconds").set(unix_seconds);
}

/// A checkpoint could not be written.
pub fn checkpoint_failure() {
    counter!("vpt_learner_checkpoint_failures_total").increment(1);
}

/// A batch was skipped for a non-finite loss or gradient.
pub fn nonfinite_batch() {
    counter!("vpt_learner_nonfinite_batches_total").increment(1);
}

/// Steps that got no KL term.
pub fn kl_masked_steps(steps: u64) {
    counter!("vpt_learner_kl_masked_steps_total").increment(steps);
}

/// Size of the journal on disk.
pub(crate) fn journal_bytes(bytes: u64) {
    gauge!("vpt_learner_journal_bytes").set(bytes as f64);
}

/// A record could not be written to the journal.
pub(crate) fn journal_failure() {
    counter!("vpt_learner_journal_failures_total").increment(1);
}

/// Demonstration steps left out of the loss.
pub fn null_actions(steps: u64) {
    counter!("vpt_learner_null_actions_total").increment(steps);
}
