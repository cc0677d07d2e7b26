//! The player's body: mouse look, walking, sprinting, sneaking, jumping, swimming, by the game's numbers per tick.

use vpt_proto::keys;

use super::block::Block;
use super::look;
use super::physics::{AIR_DRAG, Body, FALL_DRAG, GRAVITY, GROUND_DRAG, JUMP, LAVA_DRAG, WATER_DRAG};
use super::target::{self, Hit};
use super::voxels::Voxels;
use crate::world::Action;

/// Half the width of the player's box, metres.
pub(crate) const HALF_WIDTH: f64 = 0.3;
const HEIGHT: f64 = 1.8;
const EYE: f64 = 1.62;
const SNEAKING_EYE: f64 = 1.27;
/// Ticks between jumps while the key stays held.
const JUMP_PAUSE: u8 = 10;

/// The player's body and gaze.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    pub(crate) body: Body,
    /// Degrees, 0 along +z, positive right, within ±180.
    pub(crate) yaw: f32,
    /// Degrees, positive down, within ±90.
    pub(crate) pitch: f32,
    pub(crate) sneaking: bool,
    sprinting: bool,
    jump_pause: u8,
    /// Too hungry to sprint.
    pub(crate) weary: bool,
}

impl Player {
    pub(crate) fn new(feet: [f64; 3], yaw: f32) -> Self {
        let body = Body::new(feet, HALF_WIDTH, HEIGHT);
        Self { body, yaw, pitch: 0.0, sneaking: false, sprinting: false, jump_pause: 0, weary: false }
    }

    pub(crate) fn is_sprinting(&self) -> bool {
        self.sprinting
    }

    /// Whether the feet left the ground by a jump in the tick that has passed.
    pub(crate) fn has_just_jumped(&self) -> bool {
        self.jump_pause == JUMP_PAUSE
    }

    pub(crate) fn eye(&self) -> [f64; 3] {
        let [x, y, z] = self.body.position;
        [x, y + if self.sneaking { SNEAKING_EYE } else { EYE }, z]
    }

    /// The block under the crosshair, within reach.
    pub(crate) fn target(&self, voxels: &Voxels) -> Option<Hit> {
        target::first_block(voxels, self.eye(), look::direction(self.yaw, self.pitch), target::REACH)
    }

    /// What decides the future besides position, velocity and gaze, for hashing.
    pub(crate) fn motion_bits(&self) -> u64 {
        let flags = [self.body.on_ground, self.body.blocked, self.sneaking, self.sprinting];
        flags.iter().fold(u64::from(self.jump_pause), |bits, flag| bits << 1 | u64::from(*flag))
    }

    /// Turns by the mouse.
    pub(crate) fn turn(&mut self, action: &Action) {
        self.yaw = look::wrap_degrees(self.yaw + action.yaw_delta);
        self.pitch = (self.pitch + action.pitch_delta).clamp(-90.0, 90.0);
    }

    /// One tick of movement with these keys held.
    pub(crate) fn walk(&mut self, action: &Action, voxels: &Voxels) {
        let axis =
            |plus: u32, minus: u32| f64::from(i8::from(action.holds(plus)) - i8::from(action.holds(minus)));
        self.sneaking = action.holds(keys::SNEAK);
        let mut forward = axis(keys::FORWARD, keys::BACK) * 0.98;
        let mut left = axis(keys::LEFT, keys::RIGHT) * 0.98;
        // A sprint lasts while the player goes forward and nothing stops it.
        let may_sprint = forward > 0.0 && !self.sneaking && !self.body.blocked && !self.weary;
        self.sprinting = may_sprint && (self.sprinting || action.holds(keys::SPRINT));
        if self.sneaking {
            forward *= 0.3;
            left *= 0.3;
        }
        let liquid = self.liquid(voxels);
        self.jump(action.holds(keys::JUMP), liquid.is_some());
        let acceleration = match (liquid.is_some(), self.body.on_ground) {
            (true, _) => 0.02,
            (false, true) => 0.1 * if self.sprinting { 1.3 } else { 1.0 },
            (false, false) => 0.02 * if self.sprinting { 1.3 } else { 1.0 },
        };
        self.push(forward, left, acceleration);
        let drag = match (liquid, self.body.on_ground) {
            (Some(drag), _) => drag,
            (None, true) => GROUND_DRAG,
            (None, false) => AIR_DRAG,
        };
        if self.sneaking && self.body.on_ground {
            self.stay_on_edge(voxels);
        }
        self.body.advance(voxels);
        let velocity = &mut self.body.velocity;
        velocity[0] *= drag;
        velocity[2] *= drag;
        if let Some(drag) = liquid {
            velocity[1] = velocity[1] * drag - 0.02;
            // Pushing against a shore lifts the player out.
            if self.body.blocked {
                velocity[1] = 0.3;
            }
        } else {
            velocity[1] = (velocity[1] - GRAVITY) * FALL_DRAG;
        }
    }

