//! 3x3 convolutions as matrix products over every pixel's window: slower than cuDNN and with more memory, but there for
//! every size and type.

use candle_core::{DType, Result};

use super::backend::{self, Buffer, Convolution, Pass, Product, Span};
use super::images::{channels_last, column_sums, four};
use super::kernels::{Kernel, lanes};

const FILE: &str = "images";
/// Values that the windows of a group of images take at most.
const GROUP: usize = 1 << 28;

/// As [`backend::convolve`].
pub(super) fn convolve(convolution: &Convolution<'_>) -> Result<()> {
    let Convolution { pass, images, filters, results } = convolution;
    match pass {
        Pass::Forward => forward(images, filters, results),
        Pass::Images => {
            // A gradient is a convolution too, of the results with the filters turned.
            let [co, _, _, ci] = four(filters);
            let turned = Buffer::new(&filters.device, filters.dtype, (ci, 3, 3, co))?;
            let kernel =
                Kernel::variant(FILE, "turned", filters.dtype, 1)?.span(filters).span(&turned.span()?);
            kernel.count(co).count(ci).each(&filters.device, co * 9 * ci)?;
            forward(results, &turned.span()?, images)
        }
        Pass::Filters => of_filters(images, filters, results),
    }
}

/// Images that go together, and how many groups that makes.
fn groups(images: &Span<'_>) -> (usize, usize) {
    let [n, h, w, c] = four(images);
    let group = (GROUP / (h * w * c * 9).max(1)).clamp(1, n.max(1));
    (group, n.div_ceil(group))
}

/// Images `start..start + count` of all.
fn some<'a>(images: &Span<'a>, start: usize, count: usize) -> Span<'a> {
    let [_, h, w, c] = four(images);
    images.part(start * h * w * c, &[count, h, w, c])
}

fn windows(images: &Span<'_>) -> Result<Buffer> {
    let [n, h, w, c] = four(images);
    let to = Buffer::new(&images.device, images.dtype, (n * h * w, 9 * c))?;
    let at_once = lanes(c, &[images]);
    let kernel = Kernel::variant(FILE, "windows", images.dtype, at_once)?.span(images).span(&to.span()?);
    let packs = n * h * w * 9 * c / at_once;
    kernel.count(n).count(h).count(w).count(c).each(&images.device, packs)?;
    Ok(to)
}

/// f32 to the type of `to`.
fn narrow(from: &Span<'_>, to: &Span<'_>) -> Result<()> {
    channels_last(from, [from.count(), 1, 1], 1, to)
}

fn forward(images: &Span<'_>, filters: &Span<'_>, results: &Span<'_>) -> Result<()> {
    let ([n, h, w, ci], co) = (four(images), filters.dims[0]);
    let (group, _) = groups(images);
    for start in (0..n).step_by(group) {
        let count = group.min(n - start);
        let rows = count * h * w;
        let windows = windows(&some(images, start, count))?;
        let to = some(results, start, count);
        let sums = Buffer::new(&images.device, DType::F32, (rows, co))?;
        backend::multiply(&Product {
            a: windows.span()?,
            a_transposed: false,
            b: filters.clone(),
            b_transposed: true,
            c: sums.span()?,
            batch: 1,
            sizes: [rows, co, 9 * ci],
        })?;
        narrow(&sums.span()?, &to)?;
    }
    Ok(())
}

fn of_filters(images: &Span<'_>, filters: &Span<'_>, results: &Span<'_>) -> Result<()> {
    let ([n, h, w, ci], co) = (four(images), filters.dims[0]);
    let (group, parts) = groups(images);
    let all = Buffer::new(&images.device, DType::F32, (parts, co * 9 * ci))?;
    for (i, start) in (0..n).step_by(group).enumerate() {
        let count = group.min(n - start);
        let windows = windows(&some(images, start, count))?;
        backend::multiply(&Product {
            a: some(results, start, count),
            a_transposed: true,
            b: windows.span()?,
            b_transposed: false,
            c: all.span()?.part(i * co * 9 * ci, &[co, 9 * ci]),
            batch: 1,
            sizes: [co, 9 * ci, count * h * w],
        })?;
    }
    let sum = Buffer::new(&images.device, DType::F32, co * 9 * ci)?;
    column_sums(&all.span()?, &sum.span()?)?;
    narrow(&sum.span()?, filters)
}
