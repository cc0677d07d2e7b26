//! Unrolls on their way up: queued, being sent under credits, sent and not acknowledged. Pure: no I/O.

use crate::encoded_unroll::EncodedUnroll;
use std::collections::{BTreeMap, HashMap, VecDeque};
use vpt_proto::learner::v1::UnrollChunk;

/// At most `limit` unrolls; the first `sent` of them await their ack, the one after may be partly sent.
#[derive(Debug)]
pub(super) struct Outbox {
    limit: usize,
    queue: VecDeque<Entry>,
    sent: usize,
    offset: usize,
    credits: u32,
    /// By slot, the sequence after the highest one that was decided about.
    decided: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct Entry {
    unroll: EncodedUnroll,
    /// It went up whole once, on this stream or on an earlier one.
    went_up: bool,
}

/// A chunk to send, and what it completes.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) chunk: UnrollChunk,
    /// With its last chunk: the steps that went up for the first time, or nothing when they went up before.
    pub(super) completes: Option<Option<u64>>,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queue: VecDeque::new(), sent: 0, offset: 0, credits: 0, decided: BTreeMap::new() }
    }

    /// Room for at least `limit`.
    pub(super) fn widen(&mut self, limit: usize) {
        self.limit = self.limit.max(limit);
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.limit
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether every unroll has gone up whole on this stream.
    pub(super) fn all_went_up(&self) -> bool {
        self.sent == self.queue.len()
    }

    /// Whether unrolls that went up on an earlier stream are still to go up on this one.
    pub(super) fn is_resending(&self) -> bool {
        self.queue.iter().skip(self.sent).any(|entry| entry.went_up)
    }

    /// Env steps of unrolls that have not gone up whole on this stream.
    pub(super) fn unsent_steps(&self) -> u64 {
        self.queue.iter().skip(self.sent).map(|entry| entry.unroll.steps).sum()
    }

    /// By slot, the sequence before which every unroll was decided about.
    pub(super) fn answered(&self) -> HashMap<u32, u64> {
        let mut answered: HashMap<u32, u64> =
            self.decided.iter().map(|(&slot, &next)| (slot, next)).collect();
        for Entry { unroll, .. } in &self.queue {
            let next = answered.entry(unroll.slot).or_insert(unroll.sequence);
            *next = unroll.sequence.min(*next);
        }
        answered
    }

    pub(super) fn credits(&self) -> u32 {
        self.credits
    }

    pub(super) fn push(&mut self, unroll: EncodedUnroll) {
        debug_assert!(self.has_room());
        self.queue.push_back(Entry { unroll, went_up: false });
    }

    /// A new stream: its credits, and everything without an ack goes up again, oldest first.
    pub(super) fn connected(&mut self, credits: u32) {
        (self.sent, self.offset, self.credits) = (0, 0, credits);
    }

    /// The stream is gone, and its credits with it.
    pub(super) fn disconnected(&mut self) {
        self.connected(0);
    }

    pub(super) fn grant(&mut self, credits: u32) {
        self.credits = self.credits.saturating_add(credits);
    }

    /// Whether there is a chunk that may go up.
    pub(super) fn can_send(&self) -> bool {
        self.sent < self.queue.len() && (self.offset > 0 || self.credits > 0)
    }

    /// What holds up the unrolls here, one of [`crate::metrics::UPLINK_STATES`].
    pub(super) fn obstacle(&self) -> &'static str {
        match () {
            () if self.queue.is_empty() => "idle",
            () if self.can_send() => "send",
            () if self.sent < self.queue.len() => "wait_credit",
            () => "wait_ack",
        }
    }

    /// The next chunk that may go up; the first one of an unroll takes a credit.
    pub(super) fn next_chunk(&mut self) -> Option<Outgoing> {
        if !self.can_send() {
            return None;
        }
        let entry = &mut self.queue[self.sent];
        let unroll = &entry.unroll;
        let start = self.offset;
        let (data, total) = (unroll.chunk(start), unroll.len());
        let end = start + data.len();
        if start == 0 {
            self.credits -= 1;
            unroll.trace.lap("wait_credit");
        }
        let chunk = UnrollChunk {
            slot: unroll.slot,
            sequence: unroll.sequence,
            offset: start as u64,
            total_bytes: total as u64,
            crc32c: if start == 0 { unroll.crc32c } else { 0 },
            data,
        };
        if end < total {
            self.offset = end;
            return Some(Outgoing { chunk, completes: None });
        }
        unroll.trace.lap("send");
        let first_time = !std::mem::replace(&mut entry.went_up, true);
        let completes = Some(first_time.then_some(entry.unroll.steps));
        self.sent += 1;
        self.offset = 0;
        Some(Outgoing { chunk, completes })
    }

    /// Takes out an unroll the learner has decided about; none when it is not here.
    pub(super) fn settle(&mut self, slot: u32, sequence: u64) -> Option<EncodedUnroll> {
        let found = self
            .queue
            .iter()
            .position(|entry| entry.unroll.slot == slot && entry.unroll.sequence == sequence);
        let index = found?;
        let settled = self.queue.remove(index)?;
        let decided = self.decided.entry(slot).or_default();
        *decided = (*decided).max(sequence + 1);
        match index.cmp(&self.sent) {
            std::cmp::Ordering::Less => self.sent -= 1,
            // Decided before it was whole: the rest stays here.
            std::cmp::Ordering::Equal => self.offset = 0,
            std::cmp::Ordering::Greater => {}
        }
        settled.unroll.trace.lap("wait_ack");
        Some(settled.unroll)
    }

    /// Gives up: how many unrolls, and how many env steps, that never went up whole.
    pub(super) fn abandon(&mut self) -> (usize, u64) {
        self.queue.iter().for_each(|entry| entry.unroll.trace.lost("undelivered"));
        let lost: Vec<u64> =
            self.queue.drain(..).filter(|entry| !entry.went_up).map(|entry| entry.unroll.steps).collect();
        self.disconnected();
        (lost.len(), lost.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vpt_proto::limits::CHUNK_BYTES;

    fn unroll(slot: u32, sequence: u64, bytes: usize) -> EncodedUnroll {
        let bytes: bytes::Bytes = (0..bytes).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
        EncodedUnroll::of_bytes(slot, sequence, bytes)
    }

    #[test]
    fn large_unrolls_go_up_in_chunks_and_take_one_credit() {
        let mut outbox = Outbox::new(4);
        let whole = unroll(3, 7, CHUNK_BYTES * 2 + 10);
        assert_eq!(outbox.obstacle(), "idle");
        outbox.push(whole.clone());
        assert!(outbox.next_chunk().is_none(), "no credit yet");
        assert_eq!(outbox.obstacle(), "wait_credit");
        outbox.connected(1);
        assert_eq!(outbox.obstacle(), "send");
        let mut collected = Vec::new();
        let mut completed = None;
        while let Some(outgoing) = outbox.next_chunk() {
            assert_eq!(outgoing.chunk.offset as usize, collected.len());
            assert!(outgoing.chunk.data.len() <= CHUNK_BYTES);
            collected.extend_from_slice(&outgoing.chunk.data);
            completed = outgoing.completes;
        }
        assert_eq!((collected, completed), (whole.to_bytes().to_vec(), Some(Some(32))));
        assert_eq!((outbox.credits(), outbox.obstacle()), (0, "wait_ack"));
        assert!(outbox.settle(3, 7).is_some() && outbox.is_empty());
        assert!(outbox.settle(3, 7).is_none());
    }

    #[test]
    fn what_was_answered_and_what_has_not_gone_up_can_be_told() {
        let mut outbox = Outbox::new(4);
        for (slot, sequence) in [(0, 0), (1, 0), (0, 1)] {
            outbox.push(unroll(slot, sequence, 10));
        }
        outbox.connected(2);
        assert_eq!((outbox.answered(), outbox.unsent_steps()), ([(0, 0), (1, 0)].into(), 96));
        while outbox.next_chunk().is_some() {}
        outbox.settle(0, 0);
        assert_eq!((outbox.answered(), outbox.unsent_steps()), ([(0, 1), (1, 0)].into(), 32));
        assert!(!outbox.is_resending() && !outbox.all_went_up());
        outbox.connected(0);
        assert!(outbox.is_resending());
        outbox.grant(2);
        while outbox.next_chunk().is_some() {}
        assert!(!outbox.is_resending() && outbox.all_went_up());
        // Answers may overtake each other.
        outbox.settle(0, 1);
        outbox.settle(1, 0);
        assert_eq!(outbox.answered(), [(0, 2), (1, 1)].into());
    }

    #[test]
    fn what_was_not_acknowledged_goes_up_again_but_counts_once() {
        let mut outbox = Outbox::new(4);
        outbox.push(unroll(0, 0, 10));
        outbox.push(unroll(1, 0, 10));
        outbox.connected(2);
        assert_eq!(outbox.next_chunk().unwrap().completes, Some(Some(32)));
        assert_eq!(outbox.next_chunk().unwrap().completes, Some(Some(32)));
        outbox.settle(0, 0);
        outbox.disconnected();
        assert!(!outbox.can_send());
        outbox.connected(5);
        let again = outbox.next_chunk().unwrap();
        assert_eq!((again.chunk.slot, again.completes), (1, Some(None)));
        assert_eq!(outbox.abandon(), (0, 0), "it went up once: its fate is the learner's");
    }

    proptest! {
        #[test]
        fn never_more_outstanding_than_granted(ops in proptest::collection::vec(0u8..6, 0..200)) {
            let mut outbox = Outbox::new(5);
            let (mut sequence, mut granted, mut begun) = (0, 0u32, 0u32);
            let mut unacked = VecDeque::new();
            for op in ops {
                match op {
                    0 | 1 if outbox.has_room() => {
                        outbox.push(unroll(0, sequence, CHUNK_BYTES + 5));
                        sequence += 1;
                    }
                    2 => { outbox.grant(1); granted += 1; }
                    3 | 4 => if let Some(outgoing) = outbox.next_chunk() {
                        begun += u32::from(outgoing.chunk.offset == 0);
                        if outgoing.completes.is_some() { unacked.push_back(outgoing.chunk.sequence); }
                    },
                    5 => if let Some(sequence) = unacked.pop_front() {
                        prop_assert!(outbox.settle(0, sequence).is_some());
                    },
                    _ => {}
                }
                prop_assert!(begun <= granted && outbox.len() <= 5);
                prop_assert_eq!(outbox.credits(), granted - begun);
            }
        }
    }
}
