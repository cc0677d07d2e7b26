//! One Push stream: handshake, chunks out, credits and acks in, until it breaks or everything is delivered.

use super::outbox::Outbox;
use super::{Break, Client, Delivery, Uplink};
use crate::config::seconds;
use crate::metrics;
use crate::terms::{Schedule, Terms};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use vpt_proto::learner::v1::ack::Outcome;
use vpt_proto::learner::v1::{Ack, Hello, PushRequest, PushResponse, Welcome, push_request, push_response};
use vpt_proto::limits::PROTOCOL_VERSION;
use vpt_runtime::build_info::{GIT_SHA, VERSION};
use vpt_runtime::faults::{self, Part};

/// Chunks handed to the transport before it takes them.
const CHUNKS_UNDER_WAY: usize = 2;

/// A stream after its handshake: requests go in, replies come out.
type Opened = (mpsc::Sender<PushRequest>, Streaming<PushResponse>, Welcome);

impl Uplink {
    /// Opens a stream and delivers over it; success means that nothing is left to do.
    pub(super) async fn deliver(&mut self, client: &Client, delivery: &mut Delivery) -> Result<(), Break> {
        let (requests, mut replies, welcome) = self.connect(client, &delivery.outbox).await?;
        delivery.outbox.connected(welcome.credits);
        tracing::info!(
            run_id = welcome.run_id,
            unroll_length = welcome.unroll_length,
            credits = welcome.credits,
            resend = delivery.outbox.len(),
            "connected to the learner"
        );
        self.agree(&welcome, delivery);
        self.pump(&requests, &mut replies, delivery).await?;
        self.say_goodbye(requests, replies, delivery).await;
        Ok(())
    }

    /// Opens a stream to the learner, or to the rank that it sends this actor on to.
    async fn connect(&self, client: &Client, outbox: &Outbox) -> Result<Opened, Break> {
        let opened = self.open(client, outbox).await?;
        let url = opened.2.push_to.clone();
        if url.is_empty() {
            return Ok(opened);
        }
        drop(opened);
        let other = self.client_of(&url).map_err(|error| Break::new("status", error.to_string()))?;
        let opened = self.open(&other, outbox).await?;
        if !opened.2.push_to.is_empty() {
            return Err(Break::new(
                "status",
                format!("sent on to {url}, and from there to {}", opened.2.push_to),
            ));
        }
        tracing::info!(url, "unrolls go to the rank there");
        Ok(opened)
    }

    async fn open(&self, client: &Client, outbox: &Outbox) -> Result<Opened, Break> {
        let (requests, outbound) = mpsc::channel(CHUNKS_UNDER_WAY);
        let hello = push_request::Kind::Hello(self.hello(outbox));
        requests
            .try_send(PushRequest { kind: Some(hello) })
            .map_err(|_| Break::new("closed", "the stream is closed"))?;
        let wait = seconds(self.config.learner_timeout_seconds);
        let (replies, welcome) = timeout(wait, self.shake_hands(client, outbound))
            .await
            .unwrap_or_else(|_| Err(Break::new("timeout", "no welcome in time")))?;
        Ok((requests, replies, welcome))
    }

    /// Takes the learner's terms over.
    fn agree(&self, welcome: &Welcome, delivery: &mut Delivery) {
        let schedule = welcome.schedule.as_ref().and_then(Schedule::from_wire);
        let kept = schedule.as_ref().map_or(0, Schedule::kept_versions);
        self.shelf.keep(kept);
        if let Some(schedule) = &schedule {
            // Acks come in the order of the run: those that wait for others must not keep the one that is next from
            // going up.
            delivery.outbox.widen(schedule.pending_unrolls(self.config.slots()));
        }
        let unroll_length = welcome.unroll_length as usize;
        self.terms.send_replace(Some(Terms { unroll_length, schedule }));
    }

    fn hello(&self, outbox: &Outbox) -> Hello {
        Hello {
            protocol_version: PROTOCOL_VERSION,
            actor: Some(self.identity.clone()),
            architecture: self.architecture.clone(),
            slots: self.config.slots() as u32,
            answered: outbox.answered(),
            predecessor: self.predecessor.clone(),
            stream: 1 + self.streams.fetch_add(1, Ordering::Relaxed),
            build: format!("{VERSION} {GIT_SHA}"),
        }
    }

    async fn shake_hands(
        &self,
        client: &Client,
        outbound: mpsc::Receiver<PushRequest>,
    ) -> Result<(Streaming<PushResponse>, Welcome), Break> {
        let response = client.clone().push(ReceiverStream::new(outbound)).await;
        let mut replies = response.map_err(|status| Break::status(&status))?.into_inner();
        let first = replies.message().await.map_err(|status| Break::status(&status))?;
        match first.and_then(|first| first.kind) {
            Some(push_response::Kind::Welcome(welcome)) if welcome.protocol_version != PROTOCOL_VERSION => {
                let detail = format!(
                    "it speaks protocol version {}, we {PROTOCOL_VERSION}; update the learner before its actors",
                    welcome.protocol_version
                );
                Err(Break::Refused { detail })
            }
            Some(push_response::Kind::Welcome(welcome)) if welcome.unroll_length == 0 => {
                Err(Break::Refused { detail: "it wants unrolls of no steps".to_owned() })
            }
            Some(push_response::Kind::Welcome(welcome)) => Ok((replies, *welcome)),
            Some(_) => Err(Break::new("status", "the first reply is not a welcome")),
            None => Err(Break::new("closed", "the stream ended without a welcome")),
        }
    }

