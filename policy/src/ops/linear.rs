//! Dense layers `y = x · wᵀ + b`, ReLU folded in, with the weight gradient made in the weight's own layout.
//!
//! Not a call to a general matrix product: a row's result must not depend on how many rows there are (an actor's batch
//! changes, its log-probabilities must not), and skinny products are where general ones are weakest.

mod packed;
mod product;
#[cfg(test)]
mod tests;

pub use packed::PackedLinear;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use self::product::{Product, WIDTH};
use super::cuda;
use super::kernel::Outer;
use super::simd::{Kernel, Level, Simd};
use super::storage::{SharedMut, View, slice, tensor, written};
use super::tasks::each;

/// Rows a task takes.
const ROWS: usize = 256;

/// Maps `[N,K]` with weights `[O,K]` and bias `[O]` to `[N,O]`, then ReLU if asked.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    linear_at(Level::best(), x, w, bias, relu)
}

pub(crate) fn linear_at(
    level: Level,
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    relu: bool,
) -> Result<Tensor> {
    let ((_, k), (o, wk)) = (x.dims2()?, w.dims2()?);
    if wk != k || bias.is_some_and(|b| b.elem_count() != o) {
        candle_core::bail!("linear: weight {:?} or its bias does not fit input {:?}", w.dims(), x.dims());
    }
    if cuda::takes(x) {
        return cuda::linear(x, w, bias, relu);
    }
    let (x, w, op) = (x.contiguous()?, w.contiguous()?, LinearOp { level, relu });
    match bias {
        None => x.apply_op2(&w, op),
        Some(b) => x.apply_op3(&w, &b.contiguous()?, op),
    }
}

