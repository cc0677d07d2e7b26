//! The backend on a GPU: candle's device for memory, stream and cuBLAS handle, the driver for our kernels.
//!
//! Everything is queued on one stream a device, in the order of the calls; memory is freed in that order too, so a buffer
//! may go as soon as the last call that uses it has been made. The host waits only where it reads numbers.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{CudaDevice, CudaStorage, DType, Device, Result};
use cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use half::bf16;

pub(super) use super::convolution::convolve;
use super::{Argument, Launch, Product, Span};
use crate::ops::cuda::kernels::THREADS;

/// The kernels' files, compiled by the build script.
const MODULES: [(&str, &str); 4] = [
    ("images", include_str!(concat!(env!("OUT_DIR"), "/images.ptx"))),
    ("norm", include_str!(concat!(env!("OUT_DIR"), "/norm.ptx"))),
    ("parameters", include_str!(concat!(env!("OUT_DIR"), "/parameters.ptx"))),
    ("rows", include_str!(concat!(env!("OUT_DIR"), "/rows.ptx"))),
];

/// Opens GPU `ordinal` with a stream of its own, or says what it lacks.
pub(super) fn open(ordinal: usize) -> std::result::Result<Device, String> {
    // SAFETY: looking for a library runs only its constructors.
    let libraries = unsafe {
        [
            ("the driver (libcuda)", cudarc::driver::sys::is_culib_present()),
            ("cuBLAS (libcublas)", cudarc::cublas::sys::is_culib_present()),
            ("cuRAND (libcurand)", cudarc::curand::sys::is_culib_present()),
            ("cuDNN (libcudnn)", cudarc::cudnn::sys::is_culib_present()),
        ]
    };
    let missing: Vec<&str> = libraries.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(format!("not on this machine or not in LD_LIBRARY_PATH: {}", missing.join(", ")));
    }
    // The bindings panic where a library lacks a function.
    match catch_unwind(AssertUnwindSafe(|| prepare(ordinal))) {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(panic) => Err(text_of(&*panic)),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn prepare(ordinal: usize) -> Result<Device> {
    use cudarc::driver::{result::mem_pool, sys};

    // Not the stream of the calling thread, which candle takes by itself: another thread's would not wait for it.
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: all work is on the one stream made above.
    unsafe { device.disable_event_tracking() };
    let stream = device.cuda_stream();
    let mut keep = u64::MAX;
    // SAFETY: the device is open; the attribute is a u64. Without it freed memory goes back at every wait.
    unsafe {
        let mut pool = std::mem::zeroed();
        sys::cuDeviceGetDefaultMemPool(&mut pool, stream.context().cu_device())
            .result()
            .map_err(candle_core::Error::wrap)?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        mem_pool::set_attribute(pool, attribute, (&raw mut keep).cast()).map_err(candle_core::Error::wrap)?;
    }
    Ok(Device::Cuda(device))
}

pub(super) fn allocate(device: &CudaDevice, dtype: DType, len: usize) -> Result<CudaStorage> {
    // No allocation of nothing: its address would be null.
    let (len, d) = (len.max(1), device.clone());
    // SAFETY: whoever asks fills it before it is read.
    unsafe {
        Ok(match dtype {
            DType::U8 => CudaStorage::wrap_cuda_slice(device.alloc::<u8>(len)?, d),
            DType::F32 => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(len)?, d),
            DType::F64 => CudaStorage::wrap_cuda_slice(device.alloc::<f64>(len)?, d),
            DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc::<bf16>(len)?, d),
            other => candle_core::bail!("no buffers of {other:?}"),
        })
    }
}

pub(super) fn address(storage: &CudaStorage) -> Result<u64> {
    use candle_core::backend::BackendStorage;

    let stream = storage.device.cuda_stream();
    Ok(match storage.dtype() {
        DType::U8 => storage.as_cuda_slice::<u8>()?.device_ptr(&stream).0,
        DType::U32 => storage.as_cuda_slice::<u32>()?.device_ptr(&stream).0,
        DType::I64 => storage.as_cuda_slice::<i64>()?.device_ptr(&stream).0,
        DType::F32 => storage.as_cuda_slice::<f32>()?.device_ptr(&stream).0,
        DType::F64 => storage.as_cuda_slice::<f64>()?.device_ptr(&stream).0,
        DType::BF16 => storage.as_cuda_slice::<bf16>()?.device_ptr(&stream).0,
        other => candle_core::bail!("no kernel reads {other:?}"),
    })
}

pub(super) fn launch(device: &CudaDevice, launch: &Launch<'_>) -> Result<()> {
    let Some((_, ptx)) = MODULES.iter().find(|(name, _)| *name == launch.module) else {
        candle_core::bail!("no kernels called {}", launch.module)
    };
    let function = device.get_or_load_custom_func(launch.kernel, launch.module, ptx)?;
    let mut builder = function.builder();
    for argument in launch.arguments {
        match argument {
            Argument::Address(address) => builder.arg(address),
            Argument::Count(count) => builder.arg(count),
            Argument::Factor(factor) => builder.arg(factor),
        };
    }
    let config =
        LaunchConfig { grid_dim: launch.grid.into(), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: kinds and order of arguments are those of the kernel, which the tests check on the CPU for every call here.
    unsafe { builder.launch(config) }.map_err(candle_core::Error::wrap)?;
    Ok(())
}

pub(super) fn multiply(device: &CudaDevice, product: &Product<'_>) -> Result<()> {
    use cudarc::cublas::result::gemm_strided_batched_ex;
    use cudarc::cublas::sys::{cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType};

    fn kind(span: &Span<'_>) -> Result<cudaDataType> {
        Ok(match span.dtype {
            DType::F32 => cudaDataType::CUDA_R_32F,
            DType::BF16 => cudaDataType::CUDA_R_16BF,
            other => candle_core::bail!("no product of {other:?}"),
        })
    }
    let operation = |transposed: bool| {
        if transposed { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N }
    };
    let fit = |n: usize| i32::try_from(n).map_err(candle_core::Error::wrap);
    let [m, n, k] = product.sizes;
    let (alpha, beta) = (1.0f32, 0.0f32);
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
    // cuBLAS thinks in columns: to it our matrices are their transposes, and cᵀ = op(b)ᵀ · op(a)ᵀ.
    // SAFETY: addresses and sizes are of spans that the caller borrows; the scalars are read during the call.
    unsafe {
        gemm_strided_batched_ex(
            *device.cublas_handle().handle(),
            operation(product.b_transposed),
            operation(product.a_transposed),
            fit(n)?,
            fit(m)?,
            fit(k)?,
            (&raw const alpha).cast(),
            product.b.address as *const _,
            kind(&product.b)?,
            fit(if product.b_transposed { k } else { n })?,
            (n * k) as i64,
            product.a.address as *const _,
            kind(&product.a)?,
            fit(if product.a_transposed { m } else { k })?,
            (m * k) as i64,
            (&raw const beta).cast(),
            product.c.address as *mut _,
            kind(&product.c)?,
            fit(n)?,
            (m * n) as i64,
            fit(product.batch)?,
            cublasComputeType_t::CUBLAS_COMPUTE_32F,
            cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .map_err(candle_core::Error::wrap)
}
