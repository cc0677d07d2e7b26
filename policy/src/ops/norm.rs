//! Layer norm over the last dimension and group norm with one group, with a backward (candle's own drop it silently).
//!
//! `y = (x - mean) / sqrt(var + 1e-5) * gain + bias`. Moments are two-pass; vector sums of at most 4096 values are
//! gathered in f64.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::simd::{Kernel, Level, Simd};
use super::storage::{SharedMut, View, slice, tensor, written};

const EPS: f64 = 1e-5;

/// Normalises `[N,C]` over C (gain and bias per element) or `[N,C,H,W]` over C, H and W (gain and bias per channel).
pub fn norm(x: &Tensor, gain: &Tensor, bias: &Tensor) -> Result<Tensor> {
    norm_at(Level::best(), x, gain, bias)
}

pub(crate) fn norm_at(level: Level, x: &Tensor, gain: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let channels = match *x.dims() {
        [_, c] | [_, c, _, _] => c,
        _ => candle_core::bail!("norm: input must be [N,C] or [N,C,H,W], is {:?}", x.dims()),
    };
    if gain.elem_count() != channels || bias.elem_count() != channels {
        candle_core::bail!("norm: gain and bias must have {channels} values, have {:?}", gain.dims());
    }
    if cuda::takes(x) {
        return cuda::norm(x, gain, bias);
    }
    let save = x.track_op() || gain.track_op() || bias.track_op();
    let op = NormOp { level, save, moments: OnceLock::new() };
    x.contiguous()?.apply_op3(&gain.contiguous()?, &bias.contiguous()?, op)
}

/// Mean and reciprocal standard deviation of one row or image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) mean: f32,
    pub(crate) inv_std: f32,
}

/// Computes [`Moments`].
pub(crate) fn moments(x: &[f32]) -> impl Kernel<Output = Moments> + '_ {
    MomentsOf(x)
}

/// Sums a slice.
pub(crate) fn sum(x: &[f32]) -> impl Kernel<Output = f64> + '_ {
    SumOf(x)
}

struct MomentsOf<'a>(&'a [f32]);
impl Kernel for MomentsOf<'_> {
    type Output = Moments;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        let n = self.0.len() as f64;
        let mean = total::<S, false>(s, self.0, 0.0) / n;
        // The mean is rounded to f32 before it is subtracted; the second term takes that rounding out again.
        let centre = mean as f32;
        let var = total::<S, true>(s, self.0, centre) / n - (mean - f64::from(centre)).powi(2);
        Moments { mean: centre, inv_std: (1.0 / (var.max(0.0) + EPS).sqrt()) as f32 }
    }
}

struct SumOf<'a>(&'a [f32]);
impl Kernel for SumOf<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        total::<S, false>(s, self.0, 0.0)
    }
}

/// Σ x, or Σ (x - centre)².
#[inline(always)]
fn total<S: Simd, const SQUARES: bool>(s: S, x: &[f32], centre: f32) -> f64 {
    let mut sum = 0.0;
    let c = s.splat(centre);
    for block in x.chunks(4096) {
        let mut acc = [s.splat(0.0); 4];
        let mut i = 0;
        // SAFETY: positions stay below `block.len()`.
        unsafe {
            while i + 4 * S::LANES <= block.len() {
                for (k, a) in acc.iter_mut().enumerate() {
                    let v = s.load(block.as_ptr().add(i + k * S::LANES));
                    let d = s.sub(v, c);
                    *a = if SQUARES { s.fma(d, d, *a) } else { s.add(v, *a) };
                }
                i += 4 * S::LANES;
            }
            while i < block.len() {
                let left = (block.len() - i).min(S::LANES);
                let v = s.load_first(block.as_ptr().add(i), left, centre);
                let d = s.sub(v, c);
                acc[0] = if SQUARES { s.fma(d, d, acc[0]) } else { s.add(d, acc[0]) };
                if !SQUARES {
                    sum += f64::from(centre) * left as f64;
                }
                i += left;
            }
        }
        sum += f64::from(s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]))));
    }
    sum
}

