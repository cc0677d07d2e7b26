//! Health, hunger and breath, by the game's numbers per tick (Java 1.16): what hurts, what heals, what tires.
//!
//! Health and food are counted in half hearts and half drumsticks. All arithmetic is of single operations on f32, the
//! same on every machine.

use super::armour::{self, Protection};

/// Full health, and a full stomach.
pub(crate) const FULL: f32 = 20.0;
/// Ticks of breath.
pub(crate) const AIR: i32 = 300;
/// Ticks in which only the harder of two blows counts.
const GRACE: u8 = 10;
/// Blocks one falls unhurt.
const SAFE_FALL: f64 = 3.0;
/// Exhaustion that costs a point of saturation or food.
const EXHAUSTED: f32 = 4.0;
/// Ticks between heals of a fed player, and between wounds of a starving one.
const SLOW_CLOCK: u16 = 80;
/// Ticks between heals of a player with saturation left.
const FAST_CLOCK: u16 = 10;
/// Ticks one burns on after leaving lava.
const BURNS: u16 = 300;
/// Food from which one heals, and above which one can sprint.
const HEALS_FROM: f32 = 18.0;
const SPRINTS_ABOVE: f32 = 6.0;

/// What a body met in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Exposure {
    pub(crate) head_in_water: bool,
    pub(crate) in_water: bool,
    pub(crate) in_lava: bool,
    pub(crate) on_cactus: bool,
    /// The head is inside a block.
    pub(crate) in_wall: bool,
    /// Blocks fallen, in the tick of the landing.
    pub(crate) landed_from: Option<f64>,
    /// Metres gone sideways.
    pub(crate) moved: f64,
    pub(crate) sprinting: bool,
    pub(crate) jumped: bool,
}

/// A living player.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vitals {
    pub(crate) health: f32,
    pub(crate) food: f32,
    saturation: f32,
    exhaustion: f32,
    air: i32,
    /// Ticks on fire.
    fire: u16,
    /// Ticks left in which blows no harder than `blow` do nothing.
    grace: u8,
    blow: f32,
    /// What armour keeps off, as worn now.
    pub(crate) armour: Protection,
    /// Dents that blows have made in every piece of armour, until they are taken.
    dents: u16,
    /// Ticks towards the next heal or loss by hunger.
    clock: u16,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            health: FULL,
            food: FULL,
            saturation: 5.0,
            exhaustion: 0.0,
            air: AIR,
            fire: 0,
            grace: 0,
            blow: 0.0,
            armour: Protection::default(),
            dents: 0,
            clock: 0,
        }
    }
}

impl Vitals {
    /// What is used up before food.
    pub(crate) fn saturation(&self) -> f32 {
        self.saturation
    }

    /// Ticks of breath left.
    pub(crate) fn air(&self) -> i32 {
        self.air
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.health <= 0.0
    }

    /// Whether there is strength left to sprint.
    pub(crate) fn can_sprint(&self) -> bool {
        self.food > SPRINTS_ABOVE
    }

    /// Bubbles of breath left, 0 to 10, while it is not full.
    pub(crate) fn bubbles(&self) -> Option<u8> {
        // As the game draws them: the last two ticks of a bubble show it bursting.
        (self.air < AIR).then(|| (((self.air - 2).max(0) * 10 + AIR - 1) / AIR) as u8)
    }

    /// Takes strength.
    pub(crate) fn exhaust(&mut self, amount: f32) {
        self.exhaustion = (self.exhaustion + amount).min(40.0);
    }

    /// Takes health, by what no armour keeps off; shortly after another blow only what it is harder by.
    pub(crate) fn hurt(&mut self, points: f32) {
        self.wound(points, Protection::default());
    }

    /// Takes health, less what armour keeps off, which it dents.
    pub(crate) fn strike(&mut self, points: f32) {
        self.wound(points, self.armour);
    }

    /// The dents of all blows since they were last taken.
    pub(crate) fn take_dents(&mut self) -> u16 {
        std::mem::take(&mut self.dents)
    }

