//! The last step of admission: an unroll gets its place in the journal, the ledger and the queue, in one order.

use bytes::Bytes;

use crate::credits::Ticket;
use crate::journal::{Entry, JournalError};
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

impl Services {
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
