//! Samples turned into inputs that are almost right: the same ones in every run.

/// Lengths and offsets that decoders stumble over.
const INTERESTING: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Longest input.
const MAX_BYTES: usize = 1 << 20;

/// Makes inputs out of samples.
pub(crate) struct Mutator<'a> {
    samples: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutator<'a> {
    /// `name` is the seed.
    pub(crate) fn new(name: &str, samples: &'a [Vec<u8>]) -> Self {
        let state =
            name.bytes().fold(0x5eed, |state: u64, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
        Self { samples, state }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    /// A sample with one to eight changes.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let index = self.below(self.samples.len());
        let mut data = self.samples[index].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut data);
        }
        data.truncate(MAX_BYTES);
        data
    }

    fn change(&mut self, data: &mut Vec<u8>) {
        // Heads hold the lengths: half of all changes fall there.
        let reach = if self.below(2) == 0 { data.len().min(64) } else { data.len() };
        let at = self.below(reach + 1).min(data.len());
        let end = (at + self.below(32)).min(data.len());
        match self.below(9) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = self.random() as u8,
            2 => drop(data.drain(at..end)),
            3 => data.truncate(at),
            4 => {
                let bytes: Vec<u8> = (0..self.below(16)).map(|_| self.random() as u8).collect();
                data.splice(at..at, bytes);
            }
            5 => {
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            6 => {
                let other = self.below(self.samples.len());
                let other = &self.samples[other];
                let from = self.state as usize % (other.len() + 1);
                let tail = other[from..(from + 256).min(other.len())].to_vec();
                data.splice(at..end, tail);
            }
            _ => self.overwrite(data, at),
        }
    }

    /// A number that is a length, perhaps.
    fn overwrite(&mut self, data: &mut [u8], at: usize) {
        let number = INTERESTING[self.below(INTERESTING.len())].wrapping_sub(self.below(3) as u64);
        let width = [1, 2, 4, 8][self.below(4)];
        let bytes = number.to_le_bytes();
        for (place, byte) in data.iter_mut().skip(at).zip(&bytes[..width]) {
            *place = *byte;
        }
    }
}