    fn wound(&mut self, points: f32, armour: Protection) {
        let counts = if self.grace > 0 { points - self.blow } else { points };
        if counts <= 0.0 || self.is_dead() {
            return;
        }
        if self.grace == 0 {
            self.grace = GRACE;
        }
        self.blow = points;
        if armour.points > 0 {
            self.dents = self.dents.saturating_add(armour::dents(counts));
        }
        self.health = (self.health - armour.lessen(counts)).max(0.0);
        self.exhaust(0.1);
    }

    /// Eats: points of food, and of saturation, which never exceeds food.
    pub(crate) fn eat(&mut self, food: f32, saturation: f32) {
        self.food = (self.food + food).min(FULL);
        self.saturation = (self.saturation + saturation).min(self.food);
    }

    /// One tick.
    pub(crate) fn tick(&mut self, met: &Exposure) {
        self.grace = self.grace.saturating_sub(1);
        self.tire(met);
        self.breathe(met.head_in_water);
        self.burn(met);
        if let Some(blocks) = met.landed_from {
            let points = (blocks - SAFE_FALL).ceil();
            if points > 0.0 {
                self.hurt(points as f32);
            }
        }
        if met.on_cactus {
            self.strike(1.0);
        }
        if met.in_wall {
            self.hurt(1.0);
        }
        if !self.is_dead() {
            self.digest();
        }
    }

    fn tire(&mut self, met: &Exposure) {
        let per_metre = match (met.in_water, met.sprinting) {
            (true, _) => 0.01,
            (false, true) => 0.1,
            (false, false) => 0.0,
        };
        self.exhaust(per_metre * met.moved as f32);
        if met.jumped {
            self.exhaust(if met.sprinting { 0.2 } else { 0.05 });
        }
    }

    fn breathe(&mut self, under_water: bool) {
        if !under_water {
            self.air = (self.air + 4).min(AIR);
            return;
        }
        self.air -= 1;
        if self.air <= -20 {
            self.air = 0;
            self.hurt(2.0);
        }
    }

    fn burn(&mut self, met: &Exposure) {
        if met.in_lava {
            self.fire = BURNS;
            self.strike(4.0);
        }
        if met.in_water {
            self.fire = 0;
        }
        if self.fire > 0 {
            if self.fire.is_multiple_of(20) && !met.in_lava {
                self.hurt(1.0);
            }
            self.fire -= 1;
        }
    }

    fn digest(&mut self) {
        if self.exhaustion > EXHAUSTED {
            self.exhaustion -= EXHAUSTED;
            if self.saturation > 0.0 {
                self.saturation = (self.saturation - 1.0).max(0.0);
            } else {
                self.food = (self.food - 1.0).max(0.0);
            }
        }
        let wounded = self.health < FULL;
        self.clock += 1;
        if wounded && self.food >= FULL && self.saturation > 0.0 {
            if self.clock >= FAST_CLOCK {
                let spent = self.saturation.min(6.0);
                self.heal(spent / 6.0, spent);
            }
        } else if wounded && self.food >= HEALS_FROM {
            if self.clock >= SLOW_CLOCK {
                self.heal(1.0, 6.0);
            }
        } else if self.food <= 0.0 {
            if self.clock >= SLOW_CLOCK {
                self.clock = 0;
                self.hurt(1.0);
            }
        } else {
            self.clock = 0;
        }
    }

    fn heal(&mut self, points: f32, cost: f32) {
        self.clock = 0;
        self.health = (self.health + points).min(FULL);
        self.exhaust(cost);
    }

    /// What decides the future, for hashing.
    pub(crate) fn bits(&self) -> [u64; 5] {
        let pair = |a: f32, b: f32| u64::from(a.to_bits()) << 32 | u64::from(b.to_bits());
        let clocks = u64::from(self.fire) << 32 | u64::from(self.grace) << 16 | u64::from(self.clock);
        [
            pair(self.health, self.food),
            pair(self.saturation, self.exhaustion),
            u64::from(self.dents) << 32 | u64::from(self.blow.to_bits()),
            self.air as u64,
            clocks,
        ]
    }
}

#[cfg(test)]
mod tests;
