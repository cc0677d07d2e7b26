//! Borrowing tensors as plain slices, and making output buffers without filling them first.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, WithDType};

/// The values of a contiguous CPU tensor, borrowed.
pub(crate) struct View<'a, T> {
    guard: StorageRef<'a>,
    range: (usize, usize),
    kind: std::marker::PhantomData<T>,
}

impl<'a, T: WithDType> View<'a, T> {
    pub(crate) fn new(tensor: &'a Tensor) -> Result<Self> {
        let (guard, layout) = tensor.storage_and_layout();
        let Storage::Cpu(storage) = &*guard else { candle_core::bail!("this op runs on the CPU only") };
        let range = contiguous_range(layout)?;
        storage.as_slice::<T>()?; // So that `deref` cannot meet another type.
        Ok(Self { guard, range, kind: std::marker::PhantomData })
    }
}

impl<T: WithDType> Deref for View<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match &*self.guard {
            Storage::Cpu(storage) => {
                let all = storage.as_slice::<T>().expect("checked in `new`");
                &all[self.range.0..self.range.1]
            }
            _ => unreachable!("checked in `new`"),
        }
    }
}

fn contiguous_range(layout: &Layout) -> Result<(usize, usize)> {
    layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::Msg("this op needs contiguous tensors".into()))
}

/// The values behind a custom op's argument.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) = contiguous_range(layout)?;
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// A CPU f32 tensor without history.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// A raw pointer that tasks may share because each writes its own part.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T>(*mut T);

// SAFETY: users write disjoint ranges, see each use.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(p: *mut T) -> Self {
        Self(p)
    }
    /// The pointer moved by `offset` values.
    /// # Safety
    /// `offset` must lie within the buffer.
    #[inline(always)]
    pub(crate) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// A vector of `len` values written by `fill`, with no zeroing pass before.
///
/// # Safety
/// `fill` must write every one of the `len` values.
pub(crate) unsafe fn written<T: Copy>(len: usize, fill: impl FnOnce(SharedMut<T>)) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    fill(SharedMut::new(values.as_mut_ptr()));
    // SAFETY: capacity is `len` and the caller's `fill` has written all of it.
    unsafe { values.set_len(len) };
    values
}

/// Buffers that wait for their next use.
static WAITING: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// The most of them: what two passes through three stacks keep.
const WAITING_MOST: usize = 6;

/// A large buffer that outlives an operation and whose memory the next one of about its size takes over: memory fresh
/// from the system is cleared page by page, which costs more than filling it.
pub(crate) struct Reused(Vec<f32>);

impl Reused {
    /// A buffer of `len` values written by `fill`.
    ///
    /// # Safety
    /// `fill` must write every one of the `len` values.
    pub(crate) unsafe fn written(len: usize, fill: impl FnOnce(SharedMut<f32>)) -> Self {
        let mut values = {
            let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |v: &Vec<f32>| (len..=2 * len).contains(&v.capacity());
            waiting.iter().position(fits).map(|i| waiting.swap_remove(i))
        }
        .unwrap_or_else(|| Vec::with_capacity(len));
        values.clear();
        fill(SharedMut::new(values.as_mut_ptr()));
        // SAFETY: capacity is at least `len` and the caller's `fill` has written all of it.
        unsafe { values.set_len(len) };
        Self(values)
    }
}

impl Deref for Reused {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MOST {
            // The one that has waited longest goes.
            waiting.remove(0);
        }
        waiting.push(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_buffer_holds_what_was_written_last() {
        for round in 0..20 {
            let len = 100_000 + round * 1000;
            // SAFETY: all values are written.
            let buffer = unsafe {
                Reused::written(len, |to| (0..len).for_each(|i| to.at(i).write((i + round) as f32)))
            };
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().enumerate().all(|(i, v)| *v == (i + round) as f32));
            assert!(WAITING.lock().unwrap().len() <= WAITING_MOST);
        }
    }
}
