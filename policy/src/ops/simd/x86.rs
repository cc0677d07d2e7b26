//! The x86-64 instruction sets.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that AVX2 and FMA exist.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Proof that AVX-512F exists.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// # Safety
/// The machine must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// # Safety
/// The machine must have AVX-512F, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

// SAFETY of every block below: the token proves the instructions; pointer validity is the caller's promise.
macro_rules! ops {
    ($v:ty; $($name:ident($($arg:ident),+) => $value:expr;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $v),+) -> $v {
            // SAFETY: see above.
            unsafe { $value }
        })+
    };
}

/// Sums of eight vectors of eight, by horizontal additions in a tree.
#[inline(always)]
unsafe fn sum_eight(r: [__m256; 8]) -> [f32; 8] {
    let mut out = [0.0f32; 8];
    // SAFETY: called only where AVX2 is proven.
    unsafe {
        let low = _mm256_hadd_ps(_mm256_hadd_ps(r[0], r[1]), _mm256_hadd_ps(r[2], r[3]));
        let high = _mm256_hadd_ps(_mm256_hadd_ps(r[4], r[5]), _mm256_hadd_ps(r[6], r[7]));
        let a = _mm256_permute2f128_ps::<0x20>(low, high);
        let b = _mm256_permute2f128_ps::<0x31>(low, high);
        _mm256_storeu_ps(out.as_mut_ptr(), _mm256_add_ps(a, b));
    }
    out
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;

    ops! { __m512;
        add(a, b) => _mm512_add_ps(a, b);
        sub(a, b) => _mm512_sub_ps(a, b);
        mul(a, b) => _mm512_mul_ps(a, b);
        max(a, b) => _mm512_max_ps(a, b);
        fma(a, b, c) => _mm512_fmadd_ps(a, b, c);
        round(a) => _mm512_roundscale_ps::<0>(a);
        exp2_int(n) => _mm512_scalef_ps(_mm512_set1_ps(1.0), n);
        select_gt(x, y, a, b) => _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, y), b, a);
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize, fill: f32) -> __m512 {
        let mask = ((1u32 << n) - 1) as u16;
        // SAFETY: see above; masked lanes are not read.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m512, n: usize) {
        let mask = ((1u32 << n) - 1) as u16;
        // SAFETY: see above; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(p, mask, v) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    unsafe fn sum_rows(self, p: *const f32) -> [f32; 8] {
        // SAFETY: the caller's promise; AVX-512 machines have AVX2.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, r) in rows.iter_mut().enumerate() {
                *r = _mm256_add_ps(_mm256_loadu_ps(p.add(i * 16)), _mm256_loadu_ps(p.add(i * 16 + 8)));
            }
            sum_eight(rows)
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, pitch: usize, to: *mut f32, to_pitch: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut r = [_mm512_setzero_ps(); 16];
            for (i, r) in r.iter_mut().enumerate() {
                *r = _mm512_loadu_ps(from.add(i * pitch));
            }
            // Pairs of rows, then fours: r[4 i + c] holds column 4 l + c of rows 4 i .. 4 i + 4 in its quarter l.
            let mut four = [_mm512_setzero_ps(); 16];
            for i in 0..4 {
                let low = _mm512_castps_pd(_mm512_unpacklo_ps(r[4 * i], r[4 * i + 1]));
                let high = _mm512_castps_pd(_mm512_unpackhi_ps(r[4 * i], r[4 * i + 1]));
                let low2 = _mm512_castps_pd(_mm512_unpacklo_ps(r[4 * i + 2], r[4 * i + 3]));
                let high2 = _mm512_castps_pd(_mm512_unpackhi_ps(r[4 * i + 2], r[4 * i + 3]));
                four[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2));
                four[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2));
                four[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2));
                four[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2));
            }
            for c in 0..4 {
                let (a, b, d, e) = (four[c], four[4 + c], four[8 + c], four[12 + c]);
                let even = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(d, e));
                let odd = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(d, e));
                let (to, step) = (to.add(c * to_pitch), 4 * to_pitch);
                _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(even.0, even.1));
                _mm512_storeu_ps(to.add(step), _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1));
                _mm512_storeu_ps(to.add(2 * step), _mm512_shuffle_f32x4::<0xdd>(even.0, even.1));
                _mm512_storeu_ps(to.add(3 * step), _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1));
            }
        }
    }
    #[inline(always)]
    fn max_lane(self, v: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(v) }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;

    ops! { __m256;
        add(a, b) => _mm256_add_ps(a, b);
        sub(a, b) => _mm256_sub_ps(a, b);
        mul(a, b) => _mm256_mul_ps(a, b);
        max(a, b) => _mm256_max_ps(a, b);
        fma(a, b, c) => _mm256_fmadd_ps(a, b, c);
        round(a) => _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        exp2_int(n) => _mm256_castsi256_ps(_mm256_slli_epi32::<23>(
            _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127))));
        select_gt(x, y, a, b) => _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(x, y));
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize, fill: f32) -> __m256 {
        let mut all = [fill; 8];
        for (i, x) in all.iter_mut().enumerate().take(n) {
            // SAFETY: i < n.
            *x = unsafe { *p.add(i) };
        }
        // SAFETY: eight values on the stack.
        unsafe { _mm256_loadu_ps(all.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m256, n: usize) {
        let mut all = [0.0f32; 8];
        // SAFETY: eight values on the stack; then i < n.
        unsafe {
            _mm256_storeu_ps(all.as_mut_ptr(), v);
            for (i, x) in all.iter().enumerate().take(n) {
                *p.add(i) = *x;
            }
        }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: see above.
        unsafe {
            let h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let h = _mm_add_ps(h, _mm_movehl_ps(h, h));
            _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps::<1>(h, h)))
        }
    }
    #[inline(always)]
    unsafe fn sum_rows(self, p: *const f32) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, r) in rows.iter_mut().enumerate() {
                *r = _mm256_loadu_ps(p.add(i * 8));
            }
            sum_eight(rows)
        }
    }
    #[inline(always)]
    fn max_lane(self, v: __m256) -> f32 {
        // SAFETY: see above.
        unsafe {
            let h = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let h = _mm_max_ps(h, _mm_movehl_ps(h, h));
            _mm_cvtss_f32(_mm_max_ss(h, _mm_shuffle_ps::<1>(h, h)))
        }
    }
}
