//! 3x3 convolution (stride 1, padding 1) with what surrounds it in the network folded in: the norm before, the ReLU
//! and the 3x3 max-pool after. One image at a time stays in the cache through all of it.
//!
//! An image is laid out with a border of zeros and its rows one after another; a vector then runs over the end of a
//! row into the next, the two border columns are computed and thrown away, and no width needs special treatment.

mod backward;
mod plane;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use self::plane::{Geometry, flat_to_rows, normalise_into, pack_weights, rows_into, tap_offsets};
use super::cuda;
use super::kernel::Outer;
use super::norm::{Moments, moments};
use super::pool;
use super::simd::Level;
use super::storage::{SharedMut, slice, written};

/// Images a task takes at least, so that its scratch is worth making.
const MIN_IMAGES: usize = 4;

/// Convolution `[N,Ci,H,W]` with `[Co,Ci,3,3]` to `[N,Co,H,W]`, stride 1, zero padding 1, bias `[Co]`, then ReLU if asked.
pub fn conv3x3(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    conv_at(Level::best(), x, w, Extra::from(bias), Shape3x3 { relu, pool: false })
}

/// [`conv3x3`] with bias and ReLU, then a 3x3 max-pool of stride 2: `[N,Co,⌈H/2⌉,⌈W/2⌉]`. The image before the pool is never stored.
pub fn conv3x3_relu_pool(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    conv_at(Level::best(), x, w, Extra::from(bias), Shape3x3 { relu: true, pool: true })
}

/// `relu(conv3x3(norm(x, gain, bias), w))`: the layer `norm → conv → ReLU` of the network, gain and bias `[Ci]`;
/// with `pool`, a 3x3 max-pool of stride 2 follows. Neither the normed nor the unpooled image is stored.
pub fn norm_conv3x3_relu(x: &Tensor, gain: &Tensor, bias: &Tensor, w: &Tensor, pool: bool) -> Result<Tensor> {
    let affine = Tensor::cat(&[gain, bias], 0)?;
    conv_at(Level::best(), x, w, Extra::Norm(affine), Shape3x3 { relu: true, pool })
}

/// The third operand.
pub(crate) enum Extra {
    None,
    Bias(Tensor),
    /// Gain then bias of the norm before, `[2 Ci]`.
    Norm(Tensor),
}

impl From<Option<&Tensor>> for Extra {
    fn from(bias: Option<&Tensor>) -> Self {
        bias.map_or(Self::None, |b| Self::Bias(b.clone()))
    }
}

/// What follows the convolution.
#[derive(Clone, Copy)]
pub(crate) struct Shape3x3 {
    pub(crate) relu: bool,
    pub(crate) pool: bool,
}

pub(crate) fn conv_at(level: Level, x: &Tensor, w: &Tensor, extra: Extra, then: Shape3x3) -> Result<Tensor> {
    let (_, ci, h, width) = x.dims4()?;
    let (co, wi, kh, kw) = w.dims4()?;
    if (wi, kh, kw) != (ci, 3, 3) || h * width == 0 {
        candle_core::bail!("conv3x3: weight {:?} does not fit input {:?}", w.dims(), x.dims());
    }
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let (norm, third, want) = match extra {
        Extra::None => (false, None, 0),
        Extra::Bias(b) => (false, Some(b.contiguous()?), co),
        Extra::Norm(a) => (true, Some(a.contiguous()?), 2 * ci),
    };
    if let Some(t) = &third
        && t.elem_count() != want
    {
        candle_core::bail!("conv3x3: bias or gain {:?} does not fit weight {:?}", t.dims(), w.dims());
    }
    if cuda::takes(&x) {
        let extra = match third {
            None => Extra::None,
            Some(third) if norm => Extra::Norm(third),
            Some(third) => Extra::Bias(third),
        };
        return cuda::conv(&x, &w, extra, then);
    }
    let tracked = x.track_op() || w.track_op() || third.as_ref().is_some_and(Tensor::track_op);
    let op = ConvOp { level, norm, relu: then.relu, pool: then.pool, save: tracked, saved: OnceLock::new() };
    match third {
        None => x.apply_op2(&w, op),
        Some(third) => x.apply_op3(&w, &third, op),
    }
}

/// What the backward pass needs beyond the arguments and the result.
struct Saved {
    moments: Vec<Moments>,
    argmax: Vec<u8>,
}

struct ConvOp {
    level: Level,
    norm: bool,
    relu: bool,
    pool: bool,
    save: bool,
    saved: OnceLock<Saved>,
}

/// Buffers of one task, for one image.
struct Scratch {
    padded: Vec<f32>,
    flat: Vec<f32>,
    rows: Vec<f32>,
}

