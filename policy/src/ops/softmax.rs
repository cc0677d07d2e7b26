//! Softmax over the last dimension, masked or not (candle's fused one has no backward).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::simd::{Kernel, Level, Simd};
use super::storage::{View, slice, tensor, written};

/// What stands for minus infinity: finite, so that nothing becomes NaN when it meets a zero.
const HIDDEN: f32 = -1e30;

/// Softmax over the last dimension of a tensor of any rank.
pub fn softmax_last_dim(x: &Tensor) -> Result<Tensor> {
    softmax_at(Level::best(), x)
}

/// `softmax(scores * scale + bias)` over the keys that `mask` shows: scores and bias `[B,H,T,S]`, mask u8 `[B,T,S]`
/// with 1 for visible. Hidden keys get weight 0; a row without a visible key is all zeros.
pub fn masked_softmax(scores: &Tensor, bias: &Tensor, mask: &Tensor, scale: f32) -> Result<Tensor> {
    masked_softmax_at(Level::best(), scores, bias, mask, scale)
}

pub(crate) fn softmax_at(level: Level, x: &Tensor) -> Result<Tensor> {
    if cuda::takes(x) {
        return cuda::softmax(x, None, 1.0);
    }
    x.contiguous()?.apply_op1(SoftmaxOp { level, scale: 1.0, mask: None })
}

pub(crate) fn masked_softmax_at(
    level: Level,
    scores: &Tensor,
    bias: &Tensor,
    mask: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    let (b, heads, t, s) = scores.dims4()?;
    if bias.dims() != scores.dims() || mask.dims() != [b, t, s] {
        candle_core::bail!(
            "masked_softmax: bias {:?} or mask {:?} does not fit scores {:?}",
            bias.dims(),
            mask.dims(),
            scores.dims()
        );
    }
    if cuda::takes(scores) {
        return cuda::softmax(scores, Some(&cuda::Mask { bias, mask }), scale);
    }
    let shown = View::<u8>::new(&mask.contiguous()?)?.to_vec();
    let op = SoftmaxOp { level, scale, mask: Some(Mask { shown, heads, rows: t }) };
    scores.contiguous()?.apply_op2(&bias.contiguous()?, op)
}

struct Mask {
    shown: Vec<u8>,
    heads: usize,
    rows: usize,
}

struct SoftmaxOp {
    level: Level,
    scale: f32,
    mask: Option<Mask>,
}

/// One row: `out = softmax(x * scale + bias)`.
struct Row<'a> {
    x: &'a [f32],
    bias: Option<&'a [f32]>,
    shown: Option<&'a [u8]>,
    scale: f32,
    out: *mut f32,
}
impl Kernel for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.x.len();
        let (scale, hidden) = (s.splat(self.scale), s.splat(HIDDEN));
        let mut top = hidden;
        let mut i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: n values are left in every slice, and `out` has room for `len`.
            unsafe {
                let mut v = s.mul(s.load_first(self.x.as_ptr().add(i), n, HIDDEN), scale);
                if let Some(bias) = self.bias {
                    v = s.add(v, s.load_first(bias.as_ptr().add(i), n, 0.0));
                }
                if let Some(shown) = self.shown {
                    let mut keep = [0.0f32; 16];
                    for (k, m) in keep.iter_mut().zip(&shown[i..i + n]) {
                        *k = f32::from(*m);
                    }
                    v = s.select_gt(s.load(keep.as_ptr()), s.splat(0.5), v, hidden);
                }
                s.store_first(self.out.add(i), v, n);
                top = s.max(top, s.load_first(self.out.add(i), n, HIDDEN));
            }
            i += n;
        }
        let top = s.splat(s.max_lane(top));
        let mut sum = s.splat(0.0);
        i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: as above.
            unsafe {
                let v = s.load_first(self.out.add(i), n, HIDDEN);
                // `hidden > v` false also for NaN, which must come through.
                let e = s.select_gt(s.splat(HIDDEN * 0.5), v, s.splat(0.0), s.exp(s.sub(v, top)));
                sum = s.add(sum, e);
                s.store_first(self.out.add(i), e, n);
            }
            i += n;
        }
        let sum = s.sum(sum);
        let inverse = s.splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
        i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: as above.
            unsafe {
                let p = self.out.add(i);
                s.store_first(p, s.mul(s.load_first(p, n, 0.0), inverse), n);
            }
            i += n;
        }
    }
}

