//! Traces of single unrolls, from env step to gradient, for an OpenTelemetry collector (OTLP over gRPC). Off unless the
//! section `[traces]` names one.
//!
//! A sampled unroll carries its trace's context with it (`Unroll.traceparent`), and every process that it passes through
//! notes in a [`Trace`] what was done to it from when to when. What one process has noted goes out in one piece once the
//! unroll has left it, by a task with a bounded queue: nothing that plays or trains waits for it, and what does not fit is
//! dropped and counted.
//!
//! A process has one exporter, as it has one set of metrics. Where there is none, a trace is an empty handle, and whatever
//! is asked of it is one branch.

mod context;
mod export;
mod trace;
mod wire;

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::ConfigError;
use crate::counter_hash::{counter_hash, counter_uniform};
use crate::metrics::MetricSpec;
use context::Context;
use export::{Exporter, FLUSH, QUEUE};
use trace::Outbox;

pub use trace::{Span, SpanId, Trace, Value};

/// What became of spans.
const OUTCOMES: &[&str] = &["sent", "full", "collector", "rejected", "shutdown", "too_many"];

/// All metrics of this module; every role that traces declares them.
pub const METRICS: &[MetricSpec] = &[MetricSpec::counter(
    "vpt_runtime_trace_spans_total",
    "Spans of sampled unrolls, by outcome: sent, or dropped because of full (the collector is slower than they come), \
     collector (it could not be reached or refused all), rejected (it took the others), shutdown (the process ended), \
     too_many (of one unroll).",
)
.labels(&[("outcome", OUTCOMES)])];

/// Names the random numbers that choose unrolls: "trce".
const SAMPLE_KEY: u64 = 0x7472_6365;

/// Section `[traces]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// URL of an OTLP collector that takes gRPC, such as `http://127.0.0.1:4317`. Empty: no traces.
    pub endpoint: String,
    /// Share of unrolls that are traced, 0 to 1; actors choose. A learner traces those that its actors chose.
    pub share: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), share: 0.001 }
    }
}

/// The process's exporter, as traces see it.
struct Exporting {
    outbox: Outbox,
    share: f64,
    /// Random per process, so that identities of spans differ between processes.
    salt: u64,
    /// Identities given so far.
    given: AtomicU64,
}

static EXPORTING: OnceLock<Exporting> = OnceLock::new();

/// The running exporter; to be [`finish`](Self::finish)ed when the role has ended.
#[derive(Debug)]
pub struct Export {
    task: Option<(CancellationToken, JoinHandle<()>)>,
}

impl TracesConfig {
    /// Refuses what cannot be used.
    ///
    /// # Errors
    /// The key at fault and what would do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(ConfigError::invalid("traces.share", "must be between 0 and 1"));
        }
        if self.is_on() { self.collector().map(drop) } else { Ok(()) }
    }

    /// Whether there is a collector.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// How long a process takes at most to send what is left when it ends.
    #[must_use]
    pub fn longest_flush(&self) -> Duration {
        if self.is_on() { FLUSH } else { Duration::ZERO }
    }

    fn collector(&self) -> Result<Endpoint, ConfigError> {
        let refuse = |reason: &str| {
            let reason = format!("{:?} {reason}", self.endpoint);
            Err(ConfigError::invalid("traces.endpoint", reason))
        };
        if !self.endpoint.starts_with("http://") {
            return refuse(
                "must begin with http://; where traces have to be encrypted, run a collector on this machine that \
                 forwards them",
            );
        }
        match Endpoint::from_shared(self.endpoint.clone()) {
            Ok(endpoint) if endpoint.uri().port_u16().is_some() => Ok(endpoint),
            Ok(_) => refuse("names no port; collectors take OTLP over gRPC on 4317"),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// Starts the process's exporter, where a collector is named; `role` and `name` say whose traces they are.
    ///
    /// # Errors
    /// As [`Self::validate`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self, role: &str, name: &str) -> Result<Export, ConfigError> {
        self.validate()?;
        if !self.is_on() {
            return Ok(Export { task: None });
        }
        let collector = self.collector()?;
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let salt = RandomState::new().hash_one((std::process::id(), name));
        let (outbox, given) = (Outbox::new(outbox), AtomicU64::new(0));
        let exporting = Exporting { outbox, share: self.share, salt, given };
        if EXPORTING.set(exporting).is_err() {
            tracing::warn!(role, "this process exports traces already, under another role");
            return Ok(Export { task: None });
        }
        let host = collector.uri().host().unwrap_or_default();
        if ["127.0.0.1", "localhost", "[::1]"].contains(&host) {
            tracing::info!(endpoint = self.endpoint, share = self.share, "traces go to a collector");
        } else {
            tracing::warn!(endpoint = self.endpoint, "traces go to a collector elsewhere, in the clear");
        }
        let stop = CancellationToken::new();
        let exporter = Exporter::new(&collector, wire::resource(role, name), inbox, stop.clone());
        Ok(Export { task: Some((stop, tokio::spawn(exporter.run()))) })
    }
}

