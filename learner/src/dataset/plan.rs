//! Which steps of which episodes make up the batch at each position.

use vpt_policy::CounterRng;

/// Names the stream of random numbers that orders episodes.
const ORDER_KEY: u64 = 0x006f_7264_6572;

/// Consecutive steps of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) episode: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// An endless sequence of batches; a pure function of its arguments.
#[derive(Clone, Debug)]
pub(crate) struct SequencePlan {
    /// (episode, steps).
    episodes: Vec<(usize, usize)>,
    sequence_length: usize,
    seed: u64,
    pass: u64,
    /// What is left of the pass, last first.
    order: Vec<(usize, usize)>,
    /// Per lane what is left of its episode.
    lanes: Vec<Piece>,
    /// Per lane whether it has begun its first episode. Lane k enters that one k/lanes of the way in: episodes of
    /// equal length would otherwise keep all lanes in step for ever, and every batch would show one phase of the
    /// task only.
    started: Vec<bool>,
}

impl SequencePlan {
    /// Streams over `episodes` (index and steps; at least one, none empty).
    pub(crate) fn new(
        episodes: Vec<(usize, usize)>,
        lanes: usize,
        sequence_length: usize,
        seed: u64,
    ) -> Self {
        debug_assert!(episodes.iter().any(|&(_, steps)| steps > 0), "a plan needs steps");
        let started = vec![false; lanes];
        let lanes = vec![Piece { episode: 0, start: 0, len: 0 }; lanes];
        Self { episodes, sequence_length, seed, pass: 0, order: Vec::new(), lanes, started }
    }

    /// Moves on as if `batches` had been taken.
    pub(crate) fn skip(&mut self, batches: u64) {
        for _ in 0..batches {
            self.next_batch();
        }
    }

    /// The pieces of the next batch, lane by lane; each lane's add up to the sequence length.
    pub(crate) fn next_batch(&mut self) -> Vec<Vec<Piece>> {
        (0..self.lanes.len()).map(|lane| self.next_sequence(lane)).collect()
    }

    fn next_sequence(&mut self, lane: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut missing = self.sequence_length;
        while missing > 0 {
            if self.lanes[lane].len == 0 {
                let (episode, steps) = self.next_episode();
                let start = if self.started[lane] { 0 } else { steps * lane / self.lanes.len() };
                self.started[lane] = true;
                self.lanes[lane] = Piece { episode, start, len: steps - start };
                continue;
            }
            let rest = &mut self.lanes[lane];
            let len = rest.len.min(missing);
            pieces.push(Piece { episode: rest.episode, start: rest.start, len });
            rest.start += len;
            rest.len -= len;
            missing -= len;
        }
        pieces
    }

    fn next_episode(&mut self) -> (usize, usize) {
        if self.order.is_empty() {
            self.order.clone_from(&self.episodes);
            CounterRng::new(&[self.seed, ORDER_KEY, self.pass]).shuffle(&mut self.order);
            self.pass += 1;
        }
        self.order.pop().expect("refilled above from a list that is not empty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each lane enters its first episode its own share in, then plays whole ones; every sequence is full, and each
        /// pass plays every episode once.
        #[test]
        fn lanes_play_whole_episodes_and_passes_play_all(
            steps in prop::collection::vec(1usize..40, 1..12), lanes in 1usize..5, length in 1usize..20
        ) {
            let episodes: Vec<_> = steps.iter().copied().enumerate().collect();
            let mut plan = SequencePlan::new(episodes.clone(), lanes, length, 7);
            let mut streams: Vec<Vec<Piece>> = vec![Vec::new(); lanes];
            for _ in 0..40 {
                for (stream, pieces) in streams.iter_mut().zip(plan.next_batch()) {
                    prop_assert_eq!(pieces.iter().map(|p| p.len).sum::<usize>(), length);
                    stream.extend(pieces);
                }
            }
            let mut starts = vec![0i64; steps.len()];
            for (lane, stream) in streams.iter().enumerate() {
                let first = stream[0];
                prop_assert_eq!(first.start, steps[first.episode] * lane / lanes);
                starts[first.episode] += 1;
                for pair in stream.windows(2) {
                    let end = pair[0].start + pair[0].len;
                    if end < steps[pair[0].episode] {
                        prop_assert_eq!((pair[1].episode, pair[1].start), (pair[0].episode, end));
                    } else {
                        prop_assert_eq!(pair[1].start, 0);
                    }
                }
                for piece in stream.iter().skip(1).filter(|p| p.start == 0) {
                    starts[piece.episode] += 1;
                }
            }
            let spread = starts.iter().max().unwrap() - starts.iter().min().unwrap();
            prop_assert!(spread <= 1, "{:?}", starts);
        }

        /// Skipping equals having taken.
        #[test]
        fn a_position_is_reached_by_skipping(taken in 0u64..30, seed in 0u64..5) {
            let episodes: Vec<_> = (0..6).map(|i| (i, 5 + 3 * i)).collect();
            let mut walked = SequencePlan::new(episodes.clone(), 3, 8, seed);
            for _ in 0..taken {
                walked.next_batch();
            }
            let mut skipped = SequencePlan::new(episodes, 3, 8, seed);
            skipped.skip(taken);
            prop_assert_eq!(walked.next_batch(), skipped.next_batch());
        }
    }
}