/// The gradient of a norm with a gain per channel of `inner` values, on one image.
pub(crate) struct ChannelNorm<'a> {
    pub(crate) level: Level,
    pub(crate) inner: usize,
    pub(crate) gain: &'a [f32],
}

impl ChannelNorm<'_> {
    /// Turns `grad`, the gradient of the normed image, into that of `x`, and adds to the parameters' (where wanted:
    /// the slices may be empty).
    pub(crate) fn backward(&self, x: &[f32], m: Moments, grad: &mut [f32], sums: (&mut [f64], &mut [f64])) {
        let (mut first, mut second) = (0.0, 0.0);
        for (c, gain) in self.gain.iter().enumerate() {
            let at = c * self.inner..(c + 1) * self.inner;
            let (plain, hat) = self.level.run(GradSums { x: &x[at.clone()], grad: &grad[at], m });
            first += plain * f64::from(*gain);
            second += hat * f64::from(*gain);
            if let (Some(dgain), Some(dbias)) = (sums.0.get_mut(c), sums.1.get_mut(c)) {
                *dgain += hat;
                *dbias += plain;
            }
        }
        let n = x.len() as f64;
        for (c, gain) in self.gain.iter().enumerate() {
            let at = c * self.inner..(c + 1) * self.inner;
            // inv_std * (grad * gain - first / n - hat * second / n), with hat = (x - mean) * inv_std.
            self.level.run(Combine {
                x: &x[at.clone()],
                grad: &mut grad[at],
                centre: m.mean,
                by_grad: m.inv_std * gain,
                by_x: (-f64::from(m.inv_std).powi(2) * second / n) as f32,
                constant: (-f64::from(m.inv_std) * first / n) as f32,
            });
        }
    }
}

/// Σ grad and Σ grad * hat.
struct GradSums<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    m: Moments,
}
impl Kernel for GradSums<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f64, f64) {
        let (mean, inv) = (s.splat(self.m.mean), s.splat(self.m.inv_std));
        let (mut plain, mut hat) = (0.0, 0.0);
        for (x, g) in self.x.chunks(4096).zip(self.grad.chunks(4096)) {
            let mut acc = [[s.splat(0.0); 2]; 2];
            let mut i = 0;
            while i < x.len() {
                let n = (x.len() - i).min(S::LANES);
                // SAFETY: n values are left in both.
                let (xv, gv) = unsafe {
                    if n == S::LANES {
                        (s.load(x.as_ptr().add(i)), s.load(g.as_ptr().add(i)))
                    } else {
                        (s.load_first(x.as_ptr().add(i), n, 0.0), s.load_first(g.as_ptr().add(i), n, 0.0))
                    }
                };
                let a = &mut acc[i / S::LANES % 2];
                a[0] = s.add(a[0], gv);
                a[1] = s.fma(s.mul(s.sub(xv, mean), inv), gv, a[1]);
                i += n;
            }
            plain += f64::from(s.sum(s.add(acc[0][0], acc[1][0])));
            hat += f64::from(s.sum(s.add(acc[0][1], acc[1][1])));
        }
        (plain, hat)
    }
}

/// `grad = grad * by_grad + (x - centre) * by_x + constant`.
struct Combine<'a> {
    x: &'a [f32],
    grad: &'a mut [f32],
    centre: f32,
    by_grad: f32,
    by_x: f32,
    constant: f32,
}
impl Kernel for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (centre, by_grad) = (s.splat(self.centre), s.splat(self.by_grad));
        let (by_x, constant) = (s.splat(self.by_x), s.splat(self.constant));
        let mut i = 0;
        while i < self.grad.len() {
            let n = (self.grad.len() - i).min(S::LANES);
            // SAFETY: n values are left in both, which are equally long.
            unsafe {
                let (xp, gp) = (self.x.as_ptr().add(i), self.grad.as_mut_ptr().add(i));
                if n == S::LANES {
                    let v = s.fma(s.sub(s.load(xp), centre), by_x, constant);
                    s.store(gp, s.fma(s.load(gp), by_grad, v));
                } else {
                    let v = s.fma(s.sub(s.load_first(xp, n, 0.0), centre), by_x, constant);
                    s.store_first(gp, s.fma(s.load_first(gp, n, 0.0), by_grad, v), n);
                }
            }
            i += n;
        }
    }
}

