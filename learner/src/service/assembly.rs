//! Chunks to whole unrolls: one at a time, never more memory than has really arrived.

use std::time::Instant;

use bytes::Bytes;
use tonic::Status;
use vpt_proto::learner::v1::UnrollChunk;
use vpt_proto::limits::CHUNK_BYTES;

use crate::credits::Ticket;

/// Chunks from this size on are kept as they are; smaller ones are copied together, so that many small chunks do not
/// cost more memory than they hold.
const SHARED_BYTES: usize = 64 * 1024;

/// Why a stream's chunks make no unroll.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ChunkError {
    #[error("slot {slot} sequence {sequence}: chunk starts at {found}, expected {expected}")]
    Offset { slot: u32, sequence: u64, expected: u64, found: u64 },
    #[error("chunk of slot {slot} sequence {sequence} inside another unroll; unrolls do not interleave")]
    Interleaved { slot: u32, sequence: u64 },
    #[error("slot {slot} sequence {sequence} announces {total} bytes; 1 to {max} are accepted")]
    Total { slot: u32, sequence: u64, total: u64, max: u64 },
    #[error("slot {slot} sequence {sequence}: chunk of {found} bytes, 1 to {max} are left or allowed")]
    Size { slot: u32, sequence: u64, found: usize, max: u64 },
    #[error("slot {slot} sequence {sequence}: CRC-32C is {found:08x}, announced was {announced:08x}")]
    Crc { slot: u32, sequence: u64, announced: u32, found: u32 },
    #[error("slot {slot}; the handshake announced {slots} slots")]
    Slot { slot: u32, slots: u32 },
    #[error("slot {slot} sequence {sequence} was sent without a credit")]
    NoCredit { slot: u32, sequence: u64 },
}

impl ChunkError {
    /// The bounded label under which the end of the stream is counted.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Crc { .. } => "data_loss",
            Self::NoCredit { .. } => "no_credit",
            _ => "protocol",
        }
    }
}

impl From<ChunkError> for Status {
    fn from(error: ChunkError) -> Self {
        let message = error.to_string();
        match error {
            ChunkError::Crc { .. } => Self::data_loss(message),
            ChunkError::NoCredit { .. } => Self::resource_exhausted(message),
            _ => Self::invalid_argument(message),
        }
    }
}

/// A whole encoded unroll whose checksum holds.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) slot: u32,
    pub(super) sequence: u64,
    pub(super) encoded: Pieces,
    pub(super) ticket: Ticket,
    /// When the first chunk came.
    pub(super) since: Instant,
}

/// Bytes that arrived in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    /// What is to be copied together.
    small: Vec<u8>,
    len: u64,
    crc32c: u32,
}

impl Pieces {
    fn push(&mut self, data: Bytes, is_last: bool) {
        self.len += data.len() as u64;
        // Now, while the bytes are in the processor's cache.
        self.crc32c = crc32c::crc32c_append(self.crc32c, &data);
        let is_only = is_last && self.whole.is_empty() && self.small.is_empty();
        if !is_only && data.len() < SHARED_BYTES {
            self.small.extend_from_slice(&data);
            return;
        }
        if !self.small.is_empty() {
            self.whole.push(std::mem::take(&mut self.small).into());
        }
        self.whole.push(data);
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// All bytes in one piece: a copy unless they came as one.
    pub(super) fn join(mut self) -> Bytes {
        if self.whole.len() == 1 && self.small.is_empty() {
            return self.whole.swap_remove(0);
        }
        let mut all = Vec::with_capacity(self.len as usize);
        self.whole.iter().for_each(|piece| all.extend_from_slice(piece));
        all.extend_from_slice(&self.small);
        all.into()
    }
}

#[derive(Debug)]
struct Partial {
    slot: u32,
    sequence: u64,
    total: u64,
    crc32c: u32,
    data: Pieces,
    ticket: Ticket,
    since: Instant,
}

/// The unroll a stream is in the middle of.
#[derive(Debug)]
pub(super) struct Assembler {
    slots: u32,
    max_bytes: u64,
    partial: Option<Partial>,
}

impl Assembler {
    /// For an actor of `slots` slots and unrolls of at most `max_bytes`.
    pub(super) fn new(slots: u32, max_bytes: u64) -> Self {
        Self { slots, max_bytes, partial: None }
    }

