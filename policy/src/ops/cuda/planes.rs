//! Convolution with what surrounds it, and pooling, on f32 planes `[N, C, H, W]` of any number of channels. The network's
//! trunk goes through [`stack`](super::stack) instead, which stays in one layout.

use candle_core::{DType, Result, Tensor};

use super::backend::{Buffer, Span};
use super::images::{
    PADDING, bias_relu, channels_first, channels_last, column_sums, convolve, convolve_filters,
    convolve_images, filters, pool, pool_backward, relu_backward,
};
use super::norm::{self, Affine, Normed};
use super::record::record;
use super::{dtype_in_scope, images};
use crate::ops::conv::{Extra, Shape3x3};

/// Sizes of a convolution.
#[derive(Clone, Copy)]
struct Layer {
    n: usize,
    h: usize,
    w: usize,
    ci: usize,
    co: usize,
    dtype: DType,
    then: Shape3x3,
}

impl Layer {
    fn pixels(self) -> usize {
        self.h * self.w
    }
    fn padded_in(self) -> usize {
        self.ci.next_multiple_of(PADDING)
    }
    fn padded_out(self) -> usize {
        self.co.next_multiple_of(PADDING)
    }
    fn size_out(self) -> (usize, usize) {
        if self.then.pool { (self.h.div_ceil(2), self.w.div_ceil(2)) } else { (self.h, self.w) }
    }

    /// f32 `[N, C, h, w]` to f32 `[N, h, w, C]`.
    fn to_last(self, x: &Span<'_>) -> Result<Buffer> {
        let [n, c, h, w] = images::four(x);
        let to = Buffer::new(&x.device, DType::F32, (n, h, w, c))?;
        channels_last(x, [n, c, h * w], c, &to.span()?)?;
        Ok(to)
    }

    /// f32 `[N, h, w, C]` to f32 `[N, C, h, w]`.
    fn to_first(self, x: &Span<'_>) -> Result<Buffer> {
        let [n, h, w, c] = images::four(x);
        let to = Buffer::new(&x.device, DType::F32, (n, c, h, w))?;
        channels_first(x, [n, c, h * w], c, &to.span()?)?;
        Ok(to)
    }

    /// f32 `[N, H, W, C]` to what multiplies, with channels padded.
    fn pad(self, x: &Span<'_>, channels: usize) -> Result<Buffer> {
        let padded = channels.next_multiple_of(PADDING);
        let to = Buffer::new(&x.device, self.dtype, (self.n, self.h, self.w, padded))?;
        channels_last(x, [self.n * self.pixels(), channels, 1], padded, &to.span()?)?;
        Ok(to)
    }

    /// The reverse.
    fn crop(self, x: &Span<'_>, channels: usize) -> Result<Buffer> {
        let padded = channels.next_multiple_of(PADDING);
        let to = Buffer::new(&x.device, DType::F32, (self.n, self.h, self.w, channels))?;
        channels_first(x, [self.n * self.pixels(), channels, 1], padded, &to.span()?)?;
        Ok(to)
    }

    /// Weights to filters `[padded, 3, 3, padded]`.
    fn filters(self, w: &Span<'_>) -> Result<Tensor> {
        let some = filters(w, [self.co, self.ci], self.padded_in(), self.dtype)?.into_tensor();
        some.pad_with_zeros(0, 0, self.padded_out() - self.co)?.contiguous()
    }
}

/// What the backward needs beyond arguments and result.
struct Kept {
    moments: Option<Buffer>,
    /// The convolution's input.
    input: Buffer,
    filters: Tensor,
    taps: Option<Buffer>,
    /// The result, channels last.
    result: Buffer,
}

/// As `ops::conv::conv_at`, whose checks have been made.
pub(crate) fn conv(x: &Tensor, w: &Tensor, extra: Extra, then: Shape3x3) -> Result<Tensor> {
    let (n, ci, h, width) = x.dims4()?;
    let layer = Layer { n, h, w: width, ci, co: w.dims()[0], dtype: dtype_in_scope(), then };
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let (normed, third) = match extra {
        Extra::None => (false, None),
        Extra::Bias(bias) => (false, Some(bias.contiguous()?)),
        Extra::Norm(affine) => (true, Some(affine.contiguous()?)),
    };
    let (result, kept) = forward(layer, &x, &w, normed, third.as_ref())?;
    let mut arguments = vec![&x, &w];
    arguments.extend(third.as_ref());
    record("conv3x3", result, &arguments, move |args, _, grad| backward(layer, normed, &kept, args, grad))
}