    /// The drag of the liquid that the body is in, if it is in one.
    fn liquid(&self, voxels: &Voxels) -> Option<f64> {
        if self.body.touches(voxels, Block::Lava) {
            return Some(LAVA_DRAG);
        }
        self.body.touches(voxels, Block::Water).then_some(WATER_DRAG)
    }

    fn jump(&mut self, held: bool, in_water: bool) {
        self.jump_pause = if held { self.jump_pause.saturating_sub(1) } else { 0 };
        if !held {
            return;
        }
        if in_water {
            self.body.velocity[1] += 0.04;
        } else if self.body.on_ground && self.jump_pause == 0 {
            self.jump_pause = JUMP_PAUSE;
            self.body.velocity[1] = JUMP;
            if self.sprinting {
                let [x, z] = look::heading(self.yaw);
                self.body.velocity[0] += 0.2 * x;
                self.body.velocity[2] += 0.2 * z;
            }
        }
    }

    fn push(&mut self, forward: f64, left: f64, acceleration: f64) {
        let length = (forward * forward + left * left).sqrt();
        let scale = acceleration / length.max(1.0);
        let [x, z] = look::heading(self.yaw);
        // Left of heading (x, z) is (z, -x), yaw growing to the right.
        self.body.velocity[0] += (forward * x + left * z) * scale;
        self.body.velocity[2] += (forward * z - left * x) * scale;
    }

    /// Shortens a sneaking step that would lead off an edge.
    fn stay_on_edge(&mut self, voxels: &Voxels) {
        for axis in [0, 2] {
            let mut probe = self.body;
            probe.velocity = [0.0; 3];
            probe.velocity[axis] = self.body.velocity[axis];
            probe.advance(voxels);
            probe.velocity = [0.0, -0.6, 0.0];
            probe.advance(voxels);
            if !probe.on_ground {
                self.body.velocity[axis] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meadow() -> Voxels {
        let mut voxels = Voxels::empty(16);
        for z in 0..32 {
            for x in 48..80 {
                voxels.set(x, 0, z, Block::Grass);
            }
        }
        voxels
    }

    fn play(voxels: &Voxels, keys: u32, ticks: usize) -> Vec<[f64; 3]> {
        let mut player = Player::new([64.5, 1.0 + 1e-7, 4.5], 0.0);
        let action = Action { keys, ..Action::NOOP };
        player.walk(&Action::NOOP, voxels);
        (0..ticks)
            .map(|_| {
                player.walk(&action, voxels);
                player.body.position
            })
            .collect()
    }

    #[test]
    fn speeds_are_the_games() {
        let voxels = meadow();
        let cases = [
            (keys::FORWARD, 4.317),
            (keys::FORWARD | keys::SPRINT, 5.612),
            (keys::FORWARD | keys::SNEAK, 1.295),
            (keys::BACK, -4.317),
        ];
        for (held, expected) in cases {
            let path = play(&voxels, held, 60);
            let speed = (path[59][2] - path[39][2]).abs().copysign(path[59][2] - 4.5);
            assert!((speed - expected).abs() < 0.002, "{held:#x}: {speed} m/s");
        }
        let across = play(&voxels, keys::RIGHT, 40);
        assert!((across[39][0] - across[19][0] + 4.317).abs() < 0.002, "right of +z is -x");
        let both = play(&voxels, keys::FORWARD | keys::LEFT, 60);
        let (dx, dz) = (both[59][0] - both[39][0], both[59][2] - both[39][2]);
        assert!(((dx * dx + dz * dz).sqrt() - 4.405).abs() < 0.01, "a diagonal is hardly faster");
    }

    #[test]
    fn a_jump_rises_a_block_and_a_quarter() {
        let path = play(&meadow(), keys::JUMP, 12);
        let apex = path.iter().map(|position| position[1] - 1.0).fold(0.0, f64::max);
        assert!((apex - 1.2522).abs() < 0.001, "{apex}");
    }

    #[test]
    fn a_sneaking_player_does_not_fall_off() {
        let mut voxels = Voxels::empty(16);
        for z in 0..4 {
            voxels.set(0, 4, z, Block::Stone);
        }
        let mut player = Player::new([0.5, 5.0 + 1e-7, 0.5], 0.0);
        player.walk(&Action::NOOP, &voxels);
        for _ in 0..200 {
            player.walk(&Action { keys: keys::FORWARD | keys::SNEAK, ..Action::NOOP }, &voxels);
        }
        assert!(player.body.on_ground && player.body.position[2] > 3.5, "{:?}", player.body.position);
        for _ in 0..40 {
            player.walk(&Action { keys: keys::FORWARD, ..Action::NOOP }, &voxels);
        }
        assert!(player.body.position[1] < 4.0);
    }

    #[test]
    fn looking_is_clamped_and_wraps() {
        let mut player = Player::new([0.5, 1.0, 0.5], 170.0);
        player.turn(&Action { keys: 0, pitch_delta: 100.0, yaw_delta: 20.0 });
        assert_eq!((player.yaw, player.pitch), (-170.0, 90.0));
        player.turn(&Action { keys: 0, pitch_delta: -180.0, yaw_delta: 0.0 });
        assert_eq!(player.pitch, -90.0);
    }
}
