//! Chopping: turn to a trunk in view, walk up to it, hold attack on one log after the other.

use vpt_proto::keys;

use crate::mouse::{FASTEST, towards};
use crate::native::block::Block;
use crate::native::env::State;
use crate::native::item::Item;
use crate::native::look::{angles_to, wrap_degrees};
use crate::native::spawn::{distance_to, leads_to};
use crate::native::target::{Hit, REACH, first_block};
use crate::native::voxels::Voxels;
use crate::world::Action;

/// How near to the middle of a trunk the player walks: its drops are in reach there.
const NEAR: f64 = 1.2;
/// Farthest trunk it makes for while it looks around, and after, metres.
const FARTHEST: [f64; 2] = [10.0, 20.0];
/// What a block of climbing or descending counts for, ticks.
const SLOPE_COST: f64 = 6.0;
/// Trunks within this angle of the crosshair count as in view, degrees.
const IN_VIEW: f32 = 45.0;
/// The player walks while the trunk is within this angle, degrees.
const WALK_WITHIN: f32 = 20.0;
/// Logs of a trunk above its base that are looked at.
const TALLEST: i32 = 7;
/// Ticks without any progress after which a trunk is given up.
const PATIENCE: u32 = 40;
/// Ticks for which a trunk given up is left alone.
const GRUDGE: u64 = 200;
/// Ticks of looking around (a whole turn) before making for a trunk out of view.
const LOOK_AROUND: u32 = 40;

/// A player who chops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chop {
    /// Base of the trunk it is at, the copy it saw.
    trunk: Option<[i32; 3]>,
    nearest: f64,
    damage: u64,
    idle: u32,
    looking: u32,
    given_up: Vec<([i32; 3], u64)>,
}

impl Chop {
    /// The next action.
    pub(crate) fn next(&mut self, state: &State) -> Action {
        if let Some(place) = stray_log(state) {
            return walk_to(state, place);
        }
        if self.trunk.is_none_or(|trunk| self.is_done_with(trunk, state)) {
            self.trunk = self.choose(state);
            self.nearest = f64::INFINITY;
            self.idle = 0;
        }
        let Some(trunk) = self.trunk else {
            self.looking += 1;
            return Action { keys: 0, pitch_delta: towards(-state.player.pitch, 3.0), yaw_delta: FASTEST };
        };
        self.looking = 0;
        self.watch_progress(trunk, state);
        work_on(trunk, state)
    }

    /// Gives a trunk up when neither the way to it nor the damage to it gets on.
    fn watch_progress(&mut self, trunk: [i32; 3], state: &State) {
        let distance = distance_to(state.player.body.position, trunk);
        let damage = state.mining.state().1;
        if distance < self.nearest - 0.05 || damage != self.damage {
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        self.nearest = self.nearest.min(distance);
        self.damage = damage;
        if self.idle > PATIENCE {
            self.given_up.retain(|(_, until)| *until > state.ticks);
            self.given_up.push((trunk, state.ticks + GRUDGE));
        }
    }

    fn is_done_with(&self, trunk: [i32; 3], state: &State) -> bool {
        let shunned = |(base, until): &([i32; 3], u64)| *base == trunk && *until > state.ticks;
        self.given_up.iter().any(shunned) || wanted_log(trunk, state).is_none()
    }

    /// The trunk in view that is soonest reached; after a look around any that can be walked to.
    fn choose(&self, state: &State) -> Option<[i32; 3]> {
        let eye = state.player.eye();
        let near = eye.map(|value| value as f32);
        let anywhere = self.looking > LOOK_AROUND;
        let mut best = None;
        for base in &state.voxels.trees {
            let base = Voxels::nearest_copy(*base, near);
            let distance = distance_to(eye, base);
            if distance > FARTHEST[usize::from(anywhere)] || self.is_done_with(base, state) {
                continue;
            }
            let (yaw, _) = angles_to(eye, middle(base));
            let turn = wrap_degrees(yaw - state.player.yaw).abs();
            let slope = (f64::from(base[1]) - state.player.body.position[1]).abs();
            let cost = distance / 0.216 + f64::from(turn / FASTEST) + SLOPE_COST * slope;
            if best.is_some_and(|(least, _)| cost >= least) || (!anywhere && turn > IN_VIEW) {
                continue;
            }
            let visible = anywhere || sees(state, base);
            if visible && leads_to(&state.voxels, state.player.body.position, base) {
                best = Some((cost, base));
            }
        }
        best.map(|(_, base)| base)
    }
}

/// Middle of a block.
fn middle(cell: [i32; 3]) -> [f64; 3] {
    cell.map(|value| f64::from(value) + 0.5)
}

/// What a straight look at a block's middle meets.
fn look_at(state: &State, cell: [i32; 3], reach: f64) -> Option<Hit> {
    let eye = state.player.eye();
    let to = middle(cell);
    let along = [0, 1, 2].map(|axis| to[axis] - eye[axis]);
    let length = along.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-9);
    first_block(&state.voxels, eye, along.map(|value| value / length), reach)
}

