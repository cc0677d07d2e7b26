//! Steps on images with channels last, `[N, H, W, C]` in f32 or bf16, each a launch; gradients are steps of their own.

use candle_core::{DType, Result, Tensor};

use super::backend::{self, Buffer, Convolution, Pass, Span};
use super::kernels::{Kernel, THREADS, lanes};

const FILE: &str = "images";
/// Channels that images and filters are padded to multiples of, as matrix units want them.
pub(super) const PADDING: usize = 8;
/// Rows that one thread adds up.
const ROWS: usize = 256;

/// Frames u8 `[N, H, W, 3]` to f32 planes `[N, 3, H, W]` in 0..=1.
pub(crate) fn frames_to_planes(frames: &Tensor) -> Result<Tensor> {
    let (n, h, w, _) = frames.dims4()?;
    let frames = frames.contiguous()?;
    let from = Span::of(&frames)?;
    let to = Buffer::new(&from.device, DType::F32, (n, 3, h, w))?;
    let kernel = Kernel::new(FILE, "frames_to_planes").span(&from).span(&to.span()?);
    kernel.count(n).count(h * w).each(&from.device, n * 3 * h * w)?;
    Ok(to.into_tensor())
}

/// Frames u8 `[N, H, W, 3]` to `[N, H, W, 8]` in 0..=1, channels beyond the third zero.
pub(super) fn frames(from: &Span<'_>, dtype: DType) -> Result<Buffer> {
    let pixels = from.count() / 3;
    let to = Buffer::new(&from.device, dtype, (from.dims[0], from.dims[1], from.dims[2], PADDING))?;
    let kernel = Kernel::variant(FILE, "frames", dtype, 1)?.span(from).span(&to.span()?);
    kernel.count(pixels).count(PADDING).each(&from.device, pixels)?;
    Ok(to)
}

/// f32 `[count, channels, inner]` to `dtype` `[count, inner, padded]`.
pub(super) fn channels_last(from: &Span<'_>, dims: [usize; 3], padded: usize, to: &Span<'_>) -> Result<()> {
    let [count, channels, inner] = dims;
    debug_assert!(from.count() == count * channels * inner && to.count() >= count * padded * inner);
    let kernel = Kernel::variant(FILE, "channels_last", to.dtype, 1)?.span(from).span(to);
    let kernel = kernel.count(count).count(channels).count(inner).count(padded);
    kernel.each(&from.device, count * inner * padded)
}

/// `[count, inner, padded]` to f32 `[count, channels, inner]`.
pub(super) fn channels_first(from: &Span<'_>, dims: [usize; 3], padded: usize, to: &Span<'_>) -> Result<()> {
    let [count, channels, inner] = dims;
    debug_assert!(to.count() == count * channels * inner && from.count() >= count * padded * inner);
    let kernel = Kernel::variant(FILE, "channels_first", from.dtype, 1)?.span(from).span(to);
    let kernel = kernel.count(count).count(channels).count(inner).count(padded);
    kernel.each(&from.device, count * channels * inner)
}

/// Weights f32 `[Co, Ci, 3, 3]` to filters `[Co, 3, 3, padded]`.
pub(super) fn filters(
    weights: &Span<'_>,
    [co, ci]: [usize; 2],
    padded: usize,
    dtype: DType,
) -> Result<Buffer> {
    let to = Buffer::new(&weights.device, dtype, (co, 3, 3, padded))?;
    channels_last(weights, [co, ci, 9], padded, &to.span()?)?;
    Ok(to)
}

/// Images through filters.
pub(super) fn convolve(images: &Span<'_>, filters: &Span<'_>) -> Result<Buffer> {
    let d = &images.dims;
    let to = Buffer::new(&images.device, images.dtype, (d[0], d[1], d[2], filters.dims[0]))?;
    let (images, filters, results) = (images.clone(), filters.clone(), to.span()?);
    backend::convolve(&Convolution { pass: Pass::Forward, images, filters, results })?;
    Ok(to)
}

/// The images' gradient of [`convolve`] from the results'.
pub(super) fn convolve_images(filters: &Span<'_>, grad: &Span<'_>) -> Result<Buffer> {
    let d = &grad.dims;
    let to = Buffer::new(&grad.device, grad.dtype, (d[0], d[1], d[2], filters.dims[3]))?;
    let (images, filters, results) = (to.span()?, filters.clone(), grad.clone());
    backend::convolve(&Convolution { pass: Pass::Images, images, filters, results })?;
    Ok(to)
}

/// The filters' gradient `[Co, 3, 3, Ci]` of [`convolve`] from the results'.
pub(super) fn convolve_filters(images: &Span<'_>, grad: &Span<'_>) -> Result<Buffer> {
    let (co, ci) = (grad.dims[3], images.dims[3]);
    let to = Buffer::new(&grad.device, grad.dtype, (co, 3, 3, ci))?;
    let (images, filters, results) = (images.clone(), to.span()?, grad.clone());
    backend::convolve(&Convolution { pass: Pass::Filters, images, filters, results })?;
    Ok(to)
}

