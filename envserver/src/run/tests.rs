//! The Play protocol over real sockets: episodes, refusals, faults, and draining.

mod crowd;
mod malformed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use vpt_proto::envserver::v1::env_service_client::EnvServiceClient;
use vpt_proto::envserver::v1::{
    DescribeRequest, HumanAction, Observation, OpenSession, PlayRequest, PlayResponse, SessionOpened,
    play_request, play_response,
};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};
use vpt_runtime::net::bind;
use vpt_runtime::shutdown::within;

use super::*;
use crate::null::NullWorld;
use crate::task::Task;
use crate::world::{Action, Tick, World, WorldError};

const SOON: Duration = Duration::from_secs(10);

/// Panics at its third step.
#[derive(Default)]
struct Grenade {
    inner: NullWorld,
    steps: u32,
}

impl World for Grenade {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        self.inner.reset(seed, task)
    }
    fn step(&mut self, action: &Action) -> Tick {
        self.steps += 1;
        assert!(self.steps < 3, "pin pulled");
        self.inner.step(action)
    }
    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        self.inner.render(height, width, out);
    }
    fn gui_open(&self) -> bool {
        false
    }
    fn advise(&mut self) -> Action {
        Action { keys: vpt_proto::keys::FORWARD, pitch_delta: 0.0, yaw_delta: 1.5 }
    }
    fn state_hash(&self) -> u64 {
        0
    }
}

/// Does not come back from one of its steps until it is let go.
struct Sleeper {
    inner: NullWorld,
    steps: u32,
    hangs_at: u32,
    gate: Arc<AtomicBool>,
}

impl World for Sleeper {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        self.inner.reset(seed, task)
    }
    fn step(&mut self, action: &Action) -> Tick {
        self.steps += 1;
        while self.steps == self.hangs_at && !self.gate.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.inner.step(action)
    }
    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        self.inner.render(height, width, out);
    }
    fn gui_open(&self) -> bool {
        false
    }
    fn advise(&mut self) -> Action {
        Action::NOOP
    }
    fn state_hash(&self) -> u64 {
        0
    }
}

struct Running {
    /// Lets sleepers go.
    gate: Arc<AtomicBool>,
    address: SocketAddr,
    ops: SocketAddr,
    shutdown: CancellationToken,
    role: JoinHandle<Result<(), EnvserverError>>,
}

