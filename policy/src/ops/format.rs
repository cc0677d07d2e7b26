//! In which numbers packed layers multiply: f32, pairs of bf16, or bytes four at a time.

use super::simd::Simd;

/// How inputs are stored and multiplied. The other operand, weights, is 32-bit words of `GROUP` inputs each.
pub(crate) trait Format: Copy + Send + Sync {
    /// A stored input.
    type Element: Copy;
    /// An input of 0.
    const ZERO: Self::Element;
    /// Inputs in a word.
    const GROUP: usize;
    /// Whether inputs are scaled before they are stored, and sums afterwards.
    const SCALED: bool;
    /// Tiles of an image convolved together: their transforms fit the second cache, a point's products the first.
    const TILES: usize;

    /// Stores a vector of inputs.
    /// # Safety
    /// `to` must be writable for as many as the vector has lanes.
    unsafe fn store<S: Simd>(s: S, to: *mut Self::Element, v: S::V);
    /// Adds the products of a word of inputs and a vector of words of weights.
    fn dot<S: Simd>(s: S, sums: S::V, x: u32, w: S::V) -> S::V;
}

/// One f32 a word.
#[derive(Clone, Copy)]
pub(crate) struct F32;
/// Two bf16 a word, sums in f32.
#[derive(Clone, Copy)]
pub(crate) struct Bf16;
/// Four bytes a word, inputs with an offset of 128, sums in i32.
#[derive(Clone, Copy)]
pub(crate) struct Int8;

impl Format for F32 {
    type Element = f32;
    const ZERO: f32 = 0.0;
    const GROUP: usize = 1;
    const SCALED: bool = false;
    const TILES: usize = 8;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to, v) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, sums: S::V, x: u32, w: S::V) -> S::V {
        s.fma(s.splat(f32::from_bits(x)), w, sums)
    }
}

impl Format for Bf16 {
    type Element = u16;
    const ZERO: u16 = 0;
    const GROUP: usize = 2;
    const SCALED: bool = false;
    const TILES: usize = 16;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut u16, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_bf16(to, v) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, sums: S::V, x: u32, w: S::V) -> S::V {
        s.dot_bf16(sums, x, w)
    }
}

impl Format for Int8 {
    type Element = u8;
    const ZERO: u8 = 128;
    const GROUP: usize = 4;
    const SCALED: bool = true;
    const TILES: usize = 16;

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut u8, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_offset_i8(to, v) }
    }
    #[inline(always)]
    fn dot<S: Simd>(s: S, sums: S::V, x: u32, w: S::V) -> S::V {
        s.dot_i8(sums, x, w)
    }
}
