//! A mob's health: blows, fire, and dying.

/// Ticks in which only the harder of two blows counts.
const GRACE: u8 = 10;
/// Ticks a dead mob is still seen.
pub(crate) const DYING: u8 = 20;
/// Ticks one burns on after leaving lava, and after the sun set one on fire.
pub(crate) const LAVA_BURNS: u16 = 300;
pub(crate) const SUN_BURNS: u16 = 160;

/// How alive a mob is.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    health: f32,
    armour: f32,
    grace: u8,
    blow: f32,
    /// Ticks on fire.
    pub(crate) fire: u16,
    /// Ticks since death.
    dying: u8,
}

impl Life {
    pub(crate) fn new(health: f32, armour: f32) -> Self {
        Self { health, armour, grace: 0, blow: 0.0, fire: 0, dying: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.health <= 0.0
    }

    /// Whether it was hurt a moment ago.
    pub(crate) fn smarts(&self) -> bool {
        self.grace > 0 || self.is_over()
    }

    /// How far dying has come, 0 to 1.
    pub(crate) fn dying(&self) -> f32 {
        f32::from(self.dying) / f32::from(DYING)
    }

    /// Takes health by a blow that armour softens; true when it was felt in full.
    pub(crate) fn strike(&mut self, points: f32) -> bool {
        let covered = (self.armour * 0.2).max(self.armour - points * 0.5).clamp(0.0, 20.0);
        self.hurt(points * (1.0 - covered / 25.0))
    }

    /// Takes health; shortly after another blow only what it is harder by. True when it was felt in full.
    pub(crate) fn hurt(&mut self, points: f32) -> bool {
        let counts = if self.grace > 0 { points - self.blow } else { points };
        if counts <= 0.0 || self.is_over() {
            return false;
        }
        let fresh = self.grace == 0;
        if fresh {
            self.grace = GRACE;
        }
        self.blow = points;
        self.health = (self.health - counts).max(0.0);
        fresh
    }

    /// One tick of living: fire burns on unless water puts it out.
    pub(crate) fn tick(&mut self, in_water: bool) {
        self.grace = self.grace.saturating_sub(1);
        if in_water {
            self.fire = 0;
        }
        if self.fire > 0 {
            if self.fire.is_multiple_of(20) {
                self.hurt(1.0);
            }
            self.fire -= 1;
        }
    }

    /// One tick of being dead; true when nothing is left.
    pub(crate) fn fade(&mut self) -> bool {
        self.dying += 1;
        self.dying >= DYING
    }

    /// What decides the future, for hashing.
    pub(crate) fn bits(&self) -> [u64; 3] {
        let pair = |a: f32, b: f32| u64::from(a.to_bits()) << 32 | u64::from(b.to_bits());
        let clocks = u64::from(self.fire) << 16 | u64::from(self.grace) << 8 | u64::from(self.dying);
        [pair(self.health, self.blow), u64::from(self.armour.to_bits()), clocks]
    }

    #[cfg(test)]
    pub(crate) fn health(&self) -> f32 {
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_ten_ticks_only_the_harder_blow_counts() {
        let mut life = Life::new(10.0, 0.0);
        assert!(life.strike(4.0) && !life.strike(3.0) && !life.strike(4.0));
        assert_eq!(life.health(), 6.0);
        assert!(!life.strike(5.0));
        assert_eq!(life.health(), 5.0);
        (0..9).for_each(|_| life.tick(false));
        assert!(!life.strike(1.0) && life.smarts());
        life.tick(false);
        assert!(!life.smarts() && life.strike(1.0));
        assert_eq!(life.health(), 4.0);
    }

    #[test]
    fn armour_softens_blows_and_fire_burns_through() {
        let mut life = Life::new(20.0, 2.0);
        life.strike(1.0);
        assert!((life.health() - (20.0 - 0.94)).abs() < 1e-5, "{}", life.health());
        let mut burning = Life::new(20.0, 2.0);
        burning.fire = SUN_BURNS;
        (0..200).for_each(|_| burning.tick(false));
        assert_eq!(burning.health(), 12.0);
        burning.fire = SUN_BURNS;
        (0..200).for_each(|_| burning.tick(true));
        assert_eq!(burning.health(), 12.0, "water puts it out");
    }
}
