//! The bounded queue between the network and the training thread.
//!
//! It never drops for being full: credits (see [`crate::credits`]) hold actors back before that. Staleness is judged
//! at the moment of consumption, in published versions; what is too old by then is counted and its credit goes back.
//! An unroll that is being made ready for training (see [`crate::source`]) is out of the channel, but keeps its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use vpt_proto::learner::v1::Unroll;
use vpt_runtime::traces::Trace;

use crate::admission::AdmissionConfig;
use crate::credits::{CreditPool, Ticket};
use crate::error::LearnerError;
use crate::ledger::Ledger;
use crate::metrics;
use crate::version::Version;

/// How often a waiting consumer looks whether the queue was closed.
const CLOSE_POLL: Duration = Duration::from_millis(50);

/// An unroll that was checked on arrival, its frames decoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedUnroll {
    /// Everything but the frames; `unroll.frames` is empty.
    pub unroll: Unroll,
    /// `[T, H, W, 3]` u8.
    pub frames_raw: Bytes,
    /// The version that acted.
    pub version: Version,
    /// Published versions between that one and the one current at consumption.
    pub staleness: u64,
    /// What is noted about its way from here to the weights.
    pub trace: Trace,
}

impl ReceivedUnroll {
    /// Env steps inside.
    pub fn steps(&self) -> u64 {
        u64::from(self.unroll.length)
    }

    /// Memory it takes, in bytes, near enough.
    pub fn memory_bytes(&self) -> u64 {
        let state = self.unroll.state.iter().flat_map(|layer| [&layer.mask, &layer.keys, &layer.values]);
        let state: usize = state.flatten().map(|tensor| tensor.data.len()).sum();
        (self.frames_raw.len() + state) as u64
    }
}

/// An unroll out of the channel whose place is still taken.
pub(crate) struct Queued {
    pub(crate) received: ReceivedUnroll,
    pub(crate) place: Place,
}

/// What an unroll takes of the queue's bounds until training takes it, or it is given up.
#[derive(Debug)]
pub(crate) struct Place {
    // None for unrolls pushed in-process.
    ticket: Option<Ticket>,
    bytes: u64,
    steps: u64,
}

/// Unrolls on their way to the training thread.
pub struct UnrollQueue {
    sender: Sender<Queued>,
    receiver: Receiver<Queued>,
    credits: Arc<CreditPool>,
    ledger: Arc<Ledger>,
    capacity: usize,
    max_staleness: u64,
    unrolls: AtomicUsize,
    bytes: AtomicU64,
    steps: AtomicU64,
    taken: AtomicU64,
    closed: AtomicBool,
}

impl std::fmt::Debug for UnrollQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnrollQueue").field("len", &self.len()).field("capacity", &self.capacity).finish()
    }
}

