//! The x86-64 instruction sets.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that AVX2 and FMA exist.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Proof that AVX-512F exists, and with `DOT` also BW, VL, BF16 and VNNI.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const DOT: bool>(());

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
    kernel.run(Avx512::<false>(()))
}

/// # Safety
/// The machine must have AVX-512F, BW, VL, BF16 and VNNI, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx512vnni,avx2,fma")]
pub(super) unsafe fn run_avx512_dot<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
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

/// The upper 16 bits of f32 after rounding to bf16, in the lower ones; a NaN stays one.
#[inline(always)]
unsafe fn rounded_to_bf16(v: __m512) -> __m512i {
    // SAFETY: called only where AVX-512F is proven.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let upper = _mm512_srli_epi32::<16>(bits);
        let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, bias));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40))
    }
}

/// Bits as pairs of bf16.
#[inline(always)]
fn bf16_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without further meaning.
    unsafe { std::mem::transmute(bits) }
}

impl<const DOT: bool> Simd for Avx512<DOT> {
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
    fn dot_bf16(self, sums: __m512, x: u32, w: __m512) -> __m512 {
        // SAFETY: see above; with DOT the machine has the product.
        unsafe {
            if DOT {
                let x = _mm512_set1_epi32(x.cast_signed());
                // The types differ in name only.
                return _mm512_dpbf16_ps(sums, bf16_pairs(x), bf16_pairs(_mm512_castps_si512(w)));
            }
            let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            let bits = _mm512_castps_si512(w);
            let upper = _mm512_castsi512_ps(_mm512_and_si512(bits, high));
            let lower = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits));
            let sums = _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(x & 0xffff_0000)), upper, sums);
            _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(x << 16)), lower, sums)
        }
    }
    #[inline(always)]
    fn dot_i8(self, sums: __m512, x: u32, w: __m512) -> __m512 {
        // SAFETY: see above; with DOT the machine has the product.
        unsafe {
            let (sums, w) = (_mm512_castps_si512(sums), _mm512_castps_si512(w));
            if DOT {
                let x = _mm512_set1_epi32(x.cast_signed());
                return _mm512_castsi512_ps(_mm512_dpbusd_epi32(sums, x, w));
            }
            // Without: byte by byte, sign by shifting left and back.
            let byte = |k: u32| _mm512_set1_epi32((x >> (8 * k) & 0xff).cast_signed());
            let mut total = sums;
            let parts =
                [_mm512_slli_epi32::<24>(w), _mm512_slli_epi32::<16>(w), _mm512_slli_epi32::<8>(w), w];
            for (k, part) in (0..).zip(parts) {
                let product = _mm512_mullo_epi32(byte(k), _mm512_srai_epi32::<24>(part));
                total = _mm512_add_epi32(total, product);
            }
            _mm512_castsi512_ps(total)
        }
    }
    #[inline(always)]
    fn int_to_float(self, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: __m512) {
        // SAFETY: see above.
        unsafe {
            if DOT {
                p.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(v));
                return;
            }
            _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(rounded_to_bf16(v)));
        }
    }
    #[inline(always)]
    unsafe fn store_offset_i8(self, p: *mut u8, v: __m512) {
        // SAFETY: see above.
        unsafe {
            let bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v));
            _mm_storeu_si128(p.cast(), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
        }
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
    fn dot_bf16(self, sums: __m256, x: u32, w: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let bits = _mm256_castps_si256(w);
            let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            let upper = _mm256_castsi256_ps(_mm256_and_si256(bits, high));
            let lower = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits));
            let sums = _mm256_fmadd_ps(_mm256_set1_ps(f32::from_bits(x & 0xffff_0000)), upper, sums);
            _mm256_fmadd_ps(_mm256_set1_ps(f32::from_bits(x << 16)), lower, sums)
        }
    }
    #[inline(always)]
    fn dot_i8(self, sums: __m256, x: u32, w: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let (sums, w) = (_mm256_castps_si256(sums), _mm256_castps_si256(w));
            // Bytes become 16-bit numbers: the byte product of AVX2 would saturate.
            let x = _mm256_cvtepu8_epi16(_mm_set1_epi32(x.cast_signed()));
            let low = _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(w)));
            let high = _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(w)));
            // Outputs 0 1 4 5 | 2 3 6 7 after the additions of neighbours.
            let pairs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
            _mm256_castsi256_ps(_mm256_add_epi32(sums, pairs))
        }
    }
    #[inline(always)]
    fn int_to_float(self, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(_mm256_castps_si256(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: __m256) {
        let mut all = [0.0f32; 8];
        // SAFETY: eight values on the stack; then the caller's promise.
        unsafe {
            _mm256_storeu_ps(all.as_mut_ptr(), v);
            super::Plain.store_bf16(p, all);
        }
    }
    #[inline(always)]
    unsafe fn store_offset_i8(self, p: *mut u8, v: __m256) {
        // SAFETY: see above; the packs saturate, of 16 bytes the first 8 are stored.
        unsafe {
            let ints = _mm256_cvtps_epi32(v);
            let (low, high) = (_mm256_castsi256_si128(ints), _mm256_extracti128_si256::<1>(ints));
            let words = _mm_packs_epi32(low, high);
            let bytes = _mm_xor_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(-128));
            _mm_storel_epi64(p.cast(), bytes);
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
