//! What a body of bytes is known by: BLAKE3's own tree, cut at chunks of 512 KiB.
//!
//! A chunk's hash is the chaining value of its subtree, so the root over all of them is the plain BLAKE3 hash of the
//! bytes: one pass gives both, and a chunk can be checked, and passed on, before the next one has come.

use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;

/// Bytes of a chunk; a power of two, so that it is a subtree. With its envelope it is well within a message.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Why what is said of a body cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// Larger than allowed, or empty.
    #[error("{found} bytes are not between 1 and {limit}")]
    Size {
        /// Announced.
        found: u64,
        /// Largest allowed.
        limit: u64,
    },
    /// Not a hash for every chunk.
    #[error("{found} bytes of hashes for {chunks} chunks")]
    Count {
        /// Bytes of hashes.
        found: usize,
        /// Chunks of the announced size.
        chunks: usize,
    },
    /// The chunks' hashes do not lead to the root.
    #[error("the hashes of the chunks do not lead to the hash of the whole")]
    Root,
}

/// Size and hashes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHashes {
    total_bytes: usize,
    chunks: Vec<ChainingValue>,
    root: blake3::Hash,
}

impl ChunkHashes {
    /// Hashes `body`.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let single = body.len() <= CHUNK_BYTES;
        let chunks: Vec<_> = if single {
            vec![chunk_hash(body, 0, true)]
        } else {
            body.chunks(CHUNK_BYTES)
                .enumerate()
                .map(|(index, chunk)| chunk_hash(chunk, index, false))
                .collect()
        };
        let root = root(&chunks);
        Self { total_bytes: body.len(), chunks, root }
    }

    /// What a manifest says; everything is checked before anything is allocated.
    ///
    /// # Errors
    /// A size of nothing or beyond `limit`, and hashes that do not fit it or the root (hex).
    pub fn from_wire(
        total_bytes: u64,
        hashes: &Bytes,
        root_hex: &str,
        limit: u64,
    ) -> Result<Self, HashesError> {
        let size = usize::try_from(total_bytes).ok().filter(|&size| size > 0 && total_bytes <= limit);
        let size = size.ok_or(HashesError::Size { found: total_bytes, limit })?;
        let (chunks, rest) = hashes.as_chunks();
        let expected = size.div_ceil(CHUNK_BYTES);
        if chunks.len() != expected || !rest.is_empty() {
            return Err(HashesError::Count { found: hashes.len(), chunks: expected });
        }
        let root = root(chunks);
        if root.to_hex().as_str() != root_hex {
            return Err(HashesError::Root);
        }
        Ok(Self { total_bytes: size, chunks: chunks.to_vec(), root })
    }

    /// The chunks' hashes, 32 bytes each.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        Bytes::copy_from_slice(self.chunks.as_flattened())
    }

    /// BLAKE3 of the whole.
    #[must_use]
    pub fn root(&self) -> blake3::Hash {
        self.root
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// How many chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Where chunk `index` lies; empty beyond the last one.
    #[must_use]
    pub fn range(&self, index: usize) -> Range<usize> {
        let place = |index: usize| self.total_bytes.min(index.saturating_mul(CHUNK_BYTES));
        place(index)..place(index.saturating_add(1))
    }

    /// Whether `data` is chunk `index`.
    #[must_use]
    pub fn verify(&self, index: usize, data: &[u8]) -> bool {
        let Some(expected) = self.chunks.get(index) else { return false };
        data.len() == self.range(index).len() && chunk_hash(data, index, self.chunks.len() == 1) == *expected
    }
}

/// The chaining value of a chunk, or of the only one the hash of the whole.
fn chunk_hash(data: &[u8], index: usize, only: bool) -> ChainingValue {
    if only {
        return *blake3::hash(data).as_bytes();
    }
    Hasher::new().set_input_offset((index * CHUNK_BYTES) as u64).update(data).finalize_non_root()
}

fn root(chunks: &[ChainingValue]) -> blake3::Hash {
    match chunks {
        [only] => blake3::Hash::from_bytes(*only),
        _ => {
            let (left, right) = chunks.split_at(left_subtree(chunks.len()));
            merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

fn subtree(chunks: &[ChainingValue]) -> ChainingValue {
    match chunks {
        [only] => *only,
        _ => {
            let (left, right) = chunks.split_at(left_subtree(chunks.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The largest power of two below `chunks`, of which there are two at least.
fn left_subtree(chunks: usize) -> usize {
    1 << (chunks - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: usize) -> Vec<u8> {
        (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn the_root_is_the_plain_hash_of_the_whole() {
        for bytes in [1, 1000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 5 * CHUNK_BYTES + 77] {
            let body = body(bytes);
            let hashes = ChunkHashes::of(&body);
            assert_eq!(hashes.root(), blake3::hash(&body), "{bytes}");
            assert_eq!(hashes.chunks(), bytes.div_ceil(CHUNK_BYTES));
            let root = hashes.root().to_hex();
            let read =
                ChunkHashes::from_wire(bytes as u64, &hashes.to_wire(), root.as_str(), 1 << 30).unwrap();
            assert_eq!(read, hashes);
            for index in 0..hashes.chunks() {
                let mut chunk = body[hashes.range(index)].to_vec();
                assert!(hashes.verify(index, &chunk));
                assert!(!hashes.verify(index + 1, &chunk), "a chunk in another's place");
                chunk[0] ^= 1;
                assert!(!hashes.verify(index, &chunk));
                assert!(!hashes.verify(index, &chunk[1..]));
            }
        }
    }

    #[test]
    fn lies_are_refused() {
        let hashes = ChunkHashes::of(&body(2 * CHUNK_BYTES));
        let (wire, root) = (hashes.to_wire(), hashes.root().to_hex());
        let read = |bytes, wire: &Bytes, limit| ChunkHashes::from_wire(bytes, wire, root.as_str(), limit);
        let size = 2 * CHUNK_BYTES as u64;
        assert!(read(size, &wire, size).is_ok());
        assert!(matches!(read(size, &wire, size - 1), Err(HashesError::Size { .. })));
        assert!(matches!(read(u64::MAX, &wire, u64::MAX), Err(HashesError::Count { .. })));
        assert!(matches!(read(0, &Bytes::new(), size), Err(HashesError::Size { .. })));
        assert!(matches!(read(size, &wire.slice(1..), size), Err(HashesError::Count { .. })));
        let swapped = Bytes::from([&wire[32..], &wire[..32]].concat());
        assert_eq!(read(size, &swapped, size), Err(HashesError::Root));
    }
}
