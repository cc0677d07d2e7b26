//! Learning curves from the learner's `metrics.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

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
