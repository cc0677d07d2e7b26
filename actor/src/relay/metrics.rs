//! Every metric of a relay, declared once, and typed setters for them.

use crate::metrics::{PARENT_REASONS, WEIGHTS_FAULTS, WEIGHTS_KINDS};
use vpt_proto::common::v1::PolicyVersion;
use vpt_runtime::metrics::MetricSpec;

const VERSION: &str = "vpt_relay_policy_version";
const EPOCH: &str = "vpt_relay_policy_epoch";
const FOLLOWERS: &str = "vpt_relay_followers";
const RECEIVED: &str = "vpt_relay_weights_received_bytes_total";
const SENT: &str = "vpt_relay_weights_sent_bytes_total";
const FAULTS: &str = "vpt_relay_weights_faults_total";
const MOVED: &str = "vpt_relay_upstream_changes_total";

/// All metrics of a relay.
pub const METRICS: &[MetricSpec] = &[
    MetricSpec::gauge(VERSION, "Sequence of the newest version that is handed on.", ""),
    MetricSpec::gauge(EPOCH, "Epoch of the newest version that is handed on.", ""),
    MetricSpec::gauge(FOLLOWERS, "Actors and relays that follow this one.", ""),
    MetricSpec::counter(RECEIVED, "Bytes of weights received from upstream.")
        .labels(&[("kind", WEIGHTS_KINDS)]),
    MetricSpec::counter(SENT, "Bytes of weights handed to actors and relays."),
    MetricSpec::counter(FAULTS, "Weights that could not be fetched or were refused.")
        .labels(&[("reason", WEIGHTS_FAULTS)]),
    MetricSpec::counter(MOVED, "Changes to another upstream.").labels(&[("reason", PARENT_REASONS)]),
];

pub(super) fn state(version: PolicyVersion, followers: usize) {
    metrics::gauge!(VERSION).set(version.sequence as f64);
    metrics::gauge!(EPOCH).set(f64::from(version.epoch));
    metrics::gauge!(FOLLOWERS).set(followers as f64);
}

pub(super) fn received(kind: &'static str, bytes: u64) {
    metrics::counter!(RECEIVED, "kind" => kind).increment(bytes);
}

pub(super) fn sent(bytes: u64) {
    metrics::counter!(SENT).increment(bytes);
}

pub(super) fn fault(reason: &'static str) {
    metrics::counter!(FAULTS, "reason" => reason).increment(1);
}

pub(super) fn moved(reason: &'static str) {
    metrics::counter!(MOVED, "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_served_from_the_start() {
        let handle = vpt_runtime::metrics::install(&[METRICS]).unwrap();
        state(PolicyVersion { epoch: 1, sequence: 2 }, 3);
        received("delta", 5);
        sent(6);
        fault("hash");
        moved("lost");
        handle.run_upkeep();
        let text = handle.render();
        for spec in METRICS {
            assert!(text.contains(spec.name), "{} is missing in {text}", spec.name);
        }
        assert!(text.contains("vpt_relay_upstream_changes_total{reason=\"return\"} 0"), "{text}");
    }
}
