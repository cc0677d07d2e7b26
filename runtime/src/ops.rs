//! The ops port, plain HTTP: `/metrics` for Prometheus, `/livez` and `/readyz` for probes, and what a role adds for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::MetricsHandle;

const UPKEEP: Duration = Duration::from_secs(5);
/// How much longer than its role the ops port answers at most.
pub const GRACE: Duration = Duration::from_secs(1);

/// Whether the role is alive (its main loop beats) and ready (it serves). Clones share the state.
#[derive(Debug, Clone)]
pub struct Health {
    inner: Arc<HealthInner>,
}

#[derive(Debug)]
struct HealthInner {
    ready: AtomicBool,
    started: Instant,
    last_beat_millis: AtomicU64,
    deadline: Duration,
}

impl Health {
    /// Not ready yet; alive as long as beats are never further apart than `deadline`.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        let inner = HealthInner {
            ready: AtomicBool::new(false),
            started: Instant::now(),
            last_beat_millis: AtomicU64::new(0),
            deadline,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Says whether the role serves; false while it starts and while it drains.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Relaxed);
    }

    /// Called by the role's main loop each time round.
    pub fn heartbeat(&self) {
        let now = u64::try_from(self.inner.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.inner.last_beat_millis.fetch_max(now, Ordering::Relaxed);
    }

    /// True while the last beat is within the deadline.
    #[must_use]
    pub fn live(&self) -> bool {
        self.since_beat() <= self.inner.deadline
    }

    /// True when the role serves and is alive.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.inner.ready.load(Ordering::Relaxed) && self.live()
    }

    fn since_beat(&self) -> Duration {
        let beat = Duration::from_millis(self.inner.last_beat_millis.load(Ordering::Relaxed));
        self.inner.started.elapsed().saturating_sub(beat)
    }

    fn livez(&self) -> (StatusCode, String) {
        let (since, deadline) = (self.since_beat().as_secs_f64(), self.inner.deadline.as_secs_f64());
        if self.live() {
            (StatusCode::OK, "live\n".to_owned())
        } else {
            let text = format!("not live: no heartbeat for {since:.1} s (deadline {deadline:.1} s)\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    fn readyz(&self) -> (StatusCode, String) {
        if self.ready() {
            (StatusCode::OK, "ready\n".to_owned())
        } else if self.live() {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or draining\n".to_owned())
        } else {
            self.livez()
        }
    }
}

/// The HTTP server of the ops port.
#[derive(Debug)]
pub struct OpsServer;

impl OpsServer {
    /// Serves until `shutdown`, then at most a second longer. Cancel `shutdown` after the role has drained, so that
    /// the drain can be watched.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        listener: TcpListener,
        metrics: MetricsHandle,
        health: Health,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        Self::serve_with(listener, metrics, health, Router::new(), shutdown).await
    }

    /// [`serve`](Self::serve) with routes of the role's own. Nobody is asked who they are on this port: they may read,
    /// and nothing else.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_with(
        listener: TcpListener,
        metrics: MetricsHandle,
        health: Health,
        routes: Router,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let live = health.clone();
        let router = routes
            .route("/metrics", get(move || async move { exposition(metrics) }))
            .route("/livez", get(move || async move { live.livez() }))
            .route("/readyz", get(move || async move { health.readyz() }));
        let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            result = std::future::IntoFuture::into_future(server) => result,
            () = upkeep(metrics) => Ok(()),
            // A client that keeps its connection open must not keep the process.
            () = overdue => Ok(()),
        }
    }
}

fn exposition(metrics: MetricsHandle) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

async fn upkeep(metrics: MetricsHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::metrics::{MetricSpec, install};
    use crate::shutdown::within;

    async fn http_get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn probes_and_metrics_answer_and_the_server_stops() {
        const SPECS: &[MetricSpec] = &[MetricSpec::counter("vpt_ops_test_total", "Test.")];
        let listener = crate::net::bind("127.0.0.1:0", "test").unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new(Duration::from_secs(60));
        let token = CancellationToken::new();
        let metrics = install(&[SPECS]).unwrap();
        let routes = Router::new().route("/page", get(|| async { "of the role" }));
        let server =
            tokio::spawn(OpsServer::serve_with(listener, metrics, health.clone(), routes, token.clone()));

        let text = http_get(address, "/metrics").await;
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("vpt_ops_test_total 0"), "{text}");
        assert!(text.contains("text/plain; version=0.0.4"), "{text}");
        assert!(http_get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let text = http_get(address, "/readyz").await;
        assert!(text.starts_with("HTTP/1.1 503") && text.contains("starting or draining"), "{text}");
        health.set_ready(true);
        assert!(http_get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(http_get(address, "/page").await.ends_with("of the role"));
        assert!(http_get(address, "/other").await.starts_with("HTTP/1.1 404"));

        // A silent connection must not hold up the end.
        let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
        token.cancel();
        within("the ops server", Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    }

    #[test]
    fn a_missed_heartbeat_is_neither_live_nor_ready() {
        let health = Health::new(Duration::from_millis(20));
        health.set_ready(true);
        health.heartbeat();
        assert!(health.ready());
        std::thread::sleep(Duration::from_millis(40));
        assert!(!health.live() && !health.ready());
        assert_eq!(health.livez().0, StatusCode::SERVICE_UNAVAILABLE);
        health.heartbeat();
        assert!(health.ready());
    }
}
