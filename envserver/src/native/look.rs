//! Where a player looks: angles in degrees (yaw 0 along +z, growing to the right, towards -x; pitch growing
//! downwards) and directions in the rules' f64.

use super::fixed_trig::{look_angles, look_vector, sin_cos_degrees};

/// An angle brought into (-180, 180].
pub(crate) fn wrap_degrees(degrees: f32) -> f32 {
    let turned = degrees - (degrees / 360.0).round() * 360.0;
    if turned <= -180.0 { turned + 360.0 } else { turned }
}

/// Unit vector along the ground (x, z) for a yaw: what "forward" moves along.
pub(crate) fn heading(yaw: f32) -> [f64; 2] {
    let (sin, cos) = sin_cos_degrees(yaw);
    [-f64::from(sin), f64::from(cos)]
}

/// Unit vector for a yaw and a pitch.
pub(crate) fn direction(yaw: f32, pitch: f32) -> [f64; 3] {
    look_vector(yaw, pitch).map(f64::from)
}

/// Yaw and pitch that look from one point at another.
pub(crate) fn angles_to(from: [f64; 3], to: [f64; 3]) -> (f32, f32) {
    look_angles([0, 1, 2].map(|axis| (to[axis] - from[axis]) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_a_point_inverts_the_direction() {
        for yaw in (-175_i16..180).step_by(7) {
            for pitch in (-85_i16..=85).step_by(5) {
                let ahead = direction(f32::from(yaw), f32::from(pitch));
                let from = [3.0, -2.0, 7.0];
                let to = [0, 1, 2].map(|axis| from[axis] + 5.0 * ahead[axis]);
                let (found_yaw, found_pitch) = angles_to(from, to);
                assert!((found_yaw - f32::from(yaw)).abs() < 1e-3, "{yaw} {pitch}: {found_yaw}");
                assert!((found_pitch - f32::from(pitch)).abs() < 1e-3, "{yaw} {pitch}: {found_pitch}");
            }
        }
    }

    #[test]
    fn angles_wrap_into_one_turn() {
        assert_eq!(wrap_degrees(190.0), -170.0);
        assert_eq!(wrap_degrees(-190.0), 170.0);
        assert_eq!(wrap_degrees(180.0), 180.0);
        assert_eq!(wrap_degrees(-180.0), 180.0);
    }
}
