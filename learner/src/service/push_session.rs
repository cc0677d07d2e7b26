//! One push stream: handshake, then unrolls in, acks and credits out, until either side ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::{Status, Streaming};
use vpt_proto::learner::v1::ack::Outcome;
use vpt_proto::learner::v1::{
    Ack, ActorReport, Credit, Hello, PushRequest, PushResponse, Welcome, push_request, push_response,
};
use vpt_runtime::faults::{self, Part};
use vpt_runtime::pool_account::Worker;

use super::Shared;
use super::assembly::{Assembler, Complete};
use super::handshake::{Refusal, draining, general_terms, handshake, refuse};
use super::spoken::SpokenProtocol;
use crate::actors::Connection;
use crate::admission::Envelope;
use crate::credits::Account;
use crate::intake::{Arrival, Placed};
use crate::journal::{Entry, JournalError};
use crate::ledger::ActorKey;
use crate::metrics;
use crate::turnstile::Passage;
use crate::version::Version;

/// Characters of an actor's build in the log.
const BUILD_CHARS: usize = 64;

/// Reasons a report may list.
const REPORTED_REASONS: usize = 64;

/// How long an actor may leave replies unread.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// How an actor is answered.
pub(crate) type Replies = mpsc::Sender<Result<PushResponse, Status>>;

/// How an actor is answered later, if its stream is still open by then. What waits must not keep the stream open: an actor
/// that has said all it had to say waits for its end.
pub(crate) type LaterReplies = mpsc::WeakSender<Result<PushResponse, Status>>;

/// Serves `inbound` until it ends; an error is what the actor is to be told.
pub(super) async fn run(
    shared: &Arc<Shared>,
    mut inbound: Streaming<PushRequest>,
    replies: &Replies,
) -> Result<(), Status> {
    let outcome = async {
        // What is over after a moment does not take its room in the task of a stream that lives for hours.
        match Box::pin(begin(shared, &mut inbound, replies)).await? {
            Some(mut session) => session.serve(&mut inbound).await,
            None => Ok(()),
        }
    };
    match outcome.await {
        Ok(()) => Ok(()),
        Err(Refusal { reason, status }) => {
            metrics::push_refused(reason);
            Err(status)
        }
    }
}

/// The stream's first messages; none when its actor was sent on to another rank.
async fn begin(
    shared: &Arc<Shared>,
    inbound: &mut Streaming<PushRequest>,
    replies: &Replies,
) -> Result<Option<Session>, Refusal> {
    let (actor, hello) = handshake(shared, inbound).await?;
    if let Some(url) = shared.learner.assignment.elsewhere(&actor.actor_id, hello.slots) {
        let welcome =
            Welcome { push_to: url.to_owned(), ..general_terms(&shared.learner, hello.protocol_version) };
        send(replies, push_response::Kind::Welcome(Box::new(welcome))).await?;
        return Ok(None);
    }
    let session = Session::open(shared, actor, &hello, replies.clone())?;
    session.reconcile(hello).await?;
    session.welcome().await?;
    Ok(Some(session))
}

/// Credits an actor may hold: what its slots can use soon, and never so many that its standing still starves the rest.
fn credit_limit(shared: &Shared, slots: u32) -> u32 {
    let queue = &shared.learner.queue;
    let configured = u32::try_from(shared.learner.admission.credits_per_actor).unwrap_or(u32::MAX);
    if let Some(turnstile) = &shared.learner.turnstile {
        let needed = turnstile.schedule().unrolls_per_actor(slots);
        return u32::try_from(needed).unwrap_or(u32::MAX);
    }
    let half = queue.credits().capacity().div_ceil(2);
    slots.saturating_mul(2).min(configured).min(half).max(1)
}

fn lost() -> Refusal {
    refuse("protocol", Status::internal("placing the unroll failed"))
}

/// The actor keeps what was not recorded and comes again.
fn unrecorded(error: &JournalError) -> Refusal {
    tracing::error!(%error, "unrolls are not taken in");
    refuse("journal", Status::unavailable(error.to_string()))
}

fn count(outcome: Outcome) {
    metrics::unroll(match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Duplicate => "duplicate",
        Outcome::Stale => "stale",
        Outcome::Draining => "draining",
        Outcome::Invalid | Outcome::Unspecified => "invalid",
    });
}

