//! Chunks to whole unrolls: one at a time, never more memory than has really arrived.

use bytes::Bytes;
use tonic::Status;
use vpt_proto::learner::v1::UnrollChunk;
use vpt_proto::limits::CHUNK_BYTES;

use crate::credits::Ticket;

/// Memory taken on the word of a first chunk; beyond that it grows with what arrives.
const TRUSTED_BYTES: u64 = 1 << 20;

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
    pub(super) encoded: Bytes,
    pub(super) ticket: Ticket,
}

#[derive(Debug)]
struct Partial {
    slot: u32,
    sequence: u64,
    total: u64,
    crc32c: u32,
    data: Vec<u8>,
    ticket: Ticket,
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
        let received = partial.data.len() as u64;
        if chunk.offset != received {
            return Err(ChunkError::Offset { slot, sequence, expected: received, found: chunk.offset });
        }
        let max = (partial.total - received).min(CHUNK_BYTES as u64);
        if chunk.data.is_empty() || chunk.data.len() as u64 > max {
            return Err(ChunkError::Size { slot, sequence, found: chunk.data.len(), max });
        }
        partial.data.extend_from_slice(&chunk.data);
        if (partial.data.len() as u64) < partial.total {
            self.partial = Some(partial);
            return Ok(None);
        }
        let found = crc32c::crc32c(&partial.data);
        if found != partial.crc32c {
            return Err(ChunkError::Crc { slot, sequence, announced: partial.crc32c, found });
        }
        Ok(Some(Complete { slot, sequence, encoded: partial.data.into(), ticket: partial.ticket }))
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
        let data = Vec::with_capacity(total.min(TRUSTED_BYTES) as usize);
        Ok(Partial { slot, sequence, total, crc32c: chunk.crc32c, data, ticket })
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
        let account = CreditPool::new(1).open(1);
        let payload: Vec<u8> = (0..100).collect();
        let mut assembler = Assembler::new(2, 1000);
        let mut whole = None;
        for chunk in chunks(&payload, 33) {
            assert!(whole.is_none());
            whole = assembler.push(chunk, || account.spend()).unwrap();
        }
        let whole = whole.unwrap();
        assert_eq!((whole.slot, whole.sequence, &whole.encoded[..]), (1, 7, &payload[..]));
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
