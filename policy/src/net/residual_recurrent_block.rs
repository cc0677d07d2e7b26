//! One transformer block: norm, attention with its skip, feed-forward with its skip (`ResidualRecurrentBlock`).
//!
//! As in the reference the attention's skip carries the *normed* input; the raw input ends here.

use candle_core::Tensor;

use super::fan_in::{FanIn, Linear, Norm};
use super::masked_attention::MaskedAttention;
use super::visibility::Visibility;
use crate::config::PolicyConfig;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::precision::Precision;
use crate::recurrent_state::LayerState;

#[derive(Debug, Clone)]
pub(super) struct ResidualRecurrentBlock {
    norm: Norm,
    attention: MaskedAttention,
    widen: FanIn,
    narrow: Linear,
}

impl ResidualRecurrentBlock {
    pub(super) fn new(config: &PolicyConfig, params: &Parameters, name: &str) -> Result<Self> {
        Ok(Self {
            norm: Norm::new(params, &format!("{name}.pre_r_ln"))?,
            attention: MaskedAttention::new(config, params, &format!("{name}.r.orc_block"))?,
            widen: FanIn::new(params, &format!("{name}.mlp0"))?,
            narrow: Linear::new(params, &format!("{name}.mlp1.layer"))?,
        })
    }

    /// Packs all weights for acting in `precision`.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        self.attention.pack(precision)?;
        self.widen.pack(precision)?;
        self.narrow.pack(precision)
    }

    /// x `[B * T, E]` and the memory before to the same shapes after.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        memory: &LayerState,
        visibility: &Visibility,
        time: usize,
    ) -> Result<(Tensor, LayerState)> {
        let x = self.norm.forward(x)?;
        let (attended, memory) = self.attention.forward(&x, memory, visibility, time)?;
        let y = (x + attended)?;
        let out = (&y + self.narrow.forward(&self.widen.linear(&y)?)?)?;
        Ok((out, memory))
    }
}
