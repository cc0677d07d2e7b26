//! A watch over one session's thread: a world that does not come back from a step or a reset is given up.
//!
//! A thread cannot be ended from outside. It keeps its place among `envserver.max_sessions` until its world comes
//! back, but its client is told, and neither other sessions nor the shutdown wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakSender;
use tokio_util::sync::CancellationToken;

use crate::error::SessionError;
use crate::metrics::{HungGauge, count_fault};
use crate::play::Reply;

/// What a session's thread and its watch share.
pub(crate) struct Watch {
    began: Instant,
    /// Milliseconds from `began`, counted from 1, at which the world was called; 0 while it is not running.
    called: AtomicU64,
    given_up: AtomicBool,
    /// Ends the watch with the session.
    ended: CancellationToken,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            called: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    /// The world is called now, or (`false`) is not running.
    pub(crate) fn mark(&self, now: Instant, running: bool) {
        let since = u64::try_from((now - self.began).as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.called.store(if running { since } else { 0 }, Ordering::Relaxed);
    }

    /// Ends the watch; true when the session was given up meanwhile.
    pub(crate) fn end(&self) -> bool {
        self.ended.cancel();
        self.given_up.load(Ordering::Acquire)
    }

    /// For how long the world has been running, if it is.
    fn running(&self) -> Option<Duration> {
        let called = self.called.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(called)))
    }

    /// Watches until the session ends, or its world has been running for longer than `limit`; then tells the client.
    pub(crate) async fn keep(self: Arc<Self>, session_id: u64, outbox: WeakSender<Reply>, limit: Duration) {
        let pause = (limit / 4).min(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if self.running().is_some_and(|running| running > limit) {
                break;
            }
        }
        self.given_up.store(true, Ordering::Release);
        let _hung = HungGauge::new();
        let error = SessionError::Hung { seconds: limit.as_secs_f64() };
        count_fault(error.reason());
        tracing::warn!(session_id, reason = error.reason(), error = %error, "session given up");
        if let Some(outbox) = outbox.upgrade() {
            // The client may be gone or not reading; then nobody is left to tell.
            let _ = tokio::time::timeout(limit, outbox.send(Err(error.status()))).await;
        }
        self.ended.cancelled().await;
    }
}
