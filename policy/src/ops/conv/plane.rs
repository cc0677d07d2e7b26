//! Moving images between `[C,H,W]` and the bordered layout the convolution works on.

use crate::ops::norm::Moments;
use crate::ops::simd::{Kernel, Level, Simd};

/// Sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) ci: usize,
    pub(super) co: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

impl Geometry {
    /// Values from one row to the next in the bordered layout.
    pub(super) fn row(&self) -> usize {
        self.w + 2
    }
    /// Results a plane has in the flat layout: `h` rows of `row()`, the two last of each meaningless, in whole vectors.
    pub(super) fn flat(&self) -> usize {
        (self.h * self.row() - 2).next_multiple_of(16)
    }
    /// Values from one bordered plane to the next; the slack keeps a last vector inside and is zero.
    pub(super) fn plane(&self) -> usize {
        ((self.h + 2) * self.row()).next_multiple_of(16) + 16
    }
    /// Length of a bordered image of `channels` planes.
    pub(super) fn padded_len(&self, channels: usize) -> usize {
        channels * self.plane()
    }
}

/// Weights as panels of eight outputs: `[⌈outputs/8⌉][inputs * 9][8]`, zero where there is no output.
pub(super) fn pack_weights(
    w: &[f32],
    outputs: usize,
    inputs: usize,
    index: impl Fn(usize, usize, usize) -> usize,
) -> Vec<f32> {
    let steps = inputs * 9;
    let mut panels = vec![0.0; outputs.next_multiple_of(8) * steps];
    for o in 0..outputs {
        let panel = &mut panels[o / 8 * 8 * steps..][..8 * steps];
        for i in 0..inputs {
            for tap in 0..9 {
                panel[(i * 9 + tap) * 8 + o % 8] = w[index(o, i, tap)];
            }
        }
    }
    panels
}

/// Where each (input channel, tap) reads, relative to the output's flat position.
pub(super) fn tap_offsets(g: &Geometry, inputs: usize) -> Vec<usize> {
    (0..inputs * 9).map(|r| r / 9 * g.plane() + r % 9 / 3 * g.row() + r % 3).collect()
}

/// Copies `channels` planes into the interior of the bordered layout.
pub(super) fn rows_into(g: &Geometry, channels: usize, from: &[f32], padded: &mut [f32]) {
    for c in 0..channels {
        let plane = &mut padded[c * g.plane()..][..g.plane()];
        for (y, row) in from[c * g.h * g.w..][..g.h * g.w].chunks_exact(g.w).enumerate() {
            plane[(y + 1) * g.row() + 1..][..g.w].copy_from_slice(row);
        }
    }
}

/// As [`rows_into`] for a gradient: passes only where the ReLU's `result` is positive.
pub(super) fn masked_rows_into(level: Level, g: &Geometry, from: &[f32], result: &[f32], padded: &mut [f32]) {
    assert!(from.len() == g.co * g.h * g.w && result.len() == from.len());
    assert!(padded.len() >= g.padded_len(g.co));
    level.run(MaskedRows { g, from, result, padded: padded.as_mut_ptr() });
}

struct MaskedRows<'a> {
    g: &'a Geometry,
    from: &'a [f32],
    result: &'a [f32],
    padded: *mut f32,
}

impl Kernel for MaskedRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.g;
        let zero = s.splat(0.0);
        for c in 0..g.co {
            for y in 0..g.h {
                let at = (c * g.h + y) * g.w;
                // SAFETY: row y of plane c, lengths checked by `masked_rows_into`.
                unsafe {
                    let (from, result) = (self.from.as_ptr().add(at), self.result.as_ptr().add(at));
                    let to = self.padded.add(c * g.plane() + (y + 1) * g.row() + 1);
                    let mut i = 0;
                    while i + S::LANES <= g.w {
                        let v = s.select_gt(s.load(result.add(i)), zero, s.load(from.add(i)), zero);
                        s.store(to.add(i), v);
                        i += S::LANES;
                    }
                    if i < g.w {
                        let n = g.w - i;
                        let (r, f) = (s.load_first(result.add(i), n, 0.0), s.load_first(from.add(i), n, 0.0));
                        s.store_first(to.add(i), s.select_gt(r, zero, f, zero), n);
                    }
                }
            }
        }
    }
}

/// Normalises an image with its own moments into the bordered layout; `affine` is gain then bias per channel.
pub(super) fn normalise_into(
    level: Level,
    g: &Geometry,
    from: &[f32],
    m: Moments,
    affine: &[f32],
    padded: &mut [f32],
) {
    for c in 0..g.ci {
        let image = &from[c * g.h * g.w..][..g.h * g.w];
        let plane = &mut padded[c * g.plane()..][..g.plane()];
        let (scale, shift) = (m.inv_std * affine[c], affine[g.ci + c]);
        level.run(Rows {
            from: image.as_ptr(),
            from_row: g.w,
            to: plane[g.row() + 1..].as_mut_ptr(),
            to_row: g.row(),
            size: (g.h, g.w),
            each: Each::Affine { centre: m.mean, scale, shift },
        });
    }
}

/// Takes the meaningful columns of a flat plane, adds the bias, and applies the ReLU if asked.
pub(super) fn flat_to_rows(level: Level, g: &Geometry, flat: &[f32], bias: f32, relu: bool, to: &mut [f32]) {
    assert!(flat.len() >= g.h * g.row() - 2 && to.len() >= g.h * g.w);
    level.run(Rows {
        from: flat.as_ptr(),
        from_row: g.row(),
        to: to.as_mut_ptr(),
        to_row: g.w,
        size: (g.h, g.w),
        each: Each::Bias { bias, floor: if relu { 0.0 } else { f32::NEG_INFINITY } },
    });
}

#[derive(Clone, Copy)]
enum Each {
    Affine { centre: f32, scale: f32, shift: f32 },
    Bias { bias: f32, floor: f32 },
}

/// Rows copied from one pitch to another, with a little arithmetic on the way.
struct Rows {
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
    size: (usize, usize),
    each: Each,
}

impl Kernel for Rows {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // (x - centre) * scale + shift, then the larger of it and floor: one form for both.
        let (centre, scale, shift, floor) = match self.each {
            Each::Affine { centre, scale, shift } => (centre, scale, shift, f32::NEG_INFINITY),
            Each::Bias { bias, floor } => (0.0, 1.0, bias, floor),
        };
        let (centre, scale) = (s.splat(centre), s.splat(scale));
        let (shift, floor) = (s.splat(shift), s.splat(floor));
        let (h, w) = self.size;
        for y in 0..h {
            // SAFETY: the callers' slices hold h rows at these pitches.
            unsafe {
                let (from, to) = (self.from.add(y * self.from_row), self.to.add(y * self.to_row));
                let mut i = 0;
                while i + S::LANES <= w {
                    let v = s.fma(s.sub(s.load(from.add(i)), centre), scale, shift);
                    // `select_gt` rather than `max`: a NaN must come through.
                    s.store(to.add(i), s.select_gt(floor, v, floor, v));
                    i += S::LANES;
                }
                if i < w {
                    let v = s.fma(s.sub(s.load_first(from.add(i), w - i, 0.0), centre), scale, shift);
                    s.store_first(to.add(i), s.select_gt(floor, v, floor, v), w - i);
                }
            }
        }
    }
}
