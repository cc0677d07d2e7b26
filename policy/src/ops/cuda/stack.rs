//! A stack of the image network as one operation, channels last throughout: convolution, ReLU, pool, norm and the residual
//! blocks. A ReLU is never a pass of its own: it is done where its result is read next.
//!
//! Between stacks images are `[N, H, W, C]` in the precision's own type; what comes from elsewhere may also be frames, u8
//! `[N, H, W, 3]`, or blocks, f32 `[N, C/16, H, W, 16]`.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::backend::{Buffer, Span};
use super::dtype_in_scope;
use super::images::{
    PADDING, add_relu, channels_first, channels_last, column_sums, convolve, convolve_filters,
    convolve_images, filters, frames, pool, pool_backward, relu_backward,
};
use super::norm::{self, Affine, Normed};
use super::record::record;
use crate::ops::stack::{Parts, StackShape};

/// A convolution and the norm before it, for the backward.
struct Layer {
    /// The norm's input (before its ReLU) and moments; the input alone where there is no norm.
    x: Buffer,
    moments: Option<Buffer>,
    /// The convolution's input, where it is not `x`.
    normed: Option<Buffer>,
    filters: Buffer,
}

impl Layer {
    fn input(&self) -> Result<Span<'_>> {
        self.normed.as_ref().unwrap_or(&self.x).span()
    }
}

/// What the backward needs.
struct Kept {
    first: Layer,
    pooled: Buffer,
    taps: Buffer,
    pooled_moments: Buffer,
    /// Of each residual block: its two layers and what the second left, before its ReLU.
    residual: Vec<(Layer, Layer, Buffer)>,
}

struct Stack {
    shape: StackShape,
    parts: Parts,
    dtype: DType,
}

/// As `ops::stack::stack_at`, whose checks have been made; `flat` holds all parameters one after another.
pub(crate) fn stack(x: &Tensor, flat: &Tensor, shape: StackShape, parts: Parts) -> Result<Tensor> {
    let stack = Stack { shape, parts, dtype: dtype_in_scope() };
    // What comes from elsewhere is made channels-last by operations that have gradients.
    let x = match *x.dims() {
        [n, blocks, h, w, lanes] => x.permute((0, 2, 3, 1, 4))?.reshape((n, h, w, blocks * lanes))?,
        _ => x.clone(),
    };
    let x = if x.dtype() == DType::U8 { x } else { x.to_dtype(stack.dtype)? };
    let (x, flat) = (x.contiguous()?, flat.contiguous()?);
    let (result, kept) = stack.forward(&x, &Span::of(&flat)?)?;
    record("impala_stack", result, &[&x, &flat], move |args, _, grad| stack.backward(&kept, args, grad))
}

impl Stack {
    fn after(&self) -> (usize, usize) {
        (self.shape.height.div_ceil(2), self.shape.width.div_ceil(2))
    }

    /// Gain and bias of the norm at `place`.
    fn norm(
        &self,
        x: &Span<'_>,
        flat: &Span<'_>,
        place: &Range<usize>,
        relu: bool,
    ) -> Result<(Buffer, Buffer)> {
        let channels = place.len() / 2;
        let (gain, bias) =
            (flat.part(place.start, &[channels]), flat.part(place.start + channels, &[channels]));
        norm::forward(x, Affine { gain: &gain, bias: &bias }, relu)
    }

    fn filters(&self, flat: &Span<'_>, place: &Range<usize>, inputs: usize) -> Result<Buffer> {
        let weights = flat.part(place.start, &[place.len()]);
        filters(&weights, [self.shape.channels, inputs], inputs.next_multiple_of(PADDING), self.dtype)
    }

    /// Norm (after ReLU if asked) and convolution of `x`; its result is before the ReLU.
    fn layer(
        &self,
        x: Buffer,
        flat: &Span<'_>,
        place: &(Range<usize>, Range<usize>),
        relu: bool,
    ) -> Result<(Layer, Buffer)> {
        let (normed, moments) = self.norm(&x.span()?, flat, &place.0, relu)?;
        let inputs = place.0.len() / 2;
        let filters = self.filters(flat, &place.1, inputs)?;
        let z = convolve(&normed.span()?, &filters.span()?)?;
        Ok((Layer { x, moments: Some(moments), normed: Some(normed), filters }, z))
    }

    fn forward(&self, x: &Tensor, flat: &Span<'_>) -> Result<(Buffer, Kept)> {
        let from = Span::of(x)?;
        let (first, z, bias);
        if self.shape.channels_in == 3 {
            let (x, filters) = (frames(&from, self.dtype)?, self.filters(flat, &self.parts.first, 3)?);
            z = convolve(&x.span()?, &filters.span()?)?;
            first = Layer { x, moments: None, normed: None, filters };
            bias = Some(flat.part(self.parts.first_extra.start, &[self.shape.channels]));
        } else {
            // The graph keeps x; a copy of what it keeps would be memory for nothing.
            let place = &self.parts.first_extra;
            let (normed, moments) = self.norm(&from, flat, place, false)?;
            let filters = self.filters(flat, &self.parts.first, self.shape.channels_in)?;
            z = convolve(&normed.span()?, &filters.span()?)?;
            first = Layer { x: normed, moments: Some(moments), normed: None, filters };
            bias = None;
        }
        let (pooled, taps) = pool(&z.span()?, bias.as_ref(), true, true)?;
        drop(z);
        let Some(taps) = taps else { candle_core::bail!("impala_stack: no record of the pool") };
        let (mut x, pooled_moments) = self.norm(&pooled.span()?, flat, &self.parts.norm, false)?;
        let mut residual = Vec::new();
        for pair in self.parts.residual.chunks_exact(2) {
            let (inner, z1) = self.layer(x, flat, &pair[0], false)?;
            let (outer, z2) = self.layer(z1, flat, &pair[1], true)?;
            x = add_relu(&inner.x.span()?, &z2.span()?)?;
            residual.push((inner, outer, z2));
        }
        let result = if self.shape.planes { self.to_planes(&x.span()?)? } else { x };
        Ok((result, Kept { first, pooled, taps, pooled_moments, residual }))
    }

