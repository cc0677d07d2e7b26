//! The norm over whole images `[N, P, C]` with gain and bias per channel, ReLU before it on request; over rows `[N, C]` it
//! is a layer norm (P = 1).

use candle_core::{DType, Result, Tensor};

use super::backend::{Buffer, Span};
use super::images::{channels_first, channels_last, column_sums};
use super::kernels::{Kernel, THREADS, lanes};
use super::record::record;

const FILE: &str = "norm";
/// Values of an image that a block takes.
const VALUES: usize = 1 << 14;
/// Most blocks an image is split over for its sums: a second pass adds them up one by one.
const PARTS: usize = 64;

/// Sizes of a norm: images, pixels of each, channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) images: usize,
    pub(super) pixels: usize,
    pub(super) channels: usize,
}

impl Sizes {
    /// Of `[N, …, C]`.
    pub(super) fn of(x: &Span<'_>) -> Self {
        let (images, channels) = (x.dims[0], x.dims.last().copied().unwrap_or(1));
        Self { images, pixels: x.count() / (images * channels).max(1), channels }
    }

    fn size(self) -> usize {
        self.pixels * self.channels
    }
}

/// Parameters of a norm, f32: gains `[C]`, biases `[C]`.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) gain: &'a Span<'a>,
    pub(super) bias: &'a Span<'a>,
}

/// Norms `[N, …, C]`, after ReLU if asked; also gives mean and reciprocal deviation of every image, f32 `[N, 2]`.
pub(super) fn forward(x: &Span<'_>, affine: Affine<'_>, relu: bool) -> Result<(Buffer, Buffer)> {
    let sizes = Sizes::of(x);
    let (n, size, device) = (sizes.images, sizes.size(), &x.device);
    let moments = Buffer::new(device, DType::F32, (n, 2))?;
    let to = Buffer::new(device, x.dtype, x.dims.as_slice())?;
    let at_once = lanes(sizes.channels, &[x]);
    let parts = size.div_ceil(VALUES).clamp(1, PARTS);
    let sums = Buffer::new(device, DType::F64, (n, parts, 2))?;
    let kernel = Kernel::variant(FILE, "norm_sums", x.dtype, at_once)?.span(x).span(&sums.span()?);
    let kernel = kernel.count(size).count((size / at_once).div_ceil(parts)).flag(relu);
    kernel.blocks(device, [n, parts, 1])?;
    let kernel = Kernel::variant(FILE, "norm_moments", x.dtype, 1)?.span(x).span(&sums.span()?);
    let kernel = kernel.span(&moments.span()?).count(n).count(size).count(parts).flag(relu);
    kernel.each(device, n)?;
    let packs = x.count() / at_once;
    let kernel = Kernel::variant(FILE, "norm_apply", x.dtype, at_once)?.span(x).span(&moments.span()?);
    let kernel = kernel.span(affine.gain).span(affine.bias).span(&to.span()?);
    kernel.count(packs).count(size).count(sizes.channels).flag(relu).each(device, packs)?;
    Ok((to, moments))
}

/// A norm's input as it was, and how it was normed.
pub(super) struct Normed<'a> {
    pub(super) x: Span<'a>,
    pub(super) moments: Span<'a>,
    pub(super) gain: Span<'a>,
    pub(super) relu: bool,
}