/// An unroll that was looked at.
enum Checked {
    Good(Box<Arrival>),
    Refused(Outcome, String),
}

/// A stream after its handshake.
struct Session {
    shared: Arc<Shared>,
    actor: ActorKey,
    slots: u32,
    connection: Connection,
    account: Account,
    assembler: Assembler,
    /// When the unroll that is under way must be whole.
    unroll_due: Option<Instant>,
    replies: Replies,
    clock: Worker,
    protocol: SpokenProtocol,
}

impl Session {
    fn open(shared: &Arc<Shared>, actor: ActorKey, hello: &Hello, replies: Replies) -> Result<Self, Refusal> {
        let learner = &shared.learner;
        if learner.queue.is_closed() {
            return Err(draining());
        }
        if learner.weights.current().is_none() {
            // Without a newest version nothing can be told from the future; the actor has nothing to act with either.
            return Err(refuse("handshake", Status::unavailable("no weights are published yet")));
        }
        if let Some(turnstile) = &learner.turnstile {
            let fits = turnstile.schedule().misfit(hello.slots, &learner.admission).map_or(Ok(()), Err);
            let known = fits.and_then(|()| learner.ledger.only_incarnation(&actor));
            known
                .and_then(|()| turnstile.join(&actor.actor_id, hello.slots))
                .map_err(|reason| refuse("handshake", Status::failed_precondition(reason)))?;
        }
        learner
            .actors
            .note_stream(&actor, hello.stream)
            .map_err(|error| refuse("replay", Status::failed_precondition(error.to_string())))?;
        let connection = learner.actors.connect(&actor).map_err(|error| match error {
            crate::actors::ConnectError::Superseded { .. } => {
                refuse("superseded", Status::failed_precondition(error.to_string()))
            }
            crate::actors::ConnectError::Replayed { .. } | crate::actors::ConnectError::TooMany { .. } => {
                refuse("handshake", Status::resource_exhausted(error.to_string()))
            }
        })?;
        tracing::info!(
            actor_id = actor.actor_id,
            incarnation = actor.incarnation,
            slots = hello.slots,
            protocol_version = hello.protocol_version,
            build = hello.build.chars().take(BUILD_CHARS).collect::<String>(),
            "actor connected"
        );
        connection.plays(hello.slots);
        Ok(Self {
            shared: shared.clone(),
            actor,
            slots: hello.slots,
            connection,
            account: learner.queue.credits().open(credit_limit(shared, hello.slots)),
            assembler: Assembler::new(hello.slots, learner.admission.max_unroll_bytes),
            unroll_due: None,
            replies,
            clock: learner.status.accounts().intake().join("wait_actor"),
            protocol: SpokenProtocol::new(hello.protocol_version),
        })
    }

    /// Brings the books up to what the actor says of itself; before anything else is taken from it.
    async fn reconcile(&self, hello: Hello) -> Result<(), Refusal> {
        let (learner, actor) = (self.shared.learner.clone(), self.actor.clone());
        let reconciled = tokio::task::spawn_blocking(move || learner.reconcile(&actor, hello));
        match reconciled.await.map_err(|_| lost())? {
            Ok(()) => Ok(()),
            Err(settled) => Err(refuse("superseded", Status::failed_precondition(settled.to_string()))),
        }
    }

    async fn welcome(&self) -> Result<(), Refusal> {
        let learner = &self.shared.learner;
        let welcome = Welcome {
            credits: self.account.grant().take(),
            schedule: learner.turnstile.as_ref().map(|turnstile| turnstile.schedule().wire(self.slots)),
            ..general_terms(learner, self.protocol.version())
        };
        self.reply(push_response::Kind::Welcome(Box::new(welcome))).await
    }

