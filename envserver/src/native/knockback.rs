//! The push that comes with a blow.

use super::physics::Body;

/// Strength of the push of a plain blow.
pub(crate) const PLAIN: f64 = 0.4;

/// Pushes a body away from a point on the ground plane, and up if it stands.
pub(crate) fn knock(body: &mut Body, from: [f64; 3], strength: f64) {
    let (dx, dz) = (body.position[0] - from[0], body.position[2] - from[2]);
    let length = (dx * dx + dz * dz).sqrt();
    let (dx, dz) = if length > 1e-4 { (dx / length, dz / length) } else { (0.0, 1.0) };
    let velocity = &mut body.velocity;
    velocity[0] = velocity[0] / 2.0 + dx * strength;
    velocity[2] = velocity[2] / 2.0 + dz * strength;
    if body.on_ground {
        velocity[1] = (velocity[1] / 2.0 + strength).min(0.4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blow_pushes_away_and_up() {
        let mut body = Body::new([3.0, 5.0, 4.0], 0.3, 1.8);
        body.on_ground = true;
        knock(&mut body, [0.0, 9.0, 0.0], PLAIN);
        let [x, y, z] = body.velocity;
        assert!((x - 0.24).abs() < 1e-12 && (z - 0.32).abs() < 1e-12 && y == 0.4, "{x} {y} {z}");
        body.on_ground = false;
        body.velocity = [0.0; 3];
        let here = body.position;
        knock(&mut body, here, PLAIN);
        assert_eq!(body.velocity, [0.0, 0.0, 0.4], "upon each other: some way");
    }
}
