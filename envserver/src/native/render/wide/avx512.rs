//! Sixteen lanes: packets of 4x4 pixels on machines with AVX-512.

use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

use super::super::Cast;
use super::avx2::store_row;
use super::lanes::Lanes;

/// Draws the largest part of the frame that whole packets cover and returns its width and height.
///
/// # Safety
/// The machine must have AVX2 and AVX-512 with F, BW, DQ and VL.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(in super::super) unsafe fn draw(cast: &Cast<'_>, out: &mut [u8], depths: &mut [f32]) -> (usize, usize) {
    super::draw::<Sixteen>(cast, out, depths)
}

#[derive(Clone, Copy)]
struct Sixteen;
#[derive(Clone, Copy)]
struct F16(__m512);
#[derive(Clone, Copy)]
struct I16(__m512i);
#[derive(Clone, Copy)]
struct M16(__mmask16);

// SAFETY, here and below: `draw` alone leads here, see `Lanes`.
super::operator!(F16, Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps);
super::operator!(I16, Add add _mm512_add_epi32, Sub sub _mm512_sub_epi32, Mul mul _mm512_mullo_epi32);
super::operator!(I16, BitAnd bitand _mm512_and_si512, BitOr bitor _mm512_or_si512);

impl BitAnd for M16 {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for M16 {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for M16 {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl Lanes for Sixteen {
    type F = F16;
    type I = I16;
    type M = M16;

    const PACKET: (usize, usize) = (4, 4);

