//! The operations written the plain way, in f64: what the kernels are compared with.

/// Dimensions `(n, channels in, h, w)`.
pub(super) type Dims = (usize, usize, usize, usize);

pub(super) fn conv3x3(
    x: &[f64],
    (n, ci, h, w): Dims,
    weight: &[f64],
    co: usize,
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let mut out = vec![0.0; n * co * h * w];
    for b in 0..n {
        for o in 0..co {
            for (y, row) in out[(b * co + o) * h * w..][..h * w].chunks_mut(w).enumerate() {
                row.fill(bias.map_or(0.0, |b| b[o]));
                for (i, tap) in (0..ci).flat_map(|i| (0..9).map(move |t| (i, t))) {
                    let (ky, kx) = (tap / 3, tap % 3);
                    let Some(line) = (y + ky).checked_sub(1).filter(|l| *l < h) else { continue };
                    let factor = weight[(o * ci + i) * 9 + tap];
                    for (c, v) in row.iter_mut().enumerate() {
                        if let Some(column) = (c + kx).checked_sub(1).filter(|k| *k < w) {
                            *v += factor * x[((b * ci + i) * h + line) * w + column];
                        }
                    }
                }
            }
        }
    }
    out
}

pub(super) fn relu(mut x: Vec<f64>) -> Vec<f64> {
    x.iter_mut().for_each(|v| *v = v.max(0.0));
    x
}

pub(super) fn max_pool(x: &[f64], (n, c, h, w): Dims) -> Vec<f64> {
    let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
    let mut out = vec![f64::NEG_INFINITY; n * c * oh * ow];
    for (i, o) in out.iter_mut().enumerate() {
        let (plane, y, xx) = (i / (oh * ow), i / ow % oh, i % ow);
        for (dy, dx) in (0..9).map(|t| (t / 3, t % 3)) {
            let (Some(a), Some(b)) = ((2 * y + dy).checked_sub(1), (2 * xx + dx).checked_sub(1)) else {
                continue;
            };
            if a < h && b < w {
                *o = o.max(x[(plane * h + a) * w + b]);
            }
        }
    }
    out
}

/// Rows of `channels * inner` values, gain and bias per channel.
pub(super) fn norm(x: &[f64], gain: &[f64], bias: &[f64], inner: usize) -> Vec<f64> {
    let row = gain.len() * inner;
    let mut out = Vec::with_capacity(x.len());
    for r in x.chunks(row) {
        let mean = r.iter().sum::<f64>() / row as f64;
        let var = r.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row as f64;
        let scale = 1.0 / (var + 1e-5).sqrt();
        out.extend(r.iter().enumerate().map(|(i, v)| (v - mean) * scale * gain[i / inner] + bias[i / inner]));
    }
    out
}

pub(super) fn linear(x: &[f64], k: usize, w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |r: &[f64]| {
        w.chunks(k).enumerate().map(|(o, w)| dot(r, w) + bias.map_or(0.0, |b| b[o])).collect::<Vec<_>>()
    };
    x.chunks(k).flat_map(row).collect()
}

/// ln p of each class, rows of `c`.
pub(super) fn log_softmax(x: &[f64], c: usize) -> Vec<f64> {
    x.chunks(c)
        .flat_map(|row| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = row.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
            row.iter().map(move |v| v - top - sum)
        })
        .collect()
}

pub(super) fn entropy(x: &[f64], c: usize) -> Vec<f64> {
    log_softmax(x, c).chunks(c).map(|row| -row.iter().map(|l| l.exp() * l).sum::<f64>()).collect()
}

pub(super) fn kl(p: &[f64], q: &[f64], c: usize) -> Vec<f64> {
    let (p, q) = (log_softmax(p, c), log_softmax(q, c));
    let row = |(p, q): (&[f64], &[f64])| p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum();
    p.chunks(c).zip(q.chunks(c)).map(row).collect()
}

/// Scores and bias `[B,H,T,S]`, mask `[B,T,S]`.
pub(super) fn masked_softmax(
    x: &[f64],
    bias: &[f64],
    mask: &[u8],
    (_, h, t, s): Dims,
    scale: f64,
) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len());
    for (r, (x, bias)) in x.chunks(s).zip(bias.chunks(s)).enumerate() {
        let shown = &mask[(r / (h * t) * t + r % t) * s..][..s];
        let each = |i: usize| if shown[i] == 1 { (x[i] * scale + bias[i]).exp() } else { 0.0 };
        let sum = (0..s).map(each).sum::<f64>();
        out.extend((0..s).map(|i| if sum == 0.0 { 0.0 } else { each(i) / sum }));
    }
    out
}
