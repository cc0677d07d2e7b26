//! Why weights did not arrive.

use crate::error::ActorError;
use tonic::Status;

#[derive(Debug)]
pub(crate) enum Fault {
    /// Counted under the reason, one of [`crate::metrics::WEIGHTS_FAULTS`], and tried again.
    Passing { reason: &'static str, detail: String },
    /// Asking again will not help.
    Final(ActorError),
}

impl Fault {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Passing { reason, detail: detail.into() }
    }

    pub(crate) fn status(status: &Status) -> Self {
        Self::new("status", format!("{:?}: {}", status.code(), status.message()))
    }
}
