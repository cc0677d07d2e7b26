//! Bytes that are known by their hashes and may still be arriving; whoever reads them waits for the chunk that is next.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tokio::sync::watch;

use super::chunk_hashes::ChunkHashes;

/// A chunk, or a whole, that is not what the hashes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {index} of {chunks} does not match its hash")]
pub struct Tampered {
    /// Which chunk.
    pub index: usize,
    /// Of how many.
    pub chunks: usize,
}

/// A payload or a delta.
#[derive(Debug)]
pub struct Body {
    hashes: ChunkHashes,
    content: RwLock<Content>,
    /// Chunks that have arrived; none once the rest will not come.
    arrived: watch::Sender<Option<usize>>,
}

#[derive(Debug)]
enum Content {
    /// The front of the bytes; room for all of them is taken with the first chunk.
    Arriving(Vec<u8>),
    Whole(Bytes),
}

impl Body {
    /// All of `bytes`, which are hashed here.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        let hashes = ChunkHashes::of(&bytes);
        let arrived = watch::Sender::new(Some(hashes.chunks()));
        Self { hashes, content: RwLock::new(Content::Whole(bytes)), arrived }
    }

    /// Nothing yet of what has `hashes`.
    #[must_use]
    pub fn arriving(hashes: ChunkHashes) -> Self {
        let content = RwLock::new(Content::Arriving(Vec::new()));
        Self { hashes, content, arrived: watch::Sender::new(Some(0)) }
    }

    /// What the bytes are known by.
    #[must_use]
    pub fn hashes(&self) -> &ChunkHashes {
        &self.hashes
    }

    /// How many chunks, counted from the first, are there.
    #[must_use]
    pub fn arrived(&self) -> usize {
        match &*self.read() {
            Content::Arriving(front) => front.len() / super::CHUNK_BYTES,
            Content::Whole(_) => self.hashes.chunks(),
        }
    }

    /// Adds the next chunk and wakes who waits for it.
    ///
    /// # Errors
    /// When it is not what its hash says; nothing is kept of it then.
    pub fn push(&self, chunk: &[u8]) -> Result<(), Tampered> {
        let index = self.arrived();
        // Before the lock is taken: readers go on meanwhile.
        if !self.hashes.verify(index, chunk) {
            return Err(Tampered { index, chunks: self.hashes.chunks() });
        }
        let mut content = self.write();
        if let Content::Arriving(front) = &mut *content {
            front.reserve_exact(self.hashes.total_bytes() - front.len());
            front.extend_from_slice(chunk);
            if front.len() == self.hashes.total_bytes() {
                *content = Content::Whole(Bytes::from(std::mem::take(front)));
            }
        }
        drop(content);
        self.arrived.send_replace(Some(index + 1));
        Ok(())
    }

    /// All of it at once, from elsewhere than chunk by chunk.
    ///
    /// # Errors
    /// When `bytes` are not what the hashes say; nothing is changed then.
    pub fn fill(&self, bytes: Bytes) -> Result<(), Tampered> {
        let chunks = self.hashes.chunks();
        if ChunkHashes::of(&bytes) != self.hashes {
            return Err(Tampered { index: 0, chunks });
        }
        *self.write() = Content::Whole(bytes);
        self.arrived.send_replace(Some(chunks));
        Ok(())
    }

    /// The rest will not come: who waits for it is told.
    pub fn give_up(&self) {
        if self.payload().is_none() {
            self.arrived.send_replace(None);
        }
    }

    /// The bytes, once all are there.
    #[must_use]
    pub fn payload(&self) -> Option<Bytes> {
        match &*self.read() {
            Content::Arriving(_) => None,
            Content::Whole(bytes) => Some(bytes.clone()),
        }
    }

    /// Chunk `index`, when it has arrived; none when it will not come. Waits without a deadline of its own.
    pub async fn chunk(&self, index: usize) -> Option<Bytes> {
        let range = self.hashes.range(index);
        if range.is_empty() {
            return None;
        }
        let mut arrived = self.arrived.subscribe();
        let arrived = *arrived.wait_for(|arrived| arrived.is_none_or(|count| count > index)).await.ok()?;
        arrived?;
        match &*self.read() {
            // What is still growing cannot be shared.
            Content::Arriving(front) => front.get(range).map(Bytes::copy_from_slice),
            Content::Whole(bytes) => Some(bytes.slice(range)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CHUNK_BYTES;
    use super::*;
    use std::sync::Arc;

    fn bytes() -> Bytes {
        (0..2 * CHUNK_BYTES as u32 + 7).map(|n| (n % 251) as u8).collect()
    }

    #[tokio::test]
    async fn a_reader_gets_each_chunk_as_it_arrives() {
        let whole = Body::whole(bytes());
        let body = Arc::new(Body::arriving(whole.hashes().clone()));
        assert_eq!((body.arrived(), body.payload()), (0, None));
        let reader = body.clone();
        let read = tokio::spawn(async move {
            let mut read = Vec::new();
            for index in 0..3 {
                read.extend_from_slice(&reader.chunk(index).await.unwrap());
            }
            read
        });
        for index in 0..3 {
            tokio::task::yield_now().await;
            assert_eq!(body.arrived(), index);
            body.push(&whole.chunk(index).await.unwrap()).unwrap();
        }
        assert_eq!(read.await.unwrap(), bytes());
        assert_eq!(body.payload(), Some(bytes()));
        assert_eq!(body.chunk(3).await, None, "there is no fourth");
    }

    #[tokio::test]
    async fn a_tampered_chunk_is_refused_and_the_right_one_taken_after_it() {
        let whole = Body::whole(bytes());
        let body = Body::arriving(whole.hashes().clone());
        let first = whole.chunk(0).await.unwrap();
        let mut other = first.to_vec();
        other[1000] ^= 4;
        assert_eq!(body.push(&other), Err(Tampered { index: 0, chunks: 3 }));
        assert_eq!(body.arrived(), 0);
        body.push(&first).unwrap();
        assert!(body.push(&first).is_err(), "the first again in the second's place");
        assert!(body.fill(Bytes::from_static(b"other")).is_err());
        body.fill(bytes()).unwrap();
        assert_eq!(body.payload(), Some(bytes()));
    }

    #[tokio::test]
    async fn a_reader_of_what_will_not_come_is_told() {
        let body = Arc::new(Body::arriving(ChunkHashes::of(&bytes())));
        let reader = body.clone();
        let read = tokio::spawn(async move { reader.chunk(0).await });
        tokio::task::yield_now().await;
        body.give_up();
        assert_eq!(read.await.unwrap(), None);
    }
}
