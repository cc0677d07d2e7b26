//! The VPT networks, their action space, distributions and fused ops.
//!
//! - [`PolicyConfig`], [`InverseDynamicsConfig`], [`Parameters`]: the architectures, and their weights under OpenAI's names
//!   and shapes.
//! - [`Policy`], [`RecurrentState`]: the forward pass and the memory it carries.
//! - [`InverseDynamics`], [`inverse_dynamics_window`]: what was pressed between the frames of a video, however long.
//! - [`action`]: the joint action space and the human-level action; [`distribution`]: log-probabilities and sampling.
//! - [`ValueNormalizer`]: the space the value heads predict in; [`CounterRng`]: repeatable randomness.
//! - [`device`]: which devices this build has; [`Precision`]: in which numbers the heavy work is done.
//! - [`nccl`]: sums over the GPUs of several processes.
//! - [`openai`]: the published files, read without executing them, and written back.
//! - [`ops`]: tensor operations with gradients; [`Adam`], [`Gradients`]: training steps.
//!
//! Tensors are f32 and batch-major: `[B, T, …]`, one row of B per environment, time on the second axis.

pub mod action;
mod config;
pub mod device;
pub mod distribution;
mod error;
mod gradients;
mod inverse_dynamics_config;
pub mod inverse_dynamics_window;
pub mod nccl;
mod net;
pub mod openai;
pub mod ops;
mod optim;
mod parameters;
mod precision;
mod recurrent_state;
mod rng;
mod value_normalizer;

pub use config::{NetworkKind, PolicyConfig};
pub use error::{PolicyError, Result};
pub use gradients::Gradients;
pub use inverse_dynamics_config::InverseDynamicsConfig;
pub use net::{InverseDynamics, InverseDynamicsOutput, Policy, PolicyOutput, ValueGradient};
pub use optim::{Adam, AdamConfig, WeightDecay};
pub use parameters::{Architecture, ExportDType, Parameters};
pub use precision::Precision;
pub use recurrent_state::{LayerState, RawLayerState, RecurrentState};
pub use rng::CounterRng;
pub use value_normalizer::{TargetSums, ValueNormalizer};
