//! A client of an envserver's Play stream, one call at a time.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use vpt_proto::envserver::v1::env_service_client::EnvServiceClient;
use vpt_proto::envserver::v1::{
    HumanAction, Observation, OpenSession, PlayRequest, PlayResponse, play_request, play_response,
};
use vpt_proto::limits::PROTOCOL_VERSION;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A session in world `minerl`, with the runtime that carries it.
pub(crate) struct Session {
    runtime: Runtime,
    requests: mpsc::Sender<PlayRequest>,
    replies: Streaming<PlayResponse>,
}

impl Session {
    /// Opens one that plays task `chop` on those seeds, with episodes of so many steps and frames of 64x64.
    pub(crate) fn open(address: &str, episode_seeds: Vec<u64>, max_episode_steps: u32) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let open = OpenSession {
            protocol_version: PROTOCOL_VERSION,
            world: "minerl".to_owned(),
            task: "chop".to_owned(),
            frame_height: 64,
            frame_width: 64,
            episode_seeds,
            max_episode_steps,
            ..OpenSession::default()
        };
        let (requests, receiver) = mpsc::channel(4);
        let url = format!("http://{address}");
        let replies = runtime.block_on(async {
            requests.send(request(play_request::Kind::Open(open))).await.expect("room");
            let mut client = EnvServiceClient::connect(url).await.expect("an envserver");
            client.play(ReceiverStream::new(receiver)).await.expect("a stream").into_inner()
        });
        let mut session = Self { runtime, requests, replies };
        let opened = session.receive().expect("an answer");
        assert!(matches!(opened, play_response::Kind::Opened(_)), "{opened:?}");
        session
    }

    /// The next observation.
    pub(crate) fn observe(&mut self) -> Result<Observation, Status> {
        match self.receive()? {
            play_response::Kind::Observation(observation) => Ok(observation),
            other => panic!("not an observation: {other:?}"),
        }
    }

    /// Plays one step with those keys held.
    pub(crate) fn step(&mut self, keys: u32) -> Result<Observation, Status> {
        let action = HumanAction { keys, pitch_delta: 0.0, yaw_delta: 1.5 };
        let sent = self.runtime.block_on(self.requests.send(request(play_request::Kind::Action(action))));
        sent.map_err(|_| Status::unavailable("the stream has ended"))?;
        self.observe()
    }

    fn receive(&mut self) -> Result<play_response::Kind, Status> {
        let reply =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.replies.message()).await });
        let reply = reply.expect("an answer in time")?.expect("the stream goes on");
        Ok(reply.kind.expect("an answer with content"))
    }
}

fn request(kind: play_request::Kind) -> PlayRequest {
    PlayRequest { kind: Some(kind) }
}
