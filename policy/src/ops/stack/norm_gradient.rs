//! The gradient of the norm over a whole image with a gain per channel, on images in blocks.

use super::grid::{BLOCK, Grid};
use crate::ops::norm::Moments;
use crate::ops::simd::{Kernel, Level, Simd};

/// Pixels whose terms are summed in f32 before they join the f64 totals.
const PIXELS: usize = 256;

/// Where the gradient of a norm's input goes.
pub(super) enum Target<'a> {
    /// Replaces `to`, which lies as the grid says, at positions where the input is above 0; elsewhere 0: the input is
    /// a ReLU's result.
    Masked(Grid, &'a mut [f32]),
    /// Replaces the values, which lie as the grid says.
    Plain(Grid, &'a mut [f32]),
    /// Joins the values.
    Add(&'a mut [f32]),
}

/// A norm's input (without border), its moments, gain and the gradient of its result.
pub(super) struct NormGradient<'a> {
    pub(super) level: Level,
    pub(super) x: &'a [f32],
    pub(super) m: Moments,
    pub(super) gain: &'a [f32],
    pub(super) grad: &'a [f32],
}

impl NormGradient<'_> {
    /// Adds the gradients of gain and bias to `sums` (gain first), and gives the input's to `target`.
    pub(super) fn run(&self, sums: &mut [f64], target: Target<'_>) {
        let channels = self.gain.len();
        let pixels = self.x.len() / channels;
        assert!(
            self.grad.len() == self.x.len() && sums.len() == 2 * channels && channels.is_multiple_of(BLOCK)
        );
        let (mut first, mut second) = (0.0, 0.0);
        for block in 0..channels / BLOCK {
            let at = block * pixels * BLOCK..(block + 1) * pixels * BLOCK;
            let mut totals = [[0.0f64; BLOCK]; 2];
            let (x, grad) = (&self.x[at.clone()], &self.grad[at]);
            self.level.run(BlockSums { x, grad, m: self.m, totals: &mut totals });
            let [plain, hat] = totals;
            for (lane, (plain, hat)) in plain.into_iter().zip(hat).enumerate() {
                let c = block * BLOCK + lane;
                first += plain * f64::from(self.gain[c]);
                second += hat * f64::from(self.gain[c]);
                sums[c] += hat;
                sums[channels + c] += plain;
            }
        }
        let n = self.x.len() as f64;
        let inv = f64::from(self.m.inv_std);
        // inv_std * (grad * gain - first / n - hat * second / n), with hat = (x - mean) * inv_std.
        let by_x = (-inv * inv * second / n) as f32;
        let constant = (-inv * first / n) as f32;
        let whole = Grid { blocks: channels / BLOCK, h: 1, w: pixels, border: 0 };
        let (grid, to, kind) = match target {
            Target::Masked(grid, to) => (grid, to, Kind::Masked),
            Target::Plain(grid, to) => (grid, to, Kind::Plain),
            Target::Add(to) => (whole, to, Kind::Add),
        };
        assert!(to.len() >= grid.len() && grid.blocks * BLOCK == channels && grid.h * grid.w == pixels);
        self.level.run(Combine { on: self, grid, to, kind, by_x, constant });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Masked,
    Plain,
    Add,
}

/// Per channel of a block, Σ grad and Σ grad * hat.
struct BlockSums<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    m: Moments,
    totals: &'a mut [[f64; BLOCK]; 2],
}

impl Kernel for BlockSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mean, inv) = (s.splat(self.m.mean), s.splat(self.m.inv_std));
        for (x, grad) in self.x.chunks(PIXELS * BLOCK).zip(self.grad.chunks(PIXELS * BLOCK)) {
            for lane in (0..BLOCK).step_by(S::LANES) {
                let mut acc = [[s.splat(0.0); 2]; 4];
                for p in 0..x.len() / BLOCK {
                    // SAFETY: pixel p exists in both.
                    let (x, g) = unsafe {
                        let at = p * BLOCK + lane;
                        (s.load(x.as_ptr().add(at)), s.load(grad.as_ptr().add(at)))
                    };
                    let acc = &mut acc[p % 4];
                    acc[0] = s.add(acc[0], g);
                    acc[1] = s.fma(s.mul(s.sub(x, mean), inv), g, acc[1]);
                }
                for (k, totals) in self.totals.iter_mut().enumerate() {
                    let sum = s.add(s.add(acc[0][k], acc[1][k]), s.add(acc[2][k], acc[3][k]));
                    let mut lanes = [0.0f32; BLOCK];
                    // SAFETY: a vector has at most 16 lanes.
                    unsafe { s.store(lanes.as_mut_ptr(), sum) };
                    for (t, v) in totals[lane..lane + S::LANES].iter_mut().zip(lanes) {
                        *t += f64::from(v);
                    }
                }
            }
        }
    }
}

/// `grad * gain * inv_std + (x - mean) * by_x + constant`, to where it belongs.
struct Combine<'a> {
    on: &'a NormGradient<'a>,
    grid: Grid,
    to: &'a mut [f32],
    kind: Kind,
    by_x: f32,
    constant: f32,
}

impl Kernel for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.grid;
        let (mean, inv, zero) = (s.splat(self.on.m.mean), s.splat(self.on.m.inv_std), s.splat(0.0));
        let (by_x, constant) = (s.splat(self.by_x), s.splat(self.constant));
        for row in 0..g.blocks * g.h {
            let block = row / g.h;
            for lane in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: lengths are checked by `NormGradient::run`.
                unsafe {
                    let by_grad = s.mul(s.load(self.on.gain.as_ptr().add(block * BLOCK + lane)), inv);
                    let at = row * g.w * BLOCK + lane;
                    let (x, grad) = (self.on.x.as_ptr().add(at), self.on.grad.as_ptr().add(at));
                    let to = self.to.as_mut_ptr().add(g.at(block, row % g.h) + lane);
                    for p in (0..g.w * BLOCK).step_by(BLOCK) {
                        let x = s.load(x.add(p));
                        let v = s.fma(s.sub(x, mean), by_x, constant);
                        let v = s.fma(s.load(grad.add(p)), by_grad, v);
                        let v = match self.kind {
                            Kind::Masked => s.select_gt(x, zero, v, zero),
                            Kind::Plain => v,
                            Kind::Add => s.add(s.load(to.add(p)), v),
                        };
                        s.store(to.add(p), v);
                    }
                }
            }
        }
    }
}
