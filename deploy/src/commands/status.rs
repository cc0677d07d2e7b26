//! `vpt status`: one screen of what a learner is doing.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use vpt_proto::learner::v1::status_service_client::StatusServiceClient;
use vpt_proto::learner::v1::{GetStatusRequest, GetStatusResponse};
use vpt_runtime::security::Role;
use vpt_runtime::{Security, net};

const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) async fn run(address: &str, security: &Security) -> anyhow::Result<()> {
    let status = fetch(address, security).await?;
    print!("{}", screen(&status));
    Ok(())
}

/// Asks the learner at `address` (`host:port` or a URL), within five seconds.
pub(crate) async fn fetch(address: &str, security: &Security) -> anyhow::Result<GetStatusResponse> {
    let hint =
        || format!("cannot reach a learner at {address}; `vpt up` writes its address to endpoints.json");
    let endpoint = net::endpoint(security, address, "--learner")?.connect_timeout(DEADLINE).timeout(DEADLINE);
    let channel = security.channel(&endpoint, &[Role::Learner])?;
    let reply = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await.with_context(hint)?;
    Ok(reply.into_inner())
}

fn screen(status: &GetStatusResponse) -> String {
    let mut text = String::new();
    let version = status.version.unwrap_or_default();
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<18}{value}");
    };
    line("run", status.run_id.clone());
    line("stage", format!("{} ({})", status.stage, status.phase));
    line("policy version", format!("{}.{}", version.epoch, version.sequence));
    line("env steps", format!("{} of {}", status.env_steps_trained, status.env_steps_target));
    line("steps per second", format!("{:.0}", status.env_steps_per_second));
    line("mean return", format!("{:.3} over {} episodes", status.mean_return, status.episodes));
    line("KL to pretrained", format!("{:.4} nats", status.kl_to_pretrained));
    line("optimizer steps", status.optimizer_steps.to_string());
    line("queue", format!("{} unrolls", status.queue_unrolls));
    if let Some(ledger) = &status.ledger {
        let dropped: u64 = ledger.dropped.values().sum();
        let (produced, trained, in_flight) = (ledger.produced, ledger.trained, ledger.in_flight);
        line(
            "ledger",
            format!("{produced} produced = {trained} trained + {dropped} dropped + {in_flight} in flight"),
        );
    }
    let total: f64 = status.time_seconds.values().sum();
    let mut states: Vec<_> = status.time_seconds.iter().collect();
    states.sort_by(|a, b| b.1.total_cmp(a.1));
    for (state, seconds) in states {
        line("  time", format!("{:5.1} % {state}", 100.0 * seconds / total.max(1e-9)));
    }
    for actor in &status.actors {
        let state = if actor.connected { "connected" } else { "away" };
        let (steps, again) = (actor.env_steps_produced, actor.reconnects);
        line("  actor", format!("{} {state}, {steps} steps, {again} reconnects", actor.actor_id));
    }
    text
}
