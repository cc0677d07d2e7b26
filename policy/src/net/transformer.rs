//! The trunk of the published networks: IMPALA CNN, transformer blocks over a sliding window, last layer and norm.

use candle_core::Tensor;

use super::fan_in::{FanIn, Norm};
use super::impala_cnn::ImpalaCnn;
use super::residual_recurrent_block::ResidualRecurrentBlock;
use super::visibility::Visibility;
use crate::config::PolicyConfig;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::precision::Precision;
use crate::recurrent_state::RecurrentState;

/// Everything from the frames to the latent that the heads take.
#[derive(Debug, Clone)]
pub(super) struct Transformer {
    image_size: usize,
    cnn: ImpalaCnn,
    blocks: Vec<ResidualRecurrentBlock>,
    last_layer: FanIn,
    final_norm: Norm,
}

impl Transformer {
    pub(super) fn new(config: &PolicyConfig, params: &Parameters) -> Result<Self> {
        let blocks = (0..config.n_recurrence_layers)
            .map(|i| ResidualRecurrentBlock::new(config, params, &format!("net.recurrent_layer.blocks.{i}")));
        Ok(Self {
            image_size: config.image_size,
            cnn: ImpalaCnn::new(params)?,
            blocks: blocks.collect::<Result<_>>()?,
            last_layer: FanIn::new(params, "net.lastlayer")?,
            final_norm: Norm::new(params, "net.final_ln")?,
        })
    }

    /// Packs all weights for acting in `precision`.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        self.cnn.pack(self.image_size, precision)?;
        for block in &mut self.blocks {
            block.pack(precision)?;
        }
        self.last_layer.pack(precision)
    }

    /// `frames` u8 `[B, T, H, W, 3]` and `is_first` u8 `[B, T]` to latents f32 `[B * T, E]` and the new memory.
    pub(super) fn forward(
        &self,
        frames: &Tensor,
        is_first: &Tensor,
        state: &RecurrentState,
    ) -> Result<(Tensor, RecurrentState)> {
        let (batch, time) = is_first.dims2()?;
        let flags = is_first.flatten_all()?.to_vec1::<u8>()?;
        // [B * T, E] from here on.
        let mut x = self.cnn.forward(&frames.flatten(0, 1)?)?;
        let mut layers = Vec::with_capacity(self.blocks.len());
        let mut visibility: Option<Visibility> = None;
        for (block, memory) in self.blocks.iter().zip(&state.layers) {
            let mask = memory.mask.flatten_all()?.to_vec1::<u8>()?;
            // All layers of a state normally have the same mask.
            let seen = match visibility.take() {
                Some(seen) if seen.is_of(&mask) => seen,
                _ => Visibility::new(mask, &flags, batch, frames.device())?,
            };
            let (y, new_memory) = block.forward(&x, memory, &seen, time)?;
            visibility = Some(seen);
            layers.push(new_memory);
            x = y;
        }
        let latent = self.last_layer.linear(&x.relu()?)?;
        Ok((self.final_norm.forward(&latent)?, RecurrentState { layers }))
    }
}
