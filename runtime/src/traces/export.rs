//! The task that brings finished traces to the collector, several at a time when they come faster than it takes them.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::trace::Finished;
use super::{count, wire};

/// Traces that wait for the task.
pub(super) const QUEUE: usize = 256;
/// Traces in one message; with a bounded number of spans each it stays below the 4 MiB that collectors take.
const BATCH: usize = 32;
/// How long the collector may take to take them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a process that ends goes on with what is left.
pub(super) const FLUSH: Duration = Duration::from_secs(1);

pub(super) struct Exporter {
    collector: TraceServiceClient<Channel>,
    resource: Resource,
    inbox: mpsc::Receiver<Finished>,
    stop: CancellationToken,
    /// Messages in a row that did not get there.
    failures: u64,
}

impl Exporter {
    pub(super) fn new(
        collector: &Endpoint,
        resource: Resource,
        inbox: mpsc::Receiver<Finished>,
        stop: CancellationToken,
    ) -> Self {
        let channel = collector.clone().connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy();
        Self { collector: TraceServiceClient::new(channel), resource, inbox, stop, failures: 0 }
    }

    /// Exports until it is told to stop and nothing is left, or for [`FLUSH`] longer.
    pub(super) async fn run(mut self) {
        let overdue = overdue(self.stop.clone());
        tokio::pin!(overdue);
        let mut is_stopping = false;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = self.inbox.recv_many(&mut batch, BATCH) => {}
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    self.inbox.close();
                    continue;
                }
            }
            if batch.is_empty() {
                return;
            }
            tokio::select! {
                () = self.export(&batch) => {}
                () = &mut overdue => {
                    while let Ok(finished) = self.inbox.try_recv() {
                        batch.push(finished);
                    }
                    return count("shutdown", spans(&batch));
                }
            }
            batch.clear();
        }
    }

    /// Sends traces once: they are samples, and the next ones are as good.
    async fn export(&mut self, traces: &[Finished]) {
        let spans = spans(traces);
        match self.collector.export(wire::request(&self.resource, traces)).await {
            Ok(answer) => {
                self.failures = 0;
                let rejected =
                    answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(spans);
                count("sent", spans - rejected);
                count("rejected", rejected);
            }
            Err(status) => {
                self.failures += 1;
                if self.failures.is_power_of_two() {
                    let (code, failures) = (status.code(), self.failures);
                    tracing::warn!(
                        ?code,
                        failures,
                        detail = status.message(),
                        "traces do not reach the collector"
                    );
                }
                count("collector", spans);
            }
        }
    }
}

fn spans(traces: &[Finished]) -> u64 {
    traces.iter().map(Finished::len).sum()
}

/// Waits until [`FLUSH`] after `stop`.
async fn overdue(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FLUSH).await;
}
