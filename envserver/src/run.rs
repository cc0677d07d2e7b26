//! The role: serves until told to stop, then drains within a deadline.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use vpt_runtime::net::{self, Gate, Listeners};
use vpt_runtime::ops::{Health, OpsServer};
use vpt_runtime::pool_account::PoolAccount;
use vpt_runtime::security::Role;

use crate::config::EnvserverConfig;
use crate::error::EnvserverError;
use crate::metrics::{METRICS, count_abandoned_drain};
use crate::service::Service;
use crate::worlds::Worlds;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Without a beat for so long the event loop hangs.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Who may play.
const PLAYERS: &[Role] = &[Role::Actor];
/// Bytes of a call's headers.
const HEADER_BYTES: u32 = 16 << 10;
/// HTTP/2 streams beside the sessions, so that a full server can still say that it is full.
const SPARE_STREAMS: usize = 64;

/// Serves the built-in worlds until `shutdown`.
///
/// # Errors
/// Bad configuration, a missing listener, or a server that fails.
pub async fn run(
    config: EnvserverConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), EnvserverError> {
    let worlds = Worlds::configured(&config);
    run_worlds(config, worlds, listeners, shutdown).await
}

/// [`run`] with the worlds given.
///
/// # Errors
/// As [`run`].
pub async fn run_worlds(
    config: EnvserverConfig,
    worlds: Worlds,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), EnvserverError> {
    config.validate()?;
    let metrics = vpt_runtime::metrics::install(&[METRICS, net::METRICS])?;
    let listener = listeners.grpc.ok_or(EnvserverError::NoListener)?;
    let health = Health::new(HEARTBEAT_DEADLINE);
    // The ops port outlives the drain, so that it can be watched.
    let ops_shutdown = CancellationToken::new();
    let _stops_ops = ops_shutdown.clone().drop_guard();
    let ops = tokio::spawn(OpsServer::serve(listeners.ops, metrics, health.clone(), ops_shutdown.clone()));
    tracing::info!(
        listen = listener.local_addr().ok().map(tracing::field::display),
        worlds = worlds.known(),
        max_sessions = config.max_sessions,
        "envserver serving"
    );
    let service = Service::new(config.clone(), worlds, shutdown.clone());
    let time = service.time().clone();
    let gate = Gate::new(&listeners.security, PLAYERS);
    let incoming = net::incoming(listener, &listeners.security, "envserver.listen")?;
    let server = serve(&config, service, (incoming, gate), &shutdown);
    health.set_ready(true);
    let result = tokio::select! {
        result = server => result,
        () = beat(&health, &time) => Ok(()),
        result = ops => Err(EnvserverError::Ops(match result {
            Ok(Ok(())) => std::io::Error::other("it stopped by itself"),
            Ok(Err(error)) => error,
            Err(error) => std::io::Error::other(error),
        })),
    };
    health.set_ready(false);
    time.export();
    // Also on failure: no session may outlive the role.
    shutdown.cancel();
    result
}

/// Serves until `shutdown`, then gives sessions and connections the drain deadline together.
async fn serve(
    config: &EnvserverConfig,
    service: Service,
    (incoming, gate): (net::Incoming, Gate),
    shutdown: &CancellationToken,
) -> Result<(), EnvserverError> {
    let streams = u32::try_from(config.max_sessions + SPARE_STREAMS).expect("the limit was validated");
    let server = Server::builder()
        .max_concurrent_streams(streams)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES)
        .add_service(InterceptedService::new(service.clone().into_server(), gate))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let drain = config.drain_timeout();
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    let began = tokio::select! {
        result = server => {
            result?;
            Instant::now()
        }
        // A connection that never spoke holds hyper's graceful shutdown up for an hour (hyper#4170).
        () = overdue => {
            count_abandoned_drain();
            tracing::warn!(seconds = drain.as_secs_f64(), "connections did not close in time and are abandoned");
            return Ok(());
        }
    };
    if !service.drained(drain).await {
        count_abandoned_drain();
        tracing::warn!(
            seconds = began.elapsed().as_secs_f64(),
            "sessions did not end in time and are abandoned"
        );
    }
    Ok(())
}

/// Says that the event loop turns, and brings the exported account of the sessions up to now.
async fn beat(health: &Health, time: &PoolAccount) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        ticks.tick().await;
        health.heartbeat();
        time.export();
    }
}

#[cfg(test)]
mod tests;