    /// Moves chunks, acks and credits; ends when the groups are done and everything is acknowledged, or when the
    /// drain deadline has passed.
    async fn pump(
        &mut self,
        requests: &mpsc::Sender<PushRequest>,
        replies: &mut Streaming<PushResponse>,
        delivery: &mut Delivery,
    ) -> Result<(), Break> {
        let mut reports = tokio::time::interval(seconds(self.config.report_seconds));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = seconds(self.config.drain_seconds);
        loop {
            metrics::outbox(delivery.outbox.len(), delivery.outbox.credits());
            self.activity.uplink(delivery.outbox.obstacle());
            if delivery.complete && self.is_done(&delivery.outbox) {
                return Ok(());
            }
            let room = delivery.outbox.has_room() && !delivery.complete;
            let can_send = delivery.outbox.can_send();
            let stopping = delivery.deadline;
            tokio::select! {
                reply = replies.message() => match reply {
                    Ok(Some(reply)) => handle(reply, delivery),
                    Ok(None) => return Err(Break::new("closed", "the learner ended the stream")),
                    Err(status) => return Err(Break::status(&status)),
                },
                permit = requests.reserve(), if can_send => {
                    let permit = permit.map_err(|_| Break::new("closed", "the stream broke"))?;
                    faults::pause(Part::Uplink).await;
                    self.send_chunk(permit, delivery);
                }
                unroll = self.inbox.recv(), if room => delivery.take(unroll, &self.ledger),
                _ = reports.tick() => {
                    // A full channel means chunks are moving; the next tick will do.
                    let report = push_request::Kind::Report(self.report(&delivery.outbox));
                    let _ = requests.try_send(PushRequest { kind: Some(report) });
                }
                () = self.shutdown.cancelled(), if stopping.is_none() => {
                    delivery.deadline = Some(Instant::now() + drain);
                }
                () = until(stopping), if stopping.is_some() => {
                    tracing::warn!(pending = delivery.outbox.len(), "drain deadline passed");
                    let (unrolls, steps) = delivery.outbox.abandon();
                    self.ledger.undelivered(steps);
                    (0..unrolls).for_each(|_| metrics::unroll("dropped"));
                    return Ok(());
                }
            }
        }
    }

    /// Whether nothing is left to wait for once nothing more comes in. In a deterministic run an unroll is acknowledged
    /// when its turn comes, which it never does when another actor has stopped before: there it is enough that all went up.
    fn is_done(&self, outbox: &Outbox) -> bool {
        let is_ordered = self.terms.borrow().as_ref().is_some_and(|terms| terms.schedule.is_some());
        outbox.is_empty() || (is_ordered && outbox.all_went_up())
    }

    fn send_chunk(&self, permit: mpsc::Permit<'_, PushRequest>, delivery: &mut Delivery) {
        let Some(outgoing) = delivery.outbox.next_chunk() else {
            return;
        };
        metrics::sent_bytes(outgoing.chunk.data.len());
        permit.send(PushRequest { kind: Some(push_request::Kind::Chunk(outgoing.chunk)) });
        match outgoing.completes {
            Some(Some(steps)) => {
                self.ledger.sent(steps);
                metrics::unroll("sent");
            }
            Some(None) => metrics::unroll("resent"),
            None => {}
        }
    }

    /// Last report, half-close, and the learner's end of the stream, each with the learner's deadline.
    async fn say_goodbye(
        &self,
        requests: mpsc::Sender<PushRequest>,
        mut replies: Streaming<PushResponse>,
        delivery: &Delivery,
    ) {
        let wait = seconds(self.config.learner_timeout_seconds.min(self.config.drain_seconds));
        let farewell = async {
            let report = push_request::Kind::Report(self.report(&delivery.outbox));
            let _ = requests.send(PushRequest { kind: Some(report) }).await;
            drop(requests);
            while let Ok(Some(_)) = replies.message().await {}
        };
        if timeout(wait, farewell).await.is_err() {
            tracing::warn!("the learner did not end the stream in time");
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn handle(reply: PushResponse, delivery: &mut Delivery) {
    match reply.kind {
        Some(push_response::Kind::Credit(credit)) => delivery.outbox.grant(credit.unrolls),
        Some(push_response::Kind::Ack(ack)) => settle(&ack, delivery),
        Some(push_response::Kind::Welcome(_)) | None => {
            tracing::warn!("the learner sent a reply without a meaning here");
        }
    }
}

fn settle(ack: &Ack, delivery: &mut Delivery) {
    let outcome = match ack.outcome() {
        // It stays and goes up again on the next stream.
        Outcome::Draining => return,
        Outcome::Accepted => "accepted",
        Outcome::Duplicate => "duplicate",
        Outcome::Stale => "rejected_stale",
        Outcome::Invalid | Outcome::Unspecified => {
            tracing::warn!(
                slot = ack.slot,
                sequence = ack.sequence,
                detail = ack.detail,
                "the learner rejected an unroll"
            );
            "rejected_invalid"
        }
    };
    delivery.refusals = 0;
    metrics::unroll(outcome);
    match delivery.outbox.settle(ack.slot, ack.sequence) {
        Some(unroll) if matches!(outcome, "accepted" | "duplicate") => unroll.trace.good(),
        Some(unroll) => unroll.trace.lost(outcome),
        None => {
            tracing::warn!(slot = ack.slot, sequence = ack.sequence, "an ack for an unroll that is not here");
        }
    }
}
