//! What can go wrong between ranks.

use std::net::SocketAddr;

/// Failure of an exchange between learner ranks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// Rank 0 cannot listen.
    #[error("learner.ranks.rendezvous = {address:?}: rank 0 cannot listen there: {source}")]
    Bind {
        /// As configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not every rank came in time.
    #[error(
        "after {seconds} s these of {count} ranks have not joined at {address}: {missing:?}; start each with the same run \
         file and its own learner.ranks.rank"
    )]
    Missing {
        /// Where they were waited for.
        address: SocketAddr,
        /// Ranks that did not come.
        missing: Vec<usize>,
        /// Ranks there should be.
        count: usize,
        /// How long they were waited for.
        seconds: f64,
    },
    /// Rank 0 does not answer.
    #[error(
        "rank 0 cannot be reached at learner.ranks.rendezvous = {address:?} within {seconds} s: {reason}"
    )]
    Unreachable {
        /// As configured.
        address: String,
        /// How long was tried.
        seconds: f64,
        /// Of the last try.
        reason: String,
    },
    /// Rank 0 does not take this one, or ends the job.
    #[error("rank 0 at {address} says: {reason}")]
    Told {
        /// Rank 0.
        address: SocketAddr,
        /// Its words.
        reason: String,
    },
    /// A rank is gone.
    #[error("rank {rank} at {address} is lost: {reason}")]
    Lost {
        /// Which.
        rank: usize,
        /// Where it was.
        address: SocketAddr,
        /// How that was noticed.
        reason: String,
    },
    /// A rank did something else than the others.
    #[error(
        "rank {rank} at {address} is out of step: it sent {found}, {expected} was expected; do all run the same config?"
    )]
    OutOfStep {
        /// Which.
        rank: usize,
        /// Where it is.
        address: SocketAddr,
        /// What it sent.
        found: String,
        /// What the others did.
        expected: String,
    },
    /// Told to stop while waiting for the others.
    #[error("told to stop before all ranks had joined")]
    Stopped,
    /// The ranks' weights are no longer the same.
    #[error("the weights of rank {rank} differ from those of rank 0 after {steps} optimiser steps")]
    Diverged {
        /// Which.
        rank: usize,
        /// How far training was.
        steps: u64,
    },
    /// What rank 0 sent at the start does not parse.
    #[error("what rank 0 sent at the start does not parse: {0}")]
    Start(#[from] serde_json::Error),
}