/// The gradient of [`forward`]'s input from its result's, `skip` added to it; gain's and bias's go to `parameters`, f32
/// `[2 C]`.
pub(super) fn backward(
    normed: &Normed<'_>,
    grad: &Span<'_>,
    skip: Option<&Span<'_>>,
    parameters: &Span<'_>,
) -> Result<Buffer> {
    let Normed { x, moments, gain, relu } = normed;
    let sizes = Sizes::of(x);
    let (n, channels, device) = (sizes.images, sizes.channels, &x.device);
    let at_once = lanes(channels, &skip.map_or(vec![x, grad], |skip| vec![x, grad, skip]));
    let wide = (channels / at_once).min(THREADS);
    let parts = sizes.size().div_ceil(VALUES).clamp(1, PARTS).min(sizes.pixels);
    let sums = Buffer::new(device, DType::F32, (n * parts, 2 * channels))?;
    let kernel = Kernel::variant(FILE, "norm_grad_sums", x.dtype, at_once)?.span(x).span(moments).span(grad);
    let kernel = kernel.span(&sums.span()?).count(sizes.pixels).count(channels);
    let kernel = kernel.count(sizes.pixels.div_ceil(parts)).count(wide).flag(*relu);
    kernel.blocks(device, [n, parts, (channels / at_once).div_ceil(wide)])?;
    let totals = Buffer::new(device, DType::F32, (n, 2))?;
    let kernel = Kernel::new(FILE, "norm_grad_totals").span(&sums.span()?).span(gain).span(&totals.span()?);
    kernel.count(parts).count(channels).blocks(device, [n, 1, 1])?;
    column_sums(&sums.span()?, parameters)?;
    let to = Buffer::new(device, x.dtype, x.dims.as_slice())?;
    let packs = x.count() / at_once;
    let kernel = Kernel::variant(FILE, "norm_backward", x.dtype, at_once)?.span(x).span(moments).span(gain);
    let kernel = kernel.span(&totals.span()?).span(grad).maybe(skip).span(&to.span()?);
    kernel.count(packs).count(sizes.size()).count(channels).flag(*relu).each(device, packs)?;
    Ok(to)
}

/// Norm of f32 `[N, C]` or `[N, C, H, W]` with its gradient.
pub(crate) fn norm(x: &Tensor, gain: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (x, gain, bias) = (x.contiguous()?, gain.contiguous()?, bias.contiguous()?);
    let planes = Planes::of(&x);
    let last = planes.to_last(&Span::of(&x)?)?;
    let (gains, biases) = (Span::of(&gain)?, Span::of(&bias)?);
    let (result, moments) = forward(&last.span()?, Affine { gain: &gains, bias: &biases }, false)?;
    let result = planes.to_first(result)?;
    record("norm", result, &[&x, &gain, &bias], move |args, _, grad| {
        let channels = args[1].elem_count();
        let x = planes.to_last(&Span::of(args[0])?)?;
        let grad = planes.to_last(&Span::of(grad)?)?;
        let parameters = Buffer::new(args[1].device(), DType::F32, 2 * channels)?;
        let normed = Normed { x: x.span()?, moments: moments.span()?, gain: Span::of(args[1])?, relu: false };
        let dx = backward(&normed, &grad.span()?, None, &parameters.span()?)?;
        let parameters = parameters.into_tensor();
        let part = |i: usize, of: &Tensor| parameters.narrow(0, i * channels, channels)?.reshape(of.shape());
        Ok(vec![Some(planes.to_first(dx)?.into_tensor()), Some(part(0, args[1])?), Some(part(1, args[2])?)])
    })
}

/// How f32 `[N, C]` or `[N, C, H, W]` becomes channels-last and back.
#[derive(Clone)]
struct Planes {
    dims: Vec<usize>,
}

impl Planes {
    fn of(x: &Tensor) -> Self {
        Self { dims: x.dims().to_vec() }
    }

    fn pixels(&self) -> usize {
        self.dims[2..].iter().product()
    }

    fn to_last(&self, x: &Span<'_>) -> Result<Buffer> {
        let (n, c, p) = (self.dims[0], self.dims[1], self.pixels());
        let to = Buffer::new(&x.device, DType::F32, (n, p, c))?;
        channels_last(x, [n, c, p], c, &to.span()?)?;
        Ok(to)
    }

    fn to_first(&self, x: Buffer) -> Result<Buffer> {
        if self.dims.len() == 2 {
            return Ok(x.reshape(self.dims.as_slice()));
        }
        let (n, c, p) = (self.dims[0], self.dims[1], self.pixels());
        let from = x.span()?;
        let to = Buffer::new(&from.device, DType::F32, self.dims.as_slice())?;
        channels_first(&from, [n, c, p], c, &to.span()?)?;
        Ok(to)
    }
}
