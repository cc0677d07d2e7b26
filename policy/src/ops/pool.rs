//! Max-pooling 3x3 with stride 2 and a border of -infinity (candle's own has no padding and a wrong gradient).

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::simd::{Kernel, Level, Simd};
use super::storage::{View, slice, tensor, written};

/// Pools `[N,C,H,W]` to `[N,C,⌈H/2⌉,⌈W/2⌉]`. Of equal values the first in row order gets the gradient.
pub fn max_pool_3x3_s2(x: &Tensor) -> Result<Tensor> {
    max_pool_at(Level::best(), x)
}

pub(crate) fn max_pool_at(level: Level, x: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    if cuda::takes(x) {
        return cuda::max_pool(x);
    }
    x.contiguous()?.apply_op1(PoolOp { level, save: x.track_op(), argmax: OnceLock::new() })
}

/// Pools one plane of `(h, w)`; `argmax` receives the place in the window, `3 * row + column`.
pub(crate) fn pool_plane(
    level: Level,
    (h, w): (usize, usize),
    from: &[f32],
    to: &mut [f32],
    argmax: Option<&mut [u8]>,
) {
    let size = h.div_ceil(2) * w.div_ceil(2);
    assert!(from.len() >= h * w && to.len() >= size && argmax.as_ref().is_none_or(|a| a.len() >= size));
    level.run(Plane { size: (h, w), from, to, argmax });
}

struct Plane<'a> {
    size: (usize, usize),
    from: &'a [f32],
    to: &'a mut [f32],
    argmax: Option<&'a mut [u8]>,
}

/// A row split by column parity: `odd[i]` is column `2i - 1`, `even[i]` column `2i`, beyond the image -infinity.
#[inline(always)]
fn split(row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let pairs = row.len() / 2;
    let (whole, rest) = row.split_at(pairs * 2);
    for ((e, o), pair) in even.iter_mut().zip(&mut odd[1..]).zip(whole.chunks_exact(2)) {
        *e = pair[0];
        *o = pair[1];
    }
    if let [last] = rest {
        even[pairs] = *last;
    }
}

impl Kernel for Plane<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (h, w) = self.size;
        let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
        // Three rows, each with its even part and its odd part; whole vectors may be read past the end.
        let pitch = ow + 1 + S::LANES;
        let mut rows = vec![f32::NEG_INFINITY; 6 * pitch];
        let mut code = vec![0.0f32; ow + S::LANES];
        let mut out = vec![0.0f32; ow + S::LANES];
        for y in 0..oh {
            for r in 0..3 {
                let (even, odd) = rows[2 * r * pitch..][..2 * pitch].split_at_mut(pitch);
                match (2 * y + r).checked_sub(1) {
                    Some(line) if line < h => split(&self.from[line * w..][..w], even, odd),
                    _ => rows[2 * r * pitch..][..2 * pitch].fill(f32::NEG_INFINITY),
                }
            }
            let mut i = 0;
            while i < ow {
                // SAFETY: buffers have a vector's room beyond `ow`, and one more for the column after.
                unsafe {
                    let row =
                        |r: usize, part: usize, k: usize| rows.as_ptr().add((2 * r + part) * pitch + i + k);
                    let mut best = s.load(row(0, 1, 0));
                    let mut tap = s.splat(0.0);
                    for t in 1..9 {
                        let (part, k) = [(1, 0), (0, 0), (1, 1)][t % 3];
                        let v = s.load(row(t / 3, part, k));
                        if self.argmax.is_some() {
                            tap = s.select_gt(v, best, s.splat(t as f32), tap);
                        }
                        best = s.select_gt(v, best, v, best);
                    }
                    s.store(out.as_mut_ptr().add(i), best);
                    s.store(code.as_mut_ptr().add(i), tap);
                }
                i += S::LANES;
            }
            self.to[y * ow..][..ow].copy_from_slice(&out[..ow]);
            if let Some(argmax) = &mut self.argmax {
                for (a, c) in argmax[y * ow..][..ow].iter_mut().zip(&code) {
                    *a = *c as i32 as u8;
                }
            }
        }
    }
}

struct PoolOp {
    level: Level,
    save: bool,
    argmax: OnceLock<Vec<u8>>,
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "max_pool_3x3_s2"
    }
    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = xl.shape().dims4()?;
        let x: &[f32] = slice(x, xl)?;
        let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
        let size = oh * ow;
        let mut argmax = vec![0u8; if self.save { n * c * size } else { 0 }];
        // SAFETY: each plane is written by its own task.
        let out = unsafe {
            written(n * c * size, |out| {
                let plane = |i: usize, arg: Option<&mut [u8]>| {
                    let to = std::slice::from_raw_parts_mut(out.at(i * size), size);
                    pool_plane(self.level, (h, w), &x[i * h * w..][..h * w], to, arg);
                };
                if self.save {
                    argmax.par_chunks_mut(size).enumerate().for_each(|(i, a)| plane(i, Some(a)));
                } else {
                    (0..n * c).into_par_iter().with_min_len(16).for_each(|i| plane(i, None));
                }
            })
        };
        if self.save {
            let _ = self.argmax.set(argmax);
        }
        Ok((CpuStorage::F32(out), (n, c, oh, ow).into()))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
        let grad = grad.contiguous()?;
        let gs = View::<f32>::new(&grad)?;
        let argmax = self.argmax.get().map_or(&[][..], Vec::as_slice);
        let mut dx = vec![0.0f32; x.elem_count()];
        dx.par_chunks_mut(h * w)
            .zip(gs.par_chunks(oh * ow))
            .zip(argmax.par_chunks(oh * ow))
            .with_min_len(16)
            .for_each(|((dx, grad), taps)| {
                for (i, (g, tap)) in grad.iter().zip(taps).enumerate() {
                    let (y, x) = (i / ow * 2 + usize::from(tap / 3), i % ow * 2 + usize::from(tap % 3));
                    dx[(y - 1) * w + x - 1] += g;
                }
            });
        Ok(Some(tensor(dx, x.shape())?))
    }
}
