//! Sums over GPUs by NVIDIA's NCCL, one process a GPU; in a build without the feature `nccl` the same functions, which
//! say so.

#[cfg_attr(feature = "nccl", path = "ops/cuda/backend/nccl.rs")]
#[cfg_attr(not(feature = "nccl"), path = "ops/cuda/backend/nccl_absent.rs")]
mod backend;

use std::fmt;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};

use crate::error::{PolicyError, Result};

/// Bytes of an [`Id`].
const ID_BYTES: usize = 128;

/// Why tensors on `device` cannot be summed by NCCL in this build; none when they can.
#[must_use]
pub fn missing(device: &Device) -> Option<String> {
    match device {
        Device::Cuda(_) => backend::missing(),
        _ => Some("it connects GPUs, and the device is none".to_owned()),
    }
}

/// What processes show to be connected with each other.
#[derive(Clone, Copy)]
pub struct Id([u8; ID_BYTES]);

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({:02x?}..)", &self.0[..4])
    }
}

impl Id {
    /// A new one; for one process, which passes it on.
    ///
    /// # Errors
    /// When NCCL fails or this build has none.
    pub fn new() -> Result<Self> {
        Ok(Self(backend::new_id()?))
    }

    /// For another process.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// From another process.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wrong =
            |_| PolicyError::input("NCCL id", format!("{ID_BYTES} bytes"), format!("{} bytes", bytes.len()));
        Ok(Self(bytes.try_into().map_err(wrong)?))
    }
}

/// A process's connection to the others.
#[derive(Debug)]
pub struct Communicator(backend::Communicator);

impl Communicator {
    /// Connects `device` as number `rank` of `count`; returns once all have called this.
    ///
    /// # Errors
    /// When NCCL fails or this build has none.
    pub fn join(device: &Device, id: Id, rank: usize, count: usize) -> Result<Self> {
        Ok(Self(backend::Communicator::join(device, id.0, rank, count)?))
    }

    /// The sums of f32 `[N]` over all processes, the same bits on each.
    ///
    /// # Errors
    /// When it is not done within `patience`, after which the connection is of no more use, or NCCL fails.
    pub fn sum(&self, numbers: &Tensor, patience: Duration) -> Result<Tensor> {
        if numbers.dtype() != DType::F32 || numbers.rank() != 1 {
            let got = format!("{:?} {:?}", numbers.dtype(), numbers.dims());
            return Err(PolicyError::input("numbers to sum", "f32 [N]", got));
        }
        self.0.sum(&numbers.contiguous()?, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        assert!(missing(&Device::Cpu).unwrap().contains("GPU"));
        assert!(Id::from_bytes(&[0; 127]).unwrap_err().to_string().contains("128 bytes"));
        assert_eq!(Id::from_bytes(&[3; 128]).unwrap().to_bytes(), [3; 128]);
        if cfg!(not(feature = "nccl")) {
            assert!(Id::new().unwrap_err().to_string().contains("--features nccl"));
        }
    }
}