fn is_of(trunk: [i32; 3], hit: &Hit) -> bool {
    hit.cell[0] == trunk[0] && hit.cell[2] == trunk[2]
}

/// Whether any of the trunk's lower logs can be seen.
fn sees(state: &State, base: [i32; 3]) -> bool {
    (0..3).any(|up| {
        let hit = look_at(state, [base[0], base[1] + up, base[2]], FARTHEST[0] + 4.0);
        hit.is_some_and(|hit| is_of(base, &hit))
    })
}

fn block_at(state: &State, cell: [i32; 3]) -> Block {
    state.voxels.get(cell[0], cell[1], cell[2])
}

/// The log of a trunk to break next: at eye level, else the nearest below, else the nearest above.
fn wanted_log(trunk: [i32; 3], state: &State) -> Option<[i32; 3]> {
    let eye_level = state.player.eye()[1].floor() as i32;
    let near = distance_to(state.player.body.position, trunk) < NEAR + 0.2;
    let rank = |y: i32| if y <= eye_level { eye_level - y } else { 100 + y - eye_level };
    let logs = (0..TALLEST).map(|up| [trunk[0], trunk[1] + up, trunk[2]]);
    let logs = logs.filter(|cell| block_at(state, *cell) == Block::Log);
    let reachable = |cell: &[i32; 3]| {
        !near
            || look_at(state, *cell, REACH)
                .is_some_and(|hit| is_of(trunk, &hit) || block_at(state, hit.cell) == Block::Leaves)
    };
    logs.filter(reachable).min_by_key(|cell| rank(cell[1]))
}

/// Aims at the wanted log, walks up to it, attacks what of the trunk the crosshair is on.
fn work_on(trunk: [i32; 3], state: &State) -> Action {
    let Some(log) = wanted_log(trunk, state) else { return Action::NOOP };
    let player = &state.player;
    let distance = distance_to(player.body.position, trunk);
    let (yaw, pitch) = angles_to(player.eye(), middle(log));
    let (yaw_error, pitch_error) = (wrap_degrees(yaw - player.yaw), pitch - player.pitch);
    let mut action = Action::NOOP;
    let on_trunk = player.target(&state.voxels).filter(|hit| {
        let leaves = block_at(state, hit.cell) == Block::Leaves;
        is_of(trunk, hit) || (leaves && yaw_error.abs() < 8.0 && pitch_error.abs() < 8.0)
    });
    if on_trunk.is_some() {
        action.keys |= keys::ATTACK;
    } else if player.body.on_ground {
        // Half a trunk's width is enough to hit it.
        let tolerance = (20.0 / distance.max(0.5)) as f32;
        action.yaw_delta = towards(yaw_error, tolerance.clamp(1.0, 8.0));
        action.pitch_delta = towards(pitch_error, tolerance.clamp(1.0, 8.0));
        if action.yaw_delta == 0.0 && action.pitch_delta == 0.0 && distance < REACH {
            action.yaw_delta = towards(yaw_error, 0.6);
            action.pitch_delta = towards(pitch_error, 0.6);
        }
    }
    if distance > NEAR && yaw_error.abs() < WALK_WITHIN {
        action.keys |= keys::FORWARD;
        if player.body.blocked {
            action.keys |= keys::JUMP;
        }
    }
    action
}

/// Where a log lies that will not come by itself, if one does.
fn stray_log(state: &State) -> Option<[f64; 3]> {
    let [x, y, z] = state.player.body.position;
    let strays = state.entities.iter().filter(|item| item.stack.item == Item::Log && item.age() > 20);
    let places = strays.map(|item| item.body.position);
    let near = places.filter(|place| (place[1] - y).abs() < 3.0);
    let distance = |place: &[f64; 3]| {
        let (dx, dz) = (place[0] - x, place[2] - z);
        (dx * dx + dz * dz).sqrt()
    };
    near.filter(|place| distance(place) < 6.0).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// Walks towards a place on the ground.
fn walk_to(state: &State, place: [f64; 3]) -> Action {
    let player = &state.player;
    let (yaw, pitch) = angles_to(player.eye(), place);
    let yaw_error = wrap_degrees(yaw - player.yaw);
    let pitch_error = pitch.min(45.0) - player.pitch;
    let mut action =
        Action { keys: 0, yaw_delta: towards(yaw_error, 4.0), pitch_delta: towards(pitch_error, 4.0) };
    if yaw_error.abs() < WALK_WITHIN {
        action.keys |= keys::FORWARD;
        if player.body.blocked {
            action.keys |= keys::JUMP;
        }
    }
    action
}
