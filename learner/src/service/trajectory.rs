//! `TrajectoryService`: takes push streams and runs each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use vpt_proto::learner::v1::trajectory_service_server::TrajectoryService;
use vpt_proto::learner::v1::{PushRequest, PushResponse};
use vpt_runtime::net::{OpenStream, Peer};

use super::{Shared, push_session};

/// Replies an actor may leave unread before its stream waits for it.
const REPLIES: usize = 64;

/// How long the last word to an actor may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Unrolls up.
#[derive(Debug)]
pub(crate) struct Trajectory {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl TrajectoryService for Trajectory {
    type PushStream = ReceiverStream<Result<PushResponse, Status>>;

    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let open = OpenStream::of(&request)?;
        let peer = request.extensions().get::<Peer>().map(Peer::address);
        let (replies, outbound) = mpsc::channel(REPLIES);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let _open = open;
            let Err(status) = push_session::run(&shared, request.into_inner(), &replies).await else {
                return;
            };
            tracing::info!(?peer, code = ?status.code(), message = status.message(), "push stream ended");
            // The actor may be gone, or not reading.
            if tokio::time::timeout(FAREWELL, replies.send(Err(status))).await.is_err() {
                tracing::debug!(?peer, "actor did not read the end of its stream");
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}
