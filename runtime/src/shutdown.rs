//! Signals become a cancellation token; waits have a name and a deadline.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit;

/// Something named was waited for longer than allowed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name} did not finish within {seconds:.1} s")]
pub struct DeadlineExceeded {
    /// What was waited for.
    pub name: &'static str,
    /// The deadline.
    pub seconds: f64,
}

/// A token cancelled by the first SIGINT or SIGTERM; a second one ends the process at once.
///
/// # Errors
/// When the handlers cannot be installed.
///
/// # Panics
/// Outside a tokio runtime.
pub fn token_on_signals() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = next(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = name, "draining; a second signal ends at once");
        cancelled.cancel();
        let name = next(&mut interrupt, &mut terminate).await;
        tracing::warn!(signal = name, "ending without draining");
        std::process::exit(exit::FAILED);
    });
    Ok(token)
}

/// Waits for `work` at most `deadline`.
///
/// # Errors
/// [`DeadlineExceeded`] naming what was waited for.
///
/// # Cancel safety
/// On error `work` has been dropped.
pub async fn within<T>(
    name: &'static str,
    deadline: Duration,
    work: impl Future<Output = T>,
) -> Result<T, DeadlineExceeded> {
    tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| DeadlineExceeded { name, seconds: deadline.as_secs_f64() })
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_cancels_the_token() {
        let token = token_on_signals().unwrap();
        assert!(!token.is_cancelled());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
        within("the token", Duration::from_secs(5), token.cancelled()).await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_is_too_long_names_itself() {
        let error = within("the last ack", Duration::from_millis(20), std::future::pending::<()>()).await;
        assert_eq!(error.unwrap_err().to_string(), "the last ack did not finish within 0.0 s");
    }
}
