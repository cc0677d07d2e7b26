//! The network's heavy operations, each with its gradient: on the CPU in the files here, on NVIDIA GPUs in [`cuda`].
//!
//! All take and give contiguous f32 tensors and take part in candle's `backward()`; inputs that track no gradient cost
//! none. On the CPU results do not depend on thread scheduling, and a row's or image's forward result does not depend on the batch
//! it is in. Instruction sets (AVX-512, AVX2, none) are chosen at run time.
//!
//! Attention: use [`attention`] whole, or [`masked_softmax`] between two matrix products of your own.
//! For the trunk prefer [`impala_stack`], where channels come in multiples of 16, else [`conv3x3_relu_pool`] and
//! [`norm_conv3x3_relu`], to `norm`, `conv3x3`, `max_pool_3x3_s2` in a row: they keep what lies between inside the cache.

mod adam;
mod attention;
mod categorical;
mod conv;
pub(crate) mod cuda;
mod format;
mod frames;
mod kernel;
mod linear;
mod norm;
mod pool;
mod reduce;
pub(crate) mod scope;
mod simd;
mod softmax;
mod stack;
mod storage;
mod tasks;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use self::adam::{AdamStep, adam_update};
pub use self::attention::{MemoryQuery, attention, memory_attention};
pub use self::categorical::{entropy, kl, log_prob, log_sum_exp_rows};
pub use self::conv::{conv3x3, conv3x3_relu_pool, norm_conv3x3_relu};
pub use self::frames::{frames_to_input, mean_pool_frames};
pub use self::linear::{PackedLinear, linear};
pub use self::norm::norm;
pub use self::pool::max_pool_3x3_s2;
pub(crate) use self::reduce::{all_finite, sum_of_squares};
pub use self::softmax::{masked_softmax, softmax_last_dim};
pub use self::stack::{PackedStack, StackShape, impala_stack};
