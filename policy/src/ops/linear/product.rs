//! `x · wᵀ` with the weights of some outputs turned into columns first, so that a vector holds neighbouring outputs.

use std::mem::MaybeUninit;

use crate::ops::simd::{Kernel, Simd};

/// Inputs turned at a time: they fit the nearest cache, and partial sums over so many round less than one long sum.
const DEPTH: usize = 128;
/// Outputs turned at a time: two vectors of the widest kind.
pub(super) const WIDTH: usize = 32;

/// `out[..rows][..cols] = finish(x[..rows] · w[..cols]ᵀ)`, all of them rows of `k` or, of `out`, `out_row` values.
pub(super) struct Product<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: usize,
    /// At most `WIDTH` rows of weights.
    pub(super) w: &'a [f32],
    pub(super) cols: usize,
    pub(super) k: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) relu: bool,
    /// Room for `rows` rows of `cols` values, `out_row` apart.
    pub(super) out: *mut f32,
    pub(super) out_row: usize,
}

/// One step of the sum over the inputs.
#[derive(Clone, Copy)]
struct Step {
    start: usize,
    depth: usize,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.x.len() >= self.rows * self.k && self.w.len() >= self.cols * self.k);
        assert!(self.cols <= WIDTH && self.bias.is_none_or(|b| b.len() >= self.cols));
        let mut panel = MaybeUninit::<[f32; DEPTH * WIDTH]>::uninit();
        let panel = panel.as_mut_ptr().cast::<f32>();
        let width = 2 * S::LANES;
        let mut start = 0;
        loop {
            let step = Step { start, depth: DEPTH.min(self.k - start) };
            for first in (0..self.cols).step_by(width) {
                // SAFETY: rows of x, w and out as asserted and promised; the panel holds DEPTH * width values.
                unsafe {
                    self.turn(s, step, first, panel);
                    let mut i = 0;
                    while i < self.rows {
                        let left = self.rows - i;
                        if S::LANES == 16 && left >= 8 {
                            self.tile::<S, 8>(s, step, (i, first), panel);
                            i += 8;
                        } else if left >= 4 {
                            self.tile::<S, 4>(s, step, (i, first), panel);
                            i += 4;
                        } else {
                            self.tile::<S, 1>(s, step, (i, first), panel);
                            i += 1;
                        }
                    }
                }
            }
            start += step.depth;
            if start >= self.k {
                return;
            }
        }
    }
}

impl Product<'_> {
    /// Lays weights out as `[input][2 vectors of outputs]`, zero where there is no output.
    #[inline(always)]
    unsafe fn turn<S: Simd>(&self, s: S, step: Step, first: usize, panel: *mut f32) {
        let width = 2 * S::LANES;
        // SAFETY: the caller's panel and weights.
        unsafe {
            for half in (0..width).step_by(S::LANES) {
                let whole = first + half + S::LANES <= self.cols;
                let mut i = 0;
                while i < step.depth {
                    let to = panel.add(i * width + half);
                    if whole && i + S::LANES <= step.depth {
                        let from = self.w.as_ptr().add((first + half) * self.k + step.start + i);
                        s.transpose(from, self.k, to, width);
                        i += S::LANES;
                        continue;
                    }
                    for lane in 0..S::LANES {
                        let column = first + half + lane;
                        let exists = column < self.cols;
                        let at = if exists { column * self.k + step.start + i } else { 0 };
                        *to.add(lane) = if exists { self.w[at] } else { 0.0 };
                    }
                    i += 1;
                }
            }
        }
    }

    // Every result is summed in the same order whatever tile it falls into, so that a row's result does not depend on
    // how many rows there are.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize>(
        &self,
        s: S,
        step: Step,
        (i, first): (usize, usize),
        panel: *const f32,
    ) {
        let mut acc = [[s.splat(0.0); 2]; P];
        // SAFETY: rows i .. i + P of x exist; of `out` only existing columns are touched.
        unsafe {
            let x = self.x.as_ptr().add(i * self.k + step.start);
            for l in 0..step.depth {
                let w = [s.load(panel.add(2 * l * S::LANES)), s.load(panel.add((2 * l + 1) * S::LANES))];
                for (p, acc) in acc.iter_mut().enumerate() {
                    let value = s.splat(*x.add(p * self.k + l));
                    for (a, w) in acc.iter_mut().zip(w) {
                        *a = s.fma(value, w, *a);
                    }
                }
            }
            let last = step.start + step.depth >= self.k;
            let floor = s.splat(if last && self.relu { 0.0 } else { f32::NEG_INFINITY });
            for v in 0..2 {
                let column = first + v * S::LANES;
                let n = self.cols.saturating_sub(column).min(S::LANES);
                if n == 0 {
                    break;
                }
                let bias = match self.bias {
                    Some(bias) if last => s.load_first(bias.as_ptr().add(column), n, 0.0),
                    _ => s.splat(0.0),
                };
                for (p, acc) in acc.iter().enumerate() {
                    let out = self.out.add((i + p) * self.out_row + column);
                    let mut sum = acc[v];
                    if step.start > 0 {
                        sum = s.add(s.load_first(out, n, 0.0), sum);
                    }
                    sum = s.add(sum, bias);
                    // `select_gt` rather than `max`: a NaN must come through.
                    s.store_first(out, s.select_gt(floor, sum, floor, sum), n);
                }
            }
        }
    }
}
