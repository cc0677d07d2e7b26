//! Steps a second over gRPC: an in-process server and as many sessions as asked for, over loopback.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use vpt_proto::envserver::v1::env_service_client::EnvServiceClient;
use vpt_proto::envserver::v1::{HumanAction, OpenSession, PlayRequest, play_request, play_response};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use vpt_runtime::net::{Listeners, bind};

use crate::config::EnvserverConfig;
use crate::error::EnvserverError;

/// What to play.
#[derive(Clone, Debug)]
pub struct BenchStreamConfig {
    /// "null" measures the transport alone.
    pub world: String,
    /// Task of the world; empty for the null world.
    pub task: String,
    /// Sessions at a time, sharing one connection.
    pub sessions: usize,
    /// Actions of each session.
    pub steps: usize,
    /// Side of the square frames, pixels.
    pub size: u32,
}

/// What was measured; serialises to the bench's JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct BenchStreamReport {
    /// "stream".
    pub bench: &'static str,
    /// Actions answered a second, all sessions together.
    pub value: f64,
    /// "steps/s".
    pub unit: &'static str,
    /// The same for a second of this process's CPU time, server and clients together.
    pub per_cpu_second: f64,
    /// Actions answered.
    pub steps: usize,
    /// Sessions.
    pub sessions: usize,
}

/// Runs the bench; needs a multi-threaded runtime.
///
/// # Errors
/// When the server cannot start or a session fails.
pub async fn bench_stream(config: &BenchStreamConfig) -> Result<BenchStreamReport, EnvserverError> {
    let fail = |error: &dyn std::fmt::Display| EnvserverError::Bench(error.to_string());
    let grpc = bind("127.0.0.1:0", "bench").map_err(|e| fail(&e))?;
    let ops = bind("127.0.0.1:0", "bench").map_err(|e| fail(&e))?;
    let address = grpc.local_addr().map_err(|e| fail(&e))?;
    let shutdown = CancellationToken::new();
    let _stops = shutdown.clone().drop_guard();
    let settings = EnvserverConfig { max_sessions: config.sessions.max(1), ..EnvserverConfig::default() };
    let listeners = Listeners { grpc: Some(grpc), ops, security: vpt_runtime::Security::loopback() };
    let server = tokio::spawn(crate::run::run(settings, listeners, shutdown.clone()));
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await?;
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    let mut players = tokio::task::JoinSet::new();
    for _ in 0..config.sessions {
        players.spawn(play(channel.clone(), config.clone()));
    }
    while let Some(player) = players.join_next().await {
        player.map_err(|e| fail(&e))?.map_err(|e| fail(&e))?;
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    shutdown.cancel();
    drop(channel);
    server.await.map_err(|e| fail(&e))??;
    let steps = config.sessions * config.steps;
    Ok(BenchStreamReport {
        bench: "stream",
        value: steps as f64 / wall,
        unit: "steps/s",
        per_cpu_second: steps as f64 / cpu.max(1e-9),
        steps,
        sessions: config.sessions,
    })
}

async fn play(channel: Channel, config: BenchStreamConfig) -> Result<(), tonic::Status> {
    let mut client = EnvServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, requests) = mpsc::channel(2);
    let mut replies = client.play(ReceiverStream::new(requests)).await?.into_inner();
    let open = OpenSession {
        protocol_version: PROTOCOL_VERSION,
        world: config.world,
        task: config.task,
        frame_height: config.size,
        frame_width: config.size,
        client: "bench".to_owned(),
        ..OpenSession::default()
    };
    let gone = || tonic::Status::aborted("the session ended early");
    let send = |kind| sender.send(PlayRequest { kind: Some(kind) });
    send(play_request::Kind::Open(open)).await.map_err(|_| gone())?;
    let mut sent = 0;
    loop {
        let reply = replies.message().await?.ok_or_else(gone)?;
        let Some(play_response::Kind::Observation(observation)) = reply.kind else { continue };
        // The reset frame of the next episode follows by itself.
        if observation.terminated || observation.truncated {
            continue;
        }
        if sent == config.steps {
            return Ok(());
        }
        sent += 1;
        send(play_request::Kind::Action(HumanAction::default())).await.map_err(|_| gone())?;
    }
}

fn cpu_seconds() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("RUSAGE_SELF exists");
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_action_is_answered() {
        let config = BenchStreamConfig {
            world: "null".to_owned(),
            task: String::new(),
            sessions: 16,
            steps: 1500,
            size: 64,
        };
        let report = bench_stream(&config).await.unwrap();
        assert_eq!(report.steps, 24_000);
        assert!(report.value > 0.0 && report.per_cpu_second > 0.0);
    }
}
