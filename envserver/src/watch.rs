//! A watch over one session's thread: a world that does not come back from a step or a reset is given up.
//!
//! A step may take three times the 99.9th percentile of the session's own steps, but 500 ms at least, once a thousand were
//! seen; before that, and at most, `envserver.step_timeout_seconds`. Resets have a deadline of their own. Time in which
//! this process did not run, because it was stopped or the machine had no time for it, is no fault of the world's: a watch
//! that wakes late begins to count anew, and time that the session's thread waited for a processor does not count.
//!
//! A thread cannot be ended from outside. It keeps its place among `envserver.max_sessions` until its world comes
//! back, but its client is told, and neither other sessions nor the shutdown wait for it.

mod processor_time;
mod step_times;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakSender;
use tokio_util::sync::CancellationToken;

use crate::error::SessionError;
use crate::metrics::{HungGauge, count_fault};
use crate::play::Reply;
use processor_time::{ThreadTimes, Waited};
pub(crate) use step_times::StepTimes;

/// Between two looks at a world, at most.
const LOOK: Duration = Duration::from_millis(250);

/// What a world was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Step,
    Reset,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Reset => "reset",
        }
    }
}

/// How long a world may take, at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) step: Duration,
    pub(crate) reset: Duration,
}

/// What a session's thread and its watch share.
pub(crate) struct Watch {
    thread: ThreadTimes,
    began: Instant,
    limits: Limits,
    /// Twice the microseconds from `began`, counted from 1, at which the world was called, and one more for a reset; 0
    /// while it is not running.
    called: AtomicU64,
    /// Microseconds a step may take, as learnt from the session's own.
    step_micros: AtomicU64,
    given_up: AtomicBool,
    /// Ends the watch with the session.
    ended: CancellationToken,
}

impl Watch {
    /// A watch over the calling thread.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            thread: ThreadTimes::of_this_thread(),
            began: Instant::now(),
            limits,
            called: AtomicU64::new(0),
            step_micros: AtomicU64::new(micros(limits.step)),
            given_up: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    /// The world is called now, or (none) is not running.
    pub(crate) fn mark(&self, now: Instant, call: Option<Call>) {
        let since = (micros(now - self.began) + 1) * 2;
        let mark = call.map_or(0, |call| since + u64::from(call == Call::Reset));
        self.called.store(mark, Ordering::Relaxed);
    }

    /// Steps may take so long from now on, if that is less than the setting allows.
    pub(crate) fn learn(&self, limit: Duration) {
        self.step_micros.store(micros(limit.min(self.limits.step)), Ordering::Relaxed);
    }

    /// Ends the watch; true when the session was given up meanwhile.
    pub(crate) fn end(&self) -> bool {
        self.ended.cancel();
        self.given_up.load(Ordering::Acquire)
    }

    /// What the world has been called for and when, if it is running.
    fn running(&self) -> Option<(Call, Instant)> {
        let mark = self.called.load(Ordering::Relaxed);
        let since = (mark / 2).checked_sub(1)?;
        let call = if mark.is_multiple_of(2) { Call::Step } else { Call::Reset };
        Some((call, self.began + Duration::from_micros(since)))
    }

    fn limit(&self, call: Call) -> Duration {
        match call {
            Call::Step => Duration::from_micros(self.step_micros.load(Ordering::Relaxed)),
            Call::Reset => self.limits.reset,
        }
    }

    /// Waits for a call that takes too long; none when the session ended before.
    async fn overdue(&self) -> Option<(Call, Duration)> {
        let mut awake_since = self.began;
        let mut waited = Waited::default();
        loop {
            let mut pause = LOOK;
            if let Some((call, since)) = self.running() {
                let (limit, now) = (self.limit(call), Instant::now());
                let excused = waited.add(since, now, &self.thread, self.thread.look());
                let left = (since.max(awake_since) + limit + excused).saturating_duration_since(now);
                if left.is_zero() {
                    return Some((call, limit));
                }
                pause = pause.min(left);
            }
            let asleep = Instant::now();
            tokio::select! {
                () = self.ended.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
            if asleep.elapsed() > pause + LOOK {
                awake_since = Instant::now();
                waited = Waited::default();
            }
        }
    }

    /// Watches until the session ends, or its world takes too long; then tells the client.
    pub(crate) async fn keep(self: Arc<Self>, session_id: u64, outbox: WeakSender<Reply>) {
        let Some((call, limit)) = self.overdue().await else { return };
        self.given_up.store(true, Ordering::Release);
        let _hung = HungGauge::new();
        let error = SessionError::Hung { call: call.name(), seconds: limit.as_secs_f64() };
        count_fault(error.reason());
        tracing::warn!(session_id, reason = error.reason(), error = %error, "session given up");
        if let Some(outbox) = outbox.upgrade() {
            // The client may be gone or not reading; then nobody is left to tell.
            let _ = tokio::time::timeout(self.limits.step, outbox.send(Err(error.status()))).await;
        }
        self.ended.cancelled().await;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(step: u64, reset: u64) -> Watch {
        let limits = Limits { step: Duration::from_millis(step), reset: Duration::from_millis(reset) };
        // Over a thread that is gone: one that looks at itself always finds itself running.
        std::thread::spawn(move || Watch::new(limits)).join().unwrap()
    }

    #[tokio::test]
    async fn steps_and_resets_have_deadlines_of_their_own() {
        let watch = watch(30_000, 20);
        watch.mark(Instant::now(), Some(Call::Reset));
        assert_eq!(watch.overdue().await, Some((Call::Reset, Duration::from_millis(20))));
        watch.learn(Duration::from_millis(10));
        watch.mark(Instant::now(), Some(Call::Step));
        assert_eq!(watch.overdue().await, Some((Call::Step, Duration::from_millis(10))));
        watch.learn(Duration::from_secs(3600));
        assert_eq!(watch.limit(Call::Step), Duration::from_secs(30), "the setting is the most");
        watch.end();
        assert_eq!(watch.overdue().await, None);
    }

    #[tokio::test]
    async fn time_in_which_the_watch_itself_was_held_up_does_not_count() {
        let watch = watch(400, 400);
        watch.mark(Instant::now(), Some(Call::Step));
        let overdue = watch.overdue();
        tokio::pin!(overdue);
        // The first look, then a process that does not run.
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut overdue).await.is_err());
        std::thread::sleep(Duration::from_millis(900));
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut overdue).await.is_err());
        watch.mark(Instant::now(), None);
        watch.end();
        assert_eq!(overdue.await, None);
    }
}
