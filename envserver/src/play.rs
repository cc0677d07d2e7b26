//! The thread of one session: receives actions, plays them, sends observations, and ends alone when its world panics.
//!
//! A session owns an OS thread, so that a slow world never blocks the network and worlds need not be async. The thread
//! polls the gRPC stream itself: a step costs one wake-up in each direction.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use vpt_proto::envserver::v1::{
    HumanAction, Observation, OpenSession, PlayRequest, PlayResponse, play_request, play_response,
};
use vpt_runtime::faults::{self, Part};
use vpt_runtime::pool_account::{PoolAccount, Worker};

use crate::error::SessionError;
use crate::metrics::{self, OpenGauge, SessionMetrics};
use crate::session::Session;
use crate::spare::SparePool;
use crate::watch::{Call, Limits, StepTimes, Watch};
use crate::worlds::Worlds;

/// Answers waiting to be sent: an observation and a reset frame, and one of each to spare.
pub(crate) const OUTBOX: usize = 4;

pub(crate) type Reply = Result<PlayResponse, Status>;

// Of `metrics::STATES`.
const OPEN: &str = "open";
const WAIT_ACTION: &str = "wait_action";
const STEP: &str = "step";
const RENDER: &str = "render";
const RESET: &str = "reset";
const SEND: &str = "send";

/// Everything the thread of a session needs.
pub(crate) struct Play {
    pub(crate) session_id: u64,
    pub(crate) worlds: Worlds,
    pub(crate) spares: SparePool,
    pub(crate) inbound: Streaming<PlayRequest>,
    pub(crate) outbox: mpsc::Sender<Reply>,
    pub(crate) runtime: Handle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) open_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) limits: Limits,
    /// The time of all sessions.
    pub(crate) time: PoolAccount,
    /// Held for as long as the session lives.
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Play {
    /// Starts the session's thread.
    pub(crate) fn spawn(self) -> Result<(), SessionError> {
        let name = format!("session-{}", self.session_id);
        let run = move || self.run();
        std::thread::Builder::new().name(name).spawn(run).map(drop).map_err(SessionError::Thread)
    }

    fn run(self) {
        let (outbox, runtime, session_id) = (self.outbox.clone(), self.runtime.clone(), self.session_id);
        let deadline = self.idle_timeout;
        let _open = OpenGauge::new();
        let watch = Arc::new(Watch::new(self.limits));
        runtime.spawn(Arc::clone(&watch).keep(session_id, outbox.downgrade()));
        let mut opened = false;
        // Whatever the world left half done is dropped with the thread; nothing of it is seen again.
        let result = catch_unwind(AssertUnwindSafe(|| Driver::new(self, &watch).run(&mut opened)))
            .unwrap_or_else(|payload| Err(SessionError::Panic(panic_text(payload.as_ref()))));
        if watch.end() {
            tracing::info!(session_id, "the world of a session that was given up came back");
            return;
        }
        let Err(error) = result else { return };
        if opened {
            metrics::count_fault(error.reason());
        } else {
            metrics::count_refused(error.reason());
        }
        if matches!(error, SessionError::Disconnected) {
            return;
        }
        tracing::warn!(session_id, opened, reason = error.reason(), error = %error, "session ended early");
        let status = error.status();
        // The reader may be the one at fault: it gets one deadline to take the reason.
        let _ = runtime.block_on(async { tokio::time::timeout(deadline, outbox.send(Err(status))).await });
    }
}

/// The session's loop and its clock.
struct Driver<'a> {
    play: Play,
    watch: &'a Watch,
    metrics: SessionMetrics,
    step_times: StepTimes,
    clock: Worker,
}

impl<'a> Driver<'a> {
    fn new(play: Play, watch: &'a Watch) -> Self {
        let (metrics, step_times) = (SessionMetrics::new(), StepTimes::new());
        let clock = play.time.join(OPEN);
        Self { play, watch, metrics, step_times, clock }
    }

