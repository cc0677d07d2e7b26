//! How long one kind of operation took: mean, median, 99th percentile, worst.

use serde::Serialize;

/// Distribution of one kind of operation, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: usize,
    /// Mean: a world may keep a view that has not changed, so the median alone flatters it.
    pub mean_us: f64,
    /// Median.
    pub median_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Latency {
    /// Of samples in seconds; none when there are none.
    pub(super) fn of(seconds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut seconds: Vec<f64> = seconds.into_iter().collect();
        seconds.sort_by(f64::total_cmp);
        let last = seconds.len().checked_sub(1)?;
        let at = |q: f64| seconds[(last as f64 * q).round() as usize] * 1e6;
        let mean_us = seconds.iter().sum::<f64>() / seconds.len() as f64 * 1e6;
        Some(Self {
            count: seconds.len(),
            mean_us,
            median_us: at(0.5),
            p99_us: at(0.99),
            max_us: seconds[last] * 1e6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_found() {
        let latency = Latency::of((1..=101).rev().map(|n| f64::from(n) * 1e-6)).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(latency.median_us, 51.0) && close(latency.mean_us, 51.0));
        assert!(close(latency.p99_us, 100.0) && close(latency.max_us, 101.0));
        assert!(Latency::of([]).is_none());
    }
}