fn forward(
    layer: Layer,
    x: &Tensor,
    w: &Tensor,
    normed: bool,
    third: Option<&Tensor>,
) -> Result<(Buffer, Kept)> {
    let mut last = layer.to_last(&Span::of(x)?)?;
    let third = third.map(Span::of).transpose()?;
    let mut moments = None;
    if let (true, Some(affine)) = (normed, &third) {
        let (gain, bias) = (affine.part(0, &[layer.ci]), affine.part(layer.ci, &[layer.ci]));
        let (result, m) = norm::forward(&last.span()?, Affine { gain: &gain, bias: &bias }, false)?;
        (last, moments) = (result, Some(m));
    }
    let bias = if normed { None } else { third.as_ref() };
    let input = layer.pad(&last.span()?, layer.ci)?;
    let filters = layer.filters(&Span::of(w)?)?;
    let z = convolve(&input.span()?, &Span::of(&filters)?)?;
    let z = layer.crop(&z.span()?, layer.co)?;
    let (result, taps) = if layer.then.pool {
        pool(&z.span()?, bias, layer.then.relu, true)?
    } else {
        bias_relu(&z.span()?, bias, layer.then.relu)?;
        (z, None)
    };
    let planes = layer.to_first(&result.span()?)?;
    Ok((planes, Kept { moments, input, filters, taps, result }))
}

fn backward(
    layer: Layer,
    normed: bool,
    kept: &Kept,
    args: &[&Tensor],
    grad: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    let device = grad.device();
    let mut dz = layer.to_last(&Span::of(grad)?)?;
    let result = kept.result.span()?;
    if let Some(taps) = &kept.taps {
        dz = pool_backward(&dz.span()?, &result, &taps.span()?, (layer.h, layer.w), layer.then.relu)?;
    } else if layer.then.relu {
        dz = relu_backward(&result, &dz.span()?)?;
    }
    debug_assert_eq!((result.dims[1], result.dims[2]), layer.size_out());
    let third = args.get(2);
    let mut gradients = vec![None, None];
    if let (Some(bias), false) = (third, normed) {
        let sums = Buffer::new(device, DType::F32, bias.shape())?;
        column_sums(&dz.span()?, &sums.span()?)?;
        gradients.push(Some(sums.into_tensor()));
    }
    let dz = layer.pad(&dz.span()?, layer.co)?;
    let of_filters = convolve_filters(&kept.input.span()?, &dz.span()?)?;
    let dw = Buffer::new(device, DType::F32, args[1].shape())?;
    let dims = [layer.co, layer.ci, 9];
    channels_first(&of_filters.span()?, dims, layer.padded_in(), &dw.span()?)?;
    gradients[1] = Some(dw.into_tensor());
    if !normed && !args[0].track_op() {
        return Ok(gradients);
    }
    let dx = convolve_images(&Span::of(&kept.filters)?, &dz.span()?)?;
    let mut dx = layer.crop(&dx.span()?, layer.ci)?;
    if let (Some(moments), Some(affine)) = (&kept.moments, third) {
        let x = layer.to_last(&Span::of(args[0])?)?;
        let parameters = Buffer::new(device, DType::F32, affine.shape())?;
        let gain = Span::of(affine)?.part(0, &[layer.ci]);
        let of = Normed { x: x.span()?, moments: moments.span()?, gain, relu: false };
        dx = norm::backward(&of, &dx.span()?, None, &parameters.span()?)?;
        gradients.push(Some(parameters.into_tensor()));
    }
    gradients[0] = Some(layer.to_first(&dx.span()?)?.into_tensor());
    Ok(gradients)
}

/// As `ops::pool::max_pool_at`.
pub(crate) fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let then = Shape3x3 { relu: false, pool: true };
    let layer = Layer { n, h, w, ci: c, co: c, dtype: DType::F32, then };
    let x = x.contiguous()?;
    let last = layer.to_last(&Span::of(&x)?)?;
    let (result, taps) = pool(&last.span()?, None, false, x.track_op())?;
    let planes = layer.to_first(&result.span()?)?;
    record("max_pool", planes, &[&x], move |_, _, grad| {
        let Some(taps) = &taps else { return Ok(vec![None]) };
        let grad = layer.to_last(&Span::of(grad)?)?;
        let dx = pool_backward(&grad.span()?, &result.span()?, &taps.span()?, (h, w), false)?;
        Ok(vec![Some(layer.to_first(&dx.span()?)?.into_tensor())])
    })
}
