//! Which keys a query may see: its own episode's, at most `maxlen` steps back, itself included.

use candle_core::{Device, Tensor};

use crate::error::Result;

/// The masks of one chunk, from the memory's mask and the chunk's `is_first` flags.
#[derive(Debug)]
pub(super) struct Visibility {
    /// [B * M]: the memory's mask before the chunk.
    before: Vec<u8>,
    /// u8 `[B, T, M + T]`.
    mask: Tensor,
    /// u8 `[B, M]`.
    new_mask: Tensor,
}

impl Visibility {
    pub(super) fn new(before: Vec<u8>, is_first: &[u8], batch: usize, device: &Device) -> Result<Self> {
        let (maxlen, time) = (before.len() / batch, is_first.len() / batch);
        let mut mask = Vec::with_capacity(batch * time * (maxlen + time));
        let mut new_mask = Vec::with_capacity(batch * maxlen);
        for (cached, flags) in before.chunks_exact(maxlen).zip(is_first.chunks_exact(time)) {
            // Where the episode in progress began within the chunk, if it did.
            let mut start = None;
            for (t, &flag) in flags.iter().enumerate() {
                start = if flag == 0 { start } else { Some(t) };
                let window = t + 1..=t + maxlen;
                let sees = |j| window.contains(&j) && same_episode(cached, start, j);
                mask.extend((0..maxlen + time).map(|j| u8::from(sees(j))));
            }
            new_mask.extend((time..time + maxlen).map(|j| u8::from(same_episode(cached, start, j))));
        }
        Ok(Self {
            before,
            mask: Tensor::from_vec(mask, (batch, time, maxlen + time), device)?,
            new_mask: Tensor::from_vec(new_mask, (batch, maxlen), device)?,
        })
    }

    /// Whether these masks were made from this memory mask.
    pub(super) fn is_of(&self, before: &[u8]) -> bool {
        self.before == before
    }

    /// u8 [B, T, M + T]: 1 where query t sees key j.
    pub(super) fn mask(&self) -> &Tensor {
        &self.mask
    }

    /// u8 [B, M]: the memory's mask after the chunk.
    pub(super) fn new_mask(&self) -> &Tensor {
        &self.new_mask
    }
}

/// Whether key `j` (memory first, then the chunk) belongs to the episode that is in progress and, if it began within
/// the chunk, began at `start`.
fn same_episode(cached: &[u8], start: Option<usize>, j: usize) -> bool {
    match (j.checked_sub(cached.len()), start) {
        (None, None) => cached[j] != 0,
        (None, Some(_)) => false,
        (Some(step), start) => step >= start.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cached: &[u8], flags: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let seen = Visibility::new(cached.to_vec(), flags, 1, &Device::Cpu).unwrap();
        (
            seen.mask().squeeze(0).unwrap().to_vec2().unwrap(),
            seen.new_mask().flatten_all().unwrap().to_vec1().unwrap(),
        )
    }

    #[test]
    fn the_window_slides_and_the_oldest_row_is_never_seen() {
        let (mask, after) = rows(&[1, 1, 1], &[0, 0]);
        assert_eq!(mask, [[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]);
        assert_eq!(after, [1, 1, 1]);
        let (mask, after) = rows(&[0, 0, 1], &[0, 0]);
        assert_eq!(mask, [[0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]);
        assert_eq!(after, [1, 1, 1]);
    }

    #[test]
    fn an_episode_hides_everything_before_it() {
        let (mask, after) = rows(&[1, 1, 1], &[0, 1, 0]);
        assert_eq!(mask, [[0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1]]);
        assert_eq!(after, [0, 1, 1]);
        let (mask, after) = rows(&[1, 1, 1], &[1]);
        assert_eq!(mask, [[0, 0, 0, 1]]);
        assert_eq!(after, [0, 0, 1]);
    }

    #[test]
    fn a_chunk_longer_than_the_memory_forgets_within_itself() {
        let (mask, after) = rows(&[1, 1], &[0, 0, 0, 0]);
        assert_eq!(mask[3], [0, 0, 0, 0, 1, 1]);
        assert_eq!(after, [1, 1]);
    }
}
