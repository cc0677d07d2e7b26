//! Starts the three services on a listener, and stops them within a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use vpt_proto::learner::v1::status_service_server::StatusServiceServer;
use vpt_proto::learner::v1::trajectory_service_server::TrajectoryServiceServer;
use vpt_proto::learner::v1::weights_service_server::WeightsServiceServer;
use vpt_proto::limits::MAX_MESSAGE_BYTES;
use vpt_proto::weights::WeightsServer;
use vpt_runtime::net::{self, Gate};
use vpt_runtime::security::{Role, Security};

use crate::error::LearnerError;
use crate::metrics;
use crate::service::status::StatusReader;
use crate::service::trajectory::Trajectory;
use crate::service::{Services, Shared};

/// Interval and patience of HTTP/2 pings; they find peers that vanished without a word.
const PING: Duration = Duration::from_secs(20);

/// Who may call what.
const UNROLLS_FROM: &[Role] = &[Role::Actor];
const WEIGHTS_TO: &[Role] = &[Role::Actor, Role::Relay];
const STATUS_TO: &[Role] = &[Role::Operator];

/// Bytes of a call's headers.
const HEADER_BYTES: u32 = 16 << 10;

/// Requests one connection may have open: an actor needs three.
const STREAMS_PER_CONNECTION: u32 = 64;

/// Bytes a connection may have in flight before it is read.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Bytes a stream may have in flight before it is read.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// Serves `services` on `listener` until `shutdown`, then ends all streams within `grace`.
///
/// # Errors
/// When the server cannot run. Connections that do not end in time are cut, which is no error.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    security: &Security,
    shutdown: CancellationToken,
    grace: Duration,
) -> Result<(), LearnerError> {
    services.admission.validate()?;
    let incoming = net::incoming(listener, security, "learner.listen")?;
    let shared = Arc::new(Shared { learner: services, shutdown: shutdown.clone() });
    let trajectory = TrajectoryServiceServer::new(Trajectory { shared: shared.clone() })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let weights = WeightsServer {
        store: shared.learner.weights.store(),
        architecture: shared.learner.architecture.clone(),
        role: "learner",
        sent: metrics::weights_bytes,
        open: net::open_stream,
        shutdown: shutdown.clone(),
    };
    let weights = WeightsServiceServer::new(weights)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let status = StatusServiceServer::new(StatusReader { shared })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES)
        .add_service(InterceptedService::new(trajectory, Gate::new(security, UNROLLS_FROM)))
        .add_service(InterceptedService::new(weights, Gate::new(security, WEIGHTS_TO)))
        .add_service(InterceptedService::new(status, Gate::new(security, STATUS_TO)))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    stop_in_time(server, shutdown, grace).await
}

/// Waits for `server`, but after `shutdown` no longer than `grace`.
///
/// Connections of clients that dialled and never spoke keep a graceful stop from ending (hyper issue 4170), so it is
/// never waited for without a deadline.
async fn stop_in_time(
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
    shutdown: CancellationToken,
    grace: Duration,
) -> Result<(), LearnerError> {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = server => Ok(result?),
        () = overdue => {
            tracing::info!(grace_seconds = grace.as_secs_f64(), "no longer waiting for connections that did not end");
            Ok(())
        }
    }
}
