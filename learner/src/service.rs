//! The learner's gRPC services and what they share.

pub(crate) mod assembly;
mod handshake;
pub(crate) mod push_session;
mod spoken;
pub(crate) mod status;
pub(crate) mod trajectory;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::actors::ActorTable;
use crate::admission::{AdmissionConfig, UnrollSpec};
use crate::assignment::Assignment;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::live::SlotView;
use crate::publish::WeightStore;
use crate::queue::UnrollQueue;
use crate::service::push_session::LaterReplies;
use crate::status::StatusBoard;
use crate::turnstile::Turnstile;

/// What the services need of the learner; cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// Random per training run.
    pub run_id: String,
    /// Fingerprint of the network in training.
    pub architecture: String,
    /// The unrolls that are let in.
    pub spec: UnrollSpec,
    /// Limits and deadlines.
    pub admission: AdmissionConfig,
    /// Where admitted unrolls go.
    pub queue: Arc<UnrollQueue>,
    /// Where weights come from.
    pub weights: Arc<WeightStore>,
    /// Where steps are booked.
    pub ledger: Arc<Ledger>,
    /// What is kept on disk of what was let in.
    pub journal: Arc<Journal>,
    /// In a deterministic run, the order in which unrolls are let in.
    pub(crate) turnstile: Option<Arc<Turnstile<LaterReplies>>>,
    /// What the training thread says of itself.
    pub status: Arc<StatusBoard>,
    /// The slots that somebody looks at.
    pub(crate) slots: Arc<SlotView>,
    /// Which rank takes which actor's slots.
    pub assignment: Arc<Assignment>,
    /// Who is connected.
    pub actors: Arc<ActorTable>,
}

/// The services' side of [`Services`]: shared by all streams, with the token that ends them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) learner: Services,
    pub(crate) shutdown: CancellationToken,
}

#[cfg(test)]
mod tests;