struct NormOp {
    level: Level,
    save: bool,
    moments: OnceLock<Vec<Moments>>,
}

/// Rows, channels, values per channel.
fn sizes(dims: &[usize]) -> (usize, usize, usize) {
    (dims[0], dims[1], dims[2..].iter().product())
}

/// Forward of one row; `inner == 1` has a gain per element.
struct Apply<'a> {
    x: &'a [f32],
    m: Moments,
    gain: &'a [f32],
    bias: &'a [f32],
    out: *mut f32,
}
impl Kernel for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mean, inv) = (s.splat(self.m.mean), s.splat(self.m.inv_std));
        let each = self.gain.len() > 1;
        let (gain, bias) = (s.splat(self.gain[0]), s.splat(self.bias[0]));
        let mut i = 0;
        while i < self.x.len() {
            let n = (self.x.len() - i).min(S::LANES);
            // SAFETY: n values are left in x and out, and in gain and bias where there is one per element.
            unsafe {
                let (gain, bias) = if each {
                    (
                        s.load_first(self.gain.as_ptr().add(i), n, 0.0),
                        s.load_first(self.bias.as_ptr().add(i), n, 0.0),
                    )
                } else {
                    (gain, bias)
                };
                let hat = s.mul(s.sub(s.load_first(self.x.as_ptr().add(i), n, 0.0), mean), inv);
                s.store_first(self.out.add(i), s.fma(hat, gain, bias), n);
            }
            i += n;
        }
    }
}

/// Backward of one layer-norm row, adding to the parameters' gradients.
struct RowBackward<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    gain: &'a [f32],
    m: Moments,
    dx: *mut f32,
    dgain: &'a mut [f32],
    dbias: &'a mut [f32],
}
impl Kernel for RowBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mean, inv) = (s.splat(self.m.mean), s.splat(self.m.inv_std));
        let len = self.x.len();
        let (mut first, mut second) = (s.splat(0.0), s.splat(0.0));
        let mut i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: n values are left in every slice, which all have `len`.
            unsafe {
                let g = s.load_first(self.grad.as_ptr().add(i), n, 0.0);
                let hat = s.mul(s.sub(s.load_first(self.x.as_ptr().add(i), n, 0.0), mean), inv);
                let scaled = s.mul(g, s.load_first(self.gain.as_ptr().add(i), n, 0.0));
                first = s.add(first, scaled);
                second = s.fma(scaled, hat, second);
                let (dg, db) = (self.dgain.as_mut_ptr().add(i), self.dbias.as_mut_ptr().add(i));
                s.store_first(dg, s.fma(g, hat, s.load_first(dg, n, 0.0)), n);
                s.store_first(db, s.add(g, s.load_first(db, n, 0.0)), n);
            }
            i += n;
        }
        let (first, second) = (s.splat(s.sum(first) / len as f32), s.splat(s.sum(second) / len as f32));
        i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: as above, and `dx` has room for `len`.
            unsafe {
                let g = s.load_first(self.grad.as_ptr().add(i), n, 0.0);
                let hat = s.mul(s.sub(s.load_first(self.x.as_ptr().add(i), n, 0.0), mean), inv);
                let scaled = s.mul(g, s.load_first(self.gain.as_ptr().add(i), n, 0.0));
                let d = s.mul(inv, s.sub(s.sub(scaled, first), s.mul(hat, second)));
                s.store_first(self.dx.add(i), d, n);
            }
            i += n;
        }
    }
}

