//! The status as one screen of text.

use std::collections::HashMap;
use std::fmt::Write;

use vpt_proto::learner::v1::{ActorStatus, GetStatusResponse, Verdict};

/// Actors that are shown; the rest is counted.
const ACTOR_ROWS: usize = 16;
/// States of an account that are shown.
const STATES_SHOWN: usize = 6;
/// States of an actor's groups, and their short names.
const GROUP_COLUMNS: [(&str, &str); 5] = [
    ("infer", "infer"),
    ("wait_env", "worlds"),
    ("encode", "encode"),
    ("wait_outbox", "outbox"),
    ("wait_weights", "weights"),
];
/// States of an actor's uplink, and their short names.
const UPLINK_COLUMNS: [(&str, &str); 3] = [("send", "send"), ("wait_ack", "ack"), ("wait_credit", "credit")];

pub(super) fn render(status: &GetStatusResponse) -> String {
    let mut lines = Lines::default();
    verdicts(&mut lines, status);
    progress(&mut lines, status);
    flow(&mut lines, status);
    accounts(&mut lines, status);
    actors(&mut lines, status);
    lines.text
}

/// Labelled lines.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, label: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{label:<17} {value}");
    }
}

/// What a cause is called.
fn name(held_back_by: &str) -> &str {
    match held_back_by {
        "env" => "environments",
        "decode" => "decoding",
        "train" => "training",
        "publish" => "publishing weights",
        "unknown" => "not known yet",
        other => other,
    }
}

fn verdicts(lines: &mut Lines, status: &GetStatusResponse) {
    let sentence = |verdict: &Verdict| format!("{} ({})", name(&verdict.held_back_by), verdict.evidence);
    let Some(now) = &status.verdict else { return };
    lines.add("held back by", &sentence(now));
    lines.add("", &now.hint);
    if let Some(minute) = status.verdict_minute.as_ref().filter(|it| it.held_back_by != now.held_back_by) {
        lines.add("in the minute", &sentence(minute));
    }
}

fn progress(lines: &mut Lines, status: &GetStatusResponse) {
    let version = status.version.unwrap_or_default();
    let up = duration(status.uptime_seconds);
    lines.add("run", &format!("{}, {} ({}), up {up}", status.run_id, status.stage, status.phase));
    let (trained, target) = (status.env_steps_trained, status.env_steps_target.max(1));
    let left = target.saturating_sub(trained) as f64 / status.env_steps_per_second.max(1e-9);
    let left =
        if status.env_steps_per_second > 0.0 { format!(", {} left", duration(left)) } else { String::new() };
    let share = 100.0 * trained as f64 / target as f64;
    lines.add("progress", &format!("{trained} of {target} env steps, {share:.0} %{left}"));
    lines.add(
        "rate",
        &format!(
            "{:.0} env steps/s trained; version {}.{}, unrolls {:.1} versions old, at most {}",
            status.env_steps_per_second,
            version.epoch,
            version.sequence,
            status.staleness,
            status.max_staleness
        ),
    );
    lines.add(
        "learning",
        &format!(
            "return {:.3} over {} episodes, KL to pretrained {:.4} nats, loss {:.4}, {} optimiser steps",
            status.mean_return, status.episodes, status.kl_to_pretrained, status.loss, status.optimizer_steps
        ),
    );
}

fn flow(lines: &mut Lines, status: &GetStatusResponse) {
    let megabytes = status.queue_bytes as f64 / 1e6;
    lines.add(
        "queue",
        &format!(
            "{} of {} unrolls ({megabytes:.1} MB); {} of {} credits in use",
            status.queue_unrolls, status.queue_capacity_unrolls, status.credits_in_use, status.credits
        ),
    );
    let Some(ledger) = &status.ledger else { return };
    let dropped: u64 = ledger.dropped.values().sum();
    let (produced, trained, in_flight) = (ledger.produced, ledger.trained, ledger.in_flight);
    let mut text =
        format!("{produced} produced = {trained} trained + {dropped} dropped + {in_flight} in flight");
    let mut reasons: Vec<_> = ledger.dropped.iter().filter(|(_, steps)| **steps > 0).collect();
    reasons.sort();
    if !reasons.is_empty() {
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, steps)| format!("{reason} {steps}")).collect();
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    lines.add("ledger", &text);
}

