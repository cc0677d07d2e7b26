//! Logs to stderr: for people on a terminal, JSON lines elsewhere; `VPT_LOG` filters (default `info`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Installs the process's log subscriber; later calls in the same process do nothing.
pub fn init(role: &str) {
    let filter = match EnvFilter::try_from_env("VPT_LOG") {
        Ok(filter) => filter,
        Err(_) => EnvFilter::new("info"),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    };
    if installed.is_ok() {
        tracing::info!(
            role,
            version = crate::build_info::VERSION,
            git_sha = crate::build_info::GIT_SHA,
            pid = std::process::id(),
            "starting"
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn installing_twice_is_harmless() {
        super::init("test");
        super::init("test");
    }
}
