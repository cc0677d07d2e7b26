//! Softmax, log-probability, entropy and KL divergence of rows, a block of threads a row.

use candle_core::{DType, Result, Tensor};

use super::backend::{Buffer, Span};
use super::kernels::Kernel;
use super::record::record;

const FILE: &str = "rows";

/// Scores' bias `[B, H, T, S]` and mask u8 `[B, T, S]`, 1 for visible.
pub(crate) struct Mask<'a> {
    pub(crate) bias: &'a Tensor,
    pub(crate) mask: &'a Tensor,
}

/// A result of `x`'s shape, its rows, and their length.
fn like(x: &Span<'_>) -> Result<(Buffer, usize, usize)> {
    let columns = x.dims.last().copied().unwrap_or(1);
    let rows = x.count().checked_div(columns).unwrap_or(0);
    Ok((Buffer::new(&x.device, DType::F32, x.dims.as_slice())?, rows, columns))
}

/// `softmax(x * scale + bias)` over the last dimension, visible keys only where there is a mask.
pub(crate) fn softmax(x: &Tensor, masked: Option<&Mask<'_>>, scale: f32) -> Result<Tensor> {
    let x = x.contiguous()?;
    let bias = masked.map(|m| m.bias.contiguous()).transpose()?;
    let mask = masked.map(|m| m.mask.contiguous()).transpose()?;
    let (heads, time) = if masked.is_some() { (x.dims()[1], x.dims()[2]) } else { (1, 1) };
    let from = Span::of(&x)?;
    let (to, rows, columns) = like(&from)?;
    let bias_span = bias.as_ref().map(Span::of).transpose()?;
    let mask_span = mask.as_ref().map(Span::of).transpose()?;
    let kernel = Kernel::new(FILE, "softmax").span(&from).maybe(bias_span.as_ref()).maybe(mask_span.as_ref());
    let kernel = kernel.span(&to.span()?).count(columns).factor(scale).count(heads).count(time);
    kernel.blocks(&from.device, [rows, 1, 1])?;
    let mut arguments = vec![&x];
    arguments.extend(&bias);
    record("softmax", to, &arguments, move |args, res, grad| {
        let gradient = |scale: f32| -> Result<Tensor> {
            let p = Span::of(res)?;
            let (to, rows, columns) = like(&p)?;
            let kernel =
                Kernel::new(FILE, "softmax_backward").span(&p).span(&Span::of(grad)?).span(&to.span()?);
            kernel.count(columns).factor(scale).blocks(&p.device, [rows, 1, 1])?;
            Ok(to.into_tensor())
        };
        let factors = [scale, 1.0];
        let each = args.iter().zip(factors);
        each.map(|(arg, factor)| arg.track_op().then(|| gradient(factor)).transpose()).collect()
    })
}

/// ln p of class `index` (u32 `[N]`, checked) under logits `[N, C]`.
pub(crate) fn log_prob(logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    let (logits, index) = (logits.contiguous()?, index.contiguous()?);
    let (n, columns) = logits.dims2()?;
    let to = Buffer::new(logits.device(), DType::F32, n)?;
    let kernel = Kernel::new(FILE, "log_prob").span(&Span::of(&logits)?).span(&Span::of(&index)?);
    kernel.span(&to.span()?).count(columns).blocks(logits.device(), [n, 1, 1])?;
    record("log_prob", to, &[&logits], move |args, _, grad| {
        let x = Span::of(args[0])?;
        let (to, rows, columns) = like(&x)?;
        let kernel = Kernel::new(FILE, "log_prob_backward").span(&x).span(&Span::of(&index)?);
        let kernel = kernel.span(&Span::of(grad)?).span(&to.span()?).count(columns);
        kernel.blocks(&x.device, [rows, 1, 1])?;
        Ok(vec![Some(to.into_tensor())])
    })
}

/// Entropy `[N]` of logits `[N, C]`.
pub(crate) fn entropy(logits: &Tensor) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    let (n, columns) = logits.dims2()?;
    let to = Buffer::new(logits.device(), DType::F32, n)?;
    let kernel = Kernel::new(FILE, "entropy").span(&Span::of(&logits)?).span(&to.span()?).count(columns);
    kernel.blocks(logits.device(), [n, 1, 1])?;
    record("entropy", to, &[&logits], |args, res, grad| {
        let x = Span::of(args[0])?;
        let (to, rows, columns) = like(&x)?;
        let kernel = Kernel::new(FILE, "entropy_backward").span(&x).span(&Span::of(res)?);
        let kernel = kernel.span(&Span::of(grad)?).span(&to.span()?).count(columns);
        kernel.blocks(&x.device, [rows, 1, 1])?;
        Ok(vec![Some(to.into_tensor())])
    })
}

/// KL(p ‖ q) `[N]` of two sets of logits `[N, C]`.
pub(crate) fn kl(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (p, q) = (p.contiguous()?, q.contiguous()?);
    let (n, columns) = p.dims2()?;
    let to = Buffer::new(p.device(), DType::F32, n)?;
    let kernel = Kernel::new(FILE, "kl").span(&Span::of(&p)?).span(&Span::of(&q)?).span(&to.span()?);
    kernel.count(columns).blocks(p.device(), [n, 1, 1])?;
    record("kl", to, &[&p, &q], |args, res, grad| {
        let (p, q) = (Span::of(args[0])?, Span::of(args[1])?);
        let wanted = |arg: &Tensor| -> Result<Option<Buffer>> {
            arg.track_op().then(|| Buffer::new(arg.device(), DType::F32, arg.shape())).transpose()
        };
        let (to_p, to_q) = (wanted(args[0])?, wanted(args[1])?);
        let span_p = to_p.as_ref().map(Buffer::span).transpose()?;
        let span_q = to_q.as_ref().map(Buffer::span).transpose()?;
        let kernel = Kernel::new(FILE, "kl_backward").span(&p).span(&q).span(&Span::of(res)?);
        let kernel = kernel.span(&Span::of(grad)?).maybe(span_p.as_ref()).maybe(span_q.as_ref());
        kernel.count(p.dims[1]).blocks(&p.device, [p.dims[0], 1, 1])?;
        drop((span_p, span_q));
        Ok(vec![to_p.map(Buffer::into_tensor), to_q.map(Buffer::into_tensor)])
    })
}