fn accounts(lines: &mut Lines, status: &GetStatusResponse) {
    let Some(recent) = &status.recent else {
        return lines.add("training thread", &largest(&status.time_seconds));
    };
    lines.add("training thread", &format!("{}, in {:.0} s", largest(&recent.training), recent.seconds));
    for (label, account) in
        [("receiving", &recent.intake), ("actors", &recent.actors), ("uplinks", &recent.uplink)]
    {
        let text = largest(account);
        if !text.is_empty() {
            lines.add(label, &text);
        }
    }
}

/// The largest shares of an account.
fn largest(account: &HashMap<String, f64>) -> String {
    let total: f64 = account.values().sum();
    let mut states: Vec<_> = account.iter().filter(|(_, seconds)| **seconds > 0.0005 * total).collect();
    states.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    let share = |seconds: f64| 100.0 * seconds / total.max(1e-9);
    let shown: Vec<String> = states
        .iter()
        .take(STATES_SHOWN)
        .map(|(state, seconds)| format!("{state} {:.1} %", share(**seconds)))
        .collect();
    shown.join(", ")
}

fn actors(lines: &mut Lines, status: &GetStatusResponse) {
    if status.actors.is_empty() {
        return;
    }
    let mut head = format!("{:<10} {:>4} {:>10} {:>6}", "state", "lag", "steps", "again");
    for (_, short) in GROUP_COLUMNS.iter().chain(&UPLINK_COLUMNS) {
        let _ = write!(head, " {short:>7}");
    }
    lines.add("actor", &head);
    let newest = status.version.unwrap_or_default().sequence;
    for actor in status.actors.iter().take(ACTOR_ROWS) {
        lines.add(&short_name(&actor.actor_id), &row(actor, newest));
    }
    if let Some(more @ 1..) = status.actors.len().checked_sub(ACTOR_ROWS) {
        lines.add("", &format!("and {more} more; --json has them all"));
    }
}

fn row(actor: &ActorStatus, newest: u64) -> String {
    let state = if actor.connected { "connected" } else { "away" };
    let lag = actor
        .acting_version
        .map_or_else(|| "-".to_owned(), |acting| newest.abs_diff(acting.sequence).to_string());
    let (steps, again) = (actor.env_steps_produced, actor.reconnects);
    let mut text = format!("{state:<10} {lag:>4} {steps:>10} {again:>6}");
    let mut share = |shares: &HashMap<String, f64>, state: &str| match shares.get(state) {
        Some(share) => write!(text, " {:>5.1} %", 100.0 * share),
        None => write!(text, " {:>7}", "-"),
    };
    for (state, _) in GROUP_COLUMNS {
        // Writing to a String cannot fail.
        let _ = share(&actor.time_share, state);
    }
    for (state, _) in UPLINK_COLUMNS {
        let _ = share(&actor.uplink_share, state);
    }
    text
}

/// What fits before the columns.
fn short_name(name: &str) -> String {
    if name.chars().count() <= 17 { name.to_owned() } else { name.chars().take(16).chain(['~']).collect() }
}

fn duration(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 1e9) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(held_back_by: &str) -> Option<Verdict> {
        let (evidence, hint) = ("actors wait for worlds 71 % of the time".into(), "more worlds".into());
        Some(Verdict { held_back_by: held_back_by.into(), evidence, hint })
    }

    #[test]
    fn the_first_line_names_what_holds_the_run_back() {
        let mut status = GetStatusResponse { verdict: verdict("env"), ..GetStatusResponse::default() };
        status.verdict_minute = verdict("env");
        let text = render(&status);
        let first = "held back by      environments (actors wait for worlds 71 % of the time)\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("more worlds") && !text.contains("in the minute"), "{text}");
        status.verdict_minute = verdict("train");
        assert!(render(&status).contains("in the minute     training ("));
    }

    #[test]
    fn actors_have_a_row_each_and_many_are_counted() {
        let actor = |index: usize| ActorStatus {
            actor_id: format!("actor-{index}-with-a-very-long-name"),
            connected: true,
            time_share: HashMap::from([("wait_env".to_owned(), 0.71)]),
            ..ActorStatus::default()
        };
        let actors = (0..20).map(actor).collect();
        let text = render(&GetStatusResponse { actors, ..GetStatusResponse::default() });
        assert!(text.contains("actor-0-with-a-v~") && text.contains(" 71.0 %"), "{text}");
        assert!(text.contains("and 4 more"), "{text}");
        assert_eq!(duration(3725.0), "1 h 2 min");
    }
}