    async fn serve(&mut self, inbound: &mut Streaming<PushRequest>) -> Result<(), Refusal> {
        let idle = Duration::from_secs_f64(self.shared.learner.admission.idle_timeout_seconds);
        let shutdown = self.shared.shutdown.clone();
        let replaced = self.connection.replaced.clone();
        let silent = tokio::time::sleep(idle);
        tokio::pin!(silent);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Err(draining()),
                () = replaced.cancelled() => {
                    let message = "a newer stream of this actor took over";
                    return Err(refuse("superseded", Status::aborted(message)));
                }
                () = self.account.grant().granted() => {
                    let unrolls = self.account.grant().take();
                    self.reply(push_response::Kind::Credit(Credit { unrolls })).await?;
                }
                () = until(self.unroll_due), if self.unroll_due.is_some() => {
                    let message = "an unroll took longer than learner.admission.unroll_timeout_seconds";
                    return Err(refuse("deadline", Status::deadline_exceeded(message)));
                }
                () = &mut silent => {
                    let message = format!("silent for {} s", idle.as_secs_f64());
                    return Err(refuse("deadline", Status::deadline_exceeded(message)));
                }
                message = inbound.message() => {
                    let message = message.map_err(|status| refuse("protocol", status))?;
                    let Some(message) = message else { return Ok(()) };
                    // Boxed: a stream is idle most of the time, and then this takes nothing.
                    Box::pin(self.handle(message)).await?;
                    self.clock.enter("wait_actor");
                    silent.as_mut().reset(Instant::now() + idle);
                }
            }
        }
    }

    async fn handle(&mut self, message: PushRequest) -> Result<(), Refusal> {
        match message.kind {
            Some(push_request::Kind::Chunk(chunk)) => {
                let account = &self.account;
                let whole = self.assembler.push(chunk, || account.spend()).map_err(|error| {
                    metrics::unroll("broken");
                    refuse(error.reason(), error.into())
                })?;
                match whole {
                    Some(whole) => {
                        self.unroll_due = None;
                        self.take_in(whole).await
                    }
                    None => {
                        let seconds = self.shared.learner.admission.unroll_timeout_seconds;
                        let due = || Instant::now() + Duration::from_secs_f64(seconds);
                        self.unroll_due.get_or_insert_with(due);
                        Ok(())
                    }
                }
            }
            Some(push_request::Kind::Report(report)) => self.report(report).await,
            Some(push_request::Kind::Hello(_)) => {
                Err(refuse("protocol", Status::invalid_argument("a second hello")))
            }
            None => Err(refuse("protocol", Status::invalid_argument("an empty message"))),
        }
    }

    /// Decodes, checks and books a whole unroll and gives it its place; answers it, at once or when its turn has come.
    async fn take_in(&mut self, whole: Complete) -> Result<(), Refusal> {
        let (slot, sequence) = (whole.slot, whole.sequence);
        metrics::unroll_bytes(whole.encoded.len());
        self.clock.enter("decode");
        let checked = self.check(whole).await?;
        if let Checked::Good(arrival) = &checked {
            self.shared.learner.slots.offer(&arrival.received);
        }
        let (outcome, detail) = match checked {
            Checked::Refused(outcome, detail) => (outcome, detail),
            Checked::Good(arrival) if self.shared.learner.turnstile.is_some() => {
                self.clock.enter("place");
                return self.wait_in_line(*arrival).await;
            }
            Checked::Good(arrival) => {
                self.clock.enter("place");
                (self.place(*arrival).await?, String::new())
            }
        };
        self.clock.enter("wait_actor");
        self.answer(Ack { slot, sequence, outcome: outcome.into(), detail }).await
    }

    async fn answer(&self, ack: Ack) -> Result<(), Refusal> {
        count(ack.outcome());
        self.reply(push_response::Kind::Ack(ack)).await
    }

    /// What is wrong with an unroll, booked, or the unroll ready for its place.
    async fn check(&self, whole: Complete) -> Result<Checked, Refusal> {
        let learner = &self.shared.learner;
        let (slot, sequence) = (whole.slot, whole.sequence);
        if learner.ledger.has_arrived(&self.actor, slot, sequence) {
            return Ok(Checked::Refused(Outcome::Duplicate, String::new()));
        }
        if learner.queue.is_closed() {
            // Not answered: the actor keeps it and sends it to whoever comes next.
            return Err(draining());
        }
        let newest = learner.weights.newest().unwrap_or_default();
        let since = Some(whole.since);
        let envelope = Envelope { actor: self.actor.clone(), slot, sequence, newest, since };
        let (spec, pieces) = (learner.spec.clone(), whole.encoded);
        let decode = move || {
            faults::sleep(Part::Decode);
            let encoded = pieces.join();
            (spec.admit(encoded.clone(), &envelope), encoded)
        };
        let (admitted, encoded) = tokio::task::spawn_blocking(decode)
            .await
            .map_err(|_| refuse("protocol", Status::internal("decoding the unroll failed")))?;
        let steps = learner.spec.unroll_length as u64;
        let refused = |reason: &'static str, outcome, detail| {
            if !learner.ledger.refused(&self.actor, (slot, sequence), steps, reason) {
                return Checked::Refused(Outcome::Duplicate, String::new());
            }
            Checked::Refused(outcome, detail)
        };
        let received = match admitted {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(actor_id = self.actor.actor_id, slot, sequence, %error, "unroll refused");
                return Ok(refused("invalid", Outcome::Invalid, error.to_string()));
            }
        };
        // Versions only go up, so what is too old at the door can only be older at consumption. In a deterministic run
        // nothing may depend on when it comes.
        let behind = newest.sequence.saturating_sub(received.version.sequence);
        if behind > learner.queue.max_staleness() && learner.turnstile.is_none() {
            metrics::staleness(behind);
            received.trace.lost("stale");
            let detail = format!("version {} is {behind} behind {newest}", received.version);
            return Ok(refused("stale", Outcome::Stale, detail));
        }
        let entry = Entry { actor: self.actor.clone(), slot, sequence, steps };
        let arrival = Arrival { entry, encoded, received, ticket: whole.ticket };
        Ok(Checked::Good(Box::new(arrival)))
    }

    async fn place(&self, arrival: Arrival) -> Result<Outcome, Refusal> {
        let learner = self.shared.learner.clone();
        let placed = tokio::task::spawn_blocking(move || learner.place(arrival)).await.map_err(|_| lost())?;
        match placed.map_err(|(error, _)| unrecorded(&error))? {
            Placed::Accepted => Ok(Outcome::Accepted),
            Placed::Duplicate => Ok(Outcome::Duplicate),
            // Not answered: the actor keeps it and sends it to whoever comes next.
            Placed::Draining => Err(draining()),
        }
    }

    /// Deterministic runs: the acks of all unrolls whose turn this one makes it, each to its own actor.
    async fn wait_in_line(&self, arrival: Arrival) -> Result<(), Refusal> {
        let (learner, replies) = (self.shared.learner.clone(), self.replies.downgrade());
        let entered = tokio::task::spawn_blocking(move || match &learner.turnstile {
            Some(turnstile) => turnstile.enter(&learner, arrival, replies),
            None => Passage { answers: Vec::new(), failure: None },
        });
        let Passage { answers, failure } = entered.await.map_err(|_| lost())?;
        for (replies, ack) in answers {
            count(ack.outcome());
            let reply = PushResponse { kind: Some(push_response::Kind::Ack(ack)) };
            // One whose stream has ended sends its unroll again, if it still lives.
            let Some(replies) = replies.upgrade() else { continue };
            // Of their own, so that no stream waits for another actor.
            tokio::spawn(async move { timeout(REPLY_DEADLINE, replies.send(Ok(reply))).await });
        }
        failure.map_or(Ok(()), |error| Err(unrecorded(&error)))
    }

    async fn report(&self, report: ActorReport) -> Result<(), Refusal> {
        if report.env_steps_dropped.len() > REPORTED_REASONS {
            return Err(refuse("protocol", Status::invalid_argument("too many reasons in a report")));
        }
        if self.connection.replaced.is_cancelled() {
            // A newer stream speaks for this actor.
            return Ok(());
        }
        if let Some(version) = report.acting_version {
            self.connection.acting(Version::from(version));
        }
        self.shared.learner.status.accounts().reported(&self.actor, &report);
        let (learner, actor) = (self.shared.learner.clone(), self.actor.clone());
        let Some(turnstile) = learner.turnstile.clone() else {
            learner.ledger.reported(&actor, &report.into(), 0);
            return Ok(());
        };
        let booked = tokio::task::spawn_blocking(move || {
            turnstile
                .while_waiting(&actor, |waiting| learner.ledger.reported(&actor, &report.into(), waiting));
        });
        booked.await.map_err(|_| lost())
    }

    async fn reply(&self, kind: push_response::Kind) -> Result<(), Refusal> {
        send(&self.replies, kind).await
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn send(replies: &Replies, kind: push_response::Kind) -> Result<(), Refusal> {
    match timeout(REPLY_DEADLINE, replies.send(Ok(PushResponse { kind: Some(kind) }))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(refuse("protocol", Status::cancelled("the actor closed the stream"))),
        Err(_) => Err(refuse("deadline", Status::deadline_exceeded("the actor does not read its replies"))),
    }
}