struct LinearOp {
    level: Level,
    relu: bool,
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl LinearOp {
    fn forward(
        &self,
        x: &[f32],
        w: &[f32],
        (n, k, o): (usize, usize, usize),
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let (down, across) = (n.div_ceil(ROWS), o.div_ceil(WIDTH));
        // SAFETY: the blocks cover the result, and each is written by one task.
        unsafe {
            written(n * o, |out| {
                each(down * across, n * k * o, |task| {
                    let (i, j) = (task / across * ROWS, task % across * WIDTH);
                    let cols = WIDTH.min(o - j);
                    self.level.run(Product {
                        x: &x[i * k..],
                        rows: ROWS.min(n - i),
                        w: &w[j * k..],
                        cols,
                        k,
                        bias: bias.map(|b| &b[j..][..cols]),
                        relu: self.relu,
                        out: out.at(i * o + j),
                        out_row: o,
                    });
                });
            })
        }
    }

    fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: Option<&Tensor>,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<Gradients> {
        let ((n, k), (o, _)) = (x.dims2()?, w.dims2()?);
        let grad = if self.relu { self.masked(res, grad)? } else { grad.contiguous()? };
        let (xs, ws, gs) = (View::<f32>::new(x)?, View::<f32>::new(w)?, View::<f32>::new(&grad)?);
        let dx = x.track_op().then(|| {
            // dx[n, :] = Σ_o g[n, o] * w[o, :]
            let by_row = |i: usize| (gs[i * o..].as_ptr(), o, 1);
            tensor(self.product((n, o, k), 32, &by_row, &ws), x.shape())
        });
        let dw = w.track_op().then(|| {
            // dw[o, :] = Σ_n g[n, o] * x[n, :]
            let by_row = |i: usize| (gs[i..].as_ptr(), 1, o);
            tensor(self.product((o, n, k), 32, &by_row, &xs), w.shape())
        });
        let db = bias.filter(|b| b.track_op()).map(|b| {
            let mut sums = vec![0.0f32; o];
            sums.par_chunks_mut(512).enumerate().for_each(|(i, sums)| {
                self.level.run(ColumnSums { from: &gs, first: i * 512, row: o, sums });
            });
            tensor(sums, b.shape())
        });
        Ok((dx.transpose()?, dw.transpose()?, db.transpose()?))
    }

    /// `out[rows, cols] = a[rows, steps] · b[steps, cols]`, with `a` given by where each row starts, its row pitch and
    /// its step pitch.
    fn product(
        &self,
        (rows, steps, cols): (usize, usize, usize),
        band: usize,
        a: &(dyn Fn(usize) -> (*const f32, usize, usize) + Sync),
        b: &[f32],
    ) -> Vec<f32> {
        let block = (65_536 / cols.max(1)).clamp(16, 256);
        let offsets: Vec<usize> = (0..block).map(|r| r * cols).collect();
        if steps == 0 {
            return vec![0.0; rows * cols];
        }
        // SAFETY: the bands cover the result, and each is written by one task.
        unsafe {
            written(rows * cols, |out: SharedMut<f32>| {
                each(rows.div_ceil(band), rows * steps * cols, |task| {
                    let first = task * band;
                    let (start, a_row, a_col) = a(first);
                    for step in (0..steps).step_by(block) {
                        self.level.run(Outer {
                            a: start.add(step * a_col),
                            a_row,
                            a_col,
                            rows: band.min(rows - first),
                            b: b[step * cols..].as_ptr(),
                            offsets: &offsets[..block.min(steps - step)],
                            cols,
                            out: out.at(first * cols),
                            out_row: cols,
                            accumulate: step > 0,
                        });
                    }
                });
            })
        }
    }

    fn masked(&self, res: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let grad = grad.contiguous()?;
        let (rs, gs) = (View::<f32>::new(res)?, View::<f32>::new(&grad)?);
        // SAFETY: chunks cover all values.
        let out = unsafe {
            written(gs.len(), |out| {
                each(gs.len().div_ceil(4096), gs.len(), |task| {
                    let at = task * 4096..(task * 4096 + 4096).min(gs.len());
                    let to = out.at(at.start);
                    self.level.run(Mask { result: &rs[at.clone()], grad: &gs[at], to });
                });
            })
        };
        tensor(out, grad.shape())
    }
}

/// The gradient where the result is positive.
struct Mask<'a> {
    result: &'a [f32],
    grad: &'a [f32],
    to: *mut f32,
}
impl Kernel for Mask<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let zero = s.splat(0.0);
        let mut i = 0;
        while i < self.grad.len() {
            let n = (self.grad.len() - i).min(S::LANES);
            // SAFETY: n values are left in all three.
            unsafe {
                let r = s.load_first(self.result.as_ptr().add(i), n, 0.0);
                let g = s.load_first(self.grad.as_ptr().add(i), n, 0.0);
                s.store_first(self.to.add(i), s.select_gt(r, zero, g, zero), n);
            }
            i += n;
        }
    }
}

/// Sums of some columns over all rows.
struct ColumnSums<'a> {
    from: &'a [f32],
    first: usize,
    row: usize,
    sums: &'a mut [f32],
}
impl Kernel for ColumnSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.from.len() / self.row.max(1);
        let mut i = 0;
        while i < self.sums.len() {
            let n = (self.sums.len() - i).min(S::LANES);
            let mut acc = [s.splat(0.0); 4];
            for r in 0..rows {
                // SAFETY: n columns are left in row r.
                let v =
                    unsafe { s.load_first(self.from.as_ptr().add(r * self.row + self.first + i), n, 0.0) };
                acc[r % 4] = s.add(acc[r % 4], v);
            }
            let sum = s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]));
            // SAFETY: n sums are left.
            unsafe { s.store_first(self.sums.as_mut_ptr().add(i), sum, n) };
            i += n;
        }
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), o) = (xl.shape().dims2()?, wl.dims()[0]);
        let out = self.forward(slice(x, xl)?, slice(w, wl)?, (n, k, o), None);
        Ok((CpuStorage::F32(out), (n, o).into()))
    }
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.backward(x, w, None, res, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), o) = (xl.shape().dims2()?, wl.dims()[0]);
        let out = self.forward(slice(x, xl)?, slice(w, wl)?, (n, k, o), Some(slice(b, bl)?));
        Ok((CpuStorage::F32(out), (n, o).into()))
    }
    fn bwd(&self, x: &Tensor, w: &Tensor, bias: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Gradients> {
        self.backward(x, w, Some(bias), res, grad)
    }
}
