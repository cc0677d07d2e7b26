//! Worlds behind gRPC: the embedded world and the null world.

pub mod episode;
pub mod native;
pub mod reward;
pub mod task;
pub mod world;
