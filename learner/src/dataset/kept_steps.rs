//! Which steps of a recorded episode are trained on, when steps that do nothing are left out of it.

use std::ops::Range;

/// Steps left out are few or come in stretches, so those that stay are few runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSteps {
    runs: Vec<Run>,
    /// Steps that stay.
    kept: usize,
    /// Steps recorded.
    recorded: usize,
}

/// Consecutive recorded steps that all stay.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    /// Steps that stay before this run.
    before: u32,
    /// The first of the run among the recorded steps.
    start: u32,
    len: u32,
}

impl KeptSteps {
    /// All `recorded` steps stay.
    pub(crate) fn all(recorded: usize) -> Self {
        Self::new(std::iter::repeat_n(true, recorded))
    }

    /// Says of every recorded step whether it stays.
    pub(crate) fn new(stays: impl IntoIterator<Item = bool>) -> Self {
        let mut steps = Self { runs: Vec::new(), kept: 0, recorded: 0 };
        let mut runs_on = false;
        for stays in stays {
            match steps.runs.last_mut().filter(|_| runs_on && stays) {
                Some(run) => run.len += 1,
                None if stays => {
                    steps.runs.push(Run { before: steps.kept as u32, start: steps.recorded as u32, len: 1 });
                }
                None => {}
            }
            runs_on = stays;
            steps.kept += usize::from(stays);
            steps.recorded += 1;
        }
        steps
    }

    /// How many stay.
    pub(crate) fn len(&self) -> usize {
        self.kept
    }

    /// Where the steps `start..start + len` of those that stay lie among the recorded ones, in order.
    pub(crate) fn recorded(&self, start: usize, len: usize) -> Vec<Range<usize>> {
        let end = start + len;
        let first = self.runs.partition_point(|run| (run.before + run.len) as usize <= start);
        self.runs[first..]
            .iter()
            .take_while(|run| (run.before as usize) < end)
            .map(|run| {
                let (before, at) = (run.before as usize, run.start as usize);
                at + start.saturating_sub(before)..at + (run.len as usize).min(end - before)
            })
            .collect()
    }

    /// How many steps are left out just before or among `start..start + len` of those that stay, or after them when they
    /// are the last; over all pieces of an episode these add up to all that are left out.
    pub(crate) fn left_out(&self, start: usize, len: usize) -> usize {
        self.boundary(start + len) - self.boundary(start) - len
    }

    /// The recorded step at which the first `kept` of those that stay are over.
    fn boundary(&self, kept: usize) -> usize {
        if kept == self.kept {
            return self.recorded;
        }
        let run = self.runs.partition_point(|run| ((run.before + run.len) as usize) < kept);
        if kept == 0 { 0 } else { self.runs[run].start as usize + kept - self.runs[run].before as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Pieces of what stays name exactly the steps that stay, and what they leave out adds up.
        #[test]
        fn pieces_name_the_steps_that_stay(
            stays in prop::collection::vec(any::<bool>(), 0..60), piece in 1usize..9
        ) {
            let steps = KeptSteps::new(stays.iter().copied());
            let expected: Vec<usize> = (0..stays.len()).filter(|&i| stays[i]).collect();
            prop_assert_eq!(steps.len(), expected.len());
            let (mut found, mut left_out) = (Vec::new(), 0);
            for start in (0..steps.len()).step_by(piece) {
                let len = piece.min(steps.len() - start);
                let ranges = steps.recorded(start, len);
                for pair in ranges.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start);
                }
                found.extend(ranges.into_iter().flatten());
                left_out += steps.left_out(start, len);
            }
            prop_assert_eq!(found, expected);
            if steps.len() > 0 {
                prop_assert_eq!(left_out, stays.len() - steps.len());
            }
        }
    }

    #[test]
    fn all_steps_are_one_run() {
        let steps = KeptSteps::all(7);
        assert_eq!(
            (steps.len(), steps.recorded(2, 4).first().cloned(), steps.left_out(2, 4)),
            (7, Some(2..6), 0)
        );
        assert_eq!(KeptSteps::all(0).len(), 0);
    }
}
