//! What a mob wants: to stroll, to get away from what hurt it, to get at the player.

use super::kind::{Gait, Kind};
use super::sight;
use super::steer::{self, Manners, Way};
use super::{Around, bright_enough};
use crate::native::look;
use crate::native::physics::Body;
use crate::native::spawn::mix;

/// One tick in so many an idle mob sets out, or looks for the player.
const SETS_OUT: u64 = 120;
const LOOKS: u64 = 10;
/// Ticks a stroll or a leg of a flight takes at most.
const STROLL: u64 = 200;
const LEG: u64 = 40;
/// Ticks a hurt animal stays afraid.
const AFRAID: u64 = 100;
/// Ticks the player is remembered unseen.
const REMEMBERS: u64 = 60;
/// How near to the end of a stroll is near enough, metres squared.
const ARRIVED: f64 = 0.5;
/// Light from which on a spider lets go of the player.
const SPIDER_LIGHT: u8 = 12;

/// What a mob is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aim {
    Rest,
    /// To a place on the ground plane, at most until then.
    Walk {
        to: [f64; 2],
        until: u64,
        gait: Gait,
    },
    /// After the player, whom it saw last then.
    Hunt {
        seen: u64,
    },
}

/// The part of a mob that wants.
#[derive(Clone, Debug)]
pub(crate) struct Mind {
    aim: Aim,
    afraid_until: u64,
    /// Hurt by the player: a spider then hunts in the light, too.
    angry: bool,
    /// Goes around things on its left first.
    left: bool,
}

/// Where a mob wants to go in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    /// The direction, degrees.
    pub(crate) yaw: f32,
    pub(crate) gait: Gait,
    pub(crate) jump: bool,
}

impl Mind {
    pub(crate) fn new(roll: u64) -> Self {
        Self { aim: Aim::Rest, afraid_until: 0, angry: false, left: roll & 1 == 1 }
    }

    /// Whether it is after the player.
    pub(crate) fn hunts(&self) -> bool {
        matches!(self.aim, Aim::Hunt { .. })
    }

    /// The player hurt it.
    pub(crate) fn provoke(&mut self, kind: Kind, now: u64) {
        if kind.is_hostile() {
            self.angry = true;
            self.aim = Aim::Hunt { seen: now };
        } else {
            self.afraid_until = now + AFRAID;
            self.aim = Aim::Rest;
        }
    }

    /// Moves what it remembers along with its body to another copy of the world.
    pub(crate) fn shift(&mut self, axis: usize, by: f64) {
        if let Aim::Walk { to, .. } = &mut self.aim {
            to[axis / 2] += by;
        }
    }

    /// Decides where to go; `roll` is the tick's chance.
    pub(crate) fn decide(&mut self, kind: Kind, body: &Body, around: &Around<'_>, roll: u64) -> Option<Wish> {
        if kind.is_hostile() {
            self.hunt(kind, body, around, roll);
        } else if around.now < self.afraid_until && self.aim == Aim::Rest {
            self.aim = flee(body, around, roll);
        }
        if self.aim == Aim::Rest && mix(roll, 1).is_multiple_of(SETS_OUT) {
            self.aim = stroll(body, around.now, roll);
        }
        let wish = self.wish(kind, body, around);
        if wish.is_none() && !self.hunts() {
            self.aim = Aim::Rest;
        }
        if wish.is_none() && roll & 15 == 0 {
            self.left = !self.left;
        }
        wish
    }

    fn hunt(&mut self, kind: Kind, body: &Body, around: &Around<'_>, roll: u64) {
        let looks = self.hunts() || mix(roll, 2).is_multiple_of(LOOKS);
        if !looks {
            return;
        }
        let sees = around.prey.is_some_and(|prey| {
            let range = kind.follow_range() * if prey.sneaking { 0.8 } else { 1.0 };
            around.distance_squared(body.position) <= range * range
                && sight::clear(around.voxels, eye_of(kind, body), prey.eye)
        });
        let shy = kind == Kind::Spider && !self.angry && bright_enough(around, body, SPIDER_LIGHT);
        match (sees && !shy, self.aim) {
            (true, _) => self.aim = Aim::Hunt { seen: around.now },
            (false, Aim::Hunt { seen }) if shy || around.prey.is_none() || around.now > seen + REMEMBERS => {
                self.aim = Aim::Rest;
            }
            (false, _) => {}
        }
    }

    fn wish(&mut self, kind: Kind, body: &Body, around: &Around<'_>) -> Option<Wish> {
        let (to, gait) = match self.aim {
            Aim::Rest => return None,
            Aim::Walk { until, .. } if around.now > until => return None,
            Aim::Walk { to, gait, .. } => (to, gait),
            Aim::Hunt { .. } => ([around.player[0], around.player[2]], Gait::Chase),
        };
        let (dx, dz) = (to[0] - body.position[0], to[1] - body.position[2]);
        if dx * dx + dz * dz < ARRIVED {
            return None;
        }
        let (yaw, _) = look::angles_to([0.0; 3], [dx, 0.0, dz]);
        let in_air = !body.on_ground && !around.swims;
        if in_air {
            return Some(Wish { yaw, gait, jump: false });
        }
        let manners = Manners { dry: !around.swims && gait != Gait::Chase, climbs: kind == Kind::Spider };
        let (yaw, way) = steer::around(around.voxels, body, yaw, self.left, manners)?;
        Some(Wish { yaw, gait, jump: way == Way::Step })
    }

    /// What decides the future, for hashing.
    pub(crate) fn bits(&self) -> [u64; 4] {
        let (kind, a, b) = match self.aim {
            Aim::Rest => (0, 0, 0),
            Aim::Walk { to: [x, z], until, gait } => {
                (1 + gait as u64, x.to_bits() ^ z.to_bits().rotate_left(32), until)
            }
            Aim::Hunt { seen } => (9, 0, seen),
        };
        [kind << 2 | u64::from(self.left) << 1 | u64::from(self.angry), a, b, self.afraid_until]
    }
}

/// Where a mob's eyes are.
pub(crate) fn eye_of(kind: Kind, body: &Body) -> [f64; 3] {
    let [x, y, z] = body.position;
    [x, y + kind.eye(), z]
}

/// Somewhere within ten blocks.
fn stroll(body: &Body, now: u64, roll: u64) -> Aim {
    let part = |salt: u64| (mix(roll, salt) % 21) as f64 - 10.0;
    let to = [body.position[0] + part(3), body.position[2] + part(4)];
    Aim::Walk { to, until: now + STROLL, gait: Gait::Stroll }
}

/// Away from the player, give or take sixty degrees.
fn flee(body: &Body, around: &Around<'_>, roll: u64) -> Aim {
    let [x, _, z] = body.position;
    let (away, _) = look::angles_to([around.player[0], 0.0, around.player[2]], [x, 0.0, z]);
    let turn = (mix(roll, 5) % 121) as f32 - 60.0;
    let [dx, dz] = look::heading(look::wrap_degrees(away + turn));
    Aim::Walk { to: [x + 7.0 * dx, z + 7.0 * dz], until: around.now + LEG, gait: Gait::Flee }
}
