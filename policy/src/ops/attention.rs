//! Attention with a relative bias and a mask per query.

mod memory;
#[cfg(test)]
mod tests;

pub use memory::{MemoryQuery, memory_attention};

use candle_core::{Result, Tensor};

use super::cuda;
use super::softmax::masked_softmax;

/// `softmax(q · kᵀ * scale + bias, visible keys only) · v`: queries `[B,H,T,e]`, keys and values `[B,H,S,e]`, bias
/// `[B,H,T,S]`, mask u8 `[B,T,S]` with 1 for visible; gives `[B,H,T,e]`. Differentiable in all but the mask.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: &Tensor,
    mask: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    if cuda::takes(q) {
        let scores = cuda::product(q, k, true)?;
        return cuda::product(&masked_softmax(&scores, bias, mask, scale)?, v, false);
    }
    let scores = q.contiguous()?.matmul(&k.contiguous()?.transpose(2, 3)?)?;
    masked_softmax(&scores, bias, mask, scale)?.matmul(&v.contiguous()?)
}
