//! All mobs of a world: their ticks in order, how they jostle, who is in the way, who is dead.

use super::kind::Kind;
use super::loot::loot;
use super::mind::eye_of;
use super::{Around, Deed, Mob, sight, spawning};
use crate::native::item::Stack;
use crate::native::physics::Body;
use crate::native::spawn::mix;
use crate::native::voxels::Voxels;
use crate::task::Mobs;

/// Strength with which bodies push each other apart, metres per tick.
const JOSTLE: f64 = 0.05;

/// What a tick of the mobs does to the rest of the world.
#[derive(Debug, Default)]
pub(crate) struct Doings {
    pub(crate) deeds: Vec<Deed>,
    /// What the dead leave, and where.
    pub(crate) remains: Vec<([f64; 3], Stack)>,
    /// How the player is pushed, metres per tick along x and z.
    pub(crate) shove: [f64; 2],
}

/// All mobs of a world, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crowd {
    key: u64,
    allowed: Mobs,
    mobs: Vec<Mob>,
    /// Mobs there have been.
    born: u64,
}

impl Crowd {
    /// Starts over with the herds of a new world.
    pub(crate) fn settle(&mut self, seed: u64, allowed: Mobs, voxels: &Voxels, player: [f64; 3]) {
        self.key = mix(seed, 0x4d4f_4253);
        self.allowed = allowed;
        self.mobs.clear();
        self.born = 0;
        if allowed != Mobs::None {
            spawning::first_herds(self, &Around::new(voxels, 0, player, None));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mob> {
        self.mobs.iter()
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// How many there are of a sort.
    pub(super) fn count(&self, hostile: bool) -> usize {
        self.mobs.iter().filter(|mob| mob.kind.is_hostile() == hostile).count()
    }

    /// Puts a new mob on its feet.
    pub(crate) fn add(&mut self, kind: Kind, feet: [f64; 3]) {
        let id = self.born;
        self.born += 1;
        self.mobs.push(Mob::new(kind, id, feet, mix(self.key, id)));
    }

    /// Whether a living mob is in a cell, so that no block fits there.
    pub(crate) fn stand_in(&self, cell: [i32; 3]) -> bool {
        self.mobs.iter().any(|mob| !mob.life.is_over() && mob.body.overlaps(cell))
    }

    /// The living mob a line meets first within `reach`, and how far away.
    pub(crate) fn first_along(&self, from: [f64; 3], along: [f64; 3], reach: f64) -> Option<(usize, f64)> {
        let living = self.mobs.iter().enumerate().filter(|(_, mob)| !mob.life.is_over());
        let met = living.filter_map(|(at, mob)| Some((at, sight::distance_to(&mob.body, from, along)?)));
        met.filter(|(_, distance)| *distance <= reach).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The mob with that index.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Mob> {
        self.mobs.get_mut(index)
    }

    /// Every living mob, for what befalls them all.
    pub(crate) fn living_mut(&mut self) -> impl Iterator<Item = &mut Mob> {
        self.mobs.iter_mut().filter(|mob| !mob.life.is_over())
    }

    /// One tick of every mob.
    pub(crate) fn tick(&mut self, around: &Around<'_>, player: &Body) -> Doings {
        let mut doings = Doings::default();
        if self.allowed == Mobs::None && self.mobs.is_empty() {
            return doings;
        }
        let key = self.key;
        self.mobs.retain_mut(|mob| {
            let roll = mix(mix(key, mob.id), around.now);
            if mob.life.is_over() {
                if mob.life.dying() == 0.0 {
                    let stack = loot(mob.kind, mob.life.fire > 0, roll);
                    doings.remains.extend(stack.map(|stack| (mob.body.position, stack)));
                }
                return !mob.life.fade();
            }
            let deed = mob.tick(around, roll);
            doings.deeds.extend(deed);
            let gone = matches!(deed, Some(Deed::Burst { .. }));
            !gone && !spawning::leaves(mob, around, roll)
        });
        self.jostle(player, &mut doings.shove);
        if self.allowed == Mobs::All {
            spawning::out_of_the_dark(self, around);
        }
        if self.allowed != Mobs::None {
            spawning::another_herd(self, around);
        }
        doings
    }

    /// Bodies that overlap push each other apart.
    fn jostle(&mut self, player: &Body, shove: &mut [f64; 2]) {
        for at in 0..self.mobs.len() {
            let (before, after) = self.mobs.split_at_mut(at + 1);
            let Some(one) = before.last_mut().filter(|mob| !mob.life.is_over()) else { continue };
            for other in after.iter_mut().filter(|mob| !mob.life.is_over()) {
                if let Some([x, z]) = push_apart(&one.body, &other.body) {
                    one.body.velocity[0] -= x;
                    one.body.velocity[2] -= z;
                    other.body.velocity[0] += x;
                    other.body.velocity[2] += z;
                }
            }
            if let Some([x, z]) = push_apart(&one.body, player) {
                one.body.velocity[0] -= x;
                one.body.velocity[2] -= z;
                *shove = [shove[0] + x, shove[1] + z];
            }
        }
    }

    /// Feeds everything that decides the future to a hash.
    pub(crate) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        if self.allowed == Mobs::None && self.mobs.is_empty() {
            return;
        }
        add(self.key);
        add(self.born << 2 | self.allowed as u64);
        self.mobs.iter().for_each(|mob| mob.hash_into(add));
    }
}

impl Mob {
    /// Where its eyes are.
    pub(crate) fn eye(&self) -> [f64; 3] {
        eye_of(self.kind, &self.body)
    }
}

/// How a body that overlaps another pushes that one, along x and z.
fn push_apart(one: &Body, other: &Body) -> Option<[f64; 2]> {
    let (dx, dz) = (other.position[0] - one.position[0], other.position[2] - one.position[2]);
    let wide = one.half_width + other.half_width;
    if dx.abs() >= wide || dz.abs() >= wide {
        return None;
    }
    let (low, high) = (one.position[1], one.position[1] + one.height);
    if other.position[1] >= high || other.position[1] + other.height <= low {
        return None;
    }
    let apart = dx.abs().max(dz.abs());
    if apart < 0.01 {
        return None;
    }
    let root = apart.sqrt();
    let scale = JOSTLE * (1.0 / root).min(1.0) / root;
    Some([dx * scale, dz * scale])
}