impl ConvOp {
    fn forward(&self, x: &[f32], dims: (usize, Geometry), w: &[f32], third: Option<&[f32]>) -> Vec<f32> {
        let (n, g) = dims;
        let (oh, ow) = if self.pool { (g.h.div_ceil(2), g.w.div_ceil(2)) } else { (g.h, g.w) };
        let out_image = g.co * oh * ow;
        let panels = pack_weights(w, g.co, g.ci, |co, ci, tap| (co * g.ci + ci) * 9 + tap);
        let offsets = tap_offsets(&g, g.ci);
        let job = Job { op: self, g: &g, panels: &panels, offsets: &offsets, third };
        let keep_moments = self.save && self.norm;
        let keep_argmax = self.save && self.pool;
        let mut all_moments = vec![Moments::default(); if keep_moments { n } else { 0 }];
        let mut argmax = Vec::new();
        // SAFETY: the tasks below write every image of `out`, and of `argmax` where it is kept.
        let out = unsafe {
            written(n * out_image, |out| {
                let moments_out = SharedMut::new(all_moments.as_mut_ptr());
                let run = |argmax: Option<SharedMut<u8>>| {
                    let init = || Scratch {
                        padded: vec![0.0; g.padded_len(g.ci)],
                        flat: vec![0.0; g.co * g.flat()],
                        rows: vec![0.0; g.h * g.w],
                    };
                    (0..n).into_par_iter().with_min_len(MIN_IMAGES).for_each_init(init, |scratch, i| {
                        let input = &x[i * g.ci * g.h * g.w..][..g.ci * g.h * g.w];
                        let m = job.prepare(input, scratch);
                        if keep_moments {
                            *moments_out.at(i) = m;
                        }
                        let arg = argmax.map(|a| a.at(i * out_image));
                        job.image(scratch, out.at(i * out_image), arg);
                    });
                };
                if keep_argmax {
                    argmax = written(n * out_image, |a| run(Some(a)));
                } else {
                    run(None);
                }
            })
        };
        if self.save {
            // The op is applied once; a second value would be equal anyway.
            let _ = self.saved.set(Saved { moments: all_moments, argmax });
        }
        out
    }

    fn apply(&self, args: [(&CpuStorage, &Layout); 2], third: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (n, ci, h, w) = args[0].1.shape().dims4()?;
        let g = Geometry { ci, co: args[1].1.dims()[0], h, w };
        let out = self.forward(slice(args[0].0, args[0].1)?, (n, g), slice(args[1].0, args[1].1)?, third);
        let shape = if self.pool { (n, g.co, h.div_ceil(2), w.div_ceil(2)) } else { (n, g.co, h, w) };
        Ok((CpuStorage::F32(out), shape.into()))
    }
}

/// One forward call, shared by its tasks.
struct Job<'a> {
    op: &'a ConvOp,
    g: &'a Geometry,
    panels: &'a [f32],
    offsets: &'a [usize],
    third: Option<&'a [f32]>,
}

impl Job<'_> {
    /// Lays the input out with its border, normed if asked.
    fn prepare(&self, input: &[f32], scratch: &mut Scratch) -> Moments {
        let g = self.g;
        match (self.op.norm, self.third) {
            (true, Some(affine)) => {
                let m = self.op.level.run(moments(input));
                normalise_into(self.op.level, g, input, m, affine, &mut scratch.padded);
                m
            }
            _ => {
                rows_into(g, g.ci, input, &mut scratch.padded);
                Moments::default()
            }
        }
    }

    /// Convolves and finishes one image.
    /// # Safety
    /// `out` and `argmax` must have room for one output image.
    unsafe fn image(&self, scratch: &mut Scratch, out: *mut f32, argmax: Option<*mut u8>) {
        let g = self.g;
        convolve(self.op.level, g, g.co, (self.panels, self.offsets), &scratch.padded, &mut scratch.flat);
        let bias = if self.op.norm { None } else { self.third };
        let (h, w) = (g.h, g.w);
        for c in 0..g.co {
            let flat = &scratch.flat[c * g.flat()..][..g.flat()];
            let b = bias.map_or(0.0, |b| b[c]);
            if self.op.pool {
                let pooled = h.div_ceil(2) * w.div_ceil(2);
                flat_to_rows(self.op.level, g, flat, b, self.op.relu, &mut scratch.rows);
                // SAFETY: channel c of the output image.
                unsafe {
                    let to = std::slice::from_raw_parts_mut(out.add(c * pooled), pooled);
                    let arg = argmax.map(|a| std::slice::from_raw_parts_mut(a.add(c * pooled), pooled));
                    pool::pool_plane(self.op.level, (h, w), &scratch.rows, to, arg);
                }
            } else {
                // SAFETY: channel c of the output image.
                let to = unsafe { std::slice::from_raw_parts_mut(out.add(c * h * w), h * w) };
                flat_to_rows(self.op.level, g, flat, b, self.op.relu, to);
            }
        }
    }
}

/// `channels_out` planes of flat results from a padded image.
fn convolve(
    level: Level,
    g: &Geometry,
    channels_out: usize,
    (panels, offsets): (&[f32], &[usize]),
    padded: &[f32],
    flat: &mut [f32],
) {
    let steps = offsets.len();
    debug_assert!(flat.len() >= channels_out * g.flat());
    for first in (0..channels_out).step_by(8) {
        level.run(Outer {
            a: panels[first * steps..].as_ptr(),
            a_row: 1,
            a_col: 8,
            rows: (channels_out - first).min(8),
            b: padded.as_ptr(),
            offsets,
            cols: g.flat(),
            out: flat[first * g.flat()..].as_mut_ptr(),
            out_row: g.flat(),
            accumulate: false,
        });
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "conv3x3"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.apply([(x, xl), (w, wl)], None)
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

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "conv3x3"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        third: &CpuStorage,
        tl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.apply([(x, xl), (w, wl)], Some(slice(third, tl)?))
    }
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        third: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, Some(third), res, grad)
    }
}