/// One row of `out = p * (g - Σ p g) * scale`.
struct RowBackward<'a> {
    p: &'a [f32],
    grad: &'a [f32],
    scale: f32,
    out: *mut f32,
}
impl Kernel for RowBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.p.len();
        let mut dot = s.splat(0.0);
        let mut i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: n values are left in both.
            unsafe {
                let (p, g) = (self.p.as_ptr().add(i), self.grad.as_ptr().add(i));
                dot = s.fma(s.load_first(p, n, 0.0), s.load_first(g, n, 0.0), dot);
            }
            i += n;
        }
        let (dot, scale) = (s.splat(s.sum(dot)), s.splat(self.scale));
        i = 0;
        while i < len {
            let n = (len - i).min(S::LANES);
            // SAFETY: n values are left in all three.
            unsafe {
                let p = s.load_first(self.p.as_ptr().add(i), n, 0.0);
                let g = s.load_first(self.grad.as_ptr().add(i), n, 0.0);
                s.store_first(self.out.add(i), s.mul(s.mul(p, s.sub(g, dot)), scale), n);
            }
            i += n;
        }
    }
}

impl SoftmaxOp {
    fn forward(&self, x: &[f32], bias: Option<&[f32]>, last: usize) -> Vec<f32> {
        if x.is_empty() {
            return Vec::new();
        }
        // SAFETY: every row is written by its own task.
        unsafe {
            written(x.len(), |out| {
                (0..x.len() / last).into_par_iter().with_min_len(32).for_each(|r| {
                    let shown = self.mask.as_ref().map(|m| {
                        // Rows run over [B, H, T], the mask over [B, T].
                        let line = r / (m.heads * m.rows) * m.rows + r % m.rows;
                        &m.shown[line * last..][..last]
                    });
                    self.level.run(Row {
                        x: &x[r * last..][..last],
                        bias: bias.map(|b| &b[r * last..][..last]),
                        shown,
                        scale: self.scale,
                        out: out.at(r * last),
                    });
                });
            })
        }
    }

    fn backward(&self, res: &Tensor, grad: &Tensor, scale: f32) -> Result<Tensor> {
        let last = res.dims().last().copied().unwrap_or(1).max(1);
        let grad = grad.contiguous()?;
        let (ps, gs) = (View::<f32>::new(res)?, View::<f32>::new(&grad)?);
        // SAFETY: every row is written by its own task.
        let out = unsafe {
            written(ps.len(), |out| {
                (0..ps.len() / last).into_par_iter().with_min_len(32).for_each(|r| {
                    let (p, grad) = (&ps[r * last..][..last], &gs[r * last..][..last]);
                    self.level.run(RowBackward { p, grad, scale, out: out.at(r * last) });
                });
            })
        };
        tensor(out, res.shape())
    }
}

fn last_of(layout: &Layout) -> Result<usize> {
    layout
        .dims()
        .last()
        .copied()
        .ok_or_else(|| candle_core::Error::Msg("softmax: a scalar has no last dimension".into()))
}

impl CustomOp1 for SoftmaxOp {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.forward(slice(x, xl)?, None, last_of(xl)?)), xl.shape().clone()))
    }
    fn bwd(&self, _x: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.backward(res, grad, 1.0)?))
    }
}

impl CustomOp2 for SoftmaxOp {
    fn name(&self) -> &'static str {
        "masked_softmax"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((
            CpuStorage::F32(self.forward(slice(x, xl)?, Some(slice(b, bl)?), last_of(xl)?)),
            xl.shape().clone(),
        ))
    }
    fn bwd(
        &self,
        x: &Tensor,
        b: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((
            x.track_op().then(|| self.backward(res, grad, self.scale)).transpose()?,
            b.track_op().then(|| self.backward(res, grad, 1.0)).transpose()?,
        ))
    }
}
