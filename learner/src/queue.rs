//! The bounded queue between the network and the training thread.
//!
//! It never drops for being full: credits (see [`crate::credits`]) hold actors back before that. Staleness is judged
//! at the moment of consumption, in published versions; what is too old by then is counted and its credit goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use vpt_proto::learner::v1::Unroll;

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
    pub frames_raw: Vec<u8>,
    /// The version that acted.
    pub version: Version,
    /// Published versions between that one and the one current at consumption.
    pub staleness: u64,
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

struct Queued {
    received: ReceivedUnroll,
    // None for unrolls pushed in-process.
    ticket: Option<Ticket>,
}

/// Unrolls on their way to the training thread.
pub struct UnrollQueue {
    sender: Sender<Queued>,
    receiver: Receiver<Queued>,
    credits: Arc<CreditPool>,
    ledger: Arc<Ledger>,
    capacity: usize,
    max_staleness: u64,
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
            let mut queued = match self.receiver.recv_timeout(left.min(CLOSE_POLL)) {
                Ok(queued) => queued,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if self.closed.load(Ordering::Acquire) && self.receiver.is_empty() {
                        return Err(LearnerError::QueueClosed);
                    }
                    if left <= CLOSE_POLL {
                        return Ok(None);
                    }
                    continue;
                }
            };
            self.took(&queued.received);
            drop(queued.ticket.take());
            self.taken.fetch_add(1, Ordering::Relaxed);
            if let Some(received) = self.judge(queued.received, current) {
                return Ok(Some(received));
            }
        }
    }

    /// An unroll with its staleness; none, and counted, when it is too far from `current`.
    pub(crate) fn judge(&self, mut received: ReceivedUnroll, current: Version) -> Option<ReceivedUnroll> {
        received.staleness = received.version.staleness_from(current);
        metrics::staleness(received.staleness);
        if received.staleness > self.max_staleness {
            self.ledger.dropped("stale", received.steps());
            metrics::unroll("stale");
            return None;
        }
        Some(received)
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
        self.put(Queued { received, ticket: None })
    }

    /// Puts an unroll in that came with `ticket`, which guarantees its place.
    pub(crate) fn offer(&self, received: ReceivedUnroll, ticket: Ticket) -> Result<(), LearnerError> {
        self.put(Queued { received, ticket: Some(ticket) })
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
            self.took(&queued.received);
            self.ledger.dropped(reason, queued.received.steps());
            count += 1;
        }
        count
    }

    /// Unrolls inside.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
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

    fn put(&self, queued: Queued) -> Result<(), LearnerError> {
        if self.is_closed() {
            return Err(LearnerError::QueueClosed);
        }
        // Counted before it can be taken out, so that the sum never wraps.
        let (bytes, steps) = (queued.received.memory_bytes(), queued.received.steps());
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.steps.fetch_add(steps, Ordering::AcqRel);
        let result = self.sender.try_send(queued).map_err(|error| match error {
            TrySendError::Full(_) => LearnerError::QueueFull { capacity: self.capacity },
            TrySendError::Disconnected(_) => LearnerError::QueueClosed,
        });
        if result.is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.steps.fetch_sub(steps, Ordering::AcqRel);
        }
        metrics::queue(self.len(), self.bytes());
        result
    }

    fn took(&self, received: &ReceivedUnroll) {
        self.bytes.fetch_sub(received.memory_bytes(), Ordering::Relaxed);
        self.steps.fetch_sub(received.steps(), Ordering::AcqRel);
        metrics::queue(self.len(), self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn received(sequence: u64, version: Version) -> ReceivedUnroll {
        ReceivedUnroll {
            unroll: Unroll { sequence, length: 32, ..Unroll::default() },
            frames_raw: vec![0; 10],
            version,
            staleness: 0,
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
