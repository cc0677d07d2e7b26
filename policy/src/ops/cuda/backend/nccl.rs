//! NCCL on the stream of candle's device: a sum is queued behind what makes its numbers.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Storage, Tensor};
use cudarc::nccl::safe::{Comm, Id, ReduceOp};

use crate::error::Result;

/// Between two looks at whether a sum is done.
const PAUSE: Duration = Duration::from_micros(50);

fn fail<T>(what: &str, reason: impl fmt::Debug) -> Result<T> {
    Err(candle_core::Error::Msg(format!("NCCL: {what}: {reason:?}")).into())
}

pub(super) fn missing() -> Option<String> {
    // SAFETY: looking for a library runs only its constructors.
    let there = unsafe { cudarc::nccl::sys::is_culib_present() };
    (!there).then(|| "not on this machine or not in LD_LIBRARY_PATH: NCCL (libnccl)".to_owned())
}

pub(super) fn new_id() -> Result<[u8; 128]> {
    // The bindings panic where the library lacks a function.
    match catch_unwind(Id::new) {
        Ok(Ok(id)) => Ok(id.internal().map(|byte| byte as u8)),
        Ok(Err(error)) => fail("no id", error.0),
        Err(_) => fail("no id", "the library is too old"),
    }
}

pub(super) struct Communicator {
    /// Not dropped after a sum that was not done in time: that would wait for the others, who are gone.
    comm: ManuallyDrop<Comm>,
    device: Device,
}

// SAFETY: NCCL has a communicator used by one thread at a time, whichever it is; this one is not `Sync`.
unsafe impl Send for Communicator {}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Communicator({} of {})", self.comm.rank(), self.comm.world_size())
    }
}

impl Communicator {
    pub(super) fn join(device: &Device, id: [u8; 128], rank: usize, count: usize) -> Result<Self> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let id = Id::uninit(id.map(|byte| byte as std::ffi::c_char));
        match catch_unwind(AssertUnwindSafe(|| Comm::from_rank(stream, rank, count, id))) {
            Ok(Ok(comm)) => Ok(Self { comm: ManuallyDrop::new(comm), device: device.clone() }),
            Ok(Err(error)) => fail("the GPUs cannot be connected", error.0),
            Err(_) => fail("the GPUs cannot be connected", "the library is too old"),
        }
    }

    pub(super) fn sum(&self, numbers: &Tensor, patience: Duration) -> Result<Tensor> {
        let device = self.device.as_cuda_device()?;
        let stream = device.cuda_stream();
        let (storage, layout) = numbers.storage_and_layout();
        let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            return fail("sum", "the numbers are not on a GPU");
        };
        let numbers = storage.as_cuda_slice::<f32>()?.slice(start..end);
        // SAFETY: the sum fills it before it is read.
        let mut sums = unsafe { device.alloc::<f32>(end - start)? };
        self.comm.all_reduce(&numbers, &mut sums, &ReduceOp::Sum).or_else(|error| fail("sum", error.0))?;
        let done = stream.record_event(None).or_else(|error| fail("sum", error))?;
        let deadline = Instant::now() + patience;
        while !done.is_complete() {
            if Instant::now() >= deadline {
                return fail("sum", format!("not done after {} s: a rank is lost", patience.as_secs_f64()));
            }
            std::thread::sleep(PAUSE);
        }
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(sums, device.clone()));
        Ok(Tensor::from_storage(storage, end - start, BackpropOp::none(), false))
    }
}
