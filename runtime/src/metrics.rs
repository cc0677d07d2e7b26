//! Metrics: each is declared once as a [`MetricSpec`] and one recorder a process serves them all.
//!
//! The global recorder can be installed only once, but roles that share a process (tests, `vpt up` in one process)
//! each declare their own metrics: every [`install`] therefore adds a Prometheus recorder for the names it brings, and
//! the global one sends each metric to the recorder that declared it.

use std::collections::HashMap;
use std::sync::{OnceLock, RwLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::build_info;

/// Buckets for times from tens of microseconds to a minute, in seconds.
pub const TIME_BUCKETS: &[f64] = &[
    2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
    60.0,
];

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises; named `_total`.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Distribution over the declared buckets.
    Histogram,
}

/// One metric's declaration: the only place its name, help, unit and buckets are written.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// Full name, `vpt_<role>_<what>_<unit>[_total]`.
    pub name: &'static str,
    /// What it measures.
    pub kind: MetricKind,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// "seconds", "bytes", ... or empty.
    pub unit: &'static str,
    /// Upper bounds; histograms only.
    pub buckets: &'static [f64],
    /// Labels and all values they may take; an empty list of values is a set closed elsewhere (such as tasks).
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

impl MetricSpec {
    /// A counter; `name` must end in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, help, unit: "", buckets: &[], labels: &[] }
    }

    /// A gauge in `unit` ("" for a plain number).
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, unit: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, help, unit, buckets: &[], labels: &[] }
    }

    /// A histogram in `unit` with the given upper bounds.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        unit: &'static str,
        buckets: &'static [f64],
    ) -> Self {
        Self { name, kind: MetricKind::Histogram, help, unit, buckets, labels: &[] }
    }

    /// The same metric with labels and their closed lists of values; every combination exists from the first scrape.
    #[must_use]
    pub const fn labels(mut self, labels: &'static [(&'static str, &'static [&'static str])]) -> Self {
        self.labels = labels;
        self
    }

    /// Makes every declared series exist (counters at 0), so that rates and alerts work from the first scrape.
    pub fn touch(&self) {
        for labels in self.combinations() {
            let key = Key::from_parts(self.name, labels);
            metrics::with_recorder(|recorder| self.register(recorder, &key));
        }
    }

    /// Every combination of label values; none when a label's values are not declared.
    fn combinations(&self) -> Vec<Vec<metrics::Label>> {
        self.labels.iter().fold(vec![Vec::new()], |combinations, (label, values)| {
            let extend = |combination: &Vec<metrics::Label>| {
                values
                    .iter()
                    .map(|value| [combination.as_slice(), &[metrics::Label::new(*label, *value)]].concat())
                    .collect::<Vec<_>>()
            };
            combinations.iter().flat_map(extend).collect()
        })
    }

    fn register(&self, recorder: &dyn Recorder, key: &Key) {
        match self.kind {
            MetricKind::Counter => drop(recorder.register_counter(key, &METADATA)),
            MetricKind::Gauge => drop(recorder.register_gauge(key, &METADATA)),
            MetricKind::Histogram => drop(recorder.register_histogram(key, &METADATA)),
        }
    }

    fn describe(&self, recorder: &PrometheusRecorder) {
        let (name, unit) = (KeyName::from_const_str(self.name), Unit::from_string(self.unit));
        let help = SharedString::const_str(self.help);
        match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }

    /// What is wrong with the declaration, by the rules of `promtool check metrics`.
    fn fault(&self) -> Option<&'static str> {
        let total = self.name.ends_with("_total");
        match self.kind {
            _ if !self.name.starts_with("vpt_") => Some("names start with vpt_"),
            _ if self.help.is_empty() => Some("help is missing"),
            MetricKind::Counter if !total => Some("a counter's name ends in _total"),
            MetricKind::Gauge | MetricKind::Histogram if total => Some("only counters end in _total"),
            MetricKind::Histogram if self.buckets.is_empty() => Some("a histogram needs buckets"),
            _ if !self.name.trim_end_matches("_total").ends_with(self.unit) => {
                Some("the name must end in the unit")
            }
            _ => None,
        }
    }
}

/// A declaration that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The declaration breaks a naming rule.
    #[error("metric {name}: {fault}")]
    Declaration {
        /// The metric.
        name: &'static str,
        /// The rule it breaks.
        fault: &'static str,
    },
    /// Something else in this process installed a recorder first.
    #[error("another metrics recorder is already installed in this process")]
    Foreign,
}

/// Reads the process's metrics.
#[derive(Debug, Clone, Copy)]
pub struct MetricsHandle {
    parts: &'static Parts,
}

impl MetricsHandle {
    /// The Prometheus exposition text of every metric declared in this process.
    #[must_use]
    pub fn render(&self) -> String {
        self.parts.handles().iter().map(PrometheusHandle::render).collect()
    }

    /// Folds recorded samples into buckets; to be called every few seconds, or samples pile up between scrapes.
    pub fn run_upkeep(&self) {
        self.parts.handles().iter().for_each(PrometheusHandle::run_upkeep);
    }
}

/// Declares metrics and serves them; names already declared in this process keep their first declaration.
///
/// # Errors
/// When a declaration breaks a naming rule, or the process has a recorder that is not ours.
pub fn install(specs: &[&[MetricSpec]]) -> Result<MetricsHandle, MetricsError> {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let parts = PARTS.get_or_init(Parts::default);
    // Names first: another thread may use its metrics the moment the recorder is in place.
    parts.declare(COMMON)?;
    for spec in specs {
        parts.declare(spec)?;
    }
    if !INSTALLED.get_or_init(|| metrics::set_global_recorder(parts).is_ok()) {
        return Err(MetricsError::Foreign);
    }
    build_info::export();
    UNDECLARED.touch();
    specs.iter().copied().flatten().for_each(MetricSpec::touch);
    Ok(MetricsHandle { parts })
}

