//! The bytes of a pickle, taken from the front; nothing is taken that is not there.

use std::borrow::Cow;

/// Why an instruction cannot be carried out; the machine adds where.
pub(super) type Fault = Cow<'static, str>;

/// What is left of a pickle.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes taken so far.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.position..];
        let Some(taken) = left.get(..length) else {
            return Err(format!("{length} bytes are announced, {} are left", left.len()).into());
        };
        self.position += length;
        Ok(taken)
    }

    /// The next N bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_le_bytes)
    }

    /// The bytes after a length of one byte.
    pub(super) fn counted8(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// The bytes after a length of four bytes.
    pub(super) fn counted32(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The bytes after a signed length of four bytes.
    pub(super) fn counted_signed(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.i32()?;
        self.take(usize::try_from(length).map_err(|_| Fault::from("a length is negative"))?)
    }

    /// The bytes after a length of eight bytes.
    pub(super) fn counted64(&mut self) -> Result<&'a [u8], Fault> {
        let length = u64::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The bytes up to the next line feed, which is taken too.
    pub(super) fn line(&mut self) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.position..];
        let end = left.iter().position(|&byte| byte == b'\n').ok_or("a line has no end")?;
        self.position += end + 1;
        Ok(&left[..end])
    }
}
