//! How a mob's body moves in a tick: walking, jumping, swimming, climbing, falling.

use super::kind::{Gait, Kind};
use super::mind::Wish;
use crate::native::block::Block;
use crate::native::look;
use crate::native::physics::{AIR_DRAG, Body, FALL_DRAG, GRAVITY, GROUND_DRAG, JUMP, LAVA_DRAG, WATER_DRAG};
use crate::native::voxels::Voxels;

/// How fast a swimmer rises, and how fast a spider climbs, metres per tick.
const PADDLE: f64 = 0.04;
const CLIMB: f64 = 0.2;
/// How far a body turns in a tick, degrees.
const TURN: f32 = 30.0;

/// The liquid a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Air,
    Water,
    Lava,
}

impl Medium {
    pub(crate) fn of(voxels: &Voxels, body: &Body) -> Self {
        if body.touches(voxels, Block::Lava) {
            Self::Lava
        } else if body.touches(voxels, Block::Water) {
            Self::Water
        } else {
            Self::Air
        }
    }
}

/// Moves a body one tick; every mob keeps its head above a liquid.
pub(crate) fn advance(kind: Kind, body: &mut Body, voxels: &Voxels, medium: Medium, wish: Option<Wish>) {
    let swims = medium != Medium::Air;
    if let Some(Wish { yaw, gait, jump }) = wish {
        let [x, z] = look::heading(yaw);
        let push = kind.push(gait, body.on_ground && !swims);
        body.velocity[0] += push * x;
        body.velocity[2] += push * z;
        if jump && body.on_ground && !swims {
            body.velocity[1] = JUMP;
        }
    }
    if swims {
        body.velocity[1] += PADDLE;
    }
    let drag = match medium {
        Medium::Lava => LAVA_DRAG,
        Medium::Water => WATER_DRAG,
        Medium::Air if body.on_ground => GROUND_DRAG,
        Medium::Air => AIR_DRAG,
    };
    body.advance(voxels);
    let velocity = &mut body.velocity;
    velocity[0] *= drag;
    velocity[2] *= drag;
    let climbs = kind == Kind::Spider && body.blocked && wish.is_some_and(|wish| wish.gait == Gait::Chase);
    if climbs {
        velocity[1] = CLIMB;
    } else if swims {
        velocity[1] = if body.blocked && wish.is_some() { 0.3 } else { velocity[1] * drag - 0.02 };
    } else {
        velocity[1] = (velocity[1] - GRAVITY) * FALL_DRAG;
    }
}

/// A yaw turned towards another by what a tick allows.
pub(crate) fn turned(yaw: f32, towards: f32) -> f32 {
    look::wrap_degrees(yaw + look::wrap_degrees(towards - yaw).clamp(-TURN, TURN))
}
