//! The ops of the network as plain formulas.

use candle_core::{D, DType, Result, Tensor};

pub(crate) fn frames_to_input(frames: &Tensor) -> Result<Tensor> {
    (frames.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(DType::F32)? / 255.0)
}

pub(crate) fn conv3x3(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let mut y = x.conv2d(w, 1, 1, 1, 1)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
    }
    if relu { y.relu() } else { Ok(y) }
}

pub(crate) fn max_pool_3x3_s2(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let x = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
    let mut best: Option<Tensor> = None;
    for dy in 0..3u32 {
        for dx in 0..3u32 {
            let rows: Vec<u32> = (0..h.div_ceil(2) as u32).map(|i| 2 * i + dy).collect();
            let columns: Vec<u32> = (0..w.div_ceil(2) as u32).map(|i| 2 * i + dx).collect();
            let picked = x.index_select(&Tensor::new(rows, x.device())?, 2)?;
            let picked = picked.index_select(&Tensor::new(columns, x.device())?, 3)?;
            best = Some(match best {
                None => picked,
                Some(best) => best.maximum(&picked)?,
            });
        }
    }
    Ok(best.expect("nine shifts"))
}

pub(crate) fn norm(x: &Tensor, gain: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let flat = x.flatten_from(1)?;
    let centred = flat.broadcast_sub(&flat.mean_keepdim(1)?)?;
    let std = (centred.sqr()?.mean_keepdim(1)? + 1e-5)?.sqrt()?;
    let shape = if x.rank() == 2 { vec![1, gain.elem_count()] } else { vec![1, gain.elem_count(), 1, 1] };
    let y = centred.broadcast_div(&std)?.reshape(x.shape())?;
    y.broadcast_mul(&gain.reshape(shape.as_slice())?)?.broadcast_add(&bias.reshape(shape.as_slice())?)
}

pub(crate) fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let mut y = x.matmul(&w.t()?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(bias)?;
    }
    if relu { y.relu() } else { Ok(y) }
}

pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: &Tensor,
    mask: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    let logits = ((q.matmul(&k.transpose(2, 3)?.contiguous()?)? * f64::from(scale))? + bias)?;
    let hidden = ((mask.to_dtype(DType::F32)? - 1.0)? * 1e9)?.unsqueeze(1)?;
    candle_nn::ops::softmax(&logits.broadcast_add(&hidden)?, D::Minus1)?.matmul(v)
}

pub(crate) fn log_prob(logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    candle_nn::ops::log_softmax(logits, 1)?.gather(&index.unsqueeze(1)?, 1)?.squeeze(1)
}

pub(crate) fn entropy(logits: &Tensor) -> Result<Tensor> {
    let log_p = candle_nn::ops::log_softmax(logits, 1)?;
    (log_p.exp()? * log_p)?.sum(1)?.neg()
}

pub(crate) fn kl(p_logits: &Tensor, q_logits: &Tensor) -> Result<Tensor> {
    let log_p = candle_nn::ops::log_softmax(p_logits, 1)?;
    let log_q = candle_nn::ops::log_softmax(q_logits, 1)?;
    (log_p.exp()? * (log_p - log_q)?)?.sum(1)
}