impl NormOp {
    fn forward(&self, x: &[f32], dims: &[usize], gain: &[f32], bias: &[f32]) -> Vec<f32> {
        let (rows, channels, inner) = sizes(dims);
        let row = channels * inner;
        let mut kept = vec![Moments::default(); rows];
        // SAFETY: every row is written by its own task.
        let out = unsafe {
            written(x.len(), |out| {
                kept.par_iter_mut().enumerate().with_min_len(4).for_each(|(i, keep)| {
                    let x = &x[i * row..][..row];
                    let m = self.level.run(moments(x));
                    *keep = m;
                    if dims.len() == 2 {
                        self.level.run(Apply { x, m, gain, bias, out: out.at(i * row) });
                        return;
                    }
                    for c in 0..channels {
                        self.level.run(Apply {
                            x: &x[c * inner..][..inner],
                            m,
                            gain: &gain[c..=c],
                            bias: &bias[c..=c],
                            out: out.at(i * row + c * inner),
                        });
                    }
                });
            })
        };
        if self.save {
            let _ = self.moments.set(kept);
        }
        out
    }

    /// One part of the rows: writes their `dx`, returns what they add to gain and bias.
    /// # Safety
    /// `dx` must have room for all rows; no other task may write these.
    unsafe fn part(&self, rows: std::ops::Range<usize>, on: &Backward<'_>, dx: SharedMut<f32>) -> Vec<f64> {
        let row = on.channels * on.inner;
        if on.inner == 0 {
            return vec![0.0; 2 * on.channels];
        }
        if on.per_element {
            let mut sums = vec![0.0f32; 2 * on.channels];
            let (dgain, dbias) = sums.split_at_mut(on.channels);
            for i in rows {
                let (x, grad) = (&on.x[i * row..][..row], &on.grad[i * row..][..row]);
                // SAFETY: the caller's promise.
                let dx = unsafe { dx.at(i * row) };
                self.level.run(RowBackward { x, grad, gain: on.gain, m: on.moments[i], dx, dgain, dbias });
            }
            return sums.into_iter().map(f64::from).collect();
        }
        let mut sums = vec![0.0f64; 2 * on.channels];
        let (dgain, dbias) = sums.split_at_mut(on.channels);
        for i in rows {
            // SAFETY: the caller's promise; the copy below writes all of it before it is read.
            let grad = unsafe {
                std::ptr::copy_nonoverlapping(on.grad[i * row..][..row].as_ptr(), dx.at(i * row), row);
                std::slice::from_raw_parts_mut(dx.at(i * row), row)
            };
            ChannelNorm { level: self.level, inner: on.inner, gain: on.gain }.backward(
                &on.x[i * row..][..row],
                on.moments[i],
                grad,
                (dgain, dbias),
            );
        }
        sums
    }
}

/// What the parts of a backward share.
struct Backward<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    gain: &'a [f32],
    moments: &'a [Moments],
    channels: usize,
    inner: usize,
    per_element: bool,
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "norm"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        gain: &CpuStorage,
        gl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = self.forward(slice(x, xl)?, xl.dims(), slice(gain, gl)?, slice(bias, bl)?);
        Ok((CpuStorage::F32(out), xl.shape().clone()))
    }
    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (rows, channels, inner) = sizes(x.dims());
        let grad = grad.contiguous()?;
        let (xs, gs, ks) = (View::<f32>::new(x)?, View::<f32>::new(&grad)?, View::<f32>::new(gain)?);
        let moments = self.moments.get().map_or(&[][..], Vec::as_slice);
        let per_element = x.rank() == 2;
        let on = Backward { x: &xs, grad: &gs, gain: &ks, moments, channels, inner, per_element };
        let parts = (rows / 8).clamp(1, 16);
        let mut sums = Vec::new();
        // SAFETY: the parts cover all rows, each its own.
        let dx = unsafe {
            written(xs.len(), |dx| {
                sums = (0..parts)
                    .into_par_iter()
                    .map(|p| self.part(p * rows / parts..(p + 1) * rows / parts, &on, dx))
                    .collect::<Vec<_>>();
            })
        };
        let total = |at: usize| sums.iter().map(|s| s[at]).sum::<f64>() as f32;
        let column = |from: usize| (from..from + channels).map(total).collect::<Vec<_>>();
        Ok((
            x.track_op().then(|| tensor(dx, x.shape())).transpose()?,
            gain.track_op().then(|| tensor(column(0), gain.shape())).transpose()?,
            bias.track_op().then(|| tensor(column(channels), bias.shape())).transpose()?,
        ))
    }
}