impl UnrollQueue {
    /// A queue of `config.queue_unrolls` that books what it drops in `ledger`.
    pub fn new(config: &AdmissionConfig, ledger: Arc<Ledger>) -> Arc<Self> {
        let capacity = config.queue_unrolls.max(1);
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        Arc::new(Self {
            sender,
            receiver,
            credits: CreditPool::new(u32::try_from(capacity).unwrap_or(u32::MAX)),
            ledger,
            capacity,
            max_staleness: config.max_staleness,
            unrolls: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Waits at most `timeout` for an unroll that is not too far from `current`; blocks the calling thread.
    ///
    /// Taking one out returns its credit to the actors.
    ///
    /// # Errors
    /// When the queue is closed and empty.
    pub fn recv(&self, timeout: Duration, current: Version) -> Result<Option<ReceivedUnroll>, LearnerError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(Queued { mut received, place }) = self.take(left)? else { return Ok(None) };
            self.consumed(place);
            if let Some(staleness) = self.judge(received.version, received.steps(), current) {
                received.staleness = staleness;
                return Ok(Some(received));
            }
        }
    }

    /// Waits at most `timeout` for the next unroll, which keeps its place until [`Self::consumed`].
    ///
    /// # Errors
    /// When the queue is closed and empty.
    pub(crate) fn take(&self, timeout: Duration) -> Result<Option<Queued>, LearnerError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left.min(CLOSE_POLL)) {
                Ok(queued) => {
                    queued.received.trace.lap("queue");
                    return Ok(Some(queued));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if self.closed.load(Ordering::Acquire) && self.receiver.is_empty() {
                        return Err(LearnerError::QueueClosed);
                    }
                    if left <= CLOSE_POLL {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Frees the place of an unroll that training takes now.
    pub(crate) fn consumed(&self, place: Place) {
        self.free(place);
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Frees the place of an unroll that nobody will train on and, with a reason, books its steps as dropped.
    pub(crate) fn give_up(&self, place: Place, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.ledger.dropped(reason, place.steps);
        }
        self.free(place);
    }

    /// The staleness at `current` of an unroll that `version` acted in; none, and counted, when that is too much.
    pub(crate) fn judge(&self, version: Version, steps: u64, current: Version) -> Option<u64> {
        let staleness = version.staleness_from(current);
        metrics::staleness(staleness);
        if staleness > self.max_staleness {
            self.ledger.dropped("stale", steps);
            metrics::unroll("stale");
            return None;
        }
        Some(staleness)
    }

    /// Unrolls taken out so far, those too old included.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Puts an unroll in from within the process, without a credit.
    ///
    /// # Errors
    /// When the queue is full or closed.
    pub fn push(&self, received: ReceivedUnroll) -> Result<(), LearnerError> {
        self.put(received, None)
    }

    /// Puts an unroll in that came with `ticket`, which guarantees its place.
    pub(crate) fn offer(&self, received: ReceivedUnroll, ticket: Ticket) -> Result<(), LearnerError> {
        self.put(received, Some(ticket))
    }

    /// Lets nothing more in; what is inside can still be taken out.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Empties the queue and books what was inside as dropped for `reason`; returns how many unrolls.
    pub fn discard(&self, reason: &str) -> usize {
        let mut count = 0;
        while let Ok(queued) = self.receiver.try_recv() {
            self.give_up(queued.place, Some(reason));
            count += 1;
        }
        count
    }

    /// Unrolls inside, those that are being made ready for training included.
    pub fn len(&self) -> usize {
        self.unrolls.load(Ordering::Relaxed)
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of what is inside, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Env steps of what is inside.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    /// Bound on [`len`](Self::len), in unrolls.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Staleness above which an unroll is dropped, in published versions.
    pub fn max_staleness(&self) -> u64 {
        self.max_staleness
    }

    /// The credits that keep this queue within its bound.
    pub fn credits(&self) -> &Arc<CreditPool> {
        &self.credits
    }

    fn put(&self, received: ReceivedUnroll, ticket: Option<Ticket>) -> Result<(), LearnerError> {
        if self.is_closed() {
            return Err(LearnerError::QueueClosed);
        }
        received.trace.lap("place");
        // Counted before it can be taken out, so that the sum never wraps.
        let (bytes, steps) = (received.memory_bytes(), received.steps());
        self.unrolls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.steps.fetch_add(steps, Ordering::AcqRel);
        let place = Place { ticket, bytes, steps };
        match self.sender.try_send(Queued { received, place }) {
            Ok(()) => {
                metrics::queue(self.len(), self.bytes());
                Ok(())
            }
            Err(TrySendError::Full(queued)) => {
                self.free(queued.place);
                Err(LearnerError::QueueFull { capacity: self.capacity })
            }
            Err(TrySendError::Disconnected(queued)) => {
                self.free(queued.place);
                Err(LearnerError::QueueClosed)
            }
        }
    }

    fn free(&self, place: Place) {
        let Place { ticket, bytes, steps } = place;
        self.unrolls.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.steps.fetch_sub(steps, Ordering::AcqRel);
        metrics::queue(self.len(), self.bytes());
        drop(ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn received(sequence: u64, version: Version) -> ReceivedUnroll {
        ReceivedUnroll {
            unroll: Unroll { sequence, length: 32, ..Unroll::default() },
            frames_raw: vec![0; 10].into(),
            version,
            ..ReceivedUnroll::default()
        }
    }

    fn queue(queue_unrolls: usize, max_staleness: u64) -> (Arc<UnrollQueue>, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::new());
        let config = AdmissionConfig { queue_unrolls, max_staleness, ..AdmissionConfig::default() };
        (UnrollQueue::new(&config, ledger.clone()), ledger)
    }

    #[test]
    fn stale_unroll_is_dropped_and_counted() {
        let (queue, ledger) = queue(8, 2);
        for sequence in [1, 2, 3, 9] {
            queue.push(received(sequence, Version::new(1, sequence))).unwrap();
        }
        let current = Version::new(2, 5);
        let kept = queue.recv(NOW, current).unwrap().unwrap();
        assert_eq!((kept.unroll.sequence, kept.staleness), (3, 2));
        assert!(queue.recv(NOW, current).unwrap().is_none());
        assert_eq!(ledger.totals().dropped["stale"], 96);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_future_that_a_crash_undid_is_admitted_within_the_bound() {
        let (queue, _) = queue(8, 2);
        queue.push(received(0, Version::new(1, 7))).unwrap();
        assert_eq!(queue.recv(NOW, Version::new(2, 5)).unwrap().unwrap().staleness, 2);
    }

    #[test]
    fn consuming_returns_the_credit() {
        let (queue, _) = queue(2, 2);
        let account = queue.credits().open(8);
        assert_eq!(account.grant().take(), 2);
        queue.offer(received(0, Version::new(1, 1)), account.spend().unwrap()).unwrap();
        assert_eq!(account.grant().take(), 0);
        queue.recv(NOW, Version::new(1, 9)).unwrap();
        assert_eq!(account.grant().take(), 1, "a stale one returns it too");
    }

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_drains() {
        let (queue, ledger) = queue(1, 9);
        queue.push(received(0, Version::new(1, 1))).unwrap();
        let full = queue.push(received(1, Version::new(1, 1)));
        assert!(matches!(full, Err(LearnerError::QueueFull { capacity: 1 })));
        queue.close();
        assert!(matches!(queue.push(received(2, Version::new(1, 1))), Err(LearnerError::QueueClosed)));
        assert_eq!(queue.discard("draining"), 1);
        assert_eq!(ledger.totals().dropped["draining"], 32);
        assert!(matches!(queue.recv(NOW, Version::new(1, 1)), Err(LearnerError::QueueClosed)));
    }
}