    #[inline(always)]
    fn splat(value: f32) -> F16 {
        unsafe { F16(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    fn whole_splat(value: i32) -> I16 {
        unsafe { I16(_mm512_set1_epi32(value)) }
    }
    #[inline(always)]
    fn nowhere() -> M16 {
        M16(0)
    }
    #[inline(always)]
    fn any(mask: M16) -> bool {
        mask.0 != 0
    }
    #[inline(always)]
    fn least(a: F16, b: F16) -> F16 {
        unsafe { F16(_mm512_min_ps(a.0, b.0)) }
    }
    #[inline(always)]
    fn most(a: F16, b: F16) -> F16 {
        unsafe { F16(_mm512_max_ps(a.0, b.0)) }
    }
    #[inline(always)]
    fn abs(value: F16) -> F16 {
        unsafe { F16(_mm512_andnot_ps(_mm512_set1_ps(-0.0), value.0)) }
    }
    #[inline(always)]
    fn negated(value: F16) -> F16 {
        unsafe { F16(_mm512_xor_ps(value.0, _mm512_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn floor(value: F16) -> F16 {
        unsafe { F16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(value.0)) }
    }
    #[inline(always)]
    fn sqrt(value: F16) -> F16 {
        unsafe { F16(_mm512_sqrt_ps(value.0)) }
    }
    #[inline(always)]
    fn with_sign(magnitude: F16, sign: F16) -> F16 {
        unsafe { F16(_mm512_or_ps(magnitude.0, _mm512_and_ps(_mm512_set1_ps(-0.0), sign.0))) }
    }
    #[inline(always)]
    fn whole(value: F16) -> I16 {
        unsafe { I16(_mm512_cvttps_epi32(value.0)) }
    }
    #[inline(always)]
    fn real(value: I16) -> F16 {
        unsafe { F16(_mm512_cvtepi32_ps(value.0)) }
    }
    #[inline(always)]
    fn lt(a: F16, b: F16) -> M16 {
        unsafe { M16(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn le(a: F16, b: F16) -> M16 {
        unsafe { M16(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn gt(a: F16, b: F16) -> M16 {
        unsafe { M16(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn ge(a: F16, b: F16) -> M16 {
        unsafe { M16(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn eq(a: F16, b: F16) -> M16 {
        unsafe { M16(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn pick(mask: M16, yes: F16, no: F16) -> F16 {
        unsafe { F16(_mm512_mask_blend_ps(mask.0, no.0, yes.0)) }
    }
    #[inline(always)]
    fn whole_least(a: I16, b: I16) -> I16 {
        unsafe { I16(_mm512_min_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn whole_most(a: I16, b: I16) -> I16 {
        unsafe { I16(_mm512_max_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn whole_eq(a: I16, b: I16) -> M16 {
        unsafe { M16(_mm512_cmpeq_epi32_mask(a.0, b.0)) }
    }
    #[inline(always)]
    fn within(value: I16, limit: i32) -> M16 {
        // Negative numbers are the largest unsigned ones.
        unsafe { M16(_mm512_cmplt_epu32_mask(value.0, _mm512_set1_epi32(limit))) }
    }
    #[inline(always)]
    fn whole_pick(mask: M16, yes: I16, no: I16) -> I16 {
        unsafe { I16(_mm512_mask_blend_epi32(mask.0, no.0, yes.0)) }
    }
    #[inline(always)]
    fn has_bit(bits: u32, at: I16) -> M16 {
        unsafe {
            let moved = _mm512_srlv_epi32(_mm512_set1_epi32(bits as i32), at.0);
            M16(_mm512_test_epi32_mask(moved, _mm512_set1_epi32(1)))
        }
    }
    #[inline(always)]
    fn shl<const N: u32>(value: I16) -> I16 {
        unsafe { I16(_mm512_slli_epi32::<N>(value.0)) }
    }
    #[inline(always)]
    fn shr<const N: u32>(value: I16) -> I16 {
        unsafe { I16(_mm512_srli_epi32::<N>(value.0)) }
    }
    #[inline(always)]
    fn common(value: I16) -> Option<i32> {
        unsafe {
            let first = _mm512_broadcastd_epi32(_mm512_castsi512_si128(value.0));
            let apart = _mm512_cmpneq_epi32_mask(value.0, first);
            if apart != 0 { None } else { Some(_mm512_cvtsi512_si32(value.0)) }
        }
    }
    #[inline(always)]
    fn one_of_eight(table: &[f32; 8], at: I16) -> F16 {
        unsafe {
            let table = _mm512_castps256_ps512(_mm256_loadu_ps(table.as_ptr()));
            F16(_mm512_permutexvar_ps(at.0, table))
        }
    }
    #[inline(always)]
    unsafe fn bytes(from: &[u8], at: I16, mask: M16) -> I16 {
        unsafe {
            let zero = _mm512_setzero_si512();
            let words = _mm512_mask_i32gather_epi32::<1>(zero, mask.0, at.0, from.as_ptr().cast());
            I16(_mm512_and_si512(words, _mm512_set1_epi32(255)))
        }
    }
    #[inline(always)]
    unsafe fn words(from: &[u32], at: I16, mask: M16, or: I16) -> I16 {
        unsafe { I16(_mm512_mask_i32gather_epi32::<4>(or.0, mask.0, at.0, from.as_ptr().cast())) }
    }
    #[inline(always)]
    unsafe fn numbers(from: &[f32; 256], at: I16) -> F16 {
        unsafe { F16(_mm512_i32gather_ps::<4>(at.0, from.as_ptr())) }
    }
    #[inline(always)]
    unsafe fn columns(first: &f32) -> F16 {
        unsafe { F16(_mm512_broadcast_f32x4(_mm_loadu_ps(first))) }
    }
    #[inline(always)]
    unsafe fn rows(first: &f32) -> F16 {
        unsafe {
            let rows = _mm512_castps128_ps512(_mm_loadu_ps(first));
            let each = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
            F16(_mm512_permutexvar_ps(each, rows))
        }
    }
    #[inline(always)]
    unsafe fn store(out: *mut u8, depths: *mut f32, width: usize, colours: I16, depth: F16) {
        unsafe {
            let (colour, depth) = (colours.0, depth.0);
            store_row(out, _mm512_castsi512_si128(colour));
            store_row(out.add(width * 3), _mm512_extracti32x4_epi32::<1>(colour));
            store_row(out.add(width * 6), _mm512_extracti32x4_epi32::<2>(colour));
            store_row(out.add(width * 9), _mm512_extracti32x4_epi32::<3>(colour));
            _mm_storeu_ps(depths, _mm512_castps512_ps128(depth));
            _mm_storeu_ps(depths.add(width), _mm512_extractf32x4_ps::<1>(depth));
            _mm_storeu_ps(depths.add(width * 2), _mm512_extractf32x4_ps::<2>(depth));
            _mm_storeu_ps(depths.add(width * 3), _mm512_extractf32x4_ps::<3>(depth));
        }
    }
}
