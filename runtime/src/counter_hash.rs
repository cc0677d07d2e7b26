//! A counter-based hash: the same key always gives the same number, so nothing random depends on order or time.

/// Mixes a key of any length into 64 well-spread bits (SplitMix64's finaliser, chained).
#[must_use]
pub fn counter_hash(key: &[u64]) -> u64 {
    // The length is part of the key: [0] and [0, 0] differ.
    let start = mix(0x9e37_79b9_7f4a_7c15 ^ key.len() as u64);
    key.iter().fold(start, |state, &word| {
        mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(word.wrapping_add(0xd1b5_4a32_d192_ed03)))
    })
}

/// The hash of `key` as a number in [0, 1).
#[must_use]
pub fn counter_uniform(key: &[u64]) -> f64 {
    (counter_hash(key) >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_anywhere_hash_apart() {
        let mut seen = std::collections::HashSet::new();
        assert!(seen.insert(counter_hash(&[])));
        for a in 0..100 {
            assert!(seen.insert(counter_hash(&[a])));
            for b in 0..100 {
                assert!(seen.insert(counter_hash(&[a, b])));
            }
        }
    }

    #[test]
    fn uniform_numbers_fill_the_interval_evenly() {
        let mean = (0..10_000).map(|i| counter_uniform(&[7, i])).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!((0..10_000).all(|i| (0.0..1.0).contains(&counter_uniform(&[i]))));
    }

    #[test]
    fn the_hash_is_pinned() {
        // Episode seeds on the wire depend on it: changing it changes every recorded run.
        assert_eq!(counter_hash(&[1, 2, 3]), 17_136_294_927_530_874_483);
    }
}