    fn run(mut self, opened: &mut bool) -> Result<(), SessionError> {
        let request = self.receive_open()?;
        let client = request.client.clone();
        // A world may hang while it is made, too.
        self.watch.mark(Instant::now(), Some(Call::Reset));
        let (mut session, mut reply) = Session::open(request, &self.play.worlds, &self.play.spares)?;
        reply.session_id = self.play.session_id;
        tracing::debug!(
            session_id = reply.session_id,
            client,
            world = reply.world,
            task = reply.task,
            "session opened"
        );
        self.send(play_response::Kind::Opened(reply))?;
        metrics::count_opened();
        *opened = true;
        if !self.start_episode(&mut session)? {
            return Ok(());
        }
        while let Some(action) = self.receive_action()? {
            let entered = self.enter(STEP);
            faults::sleep(Part::EnvStep);
            let outcome = session.act(&action)?;
            self.enter(RENDER);
            let observation = session.show(outcome);
            let last = observation.terminated || observation.truncated;
            self.count(&observation);
            let left = self.send(play_response::Kind::Observation(observation))?;
            self.metrics.step.record((left - entered).as_secs_f64());
            if let Some(limit) = self.step_times.add(left - entered) {
                self.watch.learn(limit);
            }
            if last && !self.start_episode(&mut session)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Starts an episode and sends its reset frame; false when there is none left.
    fn start_episode(&mut self, session: &mut Session) -> Result<bool, SessionError> {
        let entered = self.enter(RESET);
        let Some(observation) = session.start_episode()? else { return Ok(false) };
        let left = self.send(play_response::Kind::Observation(observation))?;
        self.metrics.reset.record((left - entered).as_secs_f64());
        Ok(true)
    }

    fn count(&self, observation: &Observation) {
        self.metrics.steps.increment(1);
        if observation.terminated {
            self.metrics.terminated.increment(1);
        } else if observation.truncated {
            self.metrics.truncated.increment(1);
        }
    }

    fn receive_open(&mut self) -> Result<OpenSession, SessionError> {
        match self.receive(self.play.open_timeout)? {
            Some(play_request::Kind::Open(open)) => Ok(open),
            Some(play_request::Kind::Action(_)) => {
                Err(SessionError::Protocol("the first message must be `open`"))
            }
            None => Err(SessionError::Disconnected),
        }
    }

    /// The next action; none when the client closed the stream.
    fn receive_action(&mut self) -> Result<Option<HumanAction>, SessionError> {
        self.enter(WAIT_ACTION);
        match self.receive(self.play.idle_timeout)? {
            Some(play_request::Kind::Action(action)) => Ok(Some(action)),
            Some(play_request::Kind::Open(_)) => Err(SessionError::Protocol("`open` may come only once")),
            None => Ok(None),
        }
    }

    fn receive(&mut self, deadline: Duration) -> Result<Option<play_request::Kind>, SessionError> {
        let Play { inbound, shutdown, runtime, .. } = &mut self.play;
        if shutdown.is_cancelled() {
            return Err(SessionError::Draining);
        }
        runtime.block_on(async {
            tokio::select! {
                biased;
                message = inbound.message() => match message {
                    Ok(Some(PlayRequest { kind: Some(kind) })) => Ok(Some(kind)),
                    Ok(Some(PlayRequest { kind: None })) => Err(SessionError::Protocol("a message without content")),
                    Ok(None) => Ok(None),
                    Err(status) if is_nonsense(&status) => {
                        Err(SessionError::Protocol("a message that is too long or not one of this protocol's"))
                    }
                    Err(_) => Err(SessionError::Disconnected),
                },
                () = shutdown.cancelled() => Err(SessionError::Draining),
                () = tokio::time::sleep(deadline) => Err(SessionError::Idle { seconds: deadline.as_secs_f64() }),
            }
        })
    }

    /// Sends an answer; returns when sending began.
    fn send(&mut self, kind: play_response::Kind) -> Result<Instant, SessionError> {
        let began = self.enter(SEND);
        let reply = match self.play.outbox.try_send(Ok(PlayResponse { kind: Some(kind) })) {
            Ok(()) => return Ok(began),
            Err(TrySendError::Closed(_)) => return Err(SessionError::Disconnected),
            Err(TrySendError::Full(reply)) => reply,
        };
        let Play { outbox, runtime, idle_timeout, .. } = &self.play;
        let sent = runtime.block_on(async { tokio::time::timeout(*idle_timeout, outbox.send(reply)).await });
        match sent {
            Ok(Ok(())) => Ok(began),
            Ok(Err(_)) => Err(SessionError::Disconnected),
            Err(_) => Err(SessionError::SlowReader { seconds: idle_timeout.as_secs_f64() }),
        }
    }

    /// Goes over to `state`; returns the moment it counts from.
    fn enter(&mut self, state: &'static str) -> Instant {
        let now = self.clock.enter(state);
        let call = match state {
            STEP => Some(Call::Step),
            RESET => Some(Call::Reset),
            // To the watch, rendering is part of the step.
            RENDER => return now,
            _ => None,
        };
        self.watch.mark(now, call);
        now
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.enter(SEND);
    }
}

/// Whether a message came that could not be read, rather than the client going away: only that has a deeper cause.
fn is_nonsense(status: &Status) -> bool {
    let unread = matches!(status.code(), Code::Internal | Code::OutOfRange);
    unread && std::error::Error::source(status).is_none()
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").chars().take(500).collect()
}
