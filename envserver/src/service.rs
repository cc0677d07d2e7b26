//! The gRPC face: what is offered, and a thread for each Play stream within the session limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use vpt_proto::envserver::v1::env_service_server::{EnvService, EnvServiceServer};
use vpt_proto::envserver::v1::{DescribeRequest, DescribeResponse, PlayRequest};
use vpt_proto::limits::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use vpt_runtime::pool_account::PoolAccount;

use crate::config::EnvserverConfig;
use crate::error::SessionError;
use crate::metrics;
use crate::play::{OUTBOX, Play, Reply};
use crate::spare::SparePool;
use crate::task::Task;
use crate::worlds::Worlds;

/// Shared by all streams; clones are the same server.
#[derive(Clone)]
pub(crate) struct Service {
    config: EnvserverConfig,
    worlds: Worlds,
    spares: SparePool,
    sessions: Arc<Semaphore>,
    next_session: Arc<AtomicU64>,
    shutdown: CancellationToken,
    time: PoolAccount,
}

impl Service {
    /// `shutdown` ends every session after the step it is in.
    pub(crate) fn new(config: EnvserverConfig, worlds: Worlds, shutdown: CancellationToken) -> Self {
        let sessions = Arc::new(Semaphore::new(config.max_sessions));
        let spares = SparePool::new(config.spare_threads);
        let (next_session, time) = (Arc::new(AtomicU64::new(1)), metrics::session_time());
        Self { config, worlds, spares, sessions, next_session, shutdown, time }
    }

    /// Where the time of all sessions goes.
    pub(crate) fn time(&self) -> &PoolAccount {
        &self.time
    }

    pub(crate) fn into_server(self) -> EnvServiceServer<Self> {
        EnvServiceServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Waits until no session is left; false after `deadline`.
    pub(crate) async fn drained(&self, deadline: Duration) -> bool {
        let all = u32::try_from(self.config.max_sessions).expect("the limit was validated");
        tokio::time::timeout(deadline, self.sessions.acquire_many(all)).await.is_ok()
    }

    fn start(&self, inbound: Streaming<PlayRequest>) -> Result<mpsc::Receiver<Reply>, SessionError> {
        if self.shutdown.is_cancelled() {
            return Err(SessionError::Draining);
        }
        let permit = Arc::clone(&self.sessions)
            .try_acquire_owned()
            .map_err(|_| SessionError::Full { max: self.config.max_sessions })?;
        let (outbox, replies) = mpsc::channel(OUTBOX);
        let play = Play {
            session_id: self.next_session.fetch_add(1, Ordering::Relaxed),
            worlds: self.worlds.clone(),
            spares: self.spares.clone(),
            inbound,
            outbox,
            runtime: Handle::current(),
            shutdown: self.shutdown.clone(),
            open_timeout: self.config.open_timeout(),
            idle_timeout: self.config.idle_timeout(),
            limits: self.config.limits(),
            time: self.time.clone(),
            _permit: permit,
        };
        play.spawn()?;
        Ok(replies)
    }
}

#[tonic::async_trait]
impl EnvService for Service {
    type PlayStream = ReceiverStream<Reply>;

    async fn describe(
        &self,
        _request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let taken = self.config.max_sessions - self.sessions.available_permits();
        let bounded = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Response::new(DescribeResponse {
            protocol_version: PROTOCOL_VERSION,
            worlds: self.worlds.names().map(str::to_owned).collect(),
            tasks: Task::built_in_names().map(str::to_owned).collect(),
            sessions: bounded(taken),
            max_sessions: bounded(self.config.max_sessions),
        }))
    }

    async fn play(
        &self,
        request: Request<Streaming<PlayRequest>>,
    ) -> Result<Response<Self::PlayStream>, Status> {
        // Answered at once: a client may wait for this answer before it says what it wants.
        match self.start(request.into_inner()) {
            Ok(replies) => Ok(Response::new(ReceiverStream::new(replies))),
            Err(error) => {
                metrics::count_refused(error.reason());
                tracing::warn!(reason = error.reason(), error = %error, "session refused");
                Err(error.status())
            }
        }
    }
}