impl Running {
    fn start(config: EnvserverConfig) -> Self {
        let (grpc, ops) = (bind("127.0.0.1:0", "test").unwrap(), bind("127.0.0.1:0", "test").unwrap());
        let (address, ops_address) = (grpc.local_addr().unwrap(), ops.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let gate = Arc::<AtomicBool>::default();
        let let_go = Arc::clone(&gate);
        let sleeper = move |hangs_at| {
            let gate = Arc::clone(&let_go);
            move || -> Box<dyn World> {
                Box::new(Sleeper { inner: NullWorld::default(), steps: 0, hangs_at, gate: Arc::clone(&gate) })
            }
        };
        let worlds = Worlds::built_in()
            .with("grenade", || Box::new(Grenade::default()))
            .with("sleeper", sleeper(2))
            .with("late-sleeper", sleeper(1300));
        let listeners = Listeners { grpc: Some(grpc), ops, security: vpt_runtime::Security::loopback() };
        let role = tokio::spawn(run_worlds(config, worlds, listeners, shutdown.clone()));
        Self { gate, address, ops: ops_address, shutdown, role }
    }

    async fn client(&self) -> EnvServiceClient<Channel> {
        let client = EnvServiceClient::connect(format!("http://{}", self.address)).await.unwrap();
        client.max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn play(&self) -> Result<Stream, Status> {
        let (sender, requests) = mpsc::channel(8);
        let replies = self.client().await.play(ReceiverStream::new(requests)).await?.into_inner();
        Ok(Stream { sender, replies })
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within("the role", SOON, self.role).await.unwrap().unwrap().unwrap();
    }

    async fn metrics(&self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.ops).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

struct Stream {
    sender: mpsc::Sender<PlayRequest>,
    replies: Streaming<PlayResponse>,
}

impl Stream {
    async fn send(&self, kind: play_request::Kind) {
        self.sender.send(PlayRequest { kind: Some(kind) }).await.unwrap();
    }

    async fn reply(&mut self) -> Result<Option<play_response::Kind>, Status> {
        let reply = within("a reply", SOON, self.replies.message()).await.unwrap()?;
        Ok(reply.map(|r| r.kind.unwrap()))
    }

    async fn open(&mut self, open: OpenSession) -> Result<SessionOpened, Status> {
        self.send(play_request::Kind::Open(open)).await;
        match self.reply().await?.unwrap() {
            play_response::Kind::Opened(opened) => Ok(opened),
            other => panic!("{other:?}"),
        }
    }

    async fn observation(&mut self) -> Result<Observation, Status> {
        match self.reply().await?.expect("the stream ended") {
            play_response::Kind::Observation(observation) => Ok(observation),
            other => panic!("{other:?}"),
        }
    }

    async fn act(&mut self, action: HumanAction) -> Result<Observation, Status> {
        self.send(play_request::Kind::Action(action)).await;
        self.observation().await
    }
}

fn open(world: &str) -> OpenSession {
    OpenSession {
        protocol_version: PROTOCOL_VERSION,
        world: world.to_owned(),
        task: if world == "null" { String::new() } else { "chop".to_owned() },
        frame_height: 8,
        frame_width: 8,
        max_episode_steps: 3,
        ..OpenSession::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_episode_ends_with_its_final_frame_and_the_next_reset_frame() {
    let server = Running::start(EnvserverConfig::default());
    let mut stream = server.play().await.unwrap();
    let request = OpenSession { episode_seeds: vec![11, 12], ..open("null") };
    let opened = stream.open(request).await.unwrap();
    assert_eq!((opened.world.as_str(), opened.max_episode_steps), ("null", 3));
    for (episode, seed) in [(0, 11), (1, 12)] {
        let first = stream.observation().await.unwrap();
        assert!(first.is_first && first.frame.len() == 192 && first.advice.is_none());
        assert_eq!((first.episode, first.episode_seed, first.episode_step), (episode, seed, 0));
        for step in 1..=3 {
            let next = stream.act(HumanAction::default()).await.unwrap();
            assert!(!next.is_first && !next.terminated);
            assert_eq!((next.truncated, next.episode_step, next.episode), (step == 3, step, episode));
        }
    }
    assert!(stream.reply().await.unwrap().is_none(), "the list of seeds is used up");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_beyond_the_limit_are_refused_until_one_ends() {
    let server = Running::start(EnvserverConfig { max_sessions: 2, ..EnvserverConfig::default() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.play().await.unwrap();
        stream.open(open("null")).await.unwrap();
        held.push(stream);
    }
    let described = server.client().await.describe(DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!((described.sessions, described.max_sessions), (2, 2));
    assert!(described.worlds.contains(&"null".to_owned()) && described.tasks.contains(&"chop".to_owned()));
    let refused = server.play().await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("max_sessions") && refused.metadata().contains_key("retry-after"));
    drop(held.pop());
    let again = async {
        while server.play().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a free session", SOON, again).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_played_is_refused_by_name() {
    let server = Running::start(EnvserverConfig::default());
    let cases = [
        (
            OpenSession { protocol_version: 99, ..open("null") },
            Code::FailedPrecondition,
            "the client 99: update the older one",
        ),
        (open("nether"), Code::InvalidArgument, "unknown world \"nether\""),
        (
            OpenSession { task: "chopp".to_owned(), ..open("native") },
            Code::InvalidArgument,
            "unknown task `chopp`",
        ),
        (OpenSession { frame_width: 500_000, ..open("null") }, Code::InvalidArgument, "8x500000"),
    ];
    for (request, code, text) in cases {
        let mut stream = server.play().await.unwrap();
        let status = stream.open(request).await.unwrap_err();
        assert!(status.code() == code && status.message().contains(text), "{status:?}");
    }
    let mut stream = server.play().await.unwrap();
    let status = stream.act(HumanAction::default()).await.unwrap_err();
    assert!(status.message().contains("first message must be `open`"), "{status:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_of_the_version_before_plays() {
    let server = Running::start(EnvserverConfig::default());
    let mut stream = server.play().await.unwrap();
    let old = OpenSession { protocol_version: OLDEST_PROTOCOL_VERSION, ..open("null") };
    assert_eq!(stream.open(old).await.unwrap().protocol_version, OLDEST_PROTOCOL_VERSION);
    stream.observation().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_actions_end_the_session_with_a_reason() {
    let server = Running::start(EnvserverConfig::default());
    let bad = [
        (HumanAction { yaw_delta: f32::NAN, ..HumanAction::default() }, "not finite"),
        (HumanAction { pitch_delta: f32::INFINITY, ..HumanAction::default() }, "not finite"),
        (HumanAction { keys: 1 << 31, ..HumanAction::default() }, "unknown key bits"),
    ];
    for (action, text) in bad {
        let mut stream = server.play().await.unwrap();
        stream.open(open("null")).await.unwrap();
        stream.observation().await.unwrap();
        let status = stream.act(action).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(text), "{status:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_session_and_no_other() {
    let server = Running::start(EnvserverConfig::default());
    let mut bystander = server.play().await.unwrap();
    bystander.open(open("null")).await.unwrap();
    bystander.observation().await.unwrap();
    let mut victim = server.play().await.unwrap();
    victim.open(OpenSession { advise: true, max_episode_steps: 2, ..open("grenade") }).await.unwrap();
    let advice = victim.observation().await.unwrap().advice.unwrap();
    assert_eq!((advice.keys, advice.yaw_delta), (vpt_proto::keys::FORWARD, 1.5));
    victim.act(advice).await.unwrap();
    let last = victim.act(advice).await.unwrap();
    assert!(last.truncated && last.advice.is_none(), "no advice on final frames");
    assert!(victim.observation().await.unwrap().is_first);
    let status = victim.act(advice).await.unwrap_err();
    assert!(status.code() == Code::Internal && status.message().contains("pin pulled"), "{status:?}");
    bystander.act(HumanAction::default()).await.unwrap();
    let text = server.metrics().await;
    // The page is the process's: other tests of panics may have counted too.
    let panics =
        text.lines().find_map(|l| l.strip_prefix("vpt_envserver_session_faults_total{reason=\"panic\"} "));
    assert!(panics.is_some_and(|count| count != "0"), "{text}");
    for spec in METRICS {
        assert!(text.contains(&format!("# HELP {} ", spec.name)), "{} is not exported", spec.name);
    }
    assert!(text.contains("vpt_envserver_step_duration_seconds_bucket"), "{text}");
    assert!(text.contains("vpt_runtime_undeclared_metrics_total 0"), "{text}");
    for state in crate::metrics::STATES {
        let series = format!("vpt_envserver_session_time_seconds{{state=\"{state}\"}} ");
        let patience = std::time::Instant::now() + SOON;
        // Exported once a second, by every server of this process.
        loop {
            let text = server.metrics().await;
            let seconds =
                text.lines().find_map(|line| line.strip_prefix(&series)).expect("the state is exported");
            if seconds.parse::<f64>().unwrap() > 0.0 {
                break;
            }
            assert!(std::time::Instant::now() < patience, "{state}: {seconds}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_are_reaped() {
    let config = EnvserverConfig {
        idle_timeout_seconds: 0.05,
        open_timeout_seconds: 0.05,
        ..EnvserverConfig::default()
    };
    let server = Running::start(config);
    let mut unopened = server.play().await.unwrap();
    let status = unopened.reply().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let mut idle = server.play().await.unwrap();
    idle.open(open("null")).await.unwrap();
    idle.observation().await.unwrap();
    let status = idle.reply().await.unwrap_err();
    assert!(status.code() == Code::DeadlineExceeded && status.message().contains("0.05 s"), "{status:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_tells_players_and_does_not_wait_for_the_silent() {
    let config = EnvserverConfig { drain_timeout_seconds: 0.3, ..EnvserverConfig::default() };
    let server = Running::start(config);
    let mut player = server.play().await.unwrap();
    player.open(open("null")).await.unwrap();
    player.observation().await.unwrap();
    // Connected, and never says a word: hyper's graceful shutdown waits for it.
    let _silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    server.shutdown.cancel();
    let status = player.reply().await.unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("draining"), "{status:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_world_plays_the_same_game_in_two_sessions() {
    let server = Running::start(EnvserverConfig::default());
    let request = OpenSession {
        episode_seeds: vec![7],
        advise: true,
        frame_height: 24,
        frame_width: 32,
        max_episode_steps: 12,
        ..open("native")
    };
    let mut games = Vec::new();
    for _ in 0..2 {
        let mut stream = server.play().await.unwrap();
        let opened = stream.open(request.clone()).await.unwrap();
        assert_eq!((opened.reward_items, opened.max_episode_steps), (vec!["log".to_owned()], 12));
        let mut game = vec![stream.observation().await.unwrap()];
        while let Some(advice) = game.last().unwrap().advice {
            let next = stream.act(advice).await.unwrap();
            game.push(next);
        }
        assert!(game.len() == 13 && game[12].truncated && game[0].frame.len() == 24 * 32 * 3);
        games.push(game);
    }
    assert_eq!(games[0], games[1]);
    assert_ne!(games[0][0].frame, games[0][12].frame, "the player moved");
    server.stop().await;
}
