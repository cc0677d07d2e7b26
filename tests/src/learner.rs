//! A learner's status over gRPC.

use std::time::Duration;

use tonic::transport::Endpoint;
use vpt_proto::learner::v1::status_service_client::StatusServiceClient;
use vpt_proto::learner::v1::{GetStatusRequest, GetStatusResponse};

const DEADLINE: Duration = Duration::from_secs(5);

/// The status of the learner at `address` (`host:port`); `None` when it does not answer.
pub async fn status(address: &str) -> Option<GetStatusResponse> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let channel = endpoint.connect_timeout(DEADLINE).timeout(DEADLINE).connect().await.ok()?;
    let reply = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await.ok()?;
    Some(reply.into_inner())
}

/// [`status`] for tests without an async runtime of their own.
///
/// # Panics
/// When no runtime can be started.
pub fn status_blocking(address: &str) -> Option<GetStatusResponse> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(status(address))
}

/// The published version as a pair that orders as versions do.
pub fn version(status: &GetStatusResponse) -> (u32, u64) {
    status.version.map_or((0, 0), |version| (version.epoch, version.sequence))
}
