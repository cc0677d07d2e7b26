//! Keeps the ledger's metrics up to now, and gives up actors whose lease has run out.
//!
//! A lease is counted in beats of this task, not in time: a learner that was itself stopped for a while does not take
//! that for its actors' silence.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::service::Services;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(250);

/// Beats until `stop`; the metrics are up to now at the end.
pub(crate) async fn keep(services: Services, stop: CancellationToken) {
    let limit = beats(services.admission.lease_seconds);
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let learner = services.clone();
        let beat = tokio::task::spawn_blocking(move || {
            learner.expire(limit);
            learner.ledger.export();
        });
        if beat.await.is_err() {
            tracing::error!("the ledger could not be looked through; leases are not kept any more");
            break;
        }
    }
    services.ledger.export();
}

/// How many beats a lease lasts; at least one.
fn beats(seconds: f64) -> u32 {
    (seconds / BEAT.as_secs_f64()).ceil().clamp(1.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_a_whole_number_of_beats() {
        assert_eq!([0.001, 0.25, 0.3, 300.0].map(beats), [1, 1, 2, 1200]);
    }
}
