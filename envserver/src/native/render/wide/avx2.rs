//! Eight lanes: packets of 4x2 pixels on machines with AVX2.

use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

use super::super::Cast;
use super::lanes::Lanes;

/// Draws the largest part of the frame that whole packets cover and returns its width and height.
///
/// # Safety
/// The machine must have AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn draw(cast: &Cast<'_>, out: &mut [u8], depths: &mut [f32]) -> (usize, usize) {
    super::draw::<Eight>(cast, out, depths)
}

#[derive(Clone, Copy)]
struct Eight;
#[derive(Clone, Copy)]
struct F8(__m256);
#[derive(Clone, Copy)]
struct I8(__m256i);
/// All ones or all zeros per lane.
#[derive(Clone, Copy)]
struct M8(__m256i);

// SAFETY, here and below: `draw` alone leads here, see `Lanes`.
super::operator!(F8, Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps, Div div _mm256_div_ps);
super::operator!(I8, Add add _mm256_add_epi32, Sub sub _mm256_sub_epi32, Mul mul _mm256_mullo_epi32);
super::operator!(I8, BitAnd bitand _mm256_and_si256, BitOr bitor _mm256_or_si256);
super::operator!(M8, BitAnd bitand _mm256_and_si256, BitOr bitor _mm256_or_si256);

impl Not for M8 {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        unsafe { Self(_mm256_xor_si256(self.0, _mm256_set1_epi32(-1))) }
    }
}

#[inline(always)]
fn mask(lanes: __m256) -> M8 {
    unsafe { M8(_mm256_castps_si256(lanes)) }
}

impl Lanes for Eight {
    type F = F8;
    type I = I8;
    type M = M8;

    const PACKET: (usize, usize) = (4, 2);

