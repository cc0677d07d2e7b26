//! Seeds of episodes that are played to their end: those recorded and those held out never meet.
//!
//! Seeds of evaluation have their top bit set; seeds of recordings, and those that an envserver gives to training, never do.

use vpt_runtime::counter_hash::counter_hash;

/// The word of recordings in randomness keys: "recd".
pub(crate) const RECORDED: u64 = 0x7265_6364;
/// The word of evaluations: "eval".
pub(crate) const EVALUATED: u64 = 0x6576_616c;
const HELD_OUT: u64 = 1 << 63;

/// The seed of recorded episode `index`.
#[must_use]
pub(crate) fn recorded_seed(seed: u64, index: usize) -> u64 {
    counter_hash(&[seed, RECORDED, index as u64]) & !HELD_OUT
}

/// The seed of held-out episode `index`.
#[must_use]
pub(crate) fn held_out_seed(seed: u64, index: usize) -> u64 {
    counter_hash(&[seed, EVALUATED, index as u64]) | HELD_OUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_and_held_out_episodes_differ_in_the_top_bit() {
        assert!(
            (0..100).all(|index| recorded_seed(1, index) >> 63 == 0 && held_out_seed(1, index) >> 63 == 1)
        );
    }
}
