//! The last step of admission: an unroll gets its place in the journal, the ledger and the queue, in one order.

use bytes::Bytes;
use vpt_proto::learner::v1::Hello;

use crate::credits::Ticket;
use crate::journal::{Entry, JournalError};
use crate::ledger::ActorKey;
use crate::metrics;
use crate::queue::ReceivedUnroll;
use crate::service::Services;

/// A checked unroll before its place.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) entry: Entry,
    /// As it came over the wire.
    pub(crate) encoded: Bytes,
    pub(crate) received: ReceivedUnroll,
    pub(crate) ticket: Ticket,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It will be trained on.
    Accepted,
    /// It, or a later one of its slot, has a place already.
    Duplicate,
    /// The learner takes nothing more.
    Draining,
}

/// Nothing more is taken from an actor process.
#[derive(Debug, thiserror::Error)]
#[error(
    "actor {actor_id:?} was not heard of for learner.admission.lease_seconds, or a newer process took over its name: what \
     it held is booked as lost; start it anew, and give two actors two names (actor.id)"
)]
pub(crate) struct Settled {
    actor_id: String,
}

impl Services {
    /// Brings the books up to what a process says at its handshake; blocks while an unroll is given its place.
    ///
    /// # Errors
    /// When the process was settled before.
    pub(crate) fn reconcile(&self, actor: &ActorKey, hello: Hello) -> Result<(), Settled> {
        // No unroll may get a place between a look at its process and the end of that process.
        self.journal.held_still(|| {
            if self.ledger.is_settled(actor) {
                return Err(Settled { actor_id: actor.actor_id.clone() });
            }
            let before = hello.predecessor.filter(|before| before.incarnation != actor.incarnation);
            if let Some((incarnation, report)) = before.and_then(|it| Some((it.incarnation, it.report?))) {
                let predecessor = ActorKey { incarnation, ..actor.clone() };
                self.ledger.reported(&predecessor, &report.into(), 0);
            }
            let answered = hello.answered.into_iter().filter(|&(slot, _)| slot < hello.slots).collect();
            self.ledger.connected(actor, &answered, self.spec.unroll_length as u64);
            Ok(())
        })
    }

    /// Settles the processes that have been without a stream for `limit` beats; blocks as [`reconcile`](Self::reconcile).
    pub(crate) fn expire(&self, limit: u32) {
        let settled = self.journal.held_still(|| self.ledger.expire(limit, || self.actors.connected_keys()));
        metrics::leases_expired(settled);
    }

    /// Gives an unroll its place; blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be recorded; the unroll comes back and nothing is booked.
    pub(crate) fn place(&self, arrival: Arrival) -> Result<Placed, (JournalError, Box<Arrival>)> {
        let Arrival { entry, encoded, received, ticket } = arrival;
        let Entry { actor, slot, sequence, steps } = &entry;
        let mut waiting = Some((received, ticket));
        let is_known = || self.ledger.has_arrived(actor, *slot, *sequence);
        let recorded = self.journal.record(
            &entry,
            &encoded,
            || !self.queue.is_closed() && !is_known(),
            || {
                let Some((received, ticket)) = waiting.take() else { return Placed::Draining };
                self.ledger.arrived(actor, *slot, *sequence, *steps);
                // Its credit rules out that the queue is full: it was closed this moment.
                if self.queue.offer(received, ticket).is_ok() || self.journal.has_payload() {
                    // With its payload recorded, the next start will train on it.
                    return Placed::Accepted;
                }
                self.ledger.dropped("draining", *steps);
                Placed::Draining
            },
        );
        match recorded {
            Ok(Some(placed)) => Ok(placed),
            Ok(None) if is_known() => Ok(Placed::Duplicate),
            Ok(None) => Ok(Placed::Draining),
            Err(error) => {
                let Some((received, ticket)) = waiting else { return Ok(Placed::Draining) };
                Err((error, Box::new(Arrival { entry, encoded, received, ticket })))
            }
        }
    }
}
