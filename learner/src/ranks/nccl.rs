//! Gradients from GPU to GPU by NCCL, everything else by TCP.
//!
//! Before each sum the ranks exchange a few numbers by TCP anyway, so a rank that is gone is mostly noticed there, with
//! its name; one that is lost in the middle of a sum is noticed by the deadline.

use std::time::Duration;

use candle_core::Tensor;
use vpt_policy::nccl::{Communicator, Id};

use super::Collective;
use super::config::Transport;
use super::error::RanksError;
use super::tcp::TcpRanks;
use crate::compute::Compute;
use crate::error::LearnerError;

/// Whether gradients are to go by NCCL.
///
/// # Errors
/// When they must and cannot.
pub(super) fn is_wanted(transport: Transport, compute: &Compute) -> Result<bool, LearnerError> {
    let lacks = vpt_policy::nccl::missing(&compute.device);
    match (transport, lacks) {
        (Transport::Tcp, _) => Ok(false),
        (_, None) => Ok(true),
        (Transport::Auto, Some(_)) => Ok(false),
        (Transport::Nccl, Some(reason)) => Err(LearnerError::Config {
            key: "ranks.transport",
            reason: format!("\"nccl\" cannot be had: {reason}"),
        }),
    }
}

/// Both ways.
pub(super) struct NcclRanks {
    tcp: TcpRanks,
    communicator: Communicator,
    patience: Duration,
}

impl NcclRanks {
    /// Opens the way by NCCL between ranks that have met.
    ///
    /// # Errors
    /// When NCCL cannot be set up, or a rank is lost meanwhile.
    pub(super) fn join(mut tcp: TcpRanks, compute: &Compute) -> Result<Self, LearnerError> {
        let (rank, count) = tcp.place();
        let own = if rank == 0 { Id::new()?.to_bytes() } else { Vec::new() };
        let id = Id::from_bytes(&tcp.broadcast(own)?)?;
        let communicator = Communicator::join(&compute.device, id, rank, count)?;
        tracing::info!(rank, count, "NCCL is ready");
        Ok(Self { patience: tcp.patience(), tcp, communicator })
    }
}

impl Collective for NcclRanks {
    fn sum_numbers(&mut self, meaning: u64, numbers: &mut [f64]) -> Result<(), RanksError> {
        self.tcp.sum_numbers(meaning, numbers)
    }

    fn sum_gradients(&mut self, meaning: u64, gradients: &Tensor) -> Result<Tensor, LearnerError> {
        // NCCL would read past the end where another rank has fewer.
        self.tcp.check(meaning, gradients.elem_count())?;
        Ok(self.communicator.sum(gradients, self.patience)?)
    }

    fn gather(&mut self, meaning: u64, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        self.tcp.gather(meaning, bytes)
    }

    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        self.tcp.broadcast(bytes)
    }
}
