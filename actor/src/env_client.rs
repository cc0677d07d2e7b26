//! A client of one envserver: opens Play streams and gives every wait on them a deadline.

use crate::error::ActorError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use vpt_proto::envserver::v1::env_service_client::EnvServiceClient;
use vpt_proto::envserver::v1::{
    HumanAction, Observation, OpenSession, PlayRequest, PlayResponse, SessionOpened, play_request,
    play_response,
};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use vpt_runtime::net::{self, Channel};
use vpt_runtime::security::{Role, Security, SecurityError};

/// Flow-control windows that hold the final and the reset frame of every slot at once.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A timer that fires so late says that the process did not run.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// Why a session broke.
#[derive(Debug)]
pub(crate) struct EnvFault {
    /// One of [`crate::metrics::ENV_RESTART_REASONS`].
    pub(crate) reason: &'static str,
    /// What happened, for people.
    pub(crate) detail: String,
    /// Asking again will not help: the request itself is refused.
    pub(crate) fatal: bool,
}

impl EnvFault {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), fatal: false }
    }

    fn status(status: &Status) -> Self {
        let fatal = matches!(
            status.code(),
            Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::NotFound
                | Code::Unimplemented
                | Code::PermissionDenied
                | Code::Unauthenticated
        );
        Self { reason: "status", detail: format!("{:?}: {}", status.code(), status.message()), fatal }
    }

    fn late(what: &str, deadline: Duration) -> Self {
        Self::new("timeout", format!("no {what} within {:.1} s", deadline.as_secs_f64()))
    }
}

/// A connection to an envserver, made when first needed and again after it broke.
#[derive(Debug, Clone)]
pub(crate) struct EnvClient {
    client: EnvServiceClient<Channel>,
    address: String,
    step_timeout: Duration,
    open_timeout: Duration,
}

impl EnvClient {
    /// A client of the envserver at `address`, a URL named by the setting `key`.
    pub(crate) fn new(
        security: &Security,
        address: &str,
        key: &str,
        step_timeout: Duration,
        open_timeout: Duration,
    ) -> Result<Self, ActorError> {
        let channel = channel(security, address, key, open_timeout, &[Role::Envserver])?;
        let client = EnvServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client, address: address.to_owned(), step_timeout, open_timeout })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Opens a session and waits for its first frame.
    pub(crate) async fn open(&self, open: OpenSession) -> Result<OpenedSession, EnvFault> {
        timeout(self.open_timeout, self.open_unbounded(open))
            .await
            .unwrap_or_else(|_| Err(EnvFault::late("session", self.open_timeout)))
    }

    async fn open_unbounded(&self, open: OpenSession) -> Result<OpenedSession, EnvFault> {
        let frame_len = open.frame_height as usize * open.frame_width as usize * 3;
        // One action is under way at a time, besides the opening message.
        let (requests, outbound) = mpsc::channel(2);
        let request = PlayRequest { kind: Some(play_request::Kind::Open(open)) };
        requests.try_send(request).map_err(|_| EnvFault::new("closed", "the stream is closed"))?;
        let replies = self
            .client
            .clone()
            .play(ReceiverStream::new(outbound))
            .await
            .map_err(|status| EnvFault::status(&status))?
            .into_inner();
        let (step_timeout, reset_timeout) = (self.step_timeout, self.open_timeout);
        let mut stream = PlayStream { requests, replies, frame_len, step_timeout, reset_timeout };
        let opened = match stream.reply().await? {
            Some(play_response::Kind::Opened(opened)) => opened,
            Some(play_response::Kind::Observation(_)) => {
                return Err(EnvFault::new("protocol", "an observation came before the session was opened"));
            }
            None => return Err(EnvFault::new("closed", "the session was closed at once")),
        };
        if opened.protocol_version != PROTOCOL_VERSION {
            let detail = format!("it speaks version {}, we {PROTOCOL_VERSION}", opened.protocol_version);
            return Err(EnvFault { reason: "protocol", detail, fatal: true });
        }
        let first = stream.observation().await?;
        match first {
            Some(first) if first.is_first => Ok(OpenedSession { stream, opened, first }),
            Some(_) => Err(EnvFault::new("protocol", "the first frame is not marked as one")),
            None => Err(EnvFault::new("closed", "the session ended before its first frame")),
        }
    }
}

