//! Mu-law camera bins: 11 per axis over ±10 degrees, finer near zero.

const MAX_DEGREES: f64 = 10.0;
const BIN_SIZE: f64 = 2.0;
const MU: f64 = 10.0;

/// Bins per axis.
pub(super) const BINS: u32 = 11;
/// The bin of no movement.
pub(super) const NULL_BIN: u32 = 5;

/// Degrees to a bin in 0..11; what is not a number does not move.
pub(super) fn quantise(degrees: f32) -> u32 {
    if degrees.is_nan() {
        return NULL_BIN;
    }
    let x = f64::from(degrees).clamp(-MAX_DEGREES, MAX_DEGREES) / MAX_DEGREES;
    let compressed = x.signum() * (MU * x.abs()).ln_1p() / MU.ln_1p() * MAX_DEGREES;
    ((compressed + MAX_DEGREES) / BIN_SIZE).round_ties_even() as u32
}

/// The degrees a bin stands for.
pub(super) fn dequantise(bin: u32) -> f32 {
    let y = (f64::from(bin) * BIN_SIZE - MAX_DEGREES) / MAX_DEGREES;
    if y == 0.0 {
        return 0.0;
    }
    (MAX_DEGREES * y.signum() * ((1.0 + MU).powf(y.abs()) - 1.0) / MU) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_invert_and_have_a_dead_zone() {
        for bin in 0..BINS {
            assert_eq!(quantise(dequantise(bin)), bin);
            assert_eq!(dequantise(BINS - 1 - bin), -dequantise(bin));
        }
        assert_eq!(dequantise(NULL_BIN), 0.0);
        assert_eq!([quantise(0.27), quantise(-0.27), quantise(0.0)], [NULL_BIN; 3]);
        assert_eq!([quantise(0.28), quantise(-0.28)], [6, 4]);
        assert_eq!([quantise(1e9), quantise(-1e9), quantise(f32::NAN)], [10, 0, 5]);
        assert_eq!([quantise(f32::INFINITY), quantise(f32::NEG_INFINITY)], [10, 0]);
    }
}
