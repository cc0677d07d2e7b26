//! The scripted player of `chop`: is told where it stands and where trunks are, and acts by keys and mouse alone.
//!
//! It turns to the nearest trunk, walks up to it, and breaks one log after the other, as the embedded world's does: few
//! key combinations, and mouse movements that the policy's camera bins can make.

use vpt_proto::keys;

use super::report::State;
use crate::mouse::{FASTEST, towards};
use crate::native::look::{angles_to, wrap_degrees};
use crate::world::Action;

/// How near to the middle of a trunk the player walks.
const NEAR: f64 = 1.5;
/// How far away it can break a log.
const REACH: f64 = 3.8;
/// The player walks while the trunk is within this angle, degrees.
const WALK_WITHIN: f32 = 20.0;
/// Logs of a trunk above its base that are looked at.
const TALLEST: i32 = 6;
/// Steps without any progress after which a trunk is given up; a log takes sixty.
const PATIENCE: u32 = 100;
/// Steps without movement after which the player jumps.
const BLOCKED: u32 = 3;

/// A player who chops.
#[derive(Clone, Debug, Default)]
pub(super) struct Chop {
    /// Base of the trunk it is at.
    trunk: Option<[i32; 3]>,
    given_up: Vec<[i32; 3]>,
    position: [f64; 3],
    /// The nearest it came to the trunk, and the logs around then.
    nearest: f64,
    logs: i32,
    still: u32,
    idle: u32,
}

impl Chop {
    /// The next action.
    pub(super) fn next(&mut self, state: &State) -> Action {
        self.watch_progress(state);
        let chosen = self.choose(state);
        if chosen.is_none() {
            // From where it stands after a look around, what it gave up may be reached.
            self.given_up.clear();
        }
        let Some((trunk, log)) = chosen else {
            return Action { keys: 0, pitch_delta: towards(-state.pitch, 3.0), yaw_delta: FASTEST };
        };
        if self.trunk != Some(trunk) {
            (self.trunk, self.idle, self.nearest) = (Some(trunk), 0, f64::INFINITY);
        }
        self.work_on(log, state)
    }

    /// Gives a trunk up when neither the way to it nor the number of logs gets on.
    fn watch_progress(&mut self, state: &State) {
        let logs = state.trunks.iter().map(|trunk| trunk[3]).sum();
        let moved = flat_distance(self.position, state.pos) > 0.03;
        self.still = if moved { 0 } else { self.still + 1 };
        let away = self.trunk.map_or(0.0, |trunk| flat_distance(state.pos, middle(trunk)));
        self.idle = if away < self.nearest - 0.05 || logs != self.logs { 0 } else { self.idle + 1 };
        self.nearest = self.nearest.min(away);
        (self.position, self.logs) = (state.pos, logs);
        if self.idle > PATIENCE
            && let Some(trunk) = self.trunk.take()
        {
            self.given_up.push(trunk);
            self.idle = 0;
        }
    }

    /// The trunk to go to and its log to break next: the one it is at while it has logs in reach, else the nearest.
    fn choose(&self, state: &State) -> Option<([i32; 3], [i32; 3])> {
        let logs = state.trunks.iter().filter_map(|trunk| {
            let base = [trunk[0], trunk[1], trunk[2]];
            let log = wanted_log(base, trunk[3], state)?;
            (!self.given_up.contains(&base)).then_some((base, log))
        });
        let cost = |base: &[i32; 3]| {
            // What is left of the trunk it is at begins above the base that it had.
            let at_it = self.trunk.is_some_and(|own| own[0] == base[0] && own[2] == base[2]);
            let (yaw, _) = angles(state.eye, middle(*base));
            let turn = f64::from(wrap_degrees(yaw - state.yaw).abs() / FASTEST) * 0.2;
            if at_it { -1.0 } else { flat_distance(state.pos, middle(*base)) + turn }
        };
        logs.min_by(|a, b| cost(&a.0).total_cmp(&cost(&b.0)))
    }

