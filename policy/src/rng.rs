//! Counter-based randomness: the n-th number of a key is a function of the key and n alone, so that any draw can be
//! repeated without replaying those before it.

/// SplitMix64's finaliser of `x + golden gamma`: one well-mixed word per input.
#[must_use]
pub(crate) fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers named by a key such as (run seed, role, slot, episode, step).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterRng {
    state: [u64; 2],
    counter: u64,
}

impl CounterRng {
    /// The stream of `key`; keys that differ in any word, their order or their length give unrelated streams.
    #[must_use]
    pub fn new(key: &[u64]) -> Self {
        let mut state = [splitmix64(key.len() as u64), splitmix64(!(key.len() as u64))];
        for &word in key {
            state[0] = splitmix64(state[0] ^ word);
            state[1] = splitmix64(state[1].rotate_left(23) ^ splitmix64(word));
        }
        Self { state, counter: 0 }
    }

    /// How many words have been drawn.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.counter
    }

    /// Continues as if `position` words had been drawn.
    pub fn seek(&mut self, position: u64) {
        self.counter = position;
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let word = splitmix64(splitmix64(self.state[0].wrapping_add(self.counter)) ^ self.state[1]);
        self.counter = self.counter.wrapping_add(1);
        word
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller; two words a number).
    pub fn normal_f32(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform_f64()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform_f64()).cos()) as f32
    }

    /// Uniform in 0..`n` without bias (Lemire's rejection).
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0) has no value to return");
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform permutation in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_by_the_whole_key() {
        let first = |key: &[u64]| CounterRng::new(key).next_u64();
        let keys: [&[u64]; 7] = [&[], &[0], &[0, 0], &[1, 2], &[2, 1], &[1, 2, 0], &[1]];
        for (i, a) in keys.iter().enumerate() {
            assert_eq!(first(a), first(a));
            for b in &keys[..i] {
                assert_ne!(first(a), first(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn seek_repeats_a_draw() {
        let mut rng = CounterRng::new(&[7, 3]);
        let words: Vec<u64> = (0..10).map(|_| rng.next_u64()).collect();
        rng.seek(4);
        assert_eq!(rng.next_u64(), words[4]);
        assert_eq!(rng.position(), 5);
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut rng = CounterRng::new(&[11]);
        let n = 100_000;
        let uniform: Vec<f64> = (0..n).map(|_| f64::from(rng.uniform_f32())).collect();
        assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = uniform.iter().sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 4.0 * (1.0f64 / 12.0 / f64::from(n)).sqrt(), "{mean}");
        let normal: Vec<f64> = (0..n).map(|_| f64::from(rng.normal_f32())).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.018, "{mean} {variance}");
    }

    #[test]
    fn below_covers_its_range_evenly_and_shuffle_permutes() {
        let mut rng = CounterRng::new(&[5, 6]);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 400), "{counts:?}");
        let mut items: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