/// A metric that is used but declared nowhere is recorded nowhere: this counts the attempts.
const UNDECLARED: MetricSpec = MetricSpec::counter(
    "vpt_runtime_undeclared_metrics_total",
    "Uses of metrics that no part of this process declared; always 0 unless there is a bug.",
);

/// What every process declares besides its own.
pub const COMMON: &[MetricSpec] = &[build_info::BUILD_INFO, UNDECLARED];

static METADATA: Metadata<'static> = Metadata::new(module_path!(), metrics::Level::INFO, None);

/// One Prometheus recorder per [`install`] that brought new names.
#[derive(Debug, Default)]
struct Parts {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    recorders: Vec<PrometheusRecorder>,
    owner: HashMap<&'static str, usize>,
}

impl Parts {
    fn declare(&self, specs: &[MetricSpec]) -> Result<(), MetricsError> {
        let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new: Vec<_> = specs.iter().filter(|spec| !state.owner.contains_key(spec.name)).collect();
        let mut builder = PrometheusBuilder::new();
        for spec in &new {
            if let Some(fault) = spec.fault() {
                return Err(MetricsError::Declaration { name: spec.name, fault });
            }
            if spec.kind == MetricKind::Histogram {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), spec.buckets)
                    .expect("buckets were checked not to be empty");
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let recorder = builder.build_recorder();
        let index = state.recorders.len();
        for spec in new {
            spec.describe(&recorder);
            state.owner.insert(spec.name, index);
        }
        state.recorders.push(recorder);
        Ok(())
    }

    fn handles(&self) -> Vec<PrometheusHandle> {
        let state = self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.recorders.iter().map(PrometheusRecorder::handle).collect()
    }

    fn with<T>(&self, name: &str, register: impl FnOnce(&PrometheusRecorder) -> T) -> Option<T> {
        let state = self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let owner = state.owner.get(name);
        if owner.is_none()
            && let Some(&index) = state.owner.get(UNDECLARED.name)
        {
            state.recorders[index]
                .register_counter(&Key::from_static_name(UNDECLARED.name), &METADATA)
                .increment(1);
        }
        owner.map(|&index| register(&state.recorders[index]))
    }
}

impl Recorder for Parts {
    // Descriptions come from the declarations.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.with(key.name(), |part| part.register_counter(key, metadata)).unwrap_or_else(Counter::noop)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.with(key.name(), |part| part.register_gauge(key, metadata)).unwrap_or_else(Gauge::noop)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.with(key.name(), |part| part.register_histogram(key, metadata)).unwrap_or_else(Histogram::noop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[MetricSpec] = &[
        MetricSpec::counter("vpt_test_drops_total", "Drops.").labels(&[("reason", &["late", "full"])]),
        MetricSpec::gauge("vpt_test_queue_bytes", "Queue.", "bytes"),
    ];
    const SECOND: &[MetricSpec] =
        &[MetricSpec::histogram("vpt_test_wait_seconds", "Wait.", "seconds", &[0.1, 1.0])];

    #[test]
    fn roles_in_one_process_share_a_recorder() {
        let first = install(&[FIRST]).unwrap();
        let text = first.render();
        assert!(text.contains("# HELP vpt_test_drops_total Drops."), "{text}");
        assert!(text.contains("vpt_test_drops_total{reason=\"late\"} 0"), "{text}");
        assert!(text.contains("vpt_test_drops_total{reason=\"full\"} 0"), "{text}");
        assert!(!text.contains("vpt_test_drops_total 0"), "{text}");
        assert!(text.contains("vpt_build_info{version="), "{text}");

        let second = install(&[FIRST, SECOND]).unwrap();
        metrics::histogram!("vpt_test_wait_seconds").record(0.5);
        metrics::counter!("vpt_test_drops_total", "reason" => "full").increment(2);
        metrics::gauge!("vpt_test_queue_bytes").set(7.0);
        assert!(second.render().contains("vpt_runtime_undeclared_metrics_total"));
        for handle in [first, second] {
            handle.run_upkeep();
            let text = handle.render();
            assert!(text.contains("vpt_test_wait_seconds_bucket{le=\"1\"} 1"), "{text}");
            assert!(text.contains("vpt_test_wait_seconds_bucket{le=\"0.1\"} 0"), "{text}");
            assert!(text.contains("vpt_test_drops_total{reason=\"full\"} 2"), "{text}");
            assert!(text.contains("vpt_test_queue_bytes 7"), "{text}");
            assert_eq!(text.matches("# TYPE vpt_test_queue_bytes gauge").count(), 1);
        }
    }

    #[test]
    fn metrics_that_nobody_declared_are_counted() {
        let handle = install(&[]).unwrap();
        metrics::gauge!("vpt_test_nobody_declared_this").set(1.0);
        let text = handle.render();
        assert!(!text.contains("nobody_declared_this"), "{text}");
        assert!(!text.contains("vpt_runtime_undeclared_metrics_total 0\n"), "{text}");
    }

    #[test]
    fn names_that_break_the_rules_are_refused() {
        for bad in [
            MetricSpec::counter("vpt_test_drops", "h"),
            MetricSpec::gauge("vpt_test_x_total", "h", ""),
            MetricSpec::gauge("test_x", "h", ""),
            MetricSpec::gauge("vpt_test_wait_ms", "h", "seconds"),
            MetricSpec::histogram("vpt_test_wait_seconds", "h", "seconds", &[]),
            MetricSpec::gauge("vpt_test_x", "", ""),
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
        assert!(FIRST.iter().chain(SECOND).all(|spec| spec.fault().is_none()));
    }
}
