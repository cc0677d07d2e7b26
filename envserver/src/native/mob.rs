//! Animals and monsters: simple ones, by the game's numbers (Java 1.16), and a pure function of seed and actions.
//!
//! A mob lives at the copy of its place that is nearest to the player, the world repeating; so mobs, items and the
//! player are compared by their plain positions.
//!
//! Simpler than in the game: mobs steer by what lies a step ahead instead of searching ways, all of them swim, and
//! there is no breeding.
//!
//! # Layout
//! - here: one mob, its tick
//! - [`kind`]: the kinds and their numbers
//! - [`mind`], [`steer`], [`sight`]: what it wants, how it goes there, what it sees
//! - [`motion`], [`life`]: its body among the blocks, its health
//! - [`loot`]: what it leaves
//! - [`crowd`]: all of them together
//! - [`spawning`]: where they come from and when they go

pub(crate) mod crowd;
mod kind;
mod life;
mod loot;
mod mind;
mod motion;
pub(crate) mod sight;
mod spawning;
mod steer;

use super::block::Block;
use super::knockback::{self, knock};
use super::look;
use super::physics::Body;
use super::sky::Sky;
use super::spawn::mix;
use super::voxels::{PERIOD, Voxels};
pub use kind::Kind;
use life::{LAVA_BURNS, Life, SUN_BURNS};
use mind::{Mind, eye_of};
use motion::Medium;

/// Ticks between two blows.
const BLOW_PAUSE: u8 = 20;
/// Ticks from a creeper's first hiss to the end.
pub(crate) const FUSE: u8 = 30;
/// How near a creeper comes before it hisses, and from where on it stops, metres squared.
const HISSES_WITHIN: f64 = 9.0;
const CALMS_BEYOND: f64 = 49.0;
/// Blocks one falls unhurt.
const SAFE_FALL: f64 = 3.0;

/// The player as prey.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prey {
    pub(crate) eye: [f64; 3],
    pub(crate) sneaking: bool,
}

/// What a mob's tick depends on besides the mob.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) voxels: &'a Voxels,
    pub(crate) now: u64,
    /// Levels of the sky's light that the time of day takes away.
    pub(crate) darkening: u8,
    /// The player's feet.
    pub(crate) player: [f64; 3],
    /// Where there is a player who can be hurt.
    pub(crate) prey: Option<Prey>,
    /// Whether the mob in question is in a liquid.
    swims: bool,
}

impl<'a> Around<'a> {
    pub(crate) fn new(voxels: &'a Voxels, now: u64, player: [f64; 3], prey: Option<Prey>) -> Self {
        Self { voxels, now, darkening: darkening(voxels, now), player, prey, swims: false }
    }

    fn distance_squared(&self, from: [f64; 3]) -> f64 {
        (0..3).map(|axis| (from[axis] - self.player[axis]) * (from[axis] - self.player[axis])).sum()
    }

    /// The light of a cell, 0 to 15, as the time of day leaves it.
    fn light(&self, [x, y, z]: [i32; 3]) -> u8 {
        let (sky, blocks) = self.voxels.light(x, y, z);
        sky.saturating_sub(self.darkening).max(blocks)
    }
}

/// Levels of the sky's light that the time of day takes away, 0 to 11; none where it is always day.
fn darkening(voxels: &Voxels, now: u64) -> u8 {
    if voxels.light_bytes().is_none() {
        return 0;
    }
    ((60 - u16::from(Sky::at(now).step)) * 11 / 60) as u8
}

/// Whether a body stands in light of that level.
fn bright_enough(around: &Around<'_>, body: &Body, level: u8) -> bool {
    around.light(body.position.map(|value| value.floor() as i32)) >= level
}

/// What a mob does to the world beside moving in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    /// Hits the player from there.
    Strike { from: [f64; 3], points: f32 },
    /// Goes off there.
    Burst { at: [f64; 3] },
}

/// One mob.
#[derive(Clone, Debug)]
pub(crate) struct Mob {
    pub(crate) kind: Kind,
    id: u64,
    pub(crate) body: Body,
    /// Where it faces, degrees.
    pub(crate) yaw: f32,
    pub(crate) life: Life,
    mind: Mind,
    /// Blocks fallen since the feet last stood.
    fall: f64,
    /// Ticks until the next blow.
    pause: u8,
    /// Ticks a creeper has hissed.
    pub(crate) fuse: u8,
    /// How far it has walked, and how briskly it does, 0 to 1: how its legs swing.
    pub(crate) stride: f32,
    pub(crate) pace: f32,
}

impl Mob {
    /// A mob on its feet at a place; `roll` is its character.
    pub(crate) fn new(kind: Kind, id: u64, feet: [f64; 3], roll: u64) -> Self {
        let (half_width, height) = kind.size();
        Self {
            kind,
            id,
            body: Body::new(feet, half_width, height),
            yaw: (mix(roll, 6) % 360) as f32 - 180.0,
            life: Life::new(kind.health(), kind.armour()),
            mind: Mind::new(roll),
            fall: 0.0,
            pause: 0,
            fuse: 0,
            stride: 0.0,
            pace: 0.0,
        }
    }

    /// One tick of a living mob; `roll` is its chance.
    fn tick(&mut self, around: &Around<'_>, roll: u64) -> Option<Deed> {
        self.come_round(around.player);
        let medium = Medium::of(around.voxels, &self.body);
        let around = Around { swims: medium != Medium::Air, ..*around };
        let mut wish = self.mind.decide(self.kind, &self.body, &around, roll);
        let deed = self.act(&around, roll);
        if self.fuse > 0 {
            wish = None;
        }
        let before = self.body.position;
        motion::advance(self.kind, &mut self.body, around.voxels, medium, wish);
        let faces = match wish {
            Some(wish) => Some(wish.yaw),
            None if self.mind.hunts() => Some(look::angles_to(self.body.position, around.player).0),
            None => None,
        };
        self.yaw = faces.map_or(self.yaw, |towards| motion::turned(self.yaw, towards));
        self.step_legs(before);
        self.suffer(&around, medium, before, roll);
        deed
    }

