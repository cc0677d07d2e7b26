//! The rate of a count that is looked at now and then and moves in jumps.

use anyhow::Context;

/// What was seen: seconds and the count, one entry for each change.
#[derive(Debug, Default)]
pub(super) struct Meter {
    changes: Vec<(f64, u64)>,
}

impl Meter {
    /// Notes that the count was `count` at `seconds`.
    pub(super) fn add(&mut self, seconds: f64, count: u64) {
        let last = self.changes.last().map_or(0, |(_, count)| *count);
        if count > last {
            self.changes.push((seconds, count));
        }
    }

    /// Seconds from the first change to the last.
    pub(super) fn since_first(&self) -> Option<f64> {
        Some(self.changes.last()?.0 - self.changes.first()?.0)
    }

    /// Counts per second between the first change that is `warm_up` seconds after the first of all and the last.
    pub(super) fn rate(&self, warm_up: f64) -> anyhow::Result<f64> {
        let (first, last) = (self.changes.first(), self.changes.last());
        let (first, last) = first.zip(last).context("nothing was counted")?;
        let start = self.changes.iter().find(|(at, _)| at - first.0 >= warm_up);
        let start =
            start.filter(|start| start.0 < last.0).context("the count stood still after the warm-up")?;
        Ok((last.1 - start.1) as f64 / (last.0 - start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_from_change_to_change_after_the_warm_up() {
        let mut meter = Meter::default();
        assert!(meter.rate(0.0).is_err() && meter.since_first().is_none());
        for (at, count) in [(1.0, 0), (2.0, 10), (2.5, 10), (3.0, 500), (4.0, 600), (5.0, 600), (6.0, 800)] {
            meter.add(at, count);
        }
        assert_eq!(meter.since_first(), Some(4.0));
        assert_eq!(meter.rate(1.0).unwrap(), 100.0);
        assert!(meter.rate(4.0).is_err());
    }
}
