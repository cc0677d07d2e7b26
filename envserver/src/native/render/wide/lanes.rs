//! The vector arithmetic that a packet of rays is cast with, whatever its width.
//!
//! Each operation rounds as the scalar one of the same name does, so that every width gives the same bits.

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

/// A number per lane, whole or not.
pub(super) trait Numbers: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}
impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Numbers for T {}

/// A vector width.
///
/// Values of its types are made and used only below `draw` of that width, which runs only where the machine has the
/// instructions; the implementations rely on that.
pub(super) trait Lanes: Copy {
    type F: Numbers + Div<Output = Self::F>;
    type I: Numbers + BitAnd<Output = Self::I> + BitOr<Output = Self::I>;
    /// Which lanes.
    type M: Copy + BitAnd<Output = Self::M> + BitOr<Output = Self::M> + Not<Output = Self::M>;

    /// Pixels of a packet along x and along y.
    const PACKET: (usize, usize);

    fn splat(value: f32) -> Self::F;
    fn whole_splat(value: i32) -> Self::I;
    fn nowhere() -> Self::M;
    fn any(mask: Self::M) -> bool;

    /// The first where it is smaller, else the second.
    fn least(a: Self::F, b: Self::F) -> Self::F;
    /// The first where it is larger, else the second.
    fn most(a: Self::F, b: Self::F) -> Self::F;
    fn abs(value: Self::F) -> Self::F;
    fn negated(value: Self::F) -> Self::F;
    fn floor(value: Self::F) -> Self::F;
    fn sqrt(value: Self::F) -> Self::F;
    /// The magnitude of one with the sign of the other.
    fn with_sign(magnitude: Self::F, sign: Self::F) -> Self::F;
    fn whole(value: Self::F) -> Self::I;
    fn real(value: Self::I) -> Self::F;
    fn lt(a: Self::F, b: Self::F) -> Self::M;
    fn le(a: Self::F, b: Self::F) -> Self::M;
    fn gt(a: Self::F, b: Self::F) -> Self::M;
    fn ge(a: Self::F, b: Self::F) -> Self::M;
    fn eq(a: Self::F, b: Self::F) -> Self::M;
    fn pick(mask: Self::M, yes: Self::F, no: Self::F) -> Self::F;

    fn whole_least(a: Self::I, b: Self::I) -> Self::I;
    fn whole_most(a: Self::I, b: Self::I) -> Self::I;
    fn whole_eq(a: Self::I, b: Self::I) -> Self::M;
    /// Whether `0 <= value < limit`.
    fn within(value: Self::I, limit: i32) -> Self::M;
    fn whole_pick(mask: Self::M, yes: Self::I, no: Self::I) -> Self::I;
    /// Bit `at` of `bits`, per lane.
    fn has_bit(bits: u32, at: Self::I) -> Self::M;
    fn shl<const N: u32>(value: Self::I) -> Self::I;
    fn shr<const N: u32>(value: Self::I) -> Self::I;
    /// The lanes' common value, if all have the same.
    fn common(value: Self::I) -> Option<i32>;

    /// Places 0 to 7 of a table.
    fn one_of_eight(table: &[f32; 8], at: Self::I) -> Self::F;
    /// One byte per lane from an array, zero in lanes the mask leaves out.
    ///
    /// # Safety
    /// In lanes of the mask the index plus three must lie inside the array.
    unsafe fn bytes(from: &[u8], at: Self::I, mask: Self::M) -> Self::I;
    /// One word per lane from an array, `or` in lanes the mask leaves out.
    ///
    /// # Safety
    /// In lanes of the mask the index must lie inside the array.
    unsafe fn words(from: &[u32], at: Self::I, mask: Self::M, or: Self::I) -> Self::I;
    /// One number of a table for each lane's byte.
    ///
    /// # Safety
    /// Every lane must hold 0 to 255.
    unsafe fn numbers(from: &[f32; 256], at: Self::I) -> Self::F;

    /// The packet's offsets along x, from the first.
    ///
    /// # Safety
    /// [`Self::PACKET`]`.0` offsets must follow there.
    unsafe fn columns(first: &f32) -> Self::F;
    /// The packet's offsets along y, likewise.
    ///
    /// # Safety
    /// [`Self::PACKET`]`.1` offsets must follow there.
    unsafe fn rows(first: &f32) -> Self::F;
    /// Writes the packet's colours, `0x00BBGGRR` per lane, as three bytes each, and its depths.
    ///
    /// # Safety
    /// Both pointers must be those of a packet's first pixel in frames `width` wide, all of it inside.
    unsafe fn store(out: *mut u8, depths: *mut f32, width: usize, colours: Self::I, depth: Self::F);
}