/// A session that was opened, and its first frame.
pub(crate) struct OpenedSession {
    pub(crate) stream: PlayStream,
    pub(crate) opened: SessionOpened,
    pub(crate) first: Observation,
}

/// One session's stream.
pub(crate) struct PlayStream {
    requests: mpsc::Sender<PlayRequest>,
    replies: Streaming<PlayResponse>,
    frame_len: usize,
    step_timeout: Duration,
    reset_timeout: Duration,
}

impl PlayStream {
    /// Sends an action; its answer is to be received before the next one.
    pub(crate) fn send(&self, action: HumanAction) -> Result<(), EnvFault> {
        let request = PlayRequest { kind: Some(play_request::Kind::Action(action)) };
        self.requests.try_send(request).map_err(|_| EnvFault::new("closed", "the envserver took no action"))
    }

    /// When what came of an action sent now must be there.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.step_timeout
    }

    /// What came of the last action, by `deadline`; `None` when the session is over.
    pub(crate) async fn receive(&mut self, deadline: Instant) -> Result<Option<Observation>, EnvFault> {
        let wait = self.step_timeout;
        self.within(deadline, wait).await.unwrap_or_else(|| Err(EnvFault::late("observation", wait)))
    }

    /// The reset frame that follows an episode's end; `None` when the session is over.
    pub(crate) async fn receive_reset(&mut self) -> Result<Option<Observation>, EnvFault> {
        let wait = self.reset_timeout;
        let deadline = Instant::now() + wait;
        self.within(deadline, wait).await.unwrap_or_else(|| Err(EnvFault::late("reset frame", wait)))
    }

    /// None when nothing came. A deadline that passed while this process itself stood still is given once more: what was
    /// waited for may lie unread in the socket.
    async fn within(
        &mut self,
        deadline: Instant,
        wait: Duration,
    ) -> Option<Result<Option<Observation>, EnvFault>> {
        if let Ok(received) = timeout_at(deadline, self.observation()).await {
            return Some(received);
        }
        if deadline.elapsed() < STOOD_STILL {
            return None;
        }
        timeout(wait, self.observation()).await.ok()
    }

    async fn observation(&mut self) -> Result<Option<Observation>, EnvFault> {
        match self.reply().await? {
            Some(play_response::Kind::Observation(observation)) => {
                if observation.frame.len() != self.frame_len {
                    let (got, want) = (observation.frame.len(), self.frame_len);
                    return Err(EnvFault::new("protocol", format!("a frame of {got} bytes, not {want}")));
                }
                if !observation.reward.is_finite() {
                    return Err(EnvFault::new("protocol", "a reward that is not finite"));
                }
                Ok(Some(observation))
            }
            Some(play_response::Kind::Opened(_)) => Err(EnvFault::new("protocol", "opened twice")),
            None => Ok(None),
        }
    }

    async fn reply(&mut self) -> Result<Option<play_response::Kind>, EnvFault> {
        match self.replies.message().await {
            Ok(Some(PlayResponse { kind: Some(kind) })) => Ok(Some(kind)),
            Ok(Some(PlayResponse { kind: None })) => Err(EnvFault::new("protocol", "an empty message")),
            Ok(None) => Ok(None),
            Err(status) => Err(EnvFault::status(&status)),
        }
    }
}

/// A channel with the settings every connection of an actor has, to a process of one of the roles `expects`.
pub(crate) fn channel(
    security: &Security,
    address: &str,
    key: &str,
    connect: Duration,
    expects: &'static [Role],
) -> Result<Channel, SecurityError> {
    security.channel(&endpoint(security, address, key, connect)?, expects)
}

/// The settings of such a channel.
pub(crate) fn endpoint(
    security: &Security,
    address: &str,
    key: &str,
    connect: Duration,
) -> Result<Endpoint, SecurityError> {
    let endpoint = net::endpoint(security, address, key)?;
    Ok(endpoint
        .connect_timeout(connect)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}