    /// Aims at a log, walks up to it, attacks what of the tree the crosshair is on.
    fn work_on(&self, log: [i32; 3], state: &State) -> Action {
        let (yaw, pitch) = angles(state.eye, middle(log));
        let (yaw_error, pitch_error) = (wrap_degrees(yaw - state.yaw), pitch - state.pitch);
        let away = flat_distance(state.pos, middle(log));
        let mut action = Action::NOOP;
        let aimed = yaw_error.abs() < 8.0 && pitch_error.abs() < 8.0;
        let on_it = state.pointed.as_ref().is_some_and(|pointed| {
            pointed.at == log || (aimed && (is_tree(&pointed.name) || pointed.name.contains("leaves")))
        });
        if on_it {
            action.keys |= keys::ATTACK;
        } else {
            // Half a trunk's width is enough to hit it.
            let tolerance = (20.0 / away.max(0.5)) as f32;
            action.yaw_delta = towards(yaw_error, tolerance.clamp(1.0, 8.0));
            action.pitch_delta = towards(pitch_error, tolerance.clamp(1.0, 8.0));
            if action.yaw_delta == 0.0 && action.pitch_delta == 0.0 && away < REACH {
                action.yaw_delta = towards(yaw_error, 0.6);
                action.pitch_delta = towards(pitch_error, 0.6);
            }
        }
        if away > NEAR && yaw_error.abs() < WALK_WITHIN {
            action.keys |= keys::FORWARD;
            if self.still > BLOCKED && !on_it {
                action.keys |= keys::JUMP;
            }
        }
        action
    }
}

/// The log of a trunk to break next: at eye level, else the nearest below, else the nearest above that is in reach.
fn wanted_log(base: [i32; 3], height: i32, state: &State) -> Option<[i32; 3]> {
    let eye_level = (state.eye[1] + 0.5).floor() as i32;
    let near = flat_distance(state.pos, middle(base)) < NEAR + 0.3;
    let rank = |y: i32| if y <= eye_level { eye_level - y } else { 100 + y - eye_level };
    let logs = (0..height.min(TALLEST)).map(|up| [base[0], base[1] + up, base[2]]);
    let in_reach = |log: &[i32; 3]| !near || distance(state.eye, middle(*log)) < REACH;
    logs.filter(in_reach).min_by_key(|log| rank(log[1]))
}

fn is_tree(name: &str) -> bool {
    name.ends_with("tree")
}

/// The game's nodes lie around whole numbers.
fn middle(node: [i32; 3]) -> [f64; 3] {
    node.map(f64::from)
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    [0, 1, 2].map(|axis| (a[axis] - b[axis]).powi(2)).iter().sum::<f64>().sqrt()
}

fn flat_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (a[0] - b[0]).hypot(a[2] - b[2])
}

/// Yaw and pitch of the line from `eye` to `to`, degrees; yaw 0 is north (+z) and 90 east (+x), where the embedded world
/// has west.
pub(super) fn angles(eye: [f64; 3], to: [f64; 3]) -> (f32, f32) {
    let mirrored = |[x, y, z]: [f64; 3]| [-x, y, z];
    angles_to(mirrored(eye), mirrored(to))
}

#[cfg(test)]
mod tests {
    use super::super::report::Pointed;
    use super::*;

    fn state(yaw: f32, trunks: Vec<[i32; 4]>) -> State {
        State { pos: [0.0, -0.5, 0.0], eye: [0.0, 1.1, 0.0], yaw, trunks, ..State::default() }
    }

    #[test]
    fn it_turns_to_a_trunk_then_walks_then_attacks() {
        let mut chop = Chop::default();
        // East, at 90 degrees.
        let turning = chop.next(&state(0.0, vec![[6, 0, 0, 4]]));
        assert!(turning.yaw_delta == FASTEST && turning.keys == 0);
        assert_eq!(chop.next(&state(88.0, vec![[6, 0, 0, 4]])).keys, keys::FORWARD);
        let on_it = Pointed { at: [1, 1, 0], name: "default:tree".to_owned() };
        let at_it = State { pointed: Some(on_it), ..state(88.0, vec![[1, 0, 0, 4]]) };
        assert_eq!(chop.next(&at_it), Action { keys: keys::ATTACK, ..Action::NOOP });
    }

    #[test]
    fn a_trunk_that_gets_nowhere_is_given_up() {
        let mut chop = Chop::default();
        let trunks = vec![[6, 0, 0, 4], [0, 0, 9, 4]];
        chop.next(&state(90.0, trunks.clone()));
        assert_eq!(chop.trunk, Some([6, 0, 0]));
        for _ in 0..=PATIENCE + 1 {
            chop.next(&state(90.0, trunks.clone()));
        }
        assert_eq!(chop.trunk, Some([0, 0, 9]));
    }

    #[test]
    fn without_a_trunk_it_looks_around() {
        assert_eq!(Chop::default().next(&state(0.0, Vec::new())).yaw_delta, FASTEST);
    }

    #[test]
    fn east_is_to_the_right_and_down_is_positive() {
        let (yaw, pitch) = angles([0.0; 3], [1.0, -1.0, 0.0]);
        assert!((yaw - 90.0).abs() < 1e-3 && (pitch - 45.0).abs() < 1e-3);
    }
}