    /// Takes a chunk; the unroll when it was the last. The first chunk spends a credit by `spend`.
    pub(super) fn push(
        &mut self,
        chunk: UnrollChunk,
        spend: impl FnOnce() -> Option<Ticket>,
    ) -> Result<Option<Complete>, ChunkError> {
        let (slot, sequence) = (chunk.slot, chunk.sequence);
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => self.begin(&chunk, spend)?,
        };
        if (partial.slot, partial.sequence) != (slot, sequence) || partial.total != chunk.total_bytes {
            return Err(ChunkError::Interleaved { slot, sequence });
        }
        let received = partial.data.len();
        if chunk.offset != received {
            return Err(ChunkError::Offset { slot, sequence, expected: received, found: chunk.offset });
        }
        let max = (partial.total - received).min(CHUNK_BYTES as u64);
        if chunk.data.is_empty() || chunk.data.len() as u64 > max {
            return Err(ChunkError::Size { slot, sequence, found: chunk.data.len(), max });
        }
        let is_last = received + chunk.data.len() as u64 == partial.total;
        partial.data.push(chunk.data, is_last);
        if !is_last {
            self.partial = Some(partial);
            return Ok(None);
        }
        let found = partial.data.crc32c;
        if found != partial.crc32c {
            return Err(ChunkError::Crc { slot, sequence, announced: partial.crc32c, found });
        }
        let Partial { data: encoded, ticket, since, .. } = partial;
        Ok(Some(Complete { slot, sequence, encoded, ticket, since }))
    }

    fn begin(
        &self,
        chunk: &UnrollChunk,
        spend: impl FnOnce() -> Option<Ticket>,
    ) -> Result<Partial, ChunkError> {
        let (slot, sequence, total) = (chunk.slot, chunk.sequence, chunk.total_bytes);
        if slot >= self.slots {
            return Err(ChunkError::Slot { slot, slots: self.slots });
        }
        if total == 0 || total > self.max_bytes {
            return Err(ChunkError::Total { slot, sequence, total, max: self.max_bytes });
        }
        let ticket = spend().ok_or(ChunkError::NoCredit { slot, sequence })?;
        let (data, since) = (Pieces::default(), Instant::now());
        Ok(Partial { slot, sequence, total, crc32c: chunk.crc32c, data, ticket, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credits::CreditPool;

    fn chunks(payload: &[u8], size: usize) -> Vec<UnrollChunk> {
        let chunk = |(index, data): (usize, &[u8])| UnrollChunk {
            slot: 1,
            sequence: 7,
            offset: (index * size) as u64,
            total_bytes: payload.len() as u64,
            crc32c: if index == 0 { crc32c::crc32c(payload) } else { 0 },
            data: Bytes::copy_from_slice(data),
        };
        payload.chunks(size).enumerate().map(chunk).collect()
    }

    #[test]
    fn chunks_in_order_make_the_unroll() {
        let payload: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        for size in [33, SHARED_BYTES - 1, SHARED_BYTES, 90_000, payload.len()] {
            let account = CreditPool::new(1).open(1);
            let mut assembler = Assembler::new(2, 1 << 20);
            let mut whole = None;
            for chunk in chunks(&payload, size) {
                assert!(whole.is_none());
                whole = assembler.push(chunk, || account.spend()).unwrap();
            }
            let whole = whole.unwrap();
            assert_eq!((whole.slot, whole.sequence, whole.encoded.len()), (1, 7, 200_000));
            assert_eq!(whole.encoded.join(), payload, "chunks of {size}");
        }
    }

    #[test]
    fn an_unroll_of_one_chunk_is_not_copied() {
        let account = CreditPool::new(1).open(1);
        let chunk = chunks(&[1, 2, 3], 3).remove(0);
        let sent = chunk.data.as_ptr();
        let whole = Assembler::new(2, 1000).push(chunk, || account.spend()).unwrap().unwrap();
        assert_eq!(whole.encoded.join().as_ptr(), sent);
    }

    #[test]
    fn lying_chunks_are_refused() {
        type Lie = (&'static str, fn(&mut Vec<UnrollChunk>));
        let lies: [Lie; 9] = [
            ("expected 33", |chunks| drop(chunks.remove(1))),
            ("expected 0", |chunks| drop(chunks.remove(0))),
            ("interleave", |chunks| chunks[1].slot = 0),
            ("interleave", |chunks| chunks[1].total_bytes += 1),
            ("1 to 1000", |chunks| chunks[0].total_bytes = u64::MAX),
            ("1 to 1000", |chunks| chunks[0].total_bytes = 0),
            ("left or allowed", |chunks| chunks[0].total_bytes = 10),
            ("CRC-32C", |chunks| chunks[0].crc32c ^= 1),
            ("announced 2 slots", |chunks| chunks[0].slot = 2),
        ];
        for (name, lie) in lies {
            let pool = CreditPool::new(1);
            let account = pool.open(1);
            let mut chunks = chunks(&(0..100).collect::<Vec<u8>>(), 33);
            lie(&mut chunks);
            let mut assembler = Assembler::new(2, 1000);
            let push = |chunk| assembler.push(chunk, || account.spend()).err();
            let error = chunks.into_iter().find_map(push).expect(name).to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn no_credit_no_memory() {
        let error = Assembler::new(2, 1000).push(chunks(&[1, 2, 3], 3).remove(0), || None).unwrap_err();
        assert_eq!(error.reason(), "no_credit");
        assert_eq!(Status::from(error).code(), tonic::Code::ResourceExhausted);
    }
}
