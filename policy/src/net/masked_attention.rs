//! Attention over the last `maxlen` steps with a learned, query-dependent bias by distance (`lib/xf.py`,
//! `SelfAttentionLayer` with relative attention).
//!
//! logit(t, j) = q·k_j / e + Σ_n r(t, n) b_nd(n, d) with d = (t + M) - j the distance in steps: note 1/e, not 1/√e.

use candle_core::Tensor;

use super::fan_in::Linear;
use super::visibility::Visibility;
use crate::config::{PolicyConfig, RELATIVE_BASES};
use crate::error::Result;
use crate::ops;
use crate::parameters::Parameters;
use crate::precision::Precision;
use crate::recurrent_state::LayerState;

#[derive(Debug, Clone)]
pub(super) struct MaskedAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    relative: Linear,
    project: Linear,
    /// [10, M]: bias of each basis function at each distance.
    bases: Tensor,
    heads: usize,
    head_size: usize,
    /// Whether the network only acts: no gradients.
    acts: bool,
}

impl MaskedAttention {
    pub(super) fn new(config: &PolicyConfig, params: &Parameters, name: &str) -> Result<Self> {
        let linear = |part: &str| Linear::new(params, &format!("{name}.{part}"));
        Ok(Self {
            query: linear("q_layer")?,
            key: linear("k_layer")?,
            value: linear("v_layer")?,
            relative: linear("r_layer")?,
            project: linear("proj_layer")?,
            bases: params.get(&format!("{name}.b_nd"))?.clone(),
            heads: config.attention_heads,
            head_size: config.head_size(),
            acts: false,
        })
    }

    /// Packs all weights for acting in `precision`; those of the bias by distance, a thousandth of them, as f32.
    pub(super) fn pack(&mut self, precision: Precision) -> Result<()> {
        for layer in [&mut self.query, &mut self.key, &mut self.value, &mut self.project] {
            layer.pack(precision)?;
        }
        self.acts = true;
        self.relative.pack(Precision::F32)
    }

    /// x `[B * T, E]` to the attention's output `[B * T, E]`, without the skip, and the memory after the chunk.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        memory: &LayerState,
        visibility: &Visibility,
        time: usize,
    ) -> Result<(Tensor, LayerState)> {
        if self.acts {
            return self.recall(x, memory, visibility);
        }
        let (batch, maxlen, width) = memory.keys.dims3()?;
        let chunk = (batch, time, width);
        let keys = Tensor::cat(&[&memory.keys, &self.key.forward(x)?.reshape(chunk)?], 1)?;
        let values = Tensor::cat(&[&memory.values, &self.value.forward(x)?.reshape(chunk)?], 1)?;
        let query = self.query.forward(x)?.reshape(chunk)?;
        let bias = self.distance_bias(x, batch, time)?;
        let attended = ops::attention(
            &self.split_heads(&query)?,
            &self.split_heads(&keys)?,
            &self.split_heads(&values)?,
            &bias,
            visibility.mask(),
            1.0 / self.head_size as f32,
        )?;
        let merged = attended.transpose(1, 2)?.contiguous()?.reshape((batch * time, width))?;
        // In its own storage: a view would keep the chunk's rows alive for as long as the state.
        let newest = |rows: &Tensor| rows.detach().narrow(1, time, maxlen)?.force_contiguous();
        let memory = LayerState {
            mask: visibility.new_mask().clone(),
            keys: newest(&keys)?,
            values: newest(&values)?,
        };
        Ok((self.project.forward(&merged)?, memory))
    }

    /// The same without gradients.
    fn recall(
        &self,
        x: &Tensor,
        memory: &LayerState,
        visibility: &Visibility,
    ) -> Result<(Tensor, LayerState)> {
        let [attended, keys, values] = ops::memory_attention(ops::MemoryQuery {
            queries: &self.query.forward(x)?,
            keys: &self.key.forward(x)?,
            values: &self.value.forward(x)?,
            relative: &self.relative.forward(x)?,
            bases: &self.bases,
            memory_keys: &memory.keys,
            memory_values: &memory.values,
            mask: visibility.mask(),
            heads: self.heads,
            scale: 1.0 / self.head_size as f32,
        })?;
        let memory = LayerState { mask: visibility.new_mask().clone(), keys, values };
        Ok((self.project.forward(&attended)?, memory))
    }

    /// `[B, L, E]` to `[B, H, L, e]`.
    fn split_heads(&self, rows: &Tensor) -> Result<Tensor> {
        let (batch, length, _) = rows.dims3()?;
        let split = rows.reshape((batch, length, self.heads, self.head_size))?;
        Ok(split.transpose(1, 2)?.contiguous()?)
    }

    /// The bias of every query and key, `[B, H, T, M + T]`; zero at pairs that are never visible.
    fn distance_bias(&self, x: &Tensor, batch: usize, time: usize) -> Result<Tensor> {
        let maxlen = self.bases.dim(1)?;
        let keys = maxlen + time;
        // Query t sees distance d at key t + M - d: its biases, farthest first, start at key t + 1. Rows one longer
        // than `keys`, with one zero before them, therefore fall into place when read with a stride of `keys`.
        let farthest_first = self.bases.flip(&[1])?;
        let padded = farthest_first.pad_with_zeros(1, 1, time)?;
        let weights = self.relative.forward(x)?.reshape((batch, time, self.heads, RELATIVE_BASES))?;
        let weights = weights.transpose(1, 2)?.contiguous()?.reshape(((), RELATIVE_BASES))?;
        let rows = weights.matmul(&padded)?.reshape((batch, self.heads, time * (keys + 1)))?;
        let skewed = rows.narrow(2, 0, time * keys)?.contiguous()?;
        Ok(skewed.reshape((batch, self.heads, time, keys))?)
    }
}
