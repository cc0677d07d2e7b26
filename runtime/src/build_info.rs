//! What this binary is: version, revision and features, as text and as the `vpt_build_info` metric.

use crate::metrics::MetricSpec;

/// Version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision the binary was built from, where the build set `VPT_GIT_SHA`.
pub const GIT_SHA: &str = match option_env!("VPT_GIT_SHA") {
    Some(sha) => sha,
    None => "unknown",
};

/// Accelerators compiled in.
pub const FEATURES: &str = match option_env!("VPT_FEATURES") {
    Some(features) => features,
    None => "cpu",
};

pub(crate) const BUILD_INFO: MetricSpec =
    MetricSpec::gauge("vpt_build_info", "Always 1; the labels say what is running.", "").labels(&[
        ("version", &[VERSION]),
        ("git_sha", &[GIT_SHA]),
        ("features", &[FEATURES]),
    ]);

pub(crate) fn export() {
    ::metrics::gauge!(
        BUILD_INFO.name,
        "version" => VERSION,
        "git_sha" => GIT_SHA,
        "features" => FEATURES
    )
    .set(1.0);
}
