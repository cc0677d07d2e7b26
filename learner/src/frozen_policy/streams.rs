//! Recurrent states that follow the streams of slots: which state an unroll continues, what is masked after a gap, and
//! which state goes when there are too many.
//!
//! Generic over the network, so that tests can run it with one in double precision.

use std::collections::HashMap;

use crate::error::LearnerError;
use crate::experience::{Experience, SlotKey};

/// Unrolls of one forward pass.
const BATCH_UNROLLS: usize = 16;

/// What a network says about one unroll, and its memory after it.
pub(super) type Advance<N> = (<N as StreamNetwork>::Output, <N as StreamNetwork>::State);
/// What a network says about one unroll, and per step 1 where its memory is exact.
pub(super) type Masked<N> = (<N as StreamNetwork>::Output, Vec<f32>);

/// A recurrent network that says something about unrolls.
pub(super) trait StreamNetwork: Sized {
    /// Memory of one stream.
    type State;
    /// What it says about one unroll.
    type Output;

    /// The memory before anything was seen.
    fn initial(&self) -> Result<Self::State, LearnerError>;

    /// Steps before a step that its output depends on, within an episode.
    fn steps_seen_before(&self) -> usize;

    /// Runs unrolls of different streams from the states before them; gives what it says and the state after, each.
    fn forward(
        &self,
        unrolls: &[&Experience],
        states: &[&Self::State],
    ) -> Result<Vec<Advance<Self>>, LearnerError>;
}

/// One slot's stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stream<S> {
    pub(super) state: S,
    pub(super) next_sequence: u64,
    /// Steps still to be masked.
    pub(super) masked_left: usize,
    /// When it was used last.
    touched: u64,
}

impl<S> Stream<S> {
    pub(super) fn new(state: S, next_sequence: u64, masked_left: usize) -> Self {
        Self { state, next_sequence, masked_left, touched: 0 }
    }
}

/// The streams of all slots, at most `max_streams` of them.
pub(super) struct SlotStreams<S> {
    streams: HashMap<SlotKey, Stream<S>>,
    max_streams: usize,
    clock: u64,
}

impl<S> SlotStreams<S> {
    pub(super) fn new(max_streams: usize) -> Self {
        Self { streams: HashMap::new(), max_streams: max_streams.max(1), clock: 0 }
    }

    /// Follows every unroll's slot; gives what the network says and the mask per step (1 where its state is exact), in
    /// the order given.
    pub(super) fn follow<N: StreamNetwork<State = S>>(
        &mut self,
        network: &N,
        unrolls: &[Experience],
    ) -> Result<Vec<Masked<N>>, LearnerError> {
        let mut outputs: Vec<Option<Masked<N>>> = unrolls.iter().map(|_| None).collect();
        for round in rounds(unrolls) {
            for indices in round.chunks(BATCH_UNROLLS) {
                let batch: Vec<&Experience> = indices.iter().map(|&i| &unrolls[i]).collect();
                let mut streams = Vec::with_capacity(batch.len());
                for unroll in &batch {
                    streams.push(self.take(network, unroll)?);
                }
                let states: Vec<&S> = streams.iter().map(|stream| &stream.state).collect();
                let results = network.forward(&batch, &states)?;
                for ((mut stream, (output, state)), &i) in streams.into_iter().zip(results).zip(indices) {
                    let mask = mask(&mut stream.masked_left, &unrolls[i].is_first);
                    outputs[i] = Some((output, mask));
                    stream.state = state;
                    stream.next_sequence = unrolls[i].sequence + 1;
                    self.store(unrolls[i].slot.clone(), stream);
                }
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("rounds cover every unroll")).collect())
    }

    /// The stream that an unroll continues, or a new one where there is a gap before it.
    fn take<N: StreamNetwork<State = S>>(
        &mut self,
        network: &N,
        unroll: &Experience,
    ) -> Result<Stream<S>, LearnerError> {
        match self.streams.remove(&unroll.slot) {
            Some(stream) if stream.next_sequence == unroll.sequence => Ok(stream),
            _ => Ok(Stream::new(network.initial()?, unroll.sequence, network.steps_seen_before())),
        }
    }

    /// Puts a stream in as the one used last; the least recently used ones go when there are too many.
    pub(super) fn store(&mut self, slot: SlotKey, mut stream: Stream<S>) {
        self.clock += 1;
        stream.touched = self.clock;
        self.streams.insert(slot, stream);
        while self.streams.len() > self.max_streams {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.touched);
            let Some(slot) = oldest.map(|(slot, _)| slot.clone()) else { return };
            self.streams.remove(&slot);
        }
    }

    /// Every stream, the least recently used first.
    pub(super) fn by_last_use(&self) -> Vec<(&SlotKey, &Stream<S>)> {
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_by_key(|(_, stream)| stream.touched);
        streams
    }

    pub(super) fn clear(&mut self) {
        self.streams.clear();
    }
}

/// Groups unrolls so that no group has two of one slot and every slot's come in sequence order.
fn rounds(unrolls: &[Experience]) -> Vec<Vec<usize>> {
    let mut by_slot: HashMap<&SlotKey, Vec<usize>> = HashMap::new();
    for (i, unroll) in unrolls.iter().enumerate() {
        by_slot.entry(&unroll.slot).or_default().push(i);
    }
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for indices in by_slot.values_mut() {
        indices.sort_by_key(|&i| unrolls[i].sequence);
        for (round, &i) in indices.iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(i);
        }
    }
    // Hash maps iterate in any order; batches must not depend on it.
    for round in &mut rounds {
        round.sort_unstable();
    }
    rounds
}

/// Per step 1 where the state is exact; an episode's start ends the masking.
fn mask(masked_left: &mut usize, is_first: &[u8]) -> Vec<f32> {
    let step = |&first: &u8| {
        if first != 0 {
            *masked_left = 0;
        }
        let masked = *masked_left > 0;
        *masked_left = masked_left.saturating_sub(1);
        f32::from(u8::from(!masked))
    };
    is_first.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masking_ends_when_enough_was_seen_or_an_episode_starts() {
        let mut left = 3;
        assert_eq!(mask(&mut left, &[0, 0, 0, 0]), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(left, 0);
        let mut left = 3;
        assert_eq!(mask(&mut left, &[0, 1, 0]), [0.0, 1.0, 1.0]);
    }
}
