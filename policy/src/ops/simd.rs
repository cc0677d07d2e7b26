//! One vector vocabulary for every kernel: AVX-512, AVX2 with FMA, and plain arrays, chosen at run time.
//!
//! A kernel is written once, generic over [`Simd`]; [`Level::run`] compiles it per instruction set and calls the one
//! asked for. A `Simd` value is a token: it can only be made where the instructions are known to exist.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Vector operations on `LANES` f32 values.
pub(crate) trait Simd: Copy {
    const LANES: usize;
    type V: Copy;

    fn splat(self, value: f32) -> Self::V;
    /// # Safety
    /// `p` must be readable for `LANES` values.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Reads `n <= LANES` values; the other lanes are `fill`.
    /// # Safety
    /// `p` must be readable for `n` values.
    unsafe fn load_first(self, p: *const f32, n: usize, fill: f32) -> Self::V;
    /// # Safety
    /// `p` must be writable for `LANES` values.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// Writes the first `n <= LANES` lanes.
    /// # Safety
    /// `p` must be writable for `n` values.
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c` in one rounding (two in the plain version).
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// To the nearest integer, as a float.
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for integral lanes in `-126..=127`.
    fn exp2_int(self, n: Self::V) -> Self::V;
    /// `a` where `x > y`, else `b`; false on NaN.
    fn select_gt(self, x: Self::V, y: Self::V, a: Self::V, b: Self::V) -> Self::V;
    fn sum(self, v: Self::V) -> f32;
    fn max_lane(self, v: Self::V) -> f32;
    /// To each lane's sum the products of the bf16 pair `x` with the lane's pair in `w`, each rounded once.
    fn dot_bf16(self, sums: Self::V, x: u32, w: Self::V) -> Self::V;
    /// To each lane's sum, an i32 in the lane's bits, the products of the four unsigned bytes `x` with the lane's four
    /// signed bytes in `w`; exact.
    fn dot_i8(self, sums: Self::V, x: u32, w: Self::V) -> Self::V;
    /// From i32 in the lanes' bits to f32.
    fn int_to_float(self, v: Self::V) -> Self::V;
    /// Rounds to the nearest bf16, of two equally near ones the even one.
    /// # Safety
    /// `p` must be writable for `LANES` values.
    unsafe fn store_bf16(self, p: *mut u16, v: Self::V);
    /// Rounds to the nearest integer, cuts at -128 and 127 and adds 128; what is not a number becomes 0.
    /// # Safety
    /// `p` must be writable for `LANES` values.
    unsafe fn store_offset_i8(self, p: *mut u8, v: Self::V);
    /// Sums of eight vectors that lie one after another.
    /// # Safety
    /// `p` must be readable for `8 * LANES` values.
    unsafe fn sum_rows(self, p: *const f32) -> [f32; 8];

    /// Turns `LANES` rows of `LANES` values, `pitch` apart, into columns, `to_pitch` apart.
    /// # Safety
    /// `from` must be readable and `to` writable at those places.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, pitch: usize, to: *mut f32, to_pitch: usize) {
        for r in 0..Self::LANES {
            for c in 0..Self::LANES {
                // SAFETY: the caller's promise.
                unsafe { *to.add(c * to_pitch + r) = *from.add(r * pitch + c) };
            }
        }
    }

    /// `e^x` with a relative error of at most 2e-7; exactly 0 below -87, saturating above 88.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        let floor = self.splat(-87.0);
        let inside = self.select_gt(x, floor, x, floor);
        let inside = self.select_gt(inside, self.splat(88.0), self.splat(88.0), inside);
        let n = self.round(self.mul(inside, self.splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, so that n * ln 2 loses nothing (Cephes expf).
        let r = self.fma(n, self.splat(-0.693_359_4), inside);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = self.fma(p, r, self.splat(c));
        }
        let y = self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0));
        let y = self.mul(y, self.exp2_int(n));
        // A NaN must stay one, so the floor is applied by asking whether x is below it.
        self.select_gt(floor, x, self.splat(0.0), self.add(y, self.mul(x, self.splat(0.0))))
    }
}

/// Work to be compiled once per instruction set.
pub(crate) trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`, and so must everything it calls with vectors.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set known to exist on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// With the instructions for products of bf16 and of bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512Dot,
}