    /// f32 `[N, C, H, W]`.
    fn to_planes(&self, x: &Span<'_>) -> Result<Buffer> {
        let (c, (h, w)) = (self.shape.channels, self.after());
        let to = Buffer::new(&x.device, DType::F32, (x.dims[0], c, h, w))?;
        channels_first(x, [x.dims[0], c, h * w], c, &to.span()?)?;
        Ok(to)
    }

    /// The reverse.
    fn channels_last_of(&self, grad: &Span<'_>) -> Result<Buffer> {
        let (c, (h, w)) = (self.shape.channels, self.after());
        let to = Buffer::new(&grad.device, self.dtype, (grad.dims[0], h, w, c))?;
        channels_last(grad, [grad.dims[0], c, h * w], c, &to.span()?)?;
        Ok(to)
    }

    fn backward(&self, kept: &Kept, args: &[&Tensor], grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let parameters = Span::of(args[1])?;
        let gradients = Buffer::new(&parameters.device, DType::F32, self.parts.total)?;
        let to = Gradients { stack: self, parameters, gradients: gradients.span()? };
        let grad = Span::of(grad)?;
        let mut owned;
        let mut grad = if self.shape.planes {
            owned = self.channels_last_of(&grad)?;
            owned.span()?
        } else {
            grad
        };
        for ((inner, outer, z2), places) in
            kept.residual.iter().zip(self.parts.residual.chunks_exact(2)).rev()
        {
            let dz2 = relu_backward(&z2.span()?, &grad)?;
            let dz1 = to.layer(outer, &places[1], &dz2.span()?, None, true)?;
            let dx = to.layer(inner, &places[0], &dz1.span()?, Some(&grad), false)?;
            owned = dx;
            grad = owned.span()?;
        }
        let pooled = kept.pooled.span()?;
        let dp = to.norm((pooled.clone(), &kept.pooled_moments), &self.parts.norm, &grad, None, false)?;
        let size = (self.shape.height, self.shape.width);
        let dz = pool_backward(&dp.span()?, &pooled, &kept.taps.span()?, size, true)?;
        let dz = dz.span()?;
        to.filters(&kept.first, &self.parts.first, self.shape.channels_in, &dz)?;
        let place = &self.parts.first_extra;
        let dx = match &kept.first.moments {
            Some(moments) => {
                let du = convolve_images(&kept.first.filters.span()?, &dz)?;
                Some(to.norm((Span::of(args[0])?, moments), place, &du.span()?, None, false)?.into_tensor())
            }
            None => {
                column_sums(&dz, &to.gradients.part(place.start, &[place.len()]))?;
                None
            }
        };
        drop(to);
        Ok(vec![dx, Some(gradients.into_tensor())])
    }
}

/// Where the parameters' gradients go.
struct Gradients<'a> {
    stack: &'a Stack,
    parameters: Span<'a>,
    gradients: Span<'a>,
}

impl Gradients<'_> {
    /// Through a norm, of input and moments `of`.
    fn norm(
        &self,
        of: (Span<'_>, &Buffer),
        place: &Range<usize>,
        grad: &Span<'_>,
        skip: Option<&Span<'_>>,
        relu: bool,
    ) -> Result<Buffer> {
        let gain = self.parameters.part(place.start, &[place.len() / 2]);
        let normed = Normed { x: of.0, moments: of.1.span()?, gain, relu };
        norm::backward(&normed, grad, skip, &self.gradients.part(place.start, &[place.len()]))
    }

    /// The weights' of a convolution whose result has the gradient `dz`.
    fn filters(&self, layer: &Layer, place: &Range<usize>, inputs: usize, dz: &Span<'_>) -> Result<()> {
        let of_filters = convolve_filters(&layer.input()?, dz)?;
        let to = self.gradients.part(place.start, &[place.len()]);
        let dims = [self.stack.shape.channels, inputs, 9];
        channels_first(&of_filters.span()?, dims, inputs.next_multiple_of(PADDING), &to)
    }

    /// Through a convolution and the norm before it; `skip` is added.
    fn layer(
        &self,
        layer: &Layer,
        place: &(Range<usize>, Range<usize>),
        dz: &Span<'_>,
        skip: Option<&Span<'_>>,
        relu: bool,
    ) -> Result<Buffer> {
        self.filters(layer, &place.1, place.0.len() / 2, dz)?;
        let du = convolve_images(&layer.filters.span()?, dz)?;
        let Some(moments) = &layer.moments else { return Ok(du) };
        self.norm((layer.x.span()?, moments), &place.0, &du.span()?, skip, relu)
    }
}
