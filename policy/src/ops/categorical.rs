//! Log-probability, entropy and KL divergence of categorical distributions given by logits.
//!
//! With z = x - max and L = ln Σ e^z: ln p = z - L, H = L - Σ p z, KL = Σ p (ln p - ln q). Working on z keeps logits of
//! any size (±1e4) exact; nothing of the size of the logits is stored for the backward.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::simd::{Kernel, Level, Simd};
use super::storage::{View, slice, tensor, written};

/// Lanes beyond a row's end: e^FILL is 0, and 0 * FILL still is.
const FILL: f32 = -1e30;

/// Log-probability `[N]` of class `index` (u32 `[N]`) under logits `[N,C]`.
pub fn log_prob(logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    log_prob_at(Level::best(), logits, index)
}

/// Entropy `[N]`, in nats, of logits `[N,C]`.
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    entropy_at(Level::best(), logits)
}

/// KL(p ‖ q) `[N]`, in nats, of two sets of logits `[N,C]`; differentiable in both.
pub fn kl(p_logits: &Tensor, q_logits: &Tensor) -> Result<Tensor> {
    kl_at(Level::best(), p_logits, q_logits)
}

/// ln Σ e^x of each row of `classes` values.
pub fn log_sum_exp_rows(logits: &[f32], classes: usize) -> Vec<f32> {
    let level = Level::best();
    logits
        .chunks(classes.max(1))
        .map(|row| {
            let m = level.run(Measure { row });
            m.max + m.log_sum
        })
        .collect()
}

pub(crate) fn log_prob_at(level: Level, logits: &Tensor, index: &Tensor) -> Result<Tensor> {
    let (n, classes) = logits.dims2()?;
    let classes_of_rows = index.flatten_all()?.to_vec1::<u32>()?;
    if classes_of_rows.len() != n {
        candle_core::bail!("log_prob: {} indices for {n} rows", classes_of_rows.len());
    }
    if let Some(bad) = classes_of_rows.iter().find(|i| **i as usize >= classes) {
        candle_core::bail!("log_prob: index {bad} is not below {classes}");
    }
    if cuda::takes(logits) {
        return cuda::log_prob(logits, index);
    }
    logits.contiguous()?.apply_op1(LogProb { level, index: classes_of_rows })
}

pub(crate) fn entropy_at(level: Level, logits: &Tensor) -> Result<Tensor> {
    logits.dims2()?;
    if cuda::takes(logits) {
        return cuda::entropy(logits);
    }
    logits.contiguous()?.apply_op1(Entropy { level })
}

pub(crate) fn kl_at(level: Level, p: &Tensor, q: &Tensor) -> Result<Tensor> {
    if p.dims2()? != q.dims2()? {
        candle_core::bail!("kl: logits {:?} and {:?} differ in shape", p.dims(), q.dims());
    }
    if cuda::takes(p) {
        return cuda::kl(p, q);
    }
    p.contiguous()?.apply_op2(&q.contiguous()?, Kl { level })
}

/// Maximum of a row, and ln Σ e^(x - max).
#[derive(Clone, Copy)]
struct Measured {
    max: f32,
    log_sum: f32,
    /// Σ p z.
    mean_z: f32,
}

struct Measure<'a> {
    row: &'a [f32],
}
impl Kernel for Measure<'_> {
    type Output = Measured;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Measured {
        measure(s, self.row)
    }
}