/// 3x3 maximum of stride 2, then bias `[C]` and ReLU; with `keep`, also where each maximum was.
pub(super) fn pool(
    x: &Span<'_>,
    bias: Option<&Span<'_>>,
    relu: bool,
    keep: bool,
) -> Result<(Buffer, Option<Buffer>)> {
    let [n, h, w, c] = four(x);
    let shape = (n, h.div_ceil(2), w.div_ceil(2), c);
    let to = Buffer::new(&x.device, x.dtype, shape)?;
    let taps = keep.then(|| Buffer::new(&x.device, DType::U8, shape)).transpose()?;
    let taps_span = taps.as_ref().map(Buffer::span).transpose()?;
    let at_once = lanes(c, &[x]);
    let kernel = Kernel::variant(FILE, "pool", x.dtype, at_once)?.span(x).maybe(bias).span(&to.span()?);
    let kernel = kernel.maybe(taps_span.as_ref()).count(n).count(h).count(w).count(c).flag(relu);
    let packs = to.span()?.count() / at_once;
    kernel.each(&x.device, packs)?;
    drop(taps_span);
    Ok((to, taps))
}

/// The gradient of [`pool`] of images of `(h, w)` without the bias's.
pub(super) fn pool_backward(
    grad: &Span<'_>,
    result: &Span<'_>,
    taps: &Span<'_>,
    (h, w): (usize, usize),
    relu: bool,
) -> Result<Buffer> {
    let [n, _, _, c] = four(grad);
    let to = Buffer::new(&grad.device, grad.dtype, (n, h, w, c))?;
    let at_once = lanes(c, &[grad, result, taps]);
    let kernel =
        Kernel::variant(FILE, "pool_backward", grad.dtype, at_once)?.span(grad).span(result).span(taps);
    let kernel = kernel.span(&to.span()?).count(n).count(h).count(w).count(c).flag(relu);
    kernel.each(&grad.device, n * h * w * c / at_once)?;
    Ok(to)
}

/// Adds a bias per value of the last dimension, then ReLU, in place.
pub(super) fn bias_relu(x: &Span<'_>, bias: Option<&Span<'_>>, relu: bool) -> Result<()> {
    if bias.is_none() && !relu {
        return Ok(());
    }
    let channels = x.dims.last().copied().unwrap_or(1);
    let at_once = lanes(channels, &[x]);
    let packs = x.count() / at_once;
    let kernel = Kernel::variant(FILE, "bias_relu", x.dtype, at_once)?.span(x).maybe(bias).span(x);
    kernel.count(packs).count(channels).flag(relu).each(&x.device, packs)
}

/// The gradient where `gate` is positive, else 0.
pub(super) fn relu_backward(gate: &Span<'_>, grad: &Span<'_>) -> Result<Buffer> {
    let to = Buffer::new(&grad.device, grad.dtype, grad.dims.as_slice())?;
    let at_once = lanes(grad.count(), &[gate, grad]);
    let packs = grad.count() / at_once;
    let kernel = Kernel::variant(FILE, "relu_backward", grad.dtype, at_once)?.span(gate).span(grad);
    kernel.span(&to.span()?).count(packs).each(&grad.device, packs)?;
    Ok(to)
}

/// `x + relu(z)`.
pub(super) fn add_relu(x: &Span<'_>, z: &Span<'_>) -> Result<Buffer> {
    let to = Buffer::new(&x.device, x.dtype, x.dims.as_slice())?;
    let at_once = lanes(x.count(), &[x, z]);
    let packs = x.count() / at_once;
    let kernel = Kernel::variant(FILE, "add_relu", x.dtype, at_once)?.span(x).span(z).span(&to.span()?);
    kernel.count(packs).each(&x.device, packs)?;
    Ok(to)
}

/// f32 sums over all but the last dimension, always in the same order.
pub(super) fn column_sums(x: &Span<'_>, to: &Span<'_>) -> Result<()> {
    let columns = to.count();
    let rows = x.count() / columns.max(1);
    let parts = rows.div_ceil(ROWS);
    if parts <= 1 {
        return sum_columns(x, to, rows, columns);
    }
    let partial = Buffer::new(&x.device, DType::F32, (parts, columns))?;
    sum_columns(x, &partial.span()?, rows, columns)?;
    column_sums(&partial.span()?, to)
}

fn sum_columns(x: &Span<'_>, to: &Span<'_>, rows: usize, columns: usize) -> Result<()> {
    let kernel = Kernel::variant(FILE, "column_sums", x.dtype, 1)?.span(x).span(to);
    let grid = [rows.div_ceil(ROWS).max(1), columns.div_ceil(THREADS), 1];
    kernel.count(rows).count(columns).count(ROWS).blocks(&x.device, grid)
}

pub(super) fn four(span: &Span<'_>) -> [usize; 4] {
    let d = &span.dims;
    debug_assert_eq!(d.len(), 4);
    [d[0], d[1], d[2], d[3]]
}
