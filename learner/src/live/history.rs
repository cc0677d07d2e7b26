//! Points for plots in bounded memory: the last minutes second by second, the whole run thinned.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// Points of the last minutes.
const RECENT: usize = 300;
/// Points of the whole run; when there are as many, each two become one.
const WHOLE: usize = 512;
/// Series at most; what is named beyond that is left out.
const SERIES: usize = 96;

/// What was seen at one moment, by the number of its series; NaN where a series had nothing.
#[derive(Clone, Debug, Default)]
struct Point {
    time: f64,
    values: Vec<f32>,
}

/// The newest point with its number.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) number: u64,
    pub(super) time: f64,
    pub(super) values: Vec<(String, f64)>,
}

/// Every series over time.
#[derive(Debug)]
pub(super) struct History {
    names: Vec<String>,
    pushed: u64,
    recent: VecDeque<Point>,
    whole: Vec<Point>,
    /// Points that make one of `whole`.
    stride: usize,
    /// What gathers for the next one.
    gathering: Vec<Point>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            pushed: 0,
            recent: VecDeque::with_capacity(RECENT),
            whole: Vec::with_capacity(WHOLE),
            stride: 1,
            gathering: Vec::new(),
        }
    }
}

impl History {
    /// Adds what was seen at `time`, in Unix seconds.
    pub(super) fn push(&mut self, time: f64, seen: BTreeMap<String, f64>) {
        let mut values = vec![f32::NAN; self.names.len()];
        for (name, value) in seen {
            match self.names.iter().position(|known| *known == name) {
                Some(index) => values[index] = value as f32,
                None if self.names.len() < SERIES => {
                    self.names.push(name);
                    values.push(value as f32);
                }
                None => {}
            }
        }
        let point = Point { time, values };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(point.clone());
        self.pushed += 1;
        self.gathering.push(point);
        if self.gathering.len() >= self.stride {
            self.whole.push(mean(&self.gathering));
            self.gathering.clear();
        }
        if self.whole.len() == WHOLE {
            self.whole = self.whole.chunks(2).map(mean).collect();
            self.stride *= 2;
        }
    }

    /// The newest point, if there is one.
    pub(super) fn newest(&self) -> Option<Newest> {
        let point = self.recent.back()?;
        let values = self.names.iter().cloned().zip(point.values.iter().map(|&value| f64::from(value)));
        let values = values.filter(|(_, value)| value.is_finite()).collect();
        Some(Newest { number: self.pushed, time: point.time, values })
    }

    /// Everything, one list a series; null where there is nothing.
    pub(super) fn json(&self) -> Value {
        json!({
            "number": self.pushed,
            "recent": self.columns(self.recent.iter()),
            "whole": self.columns(self.whole.iter()),
        })
    }

    fn columns<'a>(&self, points: impl Iterator<Item = &'a Point> + Clone) -> Value {
        let column = |index: usize| -> Vec<Option<f64>> {
            points
                .clone()
                .map(|point| {
                    point.values.get(index).filter(|value| value.is_finite()).map(|&value| short(value))
                })
                .collect()
        };
        let series: serde_json::Map<String, Value> =
            self.names.iter().enumerate().map(|(index, name)| (name.clone(), json!(column(index)))).collect();
        let times: Vec<f64> = points.clone().map(|point| (point.time * 10.0).round() / 10.0).collect();
        json!({ "times": times, "series": series })
    }
}

/// The mean of each series over those points that have it, at the last point's time.
fn mean(points: &[Point]) -> Point {
    let width = points.iter().map(|point| point.values.len()).max().unwrap_or(0);
    let values = (0..width).map(|index| {
        let there =
            points.iter().filter_map(|point| point.values.get(index)).filter(|value| value.is_finite());
        let (sum, count) =
            there.fold((0.0, 0_u32), |(sum, count), &value| (sum + f64::from(value), count + 1));
        if count == 0 { f32::NAN } else { (sum / f64::from(count)) as f32 }
    });
    Point { time: points.last().map_or(0.0, |point| point.time), values: values.collect() }
}

/// Five digits, which is more than a plot shows.
fn short(value: f32) -> f64 {
    let value = f64::from(value);
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powf(4.0 - value.abs().log10().floor());
    if scale.is_finite() { (value * scale).round() / scale } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn memory_is_bounded_and_the_whole_run_stays_in_sight() {
        let mut history = History::default();
        for second in 0..20_000 {
            history.push(f64::from(second), seen(&[("rate", f64::from(second))]));
        }
        let all = history.json();
        let times = |part: &str| all[part]["times"].as_array().unwrap().clone();
        assert_eq!((times("recent").len(), times("recent")[0].as_f64()), (RECENT, Some(19_700.0)));
        assert!((WHOLE / 2..WHOLE).contains(&times("whole").len()), "{}", times("whole").len());
        let (first, last) = (times("whole")[0].as_f64().unwrap(), times("whole").last().unwrap().as_f64());
        assert!(first < 100.0 && last.unwrap() > 19_900.0, "{first} to {last:?}");
        // A thinned point is the mean of those it stands for.
        let rate = all["whole"]["series"]["rate"][0].as_f64().unwrap();
        assert!((rate - first / 2.0).abs() <= 0.5, "{rate} at {first}");
        assert_eq!(history.newest().unwrap().number, 20_000);
    }

    #[test]
    fn series_may_come_late_and_have_gaps() {
        let mut history = History::default();
        history.push(1.0, seen(&[("a", 1.0)]));
        history.push(2.0, seen(&[("b", 123_456.7), ("a", f64::NAN)]));
        let series = history.json()["recent"]["series"].clone();
        assert_eq!(series, json!({ "a": [1.0, null], "b": [null, 123_460.0] }));
        let newest = history.newest().unwrap();
        assert_eq!((newest.number, newest.time, newest.values.len()), (2, 2.0, 1));
    }

    #[test]
    fn names_are_bounded() {
        let mut history = History::default();
        for item in 0..1000 {
            history.push(0.0, seen(&[(&format!("items/{item}_share"), 1.0)]));
        }
        assert_eq!(history.names.len(), SERIES);
    }

    #[test]
    fn five_digits_are_kept() {
        assert_eq!([0.0, 1.0, 0.000_123_456_7, -98_765.4].map(short), [0.0, 1.0, 0.000_123_46, -98_765.0]);
        assert!(short(f32::MIN_POSITIVE) >= 0.0);
    }
}
