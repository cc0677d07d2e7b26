//! The two inner loops everything heavy is made of: a sum of outer products, and a block of dot products.

use std::mem::MaybeUninit;

use super::simd::{Kernel, Simd};

/// `out[i][..cols] (+)= Σ_r a[i * a_row + r * a_col] * b[offsets[r] ..][..cols]` for `rows` rows.
///
/// A convolution (offsets walk channels and taps of a padded image) and the gradient products of a linear layer
/// (offsets walk rows of a matrix) are both this.
#[derive(Clone, Copy)]
pub(crate) struct Outer<'a> {
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_col: usize,
    pub(crate) rows: usize,
    pub(crate) b: *const f32,
    pub(crate) offsets: &'a [usize],
    pub(crate) cols: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
    pub(crate) accumulate: bool,
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut i = 0;
        while i < self.rows {
            let left = self.rows - i;
            // SAFETY: the maker of an `Outer` promises that all its indices are in bounds.
            unsafe {
                // Eight rows by three vectors fill AVX-512's 32 registers; the others have 16.
                if S::LANES == 16 && left >= 8 {
                    self.row_band::<S, 8>(s, i);
                    i += 8;
                } else if left >= 4 {
                    self.row_band::<S, 4>(s, i);
                    i += 4;
                } else if left >= 2 {
                    self.row_band::<S, 2>(s, i);
                    i += 2;
                } else {
                    self.row_band::<S, 1>(s, i);
                    i += 1;
                }
            }
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    unsafe fn row_band<S: Simd, const M: usize>(&self, s: S, i: usize) {
        let full = self.cols / S::LANES;
        let mut j = 0;
        // SAFETY: columns stay below `full * LANES <= cols`.
        unsafe {
            while j + 3 <= full {
                self.tile::<S, M, 3>(s, i, j * S::LANES);
                j += 3;
            }
            if j + 2 <= full {
                self.tile::<S, M, 2>(s, i, j * S::LANES);
                j += 2;
            }
            if j < full {
                self.tile::<S, M, 1>(s, i, j * S::LANES);
            }
            if full * S::LANES < self.cols {
                self.tail::<S, M>(s, i, full * S::LANES);
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(&self, s: S, i: usize, j: usize) {
        let mut acc = [[s.splat(0.0); N]; M];
        // SAFETY: i + M <= rows and j + N * LANES <= cols, by the callers.
        unsafe {
            let out = self.out.add(i * self.out_row + j);
            if self.accumulate {
                for (m, row) in acc.iter_mut().enumerate() {
                    for (n, v) in row.iter_mut().enumerate() {
                        *v = s.load(out.add(m * self.out_row + n * S::LANES));
                    }
                }
            }
            let mut a = self.a.add(i * self.a_row);
            let b = self.b.add(j);
            for &offset in self.offsets {
                let mut bv = [s.splat(0.0); N];
                for (n, v) in bv.iter_mut().enumerate() {
                    *v = s.load(b.add(offset + n * S::LANES));
                }
                for (m, row) in acc.iter_mut().enumerate() {
                    let av = s.splat(*a.add(m * self.a_row));
                    for (v, bn) in row.iter_mut().zip(bv) {
                        *v = s.fma(av, bn, *v);
                    }
                }
                a = a.wrapping_add(self.a_col);
            }
            for (m, row) in acc.iter().enumerate() {
                for (n, v) in row.iter().enumerate() {
                    s.store(out.add(m * self.out_row + n * S::LANES), *v);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tail<S: Simd, const M: usize>(&self, s: S, i: usize, j: usize) {
        let n = self.cols - j;
        let mut acc = [s.splat(0.0); M];
        // SAFETY: i + M <= rows, and only the n columns that are left are touched.
        unsafe {
            let out = self.out.add(i * self.out_row + j);
            if self.accumulate {
                for (m, v) in acc.iter_mut().enumerate() {
                    *v = s.load_first(out.add(m * self.out_row), n, 0.0);
                }
            }
            let mut a = self.a.add(i * self.a_row);
            for &offset in self.offsets {
                let bv = s.load_first(self.b.add(offset + j), n, 0.0);
                for (m, v) in acc.iter_mut().enumerate() {
                    *v = s.fma(s.splat(*a.add(m * self.a_row)), bv, *v);
                }
                a = a.wrapping_add(self.a_col);
            }
            for (m, v) in acc.iter().enumerate() {
                s.store_first(out.add(m * self.out_row), *v, n);
            }
        }
    }
}

/// `out[i * out_row + j * out_col] (+)= Σ_segments Σ_l a[i * a_row + l] * b[j * b_row + l]`, with `segments` pieces of
/// `len` values that lie `a_segment` and `b_segment` apart.
///
/// The forward of a linear layer (one segment), and the weight gradient of a convolution (a segment per image).
#[derive(Clone, Copy)]
pub(crate) struct Dot {
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_segment: usize,
    pub(crate) rows: usize,
    pub(crate) b: *const f32,
    pub(crate) b_row: usize,
    pub(crate) b_segment: usize,
    pub(crate) cols: usize,
    pub(crate) len: usize,
    pub(crate) segments: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
    pub(crate) out_col: usize,
    pub(crate) accumulate: bool,
}

impl Kernel for Dot {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut j = 0;
        while j < self.cols {
            // SAFETY: the maker of a `Dot` promises that all its indices are in bounds.
            unsafe {
                if self.cols - j >= 3 {
                    self.column_band::<S, 3>(s, j);
                    j += 3;
                } else {
                    self.column_band::<S, 1>(s, j);
                    j += 1;
                }
            }
        }
    }
}

impl Dot {
    #[inline(always)]
    unsafe fn column_band<S: Simd, const N: usize>(&self, s: S, j: usize) {
        let mut i = 0;
        while i < self.rows {
            let left = self.rows - i;
            // SAFETY: rows i .. i + M exist in each case.
            unsafe {
                if S::LANES == 16 && left >= 8 {
                    self.tile::<S, 8, N>(s, i, j);
                    i += 8;
                } else if left >= 4 {
                    self.tile::<S, 4, N>(s, i, j);
                    i += 4;
                } else {
                    self.tile::<S, 1, N>(s, i, j);
                    i += 1;
                }
            }
        }
    }

    // Every output is summed in the same lane order whatever tile it falls into, so that a row's result does not
    // depend on how many rows there are.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(&self, s: S, i: usize, j: usize) {
        let mut acc = [[s.splat(0.0); N]; M];
        let full = self.len / S::LANES * S::LANES;
        // SAFETY: rows i.. and columns j.. exist; positions stay below `len`.
        unsafe {
            for segment in 0..self.segments {
                let a = self.a.add(i * self.a_row + segment * self.a_segment);
                let b = self.b.add(j * self.b_row + segment * self.b_segment);
                let mut l = 0;
                while l < full {
                    let mut bv = [s.splat(0.0); N];
                    for (n, v) in bv.iter_mut().enumerate() {
                        *v = s.load(b.add(n * self.b_row + l));
                    }
                    for (m, row) in acc.iter_mut().enumerate() {
                        let av = s.load(a.add(m * self.a_row + l));
                        for (v, bn) in row.iter_mut().zip(bv) {
                            *v = s.fma(av, bn, *v);
                        }
                    }
                    l += S::LANES;
                }
                if full < self.len {
                    let left = self.len - full;
                    for (m, row) in acc.iter_mut().enumerate() {
                        let av = s.load_first(a.add(m * self.a_row + full), left, 0.0);
                        for (n, v) in row.iter_mut().enumerate() {
                            *v = s.fma(av, s.load_first(b.add(n * self.b_row + full), left, 0.0), *v);
                        }
                    }
                }
            }
            // Through memory, so that nothing below keeps the accumulators from staying in registers above.
            let mut lanes = MaybeUninit::<[f32; 24 * 16]>::uninit();
            let lanes = lanes.as_mut_ptr().cast::<f32>();
            for (m, row) in acc.iter().enumerate() {
                for (n, v) in row.iter().enumerate() {
                    s.store(lanes.add((m * N + n) * S::LANES), *v);
                }
            }
            for rest in M * N..(M * N).next_multiple_of(8) {
                s.store(lanes.add(rest * S::LANES), s.splat(0.0));
            }
            for first in (0..M * N).step_by(8) {
                let sums = s.sum_rows(lanes.add(first * S::LANES));
                for (k, sum) in (first..M * N).zip(sums) {
                    let out = self.out.add((i + k / N) * self.out_row + (j + k % N) * self.out_col);
                    *out = if self.accumulate { *out + sum } else { sum };
                }
            }
        }
    }
}
