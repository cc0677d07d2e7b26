//! The operations on NVIDIA GPUs: cuBLAS and cuDNN multiply, kernels of our own do the rest.
//!
//! What is here is written for any device that has the five functions of [`backend`]: a GPU, in builds with the feature
//! `cuda`, and in tests also the CPU, where the same kernels are compiled for the host. A build without the feature has
//! the same functions, which say what is missing, so that no caller carries a `cfg`.
//!
//! Images lie with their channels last, `[N, H, W, C]`, in f32 or, while [`Precision::Bf16`] is in
//! [`scope`](super::scope), in bf16; parameters, their gradients, moments and logits are f32.

mod backend;
mod images;
mod kernels;
mod norm;
mod parameters;
mod planes;
mod product;
mod record;
mod rows;
mod stack;
#[cfg(test)]
mod tests;
mod windows;

use candle_core::{DType, Tensor};

use super::scope;
use crate::precision::Precision;

#[cfg(test)]
pub(crate) use self::backend::emulated;
pub(crate) use self::backend::open;
pub(super) use self::images::frames_to_planes;
pub(super) use self::norm::norm;
pub(super) use self::parameters::sum_of_squares;
pub(crate) use self::parameters::{Update, adam, moments};
pub(super) use self::planes::{conv, max_pool};
pub(super) use self::product::{linear, product};
pub(super) use self::rows::{Mask, entropy, kl, log_prob, softmax};
pub(super) use self::stack::stack;

/// Whether operations on this tensor are for this module.
pub(crate) fn takes(x: &Tensor) -> bool {
    x.device().is_cuda() || is_emulated()
}

/// Whether this thread's operations are to run here on the CPU, as tests may ask.
pub(crate) fn is_emulated() -> bool {
    #[cfg(test)]
    if emulated::is_on() {
        return true;
    }
    false
}

/// What multiplications read.
fn dtype_in_scope() -> DType {
    match scope::precision() {
        Precision::F32 | Precision::Int8 => DType::F32,
        Precision::Bf16 => DType::BF16,
    }
}