impl Export {
    /// Sends what is left, for at most [`TracesConfig::longest_flush`]; the rest is dropped and counted.
    pub async fn finish(self) {
        if let Some((stop, task)) = self.task {
            stop.cancel();
            if task.await.is_err() {
                tracing::warn!("the exporter of traces panicked");
            }
        }
    }
}

/// A trace that begins here and now under `name`, if the process traces and chance, decided by `key`, has it so.
#[must_use]
pub fn sample(name: &'static str, key: impl FnOnce() -> u64) -> Trace {
    match EXPORTING.get() {
        Some(exporting) if counter_uniform(&[SAMPLE_KEY, key()]) < exporting.share => {
            let trace = u128::from(exporting.identity()) << 64 | u128::from(exporting.identity());
            Trace::begin(name, trace, None, (Instant::now(), exporting.outbox.clone()))
        }
        _ => Trace::default(),
    }
}

/// This process's part, under `name` and from `since` on, of the trace that `traceparent` names, if the process traces.
#[must_use]
pub fn resume(name: &'static str, traceparent: &str, since: Instant) -> Trace {
    let Some(exporting) = EXPORTING.get() else { return Trace::default() };
    match Context::parse(traceparent) {
        Some(Context { trace, span }) => {
            Trace::begin(name, trace, Some(span), (since, exporting.outbox.clone()))
        }
        None => Trace::default(),
    }
}

impl Exporting {
    /// A number that was not given before; never 0, which is no identity.
    fn identity(&self) -> u64 {
        counter_hash(&[self.salt, self.given.fetch_add(1, Ordering::Relaxed)]).max(1)
    }
}

/// A fresh identity; the same one over and over where nothing is exported.
fn fresh() -> u64 {
    EXPORTING.get().map_or(1, Exporting::identity)
}

/// Counts spans by what became of them.
fn count(outcome: &'static str, spans: u64) {
    metrics::counter!("vpt_runtime_trace_spans_total", "outcome" => outcome).increment(spans);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_collector_traces_nothing() {
        let context = Context { trace: 5, span: 6 }.to_string();
        for trace in [sample("unroll", || 1), resume("learn", &context, Instant::now())] {
            trace.lap("wait");
            trace.note("vpt.slot", 1u64);
            assert!(!trace.is_on());
            assert_eq!(trace.traceparent(), "");
        }
    }

    #[test]
    fn bad_settings_are_named() {
        assert!(TracesConfig::default().validate().is_ok());
        let good = TracesConfig { endpoint: "http://127.0.0.1:4317".into(), share: 1.0 };
        assert!(good.validate().is_ok());
        for (key, hint, config) in [
            ("traces.share", "0 and 1", TracesConfig { share: f64::NAN, ..good.clone() }),
            ("traces.share", "0 and 1", TracesConfig { share: 1.5, ..good.clone() }),
            (
                "traces.endpoint",
                "forwards",
                TracesConfig { endpoint: "https://a:4317".into(), ..good.clone() },
            ),
            ("traces.endpoint", "4317", TracesConfig { endpoint: "http://collector".into(), ..good.clone() }),
            (
                "traces.endpoint",
                "http://",
                TracesConfig { endpoint: "collector:4317".into(), ..good.clone() },
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key) && error.contains(hint), "{error}");
        }
    }
}
