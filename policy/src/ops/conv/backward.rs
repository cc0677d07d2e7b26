//! Gradients of the convolution and of what is folded into it.
//!
//! Images are split into a number of parts that depends on the shapes only; each part sums its own weight gradient and
//! the parts are added in order, so the result does not depend on how threads were scheduled.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::plane::{flat_to_rows, masked_rows_into, normalise_into, pack_weights, rows_into, tap_offsets};
use super::{ConvOp, Geometry, Saved, convolve};
use crate::ops::kernel::Dot;
use crate::ops::norm::{ChannelNorm, sum};
use crate::ops::storage::{SharedMut, View, tensor, written};

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// Everything a part reads.
struct Pass<'a> {
    op: &'a ConvOp,
    g: Geometry,
    x: &'a [f32],
    third: Option<&'a [f32]>,
    result: &'a [f32],
    grad: &'a [f32],
    saved: Option<&'a Saved>,
    want_x: bool,
    want_w: bool,
    want_third: bool,
    panels: Vec<f32>,
    offsets: Vec<usize>,
}

/// What a part sums.
struct Sums {
    w: Vec<f32>,
    third: Vec<f64>,
}

impl ConvOp {
    pub(super) fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        third: Option<&Tensor>,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<Gradients> {
        let (n, ci, h, wd) = x.dims4()?;
        let g = Geometry { ci, co: w.dim(0)?, h, w: wd };
        let grad = grad.contiguous()?;
        let (xs, ws, rs, gs) =
            (View::<f32>::new(x)?, View::<f32>::new(w)?, View::<f32>::new(res)?, View::<f32>::new(&grad)?);
        let ts = third.map(View::<f32>::new).transpose()?;
        let want_third = third.is_some_and(Tensor::track_op);
        // The norm's gradients need the gradient of its output, which is the convolution's input gradient.
        let want_x = x.track_op() || (self.norm && want_third);
        let pass = Pass {
            op: self,
            g,
            x: &xs,
            third: ts.as_deref(),
            result: &rs,
            grad: &gs,
            saved: self.saved.get(),
            want_x,
            want_w: w.track_op(),
            want_third,
            // Input channels become outputs and the taps turn round.
            panels: pack_weights(&ws, ci, g.co, |i, o, tap| (o * ci + i) * 9 + 8 - tap),
            offsets: tap_offsets(&g, g.co),
        };
        let parts = (n / 4).clamp(1, if g.co * g.ci > 1 << 16 { 4 } else { 16 });
        let image = ci * h * wd;
        let mut sums = Vec::new();
        // SAFETY: parts cover all images, and each writes the whole gradient of its own ones.
        let dx = unsafe {
            written(if want_x { n * image } else { 0 }, |dx: SharedMut<f32>| {
                sums = (0..parts)
                    .into_par_iter()
                    .map(|p| pass.part(p * n / parts..(p + 1) * n / parts, dx))
                    .collect::<Vec<_>>();
            })
        };
        let total = add_in_order(sums);
        let third_grad = total.third.iter().map(|v| *v as f32).collect();
        Ok((
            x.track_op().then(|| tensor(dx, x.shape())).transpose()?,
            pass.want_w.then(|| tensor(total.w, w.shape())).transpose()?,
            match third {
                Some(t) if want_third => Some(tensor(third_grad, t.shape())?),
                _ => None,
            },
        ))
    }
}

fn add_in_order(sums: Vec<Sums>) -> Sums {
    let mut parts = sums.into_iter();
    let mut total = parts.next().unwrap_or(Sums { w: Vec::new(), third: Vec::new() });
    for part in parts {
        total.w.iter_mut().zip(&part.w).for_each(|(a, b)| *a += b);
        total.third.iter_mut().zip(&part.third).for_each(|(a, b)| *a += b);
    }
    total
}