#[inline(always)]
fn measure<S: Simd>(s: S, row: &[f32]) -> Measured {
    let mut top = s.splat(f32::NEG_INFINITY);
    let mut i = 0;
    while i < row.len() {
        let n = (row.len() - i).min(S::LANES);
        // SAFETY: n values are left.
        top = s.max(top, unsafe { s.load_first(row.as_ptr().add(i), n, f32::NEG_INFINITY) });
        i += n;
    }
    let max = s.max_lane(top);
    let shift = s.splat(max);
    let mut sums = [[s.splat(0.0); 2]; 2];
    i = 0;
    while i < row.len() {
        let n = (row.len() - i).min(S::LANES);
        // SAFETY: n values are left.
        let z = s.sub(unsafe { s.load_first(row.as_ptr().add(i), n, FILL) }, shift);
        let e = s.exp(z);
        let acc = &mut sums[i / S::LANES % 2];
        acc[0] = s.add(acc[0], e);
        acc[1] = s.fma(e, z, acc[1]);
        i += n;
    }
    let sum = s.sum(s.add(sums[0][0], sums[1][0]));
    Measured { max, log_sum: sum.ln(), mean_z: s.sum(s.add(sums[0][1], sums[1][1])) / sum }
}

/// `out = p * (a + b * ln p)`, the form of every gradient here that concerns one distribution.
struct Gradient<'a> {
    row: &'a [f32],
    a: f32,
    b: f32,
    out: *mut f32,
}
impl Kernel for Gradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let m = measure(s, self.row);
        let (max, log_sum) = (s.splat(m.max), s.splat(m.log_sum));
        let (a, b) = (s.splat(self.a), s.splat(self.b));
        let mut i = 0;
        while i < self.row.len() {
            let n = (self.row.len() - i).min(S::LANES);
            // SAFETY: n values are left, and `out` is as long.
            unsafe {
                let z = s.sub(s.load_first(self.row.as_ptr().add(i), n, FILL), max);
                let log_p = s.sub(z, log_sum);
                s.store_first(self.out.add(i), s.mul(s.exp(log_p), s.fma(log_p, b, a)), n);
            }
            i += n;
        }
    }
}

/// Runs `each` on every row number, a task for some rows, and gathers the results.
fn per_row(rows: usize, each: impl Fn(usize) -> f32 + Sync + Send) -> Vec<f32> {
    (0..rows).into_par_iter().map(each).collect()
}

struct LogProb {
    level: Level,
    index: Vec<u32>,
}

impl CustomOp1 for LogProb {
    fn name(&self) -> &'static str {
        "log_prob"
    }
    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, c), x) = (xl.shape().dims2()?, slice::<f32>(x, xl)?);
        let out = per_row(n, |i| {
            let row = &x[i * c..][..c];
            let m = self.level.run(Measure { row });
            row[self.index[i] as usize] - m.max - m.log_sum
        });
        Ok((CpuStorage::F32(out), n.into()))
    }
    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, c) = x.dims2()?;
        let grad = grad.contiguous()?;
        let (xs, gs) = (View::<f32>::new(x)?, View::<f32>::new(&grad)?);
        // SAFETY: every row is written by its own task.
        let out = unsafe {
            written(n * c, |out| {
                (0..n).into_par_iter().for_each(|i| {
                    let to = out.at(i * c);
                    self.level.run(Gradient { row: &xs[i * c..][..c], a: -gs[i], b: 0.0, out: to });
                    *to.add(self.index[i] as usize) += gs[i];
                });
            })
        };
        Ok(Some(tensor(out, (n, c))?))
    }
}

struct Entropy {
    level: Level,
}

impl CustomOp1 for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }
    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, c), x) = (xl.shape().dims2()?, slice::<f32>(x, xl)?);
        let out = per_row(n, |i| {
            let m = self.level.run(Measure { row: &x[i * c..][..c] });
            m.log_sum - m.mean_z
        });
        Ok((CpuStorage::F32(out), n.into()))
    }
    fn bwd(&self, x: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, c) = x.dims2()?;
        let grad = grad.contiguous()?;
        let (xs, gs, hs) = (View::<f32>::new(x)?, View::<f32>::new(&grad)?, View::<f32>::new(res)?);
        // dH/dx = -p (ln p + H). SAFETY: every row is written by its own task.
        let out = unsafe {
            written(n * c, |out| {
                (0..n).into_par_iter().for_each(|i| {
                    let row = &xs[i * c..][..c];
                    self.level.run(Gradient { row, a: -gs[i] * hs[i], b: -gs[i], out: out.at(i * c) });
                });
            })
        };
        Ok(Some(tensor(out, (n, c))?))
    }
}