    #[inline(always)]
    fn splat(value: f32) -> F8 {
        unsafe { F8(_mm256_set1_ps(value)) }
    }
    #[inline(always)]
    fn whole_splat(value: i32) -> I8 {
        unsafe { I8(_mm256_set1_epi32(value)) }
    }
    #[inline(always)]
    fn nowhere() -> M8 {
        unsafe { M8(_mm256_setzero_si256()) }
    }
    #[inline(always)]
    fn any(mask: M8) -> bool {
        unsafe { _mm256_testz_si256(mask.0, mask.0) == 0 }
    }
    #[inline(always)]
    fn least(a: F8, b: F8) -> F8 {
        unsafe { F8(_mm256_min_ps(a.0, b.0)) }
    }
    #[inline(always)]
    fn most(a: F8, b: F8) -> F8 {
        unsafe { F8(_mm256_max_ps(a.0, b.0)) }
    }
    #[inline(always)]
    fn abs(value: F8) -> F8 {
        unsafe { F8(_mm256_andnot_ps(_mm256_set1_ps(-0.0), value.0)) }
    }
    #[inline(always)]
    fn negated(value: F8) -> F8 {
        unsafe { F8(_mm256_xor_ps(value.0, _mm256_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn floor(value: F8) -> F8 {
        unsafe { F8(_mm256_floor_ps(value.0)) }
    }
    #[inline(always)]
    fn sqrt(value: F8) -> F8 {
        unsafe { F8(_mm256_sqrt_ps(value.0)) }
    }
    #[inline(always)]
    fn with_sign(magnitude: F8, sign: F8) -> F8 {
        unsafe { F8(_mm256_or_ps(magnitude.0, _mm256_and_ps(_mm256_set1_ps(-0.0), sign.0))) }
    }
    #[inline(always)]
    fn whole(value: F8) -> I8 {
        unsafe { I8(_mm256_cvttps_epi32(value.0)) }
    }
    #[inline(always)]
    fn real(value: I8) -> F8 {
        unsafe { F8(_mm256_cvtepi32_ps(value.0)) }
    }
    #[inline(always)]
    fn lt(a: F8, b: F8) -> M8 {
        unsafe { mask(_mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn le(a: F8, b: F8) -> M8 {
        unsafe { mask(_mm256_cmp_ps::<_CMP_LE_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn gt(a: F8, b: F8) -> M8 {
        unsafe { mask(_mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn ge(a: F8, b: F8) -> M8 {
        unsafe { mask(_mm256_cmp_ps::<_CMP_GE_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn eq(a: F8, b: F8) -> M8 {
        unsafe { mask(_mm256_cmp_ps::<_CMP_EQ_OQ>(a.0, b.0)) }
    }
    #[inline(always)]
    fn pick(mask: M8, yes: F8, no: F8) -> F8 {
        unsafe { F8(_mm256_blendv_ps(no.0, yes.0, _mm256_castsi256_ps(mask.0))) }
    }
    #[inline(always)]
    fn whole_least(a: I8, b: I8) -> I8 {
        unsafe { I8(_mm256_min_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn whole_most(a: I8, b: I8) -> I8 {
        unsafe { I8(_mm256_max_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn whole_eq(a: I8, b: I8) -> M8 {
        unsafe { M8(_mm256_cmpeq_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn within(value: I8, limit: i32) -> M8 {
        // Negative numbers are the largest unsigned ones.
        unsafe { M8(_mm256_cmpeq_epi32(_mm256_min_epu32(value.0, _mm256_set1_epi32(limit - 1)), value.0)) }
    }
    #[inline(always)]
    fn whole_pick(mask: M8, yes: I8, no: I8) -> I8 {
        unsafe { I8(_mm256_blendv_epi8(no.0, yes.0, mask.0)) }
    }
    #[inline(always)]
    fn has_bit(bits: u32, at: I8) -> M8 {
        let one = Self::whole_splat(1);
        let moved = unsafe { I8(_mm256_srlv_epi32(_mm256_set1_epi32(bits as i32), at.0)) };
        Self::whole_eq(moved & one, one)
    }
    #[inline(always)]
    fn shl<const N: u32>(value: I8) -> I8 {
        unsafe { I8(_mm256_sll_epi32(value.0, _mm_cvtsi32_si128(N as i32))) }
    }
    #[inline(always)]
    fn shr<const N: u32>(value: I8) -> I8 {
        unsafe { I8(_mm256_srl_epi32(value.0, _mm_cvtsi32_si128(N as i32))) }
    }
    #[inline(always)]
    fn common(value: I8) -> Option<i32> {
        unsafe {
            let first = _mm256_broadcastd_epi32(_mm256_castsi256_si128(value.0));
            let apart = _mm256_xor_si256(value.0, first);
            if _mm256_testz_si256(apart, apart) == 0 { None } else { Some(_mm256_cvtsi256_si32(value.0)) }
        }
    }
    #[inline(always)]
    fn one_of_eight(table: &[f32; 8], at: I8) -> F8 {
        unsafe { F8(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), at.0)) }
    }
    #[inline(always)]
    unsafe fn bytes(from: &[u8], at: I8, mask: M8) -> I8 {
        unsafe {
            let zero = _mm256_setzero_si256();
            let words = _mm256_mask_i32gather_epi32::<1>(zero, from.as_ptr().cast(), at.0, mask.0);
            I8(_mm256_and_si256(words, _mm256_set1_epi32(255)))
        }
    }
    #[inline(always)]
    unsafe fn words(from: &[u32], at: I8, mask: M8, or: I8) -> I8 {
        unsafe { I8(_mm256_mask_i32gather_epi32::<4>(or.0, from.as_ptr().cast(), at.0, mask.0)) }
    }
    #[inline(always)]
    unsafe fn numbers(from: &[f32; 256], at: I8) -> F8 {
        unsafe { F8(_mm256_i32gather_ps::<4>(from.as_ptr(), at.0)) }
    }
    #[inline(always)]
    unsafe fn columns(first: &f32) -> F8 {
        unsafe {
            let four = _mm_loadu_ps(first);
            F8(_mm256_set_m128(four, four))
        }
    }
    #[inline(always)]
    unsafe fn rows(first: &f32) -> F8 {
        unsafe {
            let lower = _mm_set1_ps(std::ptr::from_ref(first).add(1).read());
            F8(_mm256_set_m128(lower, _mm_set1_ps(*first)))
        }
    }
    #[inline(always)]
    unsafe fn store(out: *mut u8, depths: *mut f32, width: usize, colours: I8, depth: F8) {
        unsafe {
            store_row(out, _mm256_castsi256_si128(colours.0));
            store_row(out.add(width * 3), _mm256_extracti128_si256::<1>(colours.0));
            _mm_storeu_ps(depths, _mm256_castps256_ps128(depth.0));
            _mm_storeu_ps(depths.add(width), _mm256_extractf128_ps::<1>(depth.0));
        }
    }
}

/// Writes four pixels `0x00BBGGRR` as twelve bytes, for which there must be room.
#[inline(always)]
pub(super) unsafe fn store_row(to: *mut u8, colours: __m128i) {
    unsafe {
        let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
        let packed = _mm_shuffle_epi8(colours, order);
        _mm_storel_epi64(to.cast(), packed);
        to.add(8).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(packed));
    }
}
