//! What stands for the GPU in a build without the feature `cuda`: the same functions, which say so.

use candle_core::{CudaDevice, CudaStorage, DType, Device, Result};

use super::{Convolution, Launch, Product};

const REASON: &str = "this build has no CUDA support; build with `--features cuda`";

fn refuse<T>() -> Result<T> {
    candle_core::bail!("{REASON}")
}

pub(super) fn open(_: usize) -> std::result::Result<Device, String> {
    Err(REASON.to_owned())
}

pub(super) fn allocate(_: &CudaDevice, _: DType, _: usize) -> Result<CudaStorage> {
    refuse()
}

pub(super) fn address(_: &CudaStorage) -> Result<u64> {
    refuse()
}

pub(super) fn launch(_: &CudaDevice, _: &Launch<'_>) -> Result<()> {
    refuse()
}

pub(super) fn multiply(_: &CudaDevice, _: &Product<'_>) -> Result<()> {
    refuse()
}

pub(super) fn convolve(_: &CudaDevice, _: &Convolution<'_>) -> Result<bool> {
    refuse()
}
