//! A tensor as torch stores it: a shape laid over a storage with an offset and strides, which others may share.

use std::borrow::Cow;

use candle_core::Tensor;

use crate::openai::element_type::{ElementType, element_count};
use crate::openai::error::OpenAiError;

/// One tensor of a state dict; offset, strides and lengths count elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Which storage: digits, the name of a record.
    pub(super) storage_key: String,
    pub(super) storage_length: usize,
    pub(super) element_type: ElementType,
    pub(super) offset: usize,
    pub(super) dims: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl View {
    /// Whether it lies inside a storage of so many bytes; yields the bytes the tensor will take.
    pub(super) fn check(&self, storage_bytes: u64) -> Result<usize, String> {
        let dims = &self.dims;
        if dims.len() != self.strides.len() {
            return Err(format!("has {} sizes but {} strides", dims.len(), self.strides.len()));
        }
        let size = self.element_type.size();
        if self.storage_length.checked_mul(size).map(|bytes| bytes as u64) != Some(storage_bytes) {
            return Err(format!(
                "says that its storage has {} numbers of {size} bytes, but that has {storage_bytes} bytes",
                self.storage_length
            ));
        }
        let too_large = || format!("of shape {dims:?} is too large");
        let count = element_count(dims).ok_or_else(too_large)?;
        if count > 0 && self.last().is_none_or(|last| last >= self.storage_length) {
            return Err(format!(
                "of shape {dims:?}, strides {:?} and offset {} reaches past the {} numbers of its storage",
                self.strides, self.offset, self.storage_length
            ));
        }
        count.checked_mul(size).ok_or_else(too_large)
    }

    /// Where the last element lies, for a view that has any.
    fn last(&self) -> Option<usize> {
        self.dims
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (&dim, &stride)| last.checked_add(stride.checked_mul(dim - 1)?))
    }

    /// The tensor, contiguous.
    ///
    /// `storage` is one that [`check`](Self::check) was told the size of.
    pub(super) fn tensor(&self, storage: &[u8]) -> Result<Tensor, OpenAiError> {
        self.element_type.tensor(&self.contiguous(storage), &self.dims)
    }

    fn contiguous<'a>(&self, storage: &'a [u8]) -> Cow<'a, [u8]> {
        let size = self.element_type.size();
        let count: usize = self.dims.iter().product();
        if count == 0 {
            return Cow::Borrowed(&[]);
        }
        if self.is_contiguous() {
            return Cow::Borrowed(&storage[self.offset * size..(self.offset + count) * size]);
        }
        let mut bytes = Vec::with_capacity(count * size);
        let mut index = vec![0usize; self.dims.len()];
        let mut element = self.offset;
        for _ in 0..count {
            bytes.extend_from_slice(&storage[element * size..(element + 1) * size]);
            // Counts up with the last axis fastest; an axis that is through takes back what it added, which may have
            // wrapped: the stride of an axis of one element is never looked at by `check`.
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                element = element.wrapping_add(self.strides[axis]);
                if index[axis] < self.dims[axis] {
                    break;
                }
                element = element.wrapping_sub(self.strides[axis].wrapping_mul(self.dims[axis]));
                index[axis] = 0;
            }
        }
        Cow::Owned(bytes)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&dim, &stride) in self.dims.iter().zip(&self.strides).rev() {
            // The stride of an axis of one element moves nothing.
            if dim != 1 && stride != expected {
                return false;
            }
            expected *= dim;
        }
        true
    }
}
