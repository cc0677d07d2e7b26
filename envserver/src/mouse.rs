//! Mouse movements that a person and the policy's camera bins can make, for the scripted players of all worlds.

/// What the policy's five camera bins to either side decode to, degrees.
const AMOUNTS: [f32; 5] = [0.615_394_3, 1.609_498_6, 3.215_369_2, 5.809_483, 10.0];

/// Fastest turn in one tick, degrees.
pub(crate) const FASTEST: f32 = 10.0;

/// The movement that brings an error nearest to 0; none while it is within `tolerance`.
pub(crate) fn towards(error: f32, tolerance: f32) -> f32 {
    if error.abs() <= tolerance {
        return 0.0;
    }
    let distance = |amount: f32| (error.abs() - amount).abs();
    let best = AMOUNTS.into_iter().min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    best.unwrap_or(0.0).copysign(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_the_decoded_bins() {
        for (bin, amount) in (1_i16..=5).zip(AMOUNTS) {
            let z = f64::from(bin) / 5.0;
            assert_eq!(amount, (11.0_f64.powf(z) - 1.0) as f32);
        }
    }

    #[test]
    fn errors_shrink_until_tolerated() {
        for start in [-170.0, -7.4, -1.2, -0.4, 0.0, 2.4, 33.0] {
            let mut error: f32 = start;
            for _ in 0..30 {
                error -= towards(error, 0.5);
            }
            assert!(error.abs() <= 0.5, "{start}: {error}");
        }
        assert_eq!(towards(90.0, 1.0), FASTEST);
    }
}