/// Walks two rows together: Σ p (ln p - ln q), and with `out` the gradients of it.
struct Compare<'a> {
    p: &'a [f32],
    q: &'a [f32],
    /// KL, the gradient it gets, and where the gradients for p and q go.
    backward: Option<(f32, f32, Option<*mut f32>, Option<*mut f32>)>,
}
impl Kernel for Compare<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (mp, mq) = (measure(s, self.p), measure(s, self.q));
        let (p_max, p_sum) = (s.splat(mp.max), s.splat(mp.log_sum));
        let (q_max, q_sum) = (s.splat(mq.max), s.splat(mq.log_sum));
        let (kl, grad, to_p, to_q) = self.backward.unwrap_or((0.0, 0.0, None, None));
        let (kl, grad) = (s.splat(kl), s.splat(grad));
        let mut total = s.splat(0.0);
        let mut i = 0;
        while i < self.p.len() {
            let n = (self.p.len() - i).min(S::LANES);
            // SAFETY: n values are left in both rows, and in the outputs where there are any.
            unsafe {
                let log_p = s.sub(s.sub(s.load_first(self.p.as_ptr().add(i), n, FILL), p_max), p_sum);
                let log_q = s.sub(s.sub(s.load_first(self.q.as_ptr().add(i), n, FILL), q_max), q_sum);
                let (p, gap) = (s.exp(log_p), s.sub(log_p, log_q));
                total = s.fma(p, gap, total);
                if let Some(out) = to_p {
                    s.store_first(out.add(i), s.mul(grad, s.mul(p, s.sub(gap, kl))), n);
                }
                if let Some(out) = to_q {
                    s.store_first(out.add(i), s.mul(grad, s.sub(s.exp(log_q), p)), n);
                }
            }
            i += n;
        }
        s.sum(total)
    }
}

struct Kl {
    level: Level,
}

impl CustomOp2 for Kl {
    fn name(&self) -> &'static str {
        "kl"
    }
    fn cpu_fwd(
        &self,
        p: &CpuStorage,
        pl: &Layout,
        q: &CpuStorage,
        ql: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, c) = pl.shape().dims2()?;
        let (p, q) = (slice::<f32>(p, pl)?, slice::<f32>(q, ql)?);
        let out = per_row(n, |i| {
            self.level.run(Compare { p: &p[i * c..][..c], q: &q[i * c..][..c], backward: None })
        });
        Ok((CpuStorage::F32(out), n.into()))
    }
    fn bwd(
        &self,
        p: &Tensor,
        q: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n, c) = p.dims2()?;
        let grad = grad.contiguous()?;
        let (ps, qs) = (View::<f32>::new(p)?, View::<f32>::new(q)?);
        let (ks, gs) = (View::<f32>::new(res)?, View::<f32>::new(&grad)?);
        let size = |t: &Tensor| if t.track_op() { n * c } else { 0 };
        let mut dq = Vec::new();
        // SAFETY: every row of what is wanted is written by its own task.
        let dp = unsafe {
            written(size(p), |to_p| {
                dq = written(size(q), |to_q| {
                    (0..n).into_par_iter().for_each(|i| {
                        let to_p = p.track_op().then(|| to_p.at(i * c));
                        let to_q = q.track_op().then(|| to_q.at(i * c));
                        self.level.run(Compare {
                            p: &ps[i * c..][..c],
                            q: &qs[i * c..][..c],
                            backward: Some((ks[i], gs[i], to_p, to_q)),
                        });
                    });
                });
            })
        };
        Ok((
            p.track_op().then(|| tensor(dp, (n, c))).transpose()?,
            q.track_op().then(|| tensor(dq, (n, c))).transpose()?,
        ))
    }
}
