//! An unroll as it travels: the message's bytes in two parts, so that packed frames are never copied into it.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use vpt_proto::learner::v1::Unroll;
use vpt_proto::limits::CHUNK_BYTES;
use vpt_runtime::traces::Trace;

/// `Unroll.frames`. Fields may come in any order, so the longest one comes last.
const FRAMES_FIELD: u32 = 11;

/// Packed frames up to this size are copied into the head: another message would cost more.
const INLINE_BYTES: usize = 256 * 1024;

/// The encoded message is `head` and then `frames`.
#[derive(Debug, Clone)]
pub(crate) struct EncodedUnroll {
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
    pub(crate) steps: u64,
    /// CRC-32C of the encoded message.
    pub(crate) crc32c: u32,
    pub(crate) trace: Trace,
    head: Bytes,
    frames: Bytes,
}

impl EncodedUnroll {
    /// Encodes `unroll`, whose own frames are empty, with packed `frames`.
    pub(crate) fn new(unroll: &Unroll, frames: Bytes) -> Self {
        debug_assert!(unroll.frames.is_empty());
        let is_inline = frames.len() <= INLINE_BYTES;
        let mut head =
            Vec::with_capacity(unroll.encoded_len() + 16 + if is_inline { frames.len() } else { 0 });
        unroll.encode_raw(&mut head);
        if !frames.is_empty() {
            encode_key(FRAMES_FIELD, WireType::LengthDelimited, &mut head);
            encode_varint(frames.len() as u64, &mut head);
        }
        let frames = if is_inline {
            head.extend_from_slice(&frames);
            Bytes::new()
        } else {
            frames
        };
        Self {
            slot: unroll.slot,
            sequence: unroll.sequence,
            steps: u64::from(unroll.length),
            crc32c: crc32c::crc32c_append(crc32c::crc32c(&head), &frames),
            trace: Trace::default(),
            head: head.into(),
            frames,
        }
    }

    /// The same, traced.
    pub(crate) fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// Bytes of the encoded message.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.frames.len()
    }

    /// The bytes from `start` on, at most one chunk of them; empty at the end.
    pub(crate) fn chunk(&self, start: usize) -> Bytes {
        let (part, start) = match start.checked_sub(self.head.len()) {
            Some(start) => (&self.frames, start.min(self.frames.len())),
            None => (&self.head, start),
        };
        part.slice(start..part.len().min(start + CHUNK_BYTES))
    }
}

#[cfg(test)]
impl EncodedUnroll {
    /// One whose frames are `bytes`.
    pub(crate) fn of_bytes(slot: u32, sequence: u64, bytes: Bytes) -> Self {
        Self::new(&Unroll { slot, sequence, length: 32, ..Unroll::default() }, bytes)
    }

    /// The encoded message in one piece.
    pub(crate) fn to_bytes(&self) -> Bytes {
        [&self.head[..], &self.frames].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_message_and_chunks_cover_it() {
        let unroll = Unroll { slot: 3, sequence: 9, length: 5, reward: vec![1.0; 5], ..Unroll::default() };
        for length in [0, 1, INLINE_BYTES, CHUNK_BYTES, 2 * CHUNK_BYTES + 7] {
            let frames = Bytes::from(vec![7; length]);
            let encoded = EncodedUnroll::new(&unroll, frames.clone());
            let whole = encoded.to_bytes();
            assert_eq!(encoded.crc32c, crc32c::crc32c(&whole));
            assert_eq!(Unroll::decode(whole.clone()).unwrap(), Unroll { frames, ..unroll.clone() });
            let mut collected = Vec::new();
            while collected.len() < encoded.len() {
                let chunk = encoded.chunk(collected.len());
                assert!((1..=CHUNK_BYTES).contains(&chunk.len()));
                collected.extend_from_slice(&chunk);
            }
            assert_eq!(collected, whole);
            assert!(encoded.chunk(encoded.len()).is_empty());
        }
    }
}
