//! How much memory a process holds, and how fast that grows.

use std::time::Instant;

/// Resident memory of process `pid` in bytes; none when it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Samples of a process' memory.
#[derive(Debug)]
pub struct Growth {
    began: Instant,
    /// Minutes since the start, megabytes.
    samples: Vec<(f64, f64)>,
}

impl Default for Growth {
    fn default() -> Self {
        Self { began: Instant::now(), samples: Vec::new() }
    }
}

impl Growth {
    /// Takes a sample.
    pub fn sample(&mut self, pid: u32) {
        if let Some(bytes) = resident_bytes(pid) {
            self.samples.push((self.began.elapsed().as_secs_f64() / 60.0, bytes as f64 / 1e6));
        }
    }

    /// Slope of the least-squares line through the samples, in megabytes a minute.
    pub fn slope(&self) -> f64 {
        let n = self.samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.samples.iter().map(of).sum::<f64>() / n;
        let (time, memory) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let product = |a: f64, b: f64| (a - time) * (b - memory);
        let covariance: f64 = self.samples.iter().map(|&(a, b)| product(a, b)).sum();
        let variance: f64 = self.samples.iter().map(|&(a, _)| (a - time).powi(2)).sum();
        if variance > 0.0 { covariance / variance } else { 0.0 }
    }

    /// First and last sample, in megabytes.
    pub fn ends(&self) -> (f64, f64) {
        let at = |sample: Option<&(f64, f64)>| sample.map_or(0.0, |sample| sample.1);
        (at(self.samples.first()), at(self.samples.last()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let samples = (0..10).map(|n| (f64::from(n), 100.0 + 2.5 * f64::from(n))).collect();
        let growth = Growth { samples, ..Growth::default() };
        assert!((growth.slope() - 2.5).abs() < 1e-9);
        assert_eq!(growth.ends(), (100.0, 122.5));
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
    }
}
