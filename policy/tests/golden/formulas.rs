//! Weights and frames that come from formulas, so that of a golden network only expected numbers are stored.

use candle_core::{Device, Tensor};

pub(crate) fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The values of one parameter.
pub(crate) fn parameter(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = fnv1a64(name).wrapping_add(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let u = |i: usize| (splitmix64(seed.wrapping_add(i as u64)) >> 40) as f64 / f64::from(1 << 23) - 1.0;
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    let value = |i: usize| match name {
        "value_head.normalizer.running_mean" => 0.35,
        "value_head.normalizer.running_mean_sq" => 1.6,
        "value_head.normalizer.debiasing_term" => 0.5,
        _ if shape.len() == 1 && name.ends_with(".weight") => 1.0 + 0.2 * u(i),
        _ if shape.len() == 1 => 0.1 * u(i),
        _ if name.ends_with("b_nd") => 0.5 * u(i),
        _ => (3.0 / fan_in).sqrt() * u(i),
    };
    (0..shape.iter().product()).map(|i| value(i) as f32).collect()
}

/// Frames u8 `[batch, length, side, side, 3]` of the steps from `first` on.
pub(crate) fn frames(seed: u64, batch: usize, first: usize, length: usize, side: usize) -> Tensor {
    let mut bytes = Vec::with_capacity(batch * length * side * side * 3);
    for (b, t) in (0..batch as u64).flat_map(|b| (0..length as u64).map(move |t| (b, first as u64 + t))) {
        let base = (seed * 1_000_003 + b * 10_007 + t) << 24;
        for (y, x) in (0..side as u64).flat_map(|y| (0..side as u64).map(move |x| (y, x))) {
            for c in 0..3 {
                let block = splitmix64(base + (1 << 22) + (y / 8) * 1024 + (x / 8) * 4 + c);
                let pixel = splitmix64(base + (y * 1024 + x) * 4 + c);
                bytes.push((block & 0xF0) as u8 | (pixel & 0x0F) as u8);
            }
        }
    }
    Tensor::from_vec(bytes, (batch, length, side, side, 3), &Device::Cpu).unwrap()
}
