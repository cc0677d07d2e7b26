//! The policy network: frames and memory in, logits, values and new memory out.
//!
//! `lib/policy.py` of OpenAI's Video-Pre-Training: an IMPALA CNN per frame, transformer blocks over a sliding window
//! of steps, and three linear heads. Deviation: the reference honours `is_first` only at the first step of a chunk;
//! here every flag counts, so that a chunk equals its steps taken one by one.

mod fan_in;
mod heads;
mod impala_cnn;
mod inverse_dynamics;
mod masked_attention;
mod mean_pool;
mod residual_recurrent_block;
mod temporal_conv;
mod transformer;
mod unmasked_attention;
mod visibility;

pub use inverse_dynamics::{InverseDynamics, InverseDynamicsOutput};

use candle_core::{DType, Tensor};

use crate::config::{NetworkKind, PolicyConfig};
use crate::device;
use crate::error::{PolicyError, Result};
use crate::ops::scope;
use crate::parameters::Parameters;
use crate::precision::Precision;
use crate::recurrent_state::RecurrentState;
use heads::Heads;
use mean_pool::MeanPool;
use transformer::Transformer;

/// Whether the true value head's gradient reaches the trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueGradient {
    /// It stops at the head; the auxiliary head's goes on.
    #[default]
    Detach,
    /// It reaches the trunk, as with a single shared network.
    Shared,
}

/// A network over given weights. It shares their storage: updated [`Parameters`] act at the next call.
#[derive(Debug, Clone)]
pub struct Policy {
    config: PolicyConfig,
    trunk: Trunk,
    heads: Heads,
    value_gradient: ValueGradient,
    precision: Precision,
}

/// What makes a latent of the frames.
#[derive(Debug, Clone)]
enum Trunk {
    Transformer(Box<Transformer>),
    Linear(MeanPool),
}

/// What the network says about a chunk of T steps of B environments.
#[derive(Debug, Clone)]
pub struct PolicyOutput {
    /// f32 `[B, T, 8641]`, divided by the temperature, not normalised.
    pub buttons_logits: Tensor,
    /// f32 `[B, T, 121]`, divided by the temperature, not normalised.
    pub camera_logits: Tensor,
    /// f32 `[B, T]`, in the value normaliser's space.
    pub value: Tensor,
    /// f32 `[B, T]`, in the value normaliser's space; absent where the weights have no auxiliary head.
    pub aux_value: Option<Tensor>,
    /// The memory after the chunk, without gradient.
    pub state: RecurrentState,
}

impl Policy {
    /// The network of `config` over `params`.
    ///
    /// # Errors
    /// An architecture that cannot be built or that the weights do not have.
    pub fn new(config: &PolicyConfig, params: &Parameters) -> Result<Self> {
        config.validate()?;
        if params.fingerprint() != config.fingerprint() {
            let problem = "they are of another architecture than the configuration".to_owned();
            return Err(PolicyError::Weights { problems: vec![problem] });
        }
        let trunk = match config.kind {
            NetworkKind::Transformer => Trunk::Transformer(Box::new(Transformer::new(config, params)?)),
            NetworkKind::Linear => Trunk::Linear(MeanPool::new(config)),
        };
        Ok(Self {
            config: config.clone(),
            trunk,
            heads: Heads::new(params, config.temperature)?,
            value_gradient: ValueGradient::default(),
            precision: Precision::default(),
        })
    }

    /// The same network with another path for the value gradient.
    #[must_use]
    pub fn with_value_gradient(self, value_gradient: ValueGradient) -> Self {
        Self { value_gradient, ..self }
    }

    /// The network for acting: frozen, its weights packed for `precision`, without gradients. Later updates of the
    /// parameters do not reach it. Log-probabilities are those of the network in this precision.
    ///
    /// # Errors
    /// When the weights are not on the CPU.
    pub fn for_acting(mut self, precision: Precision) -> Result<Self> {
        if let Trunk::Transformer(trunk) = &mut self.trunk {
            trunk.pack(precision)?;
        }
        self.heads.pack(precision)?;
        Ok(self)
    }

    /// The same network with another precision for its multiplications, gradients included; parameters and results stay
    /// f32. For acting on the CPU there are networks packed for a precision instead.
    ///
    /// # Errors
    /// A precision that networks cannot train in on the weights' device.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        device::check_training(self.heads.device(), precision)?;
        Ok(Self { precision, ..self })
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Runs T steps of B environments: `frames` u8 `[B, T, H, W, 3]`, `is_first` u8 `[B, T]` with every flag honoured,
    /// and the memory before the first of them. T is free.
    ///
    /// # Errors
    /// Inputs of another shape or type than the architecture's.
    pub fn forward(
        &self,
        frames: &Tensor,
        is_first: &Tensor,
        state: &RecurrentState,
    ) -> Result<PolicyOutput> {
        scope::with_precision(self.precision, || self.run(frames, is_first, state))
    }

    fn run(&self, frames: &Tensor, is_first: &Tensor, state: &RecurrentState) -> Result<PolicyOutput> {
        let (batch, time) = self.check(frames, is_first)?;
        state.check(&self.config, batch)?;
        let (latent, state) = match &self.trunk {
            Trunk::Transformer(trunk) => trunk.forward(frames, is_first, state)?,
            // It remembers nothing, so episodes make no difference to it.
            Trunk::Linear(pool) => (pool.forward(&frames.flatten(0, 1)?)?, state.clone()),
        };
        let (buttons, camera) = self.heads.logits(&latent)?;
        let value_latent = match self.value_gradient {
            ValueGradient::Detach => latent.detach(),
            ValueGradient::Shared => latent.clone(),
        };
        Ok(PolicyOutput {
            buttons_logits: buttons.reshape((batch, time, ()))?,
            camera_logits: camera.reshape((batch, time, ()))?,
            value: self.heads.value(&value_latent)?.reshape((batch, time))?,
            aux_value: self.heads.aux_value(&latent)?.map(|v| v.reshape((batch, time))).transpose()?,
            state,
        })
    }

    fn check(&self, frames: &Tensor, is_first: &Tensor) -> Result<(usize, usize)> {
        let side = self.config.image_size;
        let (batch, time) = match frames.dims() {
            &[batch, time, h, w, 3] if h == side && w == side && batch * time > 0 => (batch, time),
            other => {
                let expected = format!("[B, T, {side}, {side}, 3]");
                return Err(PolicyError::input("frames", expected, format!("{other:?}")));
            }
        };
        if is_first.dims() != [batch, time] {
            let expected = format!("[{batch}, {time}]");
            return Err(PolicyError::input("is_first", expected, format!("{:?}", is_first.dims())));
        }
        for (what, tensor) in [("frames", frames), ("is_first", is_first)] {
            if tensor.dtype() != DType::U8 {
                return Err(PolicyError::input(what, "u8", format!("{:?}", tensor.dtype())));
            }
        }
        Ok((batch, time))
    }
}

#[cfg(test)]
mod tests;
