//! Sine, cosine and arctangent from `+ - * /` alone, so that every machine gets the same bits.

use std::f64::consts::{FRAC_PI_4, PI};

/// Sine and cosine of an angle in degrees.
pub fn sin_cos_degrees(degrees: f32) -> (f32, f32) {
    let turns = f64::from(degrees) / 90.0;
    // The nearest quarter turn; saturates for absurd angles, which then read as some angle.
    let quarter = (turns + if turns < 0.0 { -0.5 } else { 0.5 }) as i64;
    let x = (turns - quarter as f64) * (PI / 2.0);
    let x = x.clamp(-FRAC_PI_4, FRAC_PI_4);
    let x2 = x * x;
    let sin = x * (1.0 + x2 * (-1.0 / 6.0 + x2 * (1.0 / 120.0 + x2 * (-1.0 / 5040.0 + x2 / 362_880.0))));
    let cos = 1.0 + x2 * (-0.5 + x2 * (1.0 / 24.0 + x2 * (-1.0 / 720.0 + x2 / 40_320.0)));
    let (sin, cos) = (sin as f32, cos as f32);
    match quarter & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The angle of the point (x, y) in degrees, -180 to 180; 0 for the origin.
pub fn atan2_degrees(y: f32, x: f32) -> f32 {
    let (wide, tall) = (f64::from(x).abs(), f64::from(y).abs());
    if wide == 0.0 && tall == 0.0 {
        return 0.0;
    }
    let steep = tall > wide;
    let ratio = if steep { wide / tall } else { tall / wide };
    // atan r = 2 atan(r / (1 + sqrt(1 + r²))) brings the argument below 0.4143.
    let r = ratio / (1.0 + (1.0 + ratio * ratio).sqrt());
    let r2 = r * r;
    let series = (0..12).rev().fold(0.0, |sum, k| {
        let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
        sum * r2 + sign / f64::from(2 * k + 1)
    });
    let mut angle = 2.0 * r * series * (180.0 / PI);
    if steep {
        angle = 90.0 - angle;
    }
    if x < 0.0 {
        angle = 180.0 - angle;
    }
    (if y < 0.0 { -angle } else { angle }) as f32
}

/// The direction one looks in: yaw 0 is +z and grows to the right, pitch grows downward (degrees).
///
/// As in the game, x is east, y up and z south, so turning right from +z leads to -x.
pub fn look_vector(yaw: f32, pitch: f32) -> [f32; 3] {
    let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (sin_cos_degrees(yaw), sin_cos_degrees(pitch));
    [-sin_yaw * cos_pitch, -sin_pitch, cos_yaw * cos_pitch]
}

/// The horizontal direction to the right of a yaw in degrees.
pub fn right_vector(yaw: f32) -> [f32; 3] {
    let (sin, cos) = sin_cos_degrees(yaw);
    [-cos, 0.0, -sin]
}

/// The yaw and pitch in degrees that look along a vector (which need not be of length one).
pub fn look_angles(along: [f32; 3]) -> (f32, f32) {
    let flat = (along[0] * along[0] + along[2] * along[2]).sqrt();
    (atan2_degrees(-along[0], along[2]), atan2_degrees(-along[1], flat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        for step in -2000..2000 {
            let degrees = step as f32 * 0.37;
            let (sin, cos) = sin_cos_degrees(degrees);
            let radians = f64::from(degrees).to_radians();
            assert!((f64::from(sin) - radians.sin()).abs() < 5e-7, "sin {degrees}");
            assert!((f64::from(cos) - radians.cos()).abs() < 5e-7, "cos {degrees}");
            let back = f64::from(atan2_degrees(sin, cos)).to_radians();
            assert!((back - radians.sin().atan2(radians.cos())).abs() < 1e-6, "atan2 {degrees}");
        }
        assert_eq!(sin_cos_degrees(90.0), (1.0, 0.0));
        assert_eq!(atan2_degrees(0.0, -1.0), 180.0);
    }

    #[test]
    fn angles_and_vectors_are_inverse() {
        for (yaw, pitch) in [(0.0, 0.0), (90.0, 10.0), (-135.0, -80.0), (179.0, 45.0)] {
            let (back_yaw, back_pitch) = look_angles(look_vector(yaw, pitch));
            assert!((back_yaw - yaw).abs() < 1e-3 && (back_pitch - pitch).abs() < 1e-3, "{yaw} {pitch}");
        }
        assert_eq!(right_vector(0.0), [-1.0, 0.0, 0.0]);
    }

    #[test]
    fn absurd_angles_do_not_panic() {
        for degrees in [f32::MAX, f32::MIN, f32::INFINITY, f32::NAN, 1e20] {
            let _ = sin_cos_degrees(degrees);
        }
    }
}