    /// Moves to the copy of its place that is nearest to the player.
    fn come_round(&mut self, player: [f64; 3]) {
        let period = f64::from(PERIOD);
        for axis in [0, 2] {
            let turns = ((player[axis] - self.body.position[axis]) / period).round();
            if turns != 0.0 {
                self.body.position[axis] += turns * period;
                self.mind.shift(axis, turns * period);
            }
        }
    }

    fn step_legs(&mut self, before: [f64; 3]) {
        let (dx, dz) = (self.body.position[0] - before[0], self.body.position[2] - before[2]);
        let moved = (dx * dx + dz * dz).sqrt() as f32;
        self.pace += ((moved * 4.0).min(1.0) - self.pace) * 0.4;
        self.stride = (self.stride + self.pace) % 1024.0;
    }

    /// What it does to the player within reach.
    fn act(&mut self, around: &Around<'_>, roll: u64) -> Option<Deed> {
        self.pause = self.pause.saturating_sub(1);
        let distance = around.distance_squared(self.body.position);
        let hunted = around.prey.filter(|_| self.mind.hunts());
        let sees =
            |mob: &Self, prey: Prey| sight::clear(around.voxels, eye_of(mob.kind, &mob.body), prey.eye);
        if self.kind == Kind::Creeper {
            let limit = if self.fuse > 0 { CALMS_BEYOND } else { HISSES_WITHIN };
            let hisses = hunted.is_some_and(|prey| distance < limit && sees(self, prey));
            self.fuse = if hisses { self.fuse + 1 } else { self.fuse.saturating_sub(1) };
            return (self.fuse >= FUSE).then_some(Deed::Burst { at: self.body.position });
        }
        let points = self.kind.damage()?;
        let prey = hunted?;
        if self.kind == Kind::Spider && self.body.on_ground && (4.0..16.0).contains(&distance) {
            self.leap(around.player, roll);
        }
        if self.pause > 0 || distance > self.kind.reach_squared() || !sees(self, prey) {
            return None;
        }
        self.pause = BLOW_PAUSE;
        Some(Deed::Strike { from: self.body.position, points })
    }

    fn leap(&mut self, player: [f64; 3], roll: u64) {
        if !mix(roll, 7).is_multiple_of(5) {
            return;
        }
        let (dx, dz) = (player[0] - self.body.position[0], player[2] - self.body.position[2]);
        let length = (dx * dx + dz * dz).sqrt().max(1e-3);
        let velocity = &mut self.body.velocity;
        *velocity = [dx / length * 0.4 + velocity[0] * 0.2, 0.4, dz / length * 0.4 + velocity[2] * 0.2];
    }

    /// What the place does to it: falls, fire, the sun, walls.
    fn suffer(&mut self, around: &Around<'_>, medium: Medium, before: [f64; 3], roll: u64) {
        let fallen = (before[1] - self.body.position[1]).max(0.0);
        self.fall = if medium == Medium::Air { self.fall + fallen } else { 0.0 };
        if self.body.on_ground {
            let points = (self.fall - SAFE_FALL).ceil();
            if points > 0.0 {
                self.life.hurt(points as f32);
            }
            self.fall = 0.0;
        }
        let [x, y, z] = eye_of(self.kind, &self.body).map(|value| value.floor() as i32);
        let at_eye = around.voxels.get(x, y, z);
        if medium == Medium::Lava {
            self.life.fire = LAVA_BURNS;
            self.life.hurt(4.0);
        }
        if at_eye.is_solid() && at_eye.is_opaque() {
            self.life.hurt(1.0);
        }
        let under_the_sun = self.kind == Kind::Zombie && around.darkening < 4 && at_eye != Block::Water;
        if under_the_sun && around.voxels.light(x, y, z).0 == 15 {
            let level = f32::from(around.light([x, y, z])) / 15.0;
            let chance = (level / (4.0 - 3.0 * level) - 0.4) * (2.0 / 30.0);
            if ((mix(roll, 8) >> 40) as f32) < chance * (1 << 24) as f32 {
                self.life.fire = SUN_BURNS;
            }
        }
        self.life.tick(medium == Medium::Water);
    }

    /// A blow from the player; true when it was felt in full, which pushes.
    pub(crate) fn strike(&mut self, points: f32, from: [f64; 3], strength: f64, now: u64) -> bool {
        let felt = self.life.strike(points);
        if felt {
            knock(&mut self.body, from, knockback::PLAIN);
            if strength > 0.0 {
                knock(&mut self.body, from, strength);
            }
            self.mind.provoke(self.kind, now);
        }
        felt
    }

    /// Feeds everything that decides the future to a hash.
    fn hash_into(&self, add: &mut impl FnMut(u64)) {
        self.body.position.iter().chain(&self.body.velocity).for_each(|value| add(value.to_bits()));
        add(self.id << 8 | self.kind as u64);
        add(self.fall.to_bits());
        self.life.bits().into_iter().chain(self.mind.bits()).for_each(&mut *add);
        for value in [self.yaw, self.stride, self.pace] {
            add(u64::from(value.to_bits()));
        }
        let flags = u64::from(self.body.on_ground) << 1 | u64::from(self.body.blocked);
        add(flags << 16 | u64::from(self.pause) << 8 | u64::from(self.fuse));
    }
}

#[cfg(test)]
mod tests;
