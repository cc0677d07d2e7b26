//! The wire contract of vpt: generated messages and services, and the few facts about them that both ends share.
//!
//! # Layout
//! - [`common`], [`envserver`], [`learner`]: generated from `proto/vpt/*/v1/*.proto` (`vpt.<service>.v1`)
//! - [`keys`]: the bits of a human-level action
//! - [`limits`]: versions and sizes that both ends enforce
//! - [`codec`]: messages as bytes of a stream
//! - [`tensor`]: checked conversions between wire tensors and plain numbers
//! - [`frame_codec`]: lossless packing of consecutive frames
//! - [`shard`]: recorded play on disk
//! - [`weights`]: published weights as hashed chunks and deltas, the store they are served from, and its service
//! - [`cursor`], [`frame_resize`]: a recorded frame as the network sees it

pub mod codec;
pub mod cursor;
pub mod frame_codec;
pub mod frame_resize;
pub mod keys;
pub mod limits;
pub mod shard;
pub mod tensor;
pub mod weights;

/// `vpt.common.v1`: identities, versions and tensors.
pub mod common {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("vpt.common.v1");
    }
}

/// `vpt.envserver.v1`: worlds behind gRPC.
pub mod envserver {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("vpt.envserver.v1");
    }
}

/// `vpt.learner.v1`: trajectories up, weights down, status.
pub mod learner {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("vpt.learner.v1");
    }
}