impl Level {
    /// The best instruction set of this machine.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| *Self::all().last().expect("the plain set always exists"))
    }

    /// Every instruction set of this machine, slowest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self(Set::Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
            if avx2 {
                all.push(Self(Set::Avx2));
            }
            if avx2 && std::is_x86_feature_detected!("avx512f") {
                all.push(Self(Set::Avx512));
                if std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512bf16")
                    && std::is_x86_feature_detected!("avx512vnni")
                {
                    all.push(Self(Set::Avx512Dot));
                }
            }
        }
        all
    }

    /// Runs `kernel` with this instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Plain => kernel.run(Plain),
            // SAFETY: a `Level` is only made by `all`, after the matching detection.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::run_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Dot => unsafe { x86::run_avx512_dot(kernel) },
        }
    }
}

/// The fallback: arrays of eight, which compilers turn into whatever the target has.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

macro_rules! lanewise {
    ($($name:ident($($arg:ident),+) => $value:expr;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: [f32; 8]),+) -> [f32; 8] {
            let mut out = [0.0; 8];
            for (i, o) in out.iter_mut().enumerate() {
                $(let $arg = $arg[i];)+
                *o = $value;
            }
            out
        })+
    };
}

impl Simd for Plain {
    const LANES: usize = 8;
    type V = [f32; 8];

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 8] {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; 8] {
        // SAFETY: the caller's promise; arrays of f32 need no more alignment than f32.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize, fill: f32) -> [f32; 8] {
        let mut out = [fill; 8];
        for (i, o) in out.iter_mut().enumerate().take(n) {
            // SAFETY: i < n, readable by the caller's promise.
            *o = unsafe { *p.add(i) };
        }
        out
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: [f32; 8], n: usize) {
        for (i, x) in v.iter().enumerate().take(n) {
            // SAFETY: i < n, writable by the caller's promise.
            unsafe { *p.add(i) = *x }
        }
    }
    lanewise! {
        add(a, b) => a + b;
        sub(a, b) => a - b;
        mul(a, b) => a * b;
        max(a, b) => if a > b { a } else { b };
        fma(a, b, c) => a * b + c;
        round(a) => (a + 12_582_912.0) - 12_582_912.0;
        exp2_int(n) => f32::from_bits((((n as i32) + 127) << 23) as u32);
        select_gt(x, y, a, b) => if x > y { a } else { b };
    }
    #[inline(always)]
    fn dot_bf16(self, sums: [f32; 8], x: u32, w: [f32; 8]) -> [f32; 8] {
        let high = |bits: u32| f32::from_bits(bits & 0xffff_0000);
        std::array::from_fn(|i| {
            let w = w[i].to_bits();
            let sum = high(x).mul_add(high(w), sums[i]);
            high(x << 16).mul_add(high(w << 16), sum)
        })
    }
    #[inline(always)]
    fn dot_i8(self, sums: [f32; 8], x: u32, w: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| {
            let products = x.to_le_bytes().into_iter().zip(w[i].to_bits().to_le_bytes());
            let sum: i32 = products.map(|(x, w)| i32::from(x) * i32::from(w as i8)).sum();
            f32::from_bits(sums[i].to_bits().wrapping_add(sum as u32))
        })
    }
    #[inline(always)]
    fn int_to_float(self, v: [f32; 8]) -> [f32; 8] {
        v.map(|v| v.to_bits() as i32 as f32)
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, v: [f32; 8]) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *p.add(i) = half::bf16::from_f32(v).to_bits() };
        }
    }
    #[inline(always)]
    unsafe fn store_offset_i8(self, p: *mut u8, v: [f32; 8]) {
        for (i, v) in v.into_iter().enumerate() {
            let cut = if v.is_nan() { -128.0 } else { v.round_ties_even().clamp(-128.0, 127.0) };
            // SAFETY: the caller's promise.
            unsafe { *p.add(i) = (cut + 128.0) as u8 };
        }
    }
    #[inline(always)]
    fn sum(self, v: [f32; 8]) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    unsafe fn sum_rows(self, p: *const f32) -> [f32; 8] {
        let mut out = [0.0; 8];
        for (i, o) in out.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *o = self.sum(unsafe { self.load(p.add(i * 8)) });
        }
        out
    }
    #[inline(always)]
    fn max_lane(self, v: [f32; 8]) -> f32 {
        v.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(test)]
mod tests;
