//! The TensorFlow messages that scalars and histograms need, with the field numbers of `event.proto`, `summary.proto` and
//! `histogram.proto`.

use std::collections::BTreeMap;

/// What the first event of every file says.
pub(super) const FILE_VERSION: &str = "brain.Event:2";

/// `tensorflow.Event`: one point in time of a file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    // Of the oneof `what`, the two members that are written.
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

/// `tensorflow.Summary.Value`; `simple_value` is in a oneof there, so zero is written too.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    #[prost(message, optional, tag = "5")]
    pub(super) histogram: Option<Histogram>,
}

/// `tensorflow.HistogramProto`: bucket `i` counts numbers above limit `i - 1` and at most limit `i`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Histogram {
    #[prost(double, tag = "1")]
    pub(super) min: f64,
    #[prost(double, tag = "2")]
    pub(super) max: f64,
    #[prost(double, tag = "3")]
    pub(super) count: f64,
    #[prost(double, tag = "4")]
    pub(super) sum: f64,
    #[prost(double, tag = "5")]
    pub(super) sum_of_squares: f64,
    #[prost(double, repeated, tag = "6")]
    pub(super) bucket_limits: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    pub(super) buckets: Vec<f64>,
}

impl Histogram {
    /// Of whole numbers by how often each occurred: a bucket of width one around each number of the range.
    pub(super) fn of_counts(counts: &BTreeMap<u64, u64>) -> Self {
        let (Some((&min, _)), Some((&max, _))) = (counts.first_key_value(), counts.last_key_value()) else {
            return Self::default();
        };
        let sum = |of: fn(f64) -> f64| counts.iter().map(|(&n, &count)| of(n as f64) * count as f64).sum();
        // The first bucket is empty and says where the second begins.
        let buckets = (min..=max).map(|n| counts.get(&n).copied().unwrap_or_default() as f64);
        Self {
            min: min as f64,
            max: max as f64,
            count: sum(|_| 1.0),
            sum: sum(|n| n),
            sum_of_squares: sum(|n| n * n),
            bucket_limits: std::iter::once(min as f64 - 0.5)
                .chain((min..=max).map(|n| n as f64 + 0.5))
                .collect(),
            buckets: std::iter::once(0.0).chain(buckets).collect(),
        }
    }
}
