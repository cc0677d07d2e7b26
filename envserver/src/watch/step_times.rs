//! How long a world's steps take, and the deadline that follows from it.

use std::time::Duration;

/// Steps after which a world's own times are trusted.
const ENOUGH: u32 = 1000;
/// Deadlines are looked at again after so many steps.
const EVERY: u32 = 256;
/// No deadline is shorter: below it a busy machine looks like a hung world.
const SHORTEST: Duration = Duration::from_millis(500);
/// The deadline in 99.9th percentiles.
const PATIENCE: u32 = 3;
/// Steps after which older ones begin to count less.
const WINDOW: u32 = 1 << 16;
/// Buckets of each doubling: a bucket is an eighth wide.
const PER_OCTAVE: usize = 8;
const BUCKETS: usize = 40 * PER_OCTAVE;

/// A histogram of microseconds.
#[derive(Debug)]
pub(crate) struct StepTimes {
    buckets: Box<[u32; BUCKETS]>,
    count: u32,
}

impl StepTimes {
    pub(crate) fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }

    /// Adds a step; now and then, once enough were seen, how long the next ones may take.
    pub(crate) fn add(&mut self, took: Duration) -> Option<Duration> {
        if self.count == WINDOW {
            self.buckets.iter_mut().for_each(|bucket| *bucket /= 2);
            self.count = self.buckets.iter().sum();
        }
        self.buckets[bucket(took)] += 1;
        self.count += 1;
        let is_due = self.count >= ENOUGH && self.count.is_multiple_of(EVERY);
        is_due.then(|| (self.percentile_999() * PATIENCE).max(SHORTEST))
    }

    /// The upper edge of the bucket with the 99.9th percentile.
    fn percentile_999(&self) -> Duration {
        let mut above = self.count / 1000;
        for (index, &steps) in self.buckets.iter().enumerate().rev() {
            if steps > above {
                return upper_edge(index);
            }
            above -= steps;
        }
        Duration::ZERO
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(PER_OCTAVE as u64);
    let octave = micros.ilog2() as usize;
    let eighth = (micros >> (octave - 3)) as usize % PER_OCTAVE;
    ((octave - 3) * PER_OCTAVE + eighth).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> Duration {
    let (octave, eighth) = (bucket / PER_OCTAVE, bucket % PER_OCTAVE);
    Duration::from_micros(((PER_OCTAVE + eighth + 1) as u64) << octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_enclose_their_times_within_an_eighth() {
        for micros in [8, 9, 15, 16, 17, 1000, 123_456, 60_000_000] {
            let edge = upper_edge(bucket(Duration::from_micros(micros))).as_micros() as u64;
            assert!(micros < edge && edge <= micros + micros / 8 + 1, "{micros} {edge}");
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_deadline_follows_from_a_thousand_steps() {
        let mut times = StepTimes::new();
        let limits = |times: &mut StepTimes, steps: u32, millis: u64| {
            (0..steps).filter_map(|_| times.add(Duration::from_millis(millis))).last()
        };
        assert_eq!(limits(&mut times, 999, 1), None);
        assert_eq!(limits(&mut times, 256, 1), Some(SHORTEST));
        // Two in a thousand are slow: they are what is usual.
        let slow = limits(&mut times, 20, 400).or(limits(&mut times, 1000, 1)).unwrap();
        assert!((1200..=1400).contains(&slow.as_millis()), "{slow:?}");
        // Of old ones little is left after a while.
        assert_eq!(limits(&mut times, 200_000, 1), Some(SHORTEST));
    }
}
