//! Attention in which every frame sees every other, past and future (`lib/xf.py` with mask "none").
//!
//! logit(t, j) = q·k_j / e, with 1/e as in the policy. The relative bias of the policy's attention has no distances to
//! speak of here (`b_nd` is `[10, 0]`), so `r_layer`, though among the weights, has no effect and gets no gradient.

use candle_core::Tensor;

use super::fan_in::Linear;
use crate::error::Result;
use crate::inverse_dynamics_config::InverseDynamicsConfig;
use crate::ops;
use crate::parameters::Parameters;

#[derive(Debug, Clone)]
pub(super) struct UnmaskedAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    project: Linear,
    heads: usize,
    head_size: usize,
}

impl UnmaskedAttention {
    pub(super) fn new(config: &InverseDynamicsConfig, params: &Parameters, name: &str) -> Result<Self> {
        let linear = |part: &str| Linear::new(params, &format!("{name}.{part}"));
        Ok(Self {
            query: linear("q_layer")?,
            key: linear("k_layer")?,
            value: linear("v_layer")?,
            project: linear("proj_layer")?,
            heads: config.attention_heads,
            head_size: config.head_size(),
        })
    }

    /// x `[B * T, E]` to the attention's output `[B * T, E]`, without the skip.
    pub(super) fn forward(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let query = self.split_heads(&self.query.forward(x)?, batch)?;
        let keys = self.split_heads(&self.key.forward(x)?, batch)?;
        let values = self.split_heads(&self.value.forward(x)?, batch)?;
        let scores = (query.matmul(&keys.transpose(2, 3)?)? * (1.0 / self.head_size as f64))?;
        let attended = ops::softmax_last_dim(&scores)?.matmul(&values)?;
        let merged = attended.transpose(1, 2)?.contiguous()?.reshape(x.shape())?;
        self.project.forward(&merged)
    }

    /// `[B * T, E]` to `[B, H, T, e]`.
    fn split_heads(&self, rows: &Tensor, batch: usize) -> Result<Tensor> {
        let split = rows.reshape((batch, (), self.heads, self.head_size))?;
        Ok(split.transpose(1, 2)?.contiguous()?)
    }
}
