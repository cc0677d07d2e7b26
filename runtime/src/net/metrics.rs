//! Metrics of every port that serves gRPC.

use metrics::{counter, gauge};

use crate::metrics::MetricSpec;

/// Why a connection was closed before it was of any use.
const CONNECTION_REASONS: &[&str] =
    &["too_many", "accept", "tls", "tls_timeout", "certificate", "silent", "unspoken"];

/// Why a call was refused.
const REQUEST_REASONS: &[&str] = &["role", "token", "streams"];

/// All metrics of this module; every role that serves gRPC declares them.
pub const METRICS: &[MetricSpec] = &[
    MetricSpec::gauge("vpt_net_connections", "Connections that are held open.", ""),
    MetricSpec::counter(
        "vpt_net_connections_refused_total",
        "Connections closed before a call was let in, by reason: too_many (security.max_connections), accept (the \
         system), tls, tls_timeout, certificate (none, or not one of ours), silent (no call that was let in within \
         security.handshake_timeout_seconds), unspoken (gone, or not gRPC, before a call was let in).",
    )
    .labels(&[("reason", CONNECTION_REASONS)]),
    MetricSpec::counter(
        "vpt_net_requests_refused_total",
        "Calls refused, by reason: role (the certificate's is not let in here), token (not this run's), streams (too \
         many on one connection).",
    )
    .labels(&[("reason", REQUEST_REASONS)]),
];

pub(super) fn connection_refused(reason: &'static str) {
    counter!("vpt_net_connections_refused_total", "reason" => reason).increment(1);
}

pub(super) fn request_refused(reason: &'static str) {
    counter!("vpt_net_requests_refused_total", "reason" => reason).increment(1);
}

pub(super) fn connections(change: f64) {
    gauge!("vpt_net_connections").increment(change);
}
