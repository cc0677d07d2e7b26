//! Steps a second over gRPC: an in-process server and as many sessions as asked for, over loopback, as fast as they go; and
//! how many of them the server gave up meanwhile, which none of them deserves.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use vpt_proto::envserver::v1::env_service_client::EnvServiceClient;
use vpt_proto::envserver::v1::{HumanAction, OpenSession, PlayRequest, play_request, play_response};
use vpt_proto::keys;
use vpt_proto::limits::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use vpt_runtime::counter_hash::counter_hash;
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
    /// When a session ends.
    pub length: Length,
    /// Side of the square frames, pixels.
    pub size: u32,
}

/// When the sessions of a bench end.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After so many actions each; a session that breaks before is an error.
    Steps(usize),
    /// After this time. A session that breaks before is counted, and another takes its place.
    Time(Duration),
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
    /// How long they played.
    pub seconds: f64,
    /// Longest wait for the answer to an action, milliseconds; resets are not among them.
    pub longest_ms: f64,
    /// Sessions that the server gave up.
    pub given_up: usize,
    /// Why, of each.
    pub reasons: Vec<String>,
}

/// What the sessions of one player came to.
#[derive(Debug, Default)]
struct Played {
    steps: usize,
    longest: Duration,
    reasons: Vec<String>,
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
    // A session that is given up keeps its place for a while; the one in its stead needs another.
    let max_sessions = 2 * config.sessions.max(1);
    let settings = EnvserverConfig { max_sessions, ..EnvserverConfig::default() };
    let listeners = Listeners { grpc: Some(grpc), ops, security: vpt_runtime::Security::loopback() };
    let server = tokio::spawn(crate::run::run(settings, listeners, shutdown.clone()));
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await?;
    let (began, cpu_before) = (Instant::now(), cpu_seconds());
    let mut players = tokio::task::JoinSet::new();
    for player in 0..config.sessions {
        players.spawn(play(channel.clone(), config.clone(), player as u64));
    }
    let mut all = Played::default();
    while let Some(player) = players.join_next().await {
        let played = player.map_err(|e| fail(&e))?.map_err(|e| fail(&e))?;
        all.steps += played.steps;
        all.longest = all.longest.max(played.longest);
        all.reasons.extend(played.reasons);
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    shutdown.cancel();
    drop(channel);
    server.await.map_err(|e| fail(&e))??;
    Ok(BenchStreamReport {
        bench: "stream",
        value: all.steps as f64 / wall,
        unit: "steps/s",
        per_cpu_second: all.steps as f64 / cpu.max(1e-9),
        steps: all.steps,
        sessions: config.sessions,
        seconds: wall,
        longest_ms: all.longest.as_secs_f64() * 1e3,
        given_up: all.reasons.len(),
        reasons: all.reasons,
    })
}

/// Plays one session after the other until it is time to end.
async fn play(channel: Channel, config: BenchStreamConfig, player: u64) -> Result<Played, tonic::Status> {
    let mut played = Played::default();
    let began = Instant::now();
    let goes_on = |steps| match config.length {
        Length::Steps(all) => steps < all,
        Length::Time(all) => began.elapsed() < all,
    };
    loop {
        match play_session(&channel, &config, player, &mut played, goes_on).await {
            Err(status) if matches!(config.length, Length::Time(_)) && goes_on(0) => {
                played.reasons.push(status.message().to_owned());
            }
            result => return result.map(|()| played),
        }
    }
}

async fn play_session(
    channel: &Channel,
    config: &BenchStreamConfig,
    player: u64,
    played: &mut Played,
    goes_on: impl Fn(usize) -> bool,
) -> Result<(), tonic::Status> {
    let mut client = EnvServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, requests) = mpsc::channel(2);
    let mut replies = client.play(ReceiverStream::new(requests)).await?.into_inner();
    let open = OpenSession {
        protocol_version: PROTOCOL_VERSION,
        world: config.world.clone(),
        task: config.task.clone(),
        frame_height: config.size,
        frame_width: config.size,
        client: "bench".to_owned(),
        ..OpenSession::default()
    };
    let gone = || tonic::Status::aborted("the session ended early");
    let send = |kind| sender.send(PlayRequest { kind: Some(kind) });
    send(play_request::Kind::Open(open)).await.map_err(|_| gone())?;
    let mut sent = None;
    loop {
        let reply = replies.message().await?.ok_or_else(gone)?;
        let Some(play_response::Kind::Observation(observation)) = reply.kind else { continue };
        if let Some(sent) = sent.take() {
            played.longest = played.longest.max(Instant::now() - sent);
            played.steps += 1;
        }
        // The reset frame of the next episode follows by itself.
        if observation.terminated || observation.truncated {
            continue;
        }
        if !goes_on(played.steps) {
            return Ok(());
        }
        sent = Some(Instant::now());
        send(play_request::Kind::Action(action(player, played.steps))).await.map_err(|_| gone())?;
    }
}

/// Walks about, jumps, digs and looks around, so that every frame is another.
fn action(player: u64, step: usize) -> HumanAction {
    let dice = counter_hash(&[player, step as u64]);
    let with = |key, one_in: u64, bits: u32| if (dice >> bits).is_multiple_of(one_in) { key } else { 0 };
    let keys = keys::FORWARD | with(keys::ATTACK, 2, 0) | with(keys::JUMP, 8, 8) | with(keys::LEFT, 4, 16);
    let degrees = |bits: u32| ((dice >> bits) % 13) as f32 - 6.0;
    HumanAction { keys, pitch_delta: degrees(24), yaw_delta: degrees(32) }
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

    fn config(length: Length) -> BenchStreamConfig {
        BenchStreamConfig { world: "null".to_owned(), task: String::new(), sessions: 16, length, size: 64 }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_action_is_answered() {
        let report = bench_stream(&config(Length::Steps(1500))).await.unwrap();
        assert_eq!((report.steps, report.given_up), (24_000, 0));
        assert!(report.value > 0.0 && report.per_cpu_second > 0.0 && report.longest_ms > 0.0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sessions_play_for_as_long_as_asked() {
        let report = bench_stream(&config(Length::Time(Duration::from_millis(300)))).await.unwrap();
        assert!(report.seconds >= 0.3 && report.steps > 16, "{report:?}");
    }
}
