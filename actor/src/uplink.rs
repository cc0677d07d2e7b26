//! The way up to the learner: one Push stream at a time, under credits, resent after a break until acknowledged.

mod outbox;
mod stream;

use crate::acting_policy::ActingPolicy;
use crate::activity::Activity;
use crate::config::{ActorConfig, seconds};
use crate::encoded_unroll::EncodedUnroll;
use crate::env_client::channel;
use crate::error::ActorError;
use crate::ledger::Ledger;
use crate::metrics;
use crate::policy_shelf::PolicyShelf;
use crate::terms::Terms;
use outbox::Outbox;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use vpt_proto::common::v1::ActorIdentity;
use vpt_proto::learner::v1::trajectory_service_client::TrajectoryServiceClient;
use vpt_proto::learner::v1::{ActorReport, Predecessor};
use vpt_proto::limits::MAX_MESSAGE_BYTES;
use vpt_runtime::Backoff;
use vpt_runtime::counter_hash::counter_hash;
use vpt_runtime::net::Channel;
use vpt_runtime::security::{Role, Security};

/// A stopping actor does not wait longer than this for a learner that is away.
const AWAY_WHILE_DRAINING: Duration = Duration::from_secs(2);
/// Streams in a row that the learner refused without having acknowledged anything, after which it is final.
const REFUSALS: u32 = 5;

/// The state of the uplink between streams.
pub(crate) struct Uplink {
    pub(crate) config: ActorConfig,
    pub(crate) security: Security,
    pub(crate) identity: ActorIdentity,
    pub(crate) architecture: String,
    /// Streams opened so far.
    pub(crate) streams: AtomicU64,
    pub(crate) inbox: mpsc::Receiver<EncodedUnroll>,
    pub(crate) terms: watch::Sender<Option<Terms>>,
    pub(crate) shelf: Arc<PolicyShelf>,
    pub(crate) policies: watch::Receiver<Option<Arc<ActingPolicy>>>,
    pub(crate) ledger: Ledger,
    pub(crate) activity: Activity,
    /// What an earlier process of this name had counted.
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) shutdown: CancellationToken,
}

/// Why a stream ended before the uplink was done.
#[derive(Debug)]
enum Break {
    /// Try again; the reason is one of [`metrics::RECONNECT_REASONS`].
    Retry { reason: &'static str, detail: String },
    /// The learner will not have this actor.
    Refused { detail: String },
}

impl Break {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry { reason, detail: detail.into() }
    }

    fn status(status: &Status) -> Self {
        let detail = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::FailedPrecondition
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated => Self::Refused { detail },
            Code::Unavailable => Self::new("unavailable", detail),
            Code::DeadlineExceeded => Self::new("timeout", detail),
            // What the learner says comes without a cause; a connection that broke has one.
            _ if std::error::Error::source(status).is_some() => Self::new("closed", detail),
            _ => Self::new("status", detail),
        }
    }
}

/// What lasts from stream to stream.
struct Delivery {
    outbox: Outbox,
    /// All groups have ended: nothing comes in any more.
    complete: bool,
    /// When a stopping actor gives up.
    deadline: Option<Instant>,
    /// Streams since the last ack that the learner ended with an error of ours.
    refusals: u32,
}

impl Uplink {
    /// Delivers unrolls until the actor stops and everything is acknowledged or the drain deadline has passed.
    pub(crate) async fn run(mut self) -> Result<(), ActorError> {
        let client = self.client_of(&self.config.learner)?;
        let mut delivery = Delivery {
            outbox: Outbox::new(self.config.pending_unrolls),
            complete: false,
            deadline: None,
            refusals: 0,
        };
        let mut backoff = Backoff::new(
            seconds(self.config.reconnect_first_seconds),
            seconds(self.config.reconnect_cap_seconds),
            counter_hash(&[self.identity.incarnation]),
        );
        let mut away_since = Instant::now();
        loop {
            let began = Instant::now();
            let Err(broken) = self.deliver(&client, &mut delivery).await else {
                break;
            };
            if self.terms.borrow().is_some() && began.elapsed() > backoff_reset_after(&self.config) {
                backoff.reset();
                away_since = Instant::now();
            }
            self.note(&broken, &mut delivery)?;
            let away = away_since.elapsed() > AWAY_WHILE_DRAINING;
            if self.pause(&mut delivery, backoff.next_delay()).await && away {
                break;
            }
        }
        let (unrolls, steps) = delivery.outbox.abandon();
        self.ledger.undelivered(steps);
        for _ in 0..unrolls {
            metrics::unroll("dropped");
        }
        Ok(())
    }

    /// A client of the learner at `url`, not yet connected.
    fn client_of(&self, url: &str) -> Result<Client, ActorError> {
        let connect = seconds(self.config.learner_timeout_seconds);
        let channel = channel(&self.security, url, "actor.learner", connect, &[Role::Learner])?;
        Ok(TrajectoryServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// Counts and logs a break; an error when it is final.
    fn note(&self, broken: &Break, delivery: &mut Delivery) -> Result<(), ActorError> {
        delivery.outbox.disconnected();
        self.activity.uplink("away");
        let refused = |detail: &String| {
            Err(ActorError::LearnerRefused { address: self.config.learner.clone(), reason: detail.clone() })
        };
        match broken {
            Break::Refused { detail } => refused(detail),
            Break::Retry { reason, detail } => {
                metrics::learner_reconnect(reason);
                tracing::warn!(
                    reason,
                    detail,
                    pending = delivery.outbox.len(),
                    "stream to the learner broke"
                );
                delivery.refusals += u32::from(*reason == "status");
                if delivery.refusals >= REFUSALS { refused(detail) } else { Ok(()) }
            }
        }
    }

    /// Waits before the next try, taking unrolls in as long as there is room; true when the actor is stopping.
    async fn pause(&mut self, delivery: &mut Delivery, delay: Duration) -> bool {
        let until = tokio::time::sleep(delay);
        tokio::pin!(until);
        loop {
            let room = delivery.outbox.has_room() && !delivery.complete;
            tokio::select! {
                () = &mut until => return self.shutdown.is_cancelled(),
                unroll = self.inbox.recv(), if room => delivery.take(unroll, &self.ledger),
            }
        }
    }

    fn report(&self, outbox: &Outbox) -> ActorReport {
        let acting = self.policies.borrow().as_ref().map(|policy| policy.version());
        ActorReport {
            resending: outbox.is_resending(),
            actor_time: Some(self.activity.actor_time()),
            uplink_time: Some(self.activity.uplink_time()),
            ..self.ledger.report(acting, outbox.unsent_steps())
        }
    }
}

impl Delivery {
    fn take(&mut self, unroll: Option<EncodedUnroll>, ledger: &Ledger) {
        match unroll {
            Some(unroll) => {
                unroll.trace.lap("wait_outbox");
                ledger.handed_over(unroll.steps);
                self.outbox.push(unroll);
            }
            None => self.complete = true,
        }
        metrics::outbox(self.outbox.len(), self.outbox.credits());
    }
}

/// A stream that held this long was a good one.
fn backoff_reset_after(config: &ActorConfig) -> Duration {
    seconds(config.reconnect_cap_seconds)
}

type Client = TrajectoryServiceClient<Channel>;
