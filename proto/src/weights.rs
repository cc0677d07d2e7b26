//! The weight broadcast: what a published version is on the wire, how it is checked, kept and handed on.
//!
//! Learners and relays serve versions from a [`Store`] with the same [`WeightsServer`]; relays and actors fill theirs
//! chunk by chunk from whoever serves them. Bytes only: what the numbers mean is not known here.
//!
//! # Layout
//! - [`chunk_hashes`]: what a body of bytes is known by, chunk for chunk
//! - [`body`]: a body that may still be arriving; [`weight_set`]: a version's payload and the deltas that lead to it
//! - [`delta`] (`layout`, `ulp`, `rans`): a payload as what changed since another
//! - [`store`]: the newest versions and who waits for them; [`service`]: the store over gRPC

pub mod body;
pub mod chunk_hashes;
pub mod delta;
mod layout;
mod rans;
pub mod service;
pub mod store;
mod ulp;
pub mod weight_set;

pub use body::Body;
pub use chunk_hashes::{CHUNK_BYTES, ChunkHashes};
pub use service::WeightsServer;
pub use store::Store;
pub use weight_set::{Delta, WeightSet};

use crate::common::v1::PolicyVersion;

/// What versions are ordered by.
#[must_use]
pub fn order(version: PolicyVersion) -> (u32, u64) {
    (version.epoch, version.sequence)
}
