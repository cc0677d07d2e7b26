//! What the operations need of a device: memory, launches, matrix products and 3x3 convolutions.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod convolution;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(test)]
pub(crate) mod emulated;

#[cfg(not(feature = "cuda"))]
use self::absent as driver;

use std::marker::PhantomData;

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, DType, Device, Result, Shape, Storage, Tensor};

use super::windows;

/// Opens GPU `ordinal`, or says why not.
pub(crate) fn open(ordinal: usize) -> std::result::Result<Device, String> {
    driver::open(ordinal)
}

/// An argument of a kernel.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU reads all of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    Address(u64),
    Count(i64),
    Factor(f32),
}

/// Numbers on a device, one after another; the address stays good for as long as what they were borrowed from.
#[derive(Clone, Debug)]
pub(super) struct Span<'a> {
    pub(super) address: u64,
    pub(super) dims: Vec<usize>,
    pub(super) dtype: DType,
    pub(super) device: Device,
    owner: PhantomData<&'a ()>,
}

impl<'a> Span<'a> {
    /// A tensor's values, which must be contiguous.
    pub(super) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, _)) = layout.contiguous_offsets() else {
            candle_core::bail!("this op needs contiguous tensors")
        };
        let dtype = tensor.dtype();
        Ok(Self {
            address: address(&storage)? + (start * dtype.size_in_bytes()) as u64,
            dims: layout.dims().to_vec(),
            dtype,
            device: tensor.device().clone(),
            owner: PhantomData,
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// Those from `offset` on, as an array of its own.
    pub(super) fn part(&self, offset: usize, dims: &[usize]) -> Self {
        debug_assert!(offset + dims.iter().product::<usize>() <= self.count());
        let address = self.address + (offset * self.dtype.size_in_bytes()) as u64;
        Self { address, dims: dims.to_vec(), ..self.clone() }
    }
}

/// Memory of a device that a kernel fills.
#[derive(Debug)]
pub(super) struct Buffer {
    storage: Storage,
    shape: Shape,
    device: Device,
}

impl Buffer {
    /// Room for numbers, with anything in it.
    pub(super) fn new(device: &Device, dtype: DType, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        let storage = match device {
            Device::Cuda(device) => Storage::Cuda(driver::allocate(device, dtype, shape.elem_count())?),
            Device::Cpu => Storage::Cpu(host(dtype, shape.elem_count())?),
            Device::Metal(_) => candle_core::bail!("this op does not run on Metal"),
        };
        Ok(Self { storage, shape, device: device.clone() })
    }

    pub(super) fn span(&self) -> Result<Span<'_>> {
        Ok(Span {
            address: address(&self.storage)?,
            dims: self.shape.dims().to_vec(),
            dtype: self.storage.dtype(),
            device: self.device.clone(),
            owner: PhantomData,
        })
    }

    /// The same numbers in another shape.
    pub(super) fn reshape(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(shape.elem_count(), self.shape.elem_count());
        Self { shape, ..self }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn into_storage(self) -> Storage {
        self.storage
    }

    /// A tensor without history.
    pub(super) fn into_tensor(self) -> Tensor {
        Tensor::from_storage(self.storage, self.shape, BackpropOp::none(), false)
    }
}

fn host(dtype: DType, len: usize) -> Result<CpuStorage> {
    Ok(match dtype {
        DType::U8 => CpuStorage::U8(vec![0; len]),
        DType::F32 => CpuStorage::F32(vec![0.0; len]),
        DType::F64 => CpuStorage::F64(vec![0.0; len]),
        DType::BF16 => CpuStorage::BF16(vec![half::bf16::ZERO; len]),
        other => candle_core::bail!("no buffers of {other:?}"),
    })
}

fn address(storage: &Storage) -> Result<u64> {
    fn of<T>(values: &[T]) -> u64 {
        values.as_ptr() as u64
    }
    Ok(match storage {
        Storage::Cuda(storage) => driver::address(storage)?,
        Storage::Cpu(CpuStorage::U8(v)) => of(v),
        Storage::Cpu(CpuStorage::U32(v)) => of(v),
        Storage::Cpu(CpuStorage::I64(v)) => of(v),
        Storage::Cpu(CpuStorage::F32(v)) => of(v),
        Storage::Cpu(CpuStorage::F64(v)) => of(v),
        Storage::Cpu(CpuStorage::BF16(v)) => of(v),
        _ => candle_core::bail!("no kernel reads {:?}", storage.dtype()),
    })
}

/// A call of a kernel; `module` is the file it is in.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU reads all of it.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) module: &'static str,
    pub(super) kernel: &'a str,
    /// Blocks, of [`kernels::THREADS`](super::kernels::THREADS) threads each.
    pub(super) grid: [u32; 3],
    pub(super) arguments: &'a [Argument],
}

/// `c[b] = op(a[b]) · op(b[b])`, all row by row: c f32 `[batch, m, n]`, a and b of one type.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU reads all of it.
#[derive(Debug)]
pub(super) struct Product<'a> {
    pub(super) a: Span<'a>,
    /// Whether a is `[k, m]` instead of `[m, k]`.
    pub(super) a_transposed: bool,
    pub(super) b: Span<'a>,
    /// Whether b is `[n, k]` instead of `[k, n]`.
    pub(super) b_transposed: bool,
    pub(super) c: Span<'a>,
    pub(super) batch: usize,
    pub(super) sizes: [usize; 3],
}

/// What a [`Convolution`] computes of images, filters and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// The results.
    Forward,
    /// The images' gradient from the results'.
    Images,
    /// The filters' gradient from the results'.
    Filters,
}

/// A 3x3 convolution, stride 1, padding 1: images `[N, H, W, Ci]`, filters `[Co, 3, 3, Ci]`, results `[N, H, W, Co]`, of one type.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU reads all of it.
#[derive(Debug)]
pub(super) struct Convolution<'a> {
    pub(super) pass: Pass,
    pub(super) images: Span<'a>,
    pub(super) filters: Span<'a>,
    pub(super) results: Span<'a>,
}

pub(super) fn launch(device: &Device, launch: &Launch<'_>) -> Result<()> {
    match device {
        Device::Cuda(device) => driver::launch(device, launch),
        #[cfg(test)]
        Device::Cpu => emulated::launch(launch),
        _ => elsewhere(),
    }
}

pub(super) fn multiply(product: &Product<'_>) -> Result<()> {
    together(&[&product.a, &product.b, &product.c])?;
    match &product.c.device {
        Device::Cuda(device) => driver::multiply(device, product),
        #[cfg(test)]
        Device::Cpu => emulated::multiply(product),
        _ => elsewhere(),
    }
}

pub(super) fn convolve(convolution: &Convolution<'_>) -> Result<()> {
    together(&[&convolution.images, &convolution.filters, &convolution.results])?;
    match &convolution.images.device {
        Device::Cuda(device) if driver::convolve(device, convolution)? => Ok(()),
        // cuDNN has no algorithm for these sizes and this type.
        Device::Cuda(_) => windows::convolve(convolution),
        #[cfg(test)]
        Device::Cpu => emulated::convolve(convolution),
        _ => elsewhere(),
    }
}

fn together(spans: &[&Span<'_>]) -> Result<()> {
    match spans.iter().find(|span| !span.device.same_device(&spans[0].device)) {
        None => Ok(()),
        Some(span) => {
            let (one, other) = (spans[0].device.location(), span.device.location());
            candle_core::bail!("arguments on {one:?} and {other:?}")
        }
    }
}

fn elsewhere() -> Result<()> {
    candle_core::bail!("this op runs on CUDA only")
}
