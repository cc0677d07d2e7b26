//! Learning curves from the learner's `metrics.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::up::summary::Arm;

/// Mean return of the last episodes.
const RETURN: &str = "charts/episodic_return";
const RETURN_STDERR: &str = "charts/episodic_return_stderr";

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Env steps trained.
    pub step: f64,
    /// The value there.
    pub value: f64,
    /// Its standard error; 0 when not known.
    pub stderr: f64,
}

/// Every scalar of a run, by tag, in the order written.
#[derive(Debug, Default)]
pub struct Metrics {
    scalars: BTreeMap<String, BTreeMap<u64, f64>>,
}

/// Reads `metrics.jsonl`; a last line that was cut off by a crash is passed over. When a step was logged twice,
/// because a crash rolled training back, the later value counts.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Metrics> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut metrics = Metrics::default();
    for line in text.lines() {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else { continue };
        let Some(step) = object.get("step").and_then(Value::as_u64) else { continue };
        for (tag, value) in &object {
            if let (true, Some(value)) = (tag.contains('/'), value.as_f64()) {
                metrics.scalars.entry(tag.clone()).or_default().insert(step, value);
            }
        }
    }
    Ok(metrics)
}

/// The mean return of every arm of the run in `dir` that reinforcement learning made, while it was trained.
///
/// # Errors
/// As [`read`].
pub fn returns(dir: &Path) -> anyhow::Result<Vec<(Arm, Vec<Point>)>> {
    let mut curves = Vec::new();
    for arm in Arm::LEARNERS {
        let path = arm.folder(dir).join("metrics.jsonl");
        if !path.exists() {
            continue;
        }
        let metrics = read(&path)?;
        curves.extend(metrics.with_errors(RETURN, RETURN_STDERR).map(|curve| (arm, curve)));
    }
    Ok(curves)
}

/// The mean of several curves at `points` equal distances, with the standard error over them; as far as all of them go.
/// Between two points of a curve a line is drawn.
pub fn mean(curves: &[Vec<Point>], points: usize) -> Vec<Point> {
    let edge =
        |ends: fn(&[Point]) -> Option<&Point>| curves.iter().filter_map(move |c| ends(c)).map(|p| p.step);
    let first = edge(|curve| curve.first()).fold(0.0, f64::max);
    let last = edge(|curve| curve.last()).fold(f64::MAX, f64::min);
    let count = curves.len() as f64;
    let at = |index: usize| {
        let step = first + (last - first) * index as f64 / (points - 1).max(1) as f64;
        let values: Vec<f64> = curves.iter().filter_map(|curve| value_at(curve, step)).collect();
        let value = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|v| (v - value) * (v - value)).sum::<f64>() / (count - 1.0).max(1.0);
        Point { step, value, stderr: (variance / count).sqrt() }
    };
    if last < first || curves.is_empty() { Vec::new() } else { (0..points).map(at).collect() }
}

fn value_at(curve: &[Point], step: f64) -> Option<f64> {
    let after = curve.partition_point(|point| point.step < step);
    let right = curve.get(after).or(curve.last())?;
    let left = curve.get(after.saturating_sub(1)).unwrap_or(right);
    let width = right.step - left.step;
    let share = if width > 0.0 { (step - left.step) / width } else { 0.0 };
    Some(left.value + share * (right.value - left.value))
}

impl Metrics {
    /// The curve of `tag` with the standard errors logged as `stderr_tag`; `None` when it was never logged.
    pub fn with_errors(&self, tag: &str, stderr_tag: &str) -> Option<Vec<Point>> {
        let values = self.scalars.get(tag)?;
        let errors = self.scalars.get(stderr_tag);
        let error_at = |step: &u64| errors.and_then(|e| e.get(step)).copied().unwrap_or_default();
        Some(
            values
                .iter()
                .map(|(step, value)| Point { step: *step as f64, value: *value, stderr: error_at(step) })
                .collect(),
        )
    }

    /// The curves `items/<item>_share`, by item.
    pub fn item_shares(&self) -> Vec<(String, Vec<Point>)> {
        self.scalars
            .keys()
            .filter_map(|tag| {
                let item = tag.strip_prefix("items/")?.strip_suffix("_share")?;
                Some((item.to_owned(), self.with_errors(tag, &format!("items/{item}_share_stderr"))?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_curves_is_taken_where_all_of_them_are() {
        let line = |points: &[(f64, f64)]| -> Vec<Point> {
            points.iter().map(|&(step, value)| Point { step, value, stderr: 0.0 }).collect()
        };
        let curves = [line(&[(0.0, 0.0), (10.0, 10.0)]), line(&[(2.0, 4.0), (4.0, 4.0), (12.0, 12.0)])];
        let found = mean(&curves, 3);
        let expected = [(2.0, 3.0, 1.0), (6.0, 6.0, 0.0), (10.0, 10.0, 0.0)];
        assert_eq!(found, expected.map(|(step, value, stderr)| Point { step, value, stderr }));
        assert!(mean(&[], 3).is_empty());
    }

    #[test]
    fn a_cut_off_line_is_passed_over_and_a_repeated_step_overwrites() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("metrics.jsonl");
        let text = concat!(
            "{\"step\":10,\"charts/episodic_return\":1.0,\"charts/episodic_return_stderr\":0.5}\n",
            "{\"step\":20,\"charts/episodic_return\":3.0,\"items/log_share\":0.25}\n",
            "{\"step\":20,\"charts/episodic_return\":2.0}\n",
            "{\"step\":30,\"charts/epis",
        );
        std::fs::write(&path, text).expect("write");
        let metrics = read(&path).expect("read");
        let curve =
            metrics.with_errors("charts/episodic_return", "charts/episodic_return_stderr").expect("curve");
        let points = [(10.0, 1.0, 0.5), (20.0, 2.0, 0.0)];
        assert_eq!(curve, points.map(|(step, value, stderr)| Point { step, value, stderr }));
        let shares = metrics.item_shares();
        assert_eq!(shares.len(), 1);
        assert_eq!((shares[0].0.as_str(), shares[0].1[0].value), ("log", 0.25));
    }
}