impl Pass<'_> {
    /// # Safety
    /// `dx` must have room for every image where it is wanted, and no other task may write this part's images.
    unsafe fn part(&self, images: std::ops::Range<usize>, dx: SharedMut<f32>) -> Sums {
        let g = &self.g;
        let mut sums = Sums {
            w: vec![0.0; if self.want_w { g.co * g.ci * 9 } else { 0 }],
            third: vec![0.0; if self.want_third { if self.op.norm { 2 * g.ci } else { g.co } } else { 0 }],
        };
        // Small images are taken together, so that a weight's dot product is long enough to be worth its reduction.
        let group = (1024 / g.flat()).clamp(1, 8);
        let (x_len, g_len) = (g.padded_len(g.ci), g.padded_len(g.co));
        let mut padded_x = vec![0.0; if self.want_w { group * x_len } else { 0 }];
        let mut padded_g = vec![0.0; group * g_len];
        let mut flat = vec![0.0; if self.want_x { g.ci * g.flat() } else { 0 }];
        let mut next = images.start;
        while next < images.end {
            let count = group.min(images.end - next);
            for k in 0..count {
                let grad = &mut padded_g[k * g_len..][..g_len];
                self.load_gradient(next + k, grad);
                if self.want_third && !self.op.norm {
                    for c in 0..g.co {
                        sums.third[c] += self.op.level.run(sum(&grad[c * g.plane()..][..g.plane()]));
                    }
                }
                if self.want_w {
                    self.load_input(next + k, &mut padded_x[k * x_len..][..x_len]);
                }
                if self.want_x {
                    // SAFETY: image `next + k` belongs to this part.
                    unsafe { self.input_gradient(next + k, grad, &mut flat, dx, &mut sums.third) }
                }
            }
            if self.want_w {
                self.weight_gradient(count, &padded_x, &padded_g, &mut sums.w);
            }
            next += count;
        }
        sums
    }

    /// The gradient of the convolution's own output, bordered.
    fn load_gradient(&self, image: usize, to: &mut [f32]) {
        let g = &self.g;
        if !self.op.pool {
            let len = g.co * g.h * g.w;
            let grad = &self.grad[image * len..][..len];
            if self.op.relu {
                masked_rows_into(self.op.level, g, grad, &self.result[image * len..][..len], to);
            } else {
                rows_into(g, g.co, grad, to);
            }
            return;
        }
        let (oh, ow) = (g.h.div_ceil(2), g.w.div_ceil(2));
        let argmax = &self.saved.expect("a tracked forward has saved its argmax").argmax;
        to.fill(0.0);
        for c in 0..g.co {
            let at = (image * g.co + c) * oh * ow;
            let plane = &mut to[c * g.plane()..][..g.plane()];
            for y in 0..oh {
                let row = at + y * ow;
                let (grads, results) = (&self.grad[row..][..ow], &self.result[row..][..ow]);
                for (x, ((d, r), tap)) in grads.iter().zip(results).zip(&argmax[row..][..ow]).enumerate() {
                    // The border makes the window's first corner (2y - 1, 2x - 1) come to (2y, 2x).
                    let tap = usize::from(*tap);
                    let cell = &mut plane[(2 * y + tap / 3) * g.row() + 2 * x + tap % 3];
                    *cell += if !self.op.relu || *r > 0.0 { *d } else { 0.0 };
                }
            }
        }
    }

    /// The convolution's own input, bordered.
    fn load_input(&self, image: usize, to: &mut [f32]) {
        let g = &self.g;
        let len = g.ci * g.h * g.w;
        let input = &self.x[image * len..][..len];
        match (self.op.norm, self.saved, self.third) {
            (true, Some(saved), Some(affine)) => {
                normalise_into(self.op.level, g, input, saved.moments[image], affine, to);
            }
            _ => rows_into(g, g.ci, input, to),
        }
    }

    /// # Safety
    /// No other task may write this image of `dx`.
    unsafe fn input_gradient(
        &self,
        image: usize,
        grad: &[f32],
        flat: &mut [f32],
        dx: SharedMut<f32>,
        third: &mut [f64],
    ) {
        let g = &self.g;
        let len = g.ci * g.h * g.w;
        convolve(self.op.level, g, g.ci, (&self.panels, &self.offsets), grad, flat);
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(dx.at(image * len), len) };
        for c in 0..g.ci {
            let to = &mut out[c * g.h * g.w..][..g.h * g.w];
            flat_to_rows(self.op.level, g, &flat[c * g.flat()..][..g.flat()], 0.0, false, to);
        }
        if let (true, Some(saved), Some(affine)) = (self.op.norm, self.saved, self.third) {
            let gain = &affine[..g.ci];
            let x = &self.x[image * len..][..len];
            let (dgain, dbias) = third.split_at_mut(third.len() / 2);
            ChannelNorm { level: self.op.level, inner: g.h * g.w, gain }.backward(
                x,
                saved.moments[image],
                out,
                (dgain, dbias),
            );
        }
    }

    fn weight_gradient(&self, count: usize, x: &[f32], grad: &[f32], dw: &mut [f32]) {
        let g = &self.g;
        for first in (0..g.co).step_by(8) {
            for i in 0..g.ci {
                for ky in 0..3 {
                    self.op.level.run(Dot {
                        // Bordered position (1, 1) is flat position 0.
                        a: grad[first * g.plane() + g.row() + 1..].as_ptr(),
                        a_row: g.plane(),
                        a_segment: g.padded_len(g.co),
                        rows: (g.co - first).min(8),
                        b: x[i * g.plane() + ky * g.row()..].as_ptr(),
                        b_row: 1,
                        b_segment: g.padded_len(g.ci),
                        cols: 3,
                        len: g.flat(),
                        segments: count,
                        out: dw[(first * g.ci + i) * 9 + ky * 3..].as_mut_ptr(),
                        out_row: g.ci * 9,
                        out_col: 1,
                        accumulate: true,
                    });
                }
            }
        }
    }
}
