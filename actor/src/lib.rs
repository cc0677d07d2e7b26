//! Actors: env slots, batched inference, unrolls and their way to the learner; also recording and evaluation, which
//! play behind the same Play stream.
//!
//! # Layout
//! - [`config`], [`metrics`], `error`: settings, every metric, what can fail
//! - [`run`]: the role: `rollout` (one loop per group of slots), `uplink`, `weights`, ops port, drain
//! - `env_client`, `env_slot`, `lane`: a Play stream, the episode on it, its place in a group
//! - `inference`: the named thread that runs the policy; `acting_policy`: a published version ready to act
//! - `follow`: published weights from the nearest that serves them; `weights`: what becomes of them here
//! - [`relay`]: the role that hands weights on; [`subscriber`]: versions for whoever wants them
//! - `terms`: what the learner asks for; `policy_shelf`: versions that wait for their round
//! - `unroll`: T steps of one slot; `encoded_unroll`: as a message; `uplink`: credits, chunks, acks, resend
//! - `ledger`, `activity`: env steps by fate, wall clock by state
//! - [`bench`]: the way up alone, fed with given frames
//! - [`record`](mod@record), [`evaluate`](mod@evaluate), [`player`], `lockstep`, `seeds`: fixed episodes played to their end

mod acting_policy;
mod activity;
pub mod bench;
pub mod config;
mod encoded_unroll;
mod env_client;
mod env_slot;
mod error;
pub mod evaluate;
mod follow;
mod inference;
mod lane;
mod ledger;
mod lockstep;
pub mod metrics;
pub mod player;
mod policy_shelf;
pub mod record;
pub mod relay;
mod rollout;
mod run;
mod seeds;
mod slips;
mod statistics;
pub mod subscriber;
pub mod swap_timing;
mod terms;
mod unroll;
mod uplink;
mod version;
mod weights;

pub use config::{ActorConfig, WorldConfig};
pub use error::ActorError;
pub use run::{ActorSetup, run};
