//! The learner's face without a trainer, for `vpt bench ingest`: services, admission, journal and queue as in a run;
//! what comes out of the queue is the caller's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vpt_runtime::Security;

use crate::actors::ActorTable;
use crate::admission::{AdmissionConfig, UnrollSpec};
use crate::assignment::Assignment;
use crate::error::LearnerError;
use crate::journal::{Journal, JournalConfig};
use crate::ledger::Ledger;
use crate::publish::WeightStore;
use crate::queue::{ReceivedUnroll, UnrollQueue};
use crate::serve;
use crate::service::Services;
use crate::status::StatusBoard;
use crate::version::Version;

/// How long streams get to end.
const GRACE: Duration = Duration::from_millis(500);

/// A learner that takes unrolls in and does nothing with them.
#[derive(Debug)]
pub struct Sink {
    services: Services,
    version: Version,
}

impl Sink {
    /// A sink for unrolls of `spec` by actors with `architecture`; its journal (metadata, the default) goes to `out`.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn new(
        spec: UnrollSpec,
        architecture: &str,
        admission: AdmissionConfig,
        out: &Path,
    ) -> Result<Self, LearnerError> {
        let ledger = Arc::new(Ledger::new());
        let services = Services {
            run_id: "bench".to_owned(),
            architecture: architecture.to_owned(),
            spec,
            queue: UnrollQueue::new(&admission, ledger.clone()),
            weights: Arc::new(WeightStore::new()),
            ledger,
            journal: Arc::new(Journal::open(out, &JournalConfig::default())?),
            turnstile: None,
            status: Arc::new(StatusBoard::new("bench", "ppg")),
            slots: Arc::default(),
            assignment: Assignment::here(),
            actors: ActorTable::new(admission.max_actors),
            admission,
        };
        let version = Version::new(1, 1);
        services.weights.publish(version, bytes::Bytes::from_static(b"none"), "f32", architecture)?;
        Ok(Self { services, version })
    }

    /// The version its actors act with.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Serves actors on `listener` until `shutdown`.
    ///
    /// # Errors
    /// As [`serve::serve`].
    pub async fn serve(
        &self,
        listener: TcpListener,
        security: &Security,
        shutdown: CancellationToken,
    ) -> Result<(), LearnerError> {
        serve::serve(listener, self.services.clone(), security, shutdown, GRACE).await
    }

    /// The next unroll, booked as trained on; none when there was none in time. Blocks.
    ///
    /// # Errors
    /// When the queue is closed.
    pub fn receive(&self, timeout: Duration) -> Result<Option<ReceivedUnroll>, LearnerError> {
        let received = self.services.queue.recv(timeout, self.version)?;
        if let Some(received) = &received {
            self.services.ledger.trained(received.steps());
        }
        Ok(received)
    }
}
