//! What a living player meets each tick: from the body among blocks to [`Vitals`], meals, and death.

use super::block::Block;
use super::item::Item;
use super::player::Player;
use super::spawn::{Spawn, mix};
use super::vitals::{Exposure, FULL, Vitals};
use super::voxels::Voxels;

/// Ticks that a meal takes.
const MEAL: u8 = 32;

/// A player who can be hurt.
#[derive(Clone, Debug)]
pub(crate) struct Survival {
    pub(crate) vitals: Vitals,
    /// Blocks fallen since the feet last stood.
    fall: f64,
    /// Ticks chewed.
    eating: u8,
    /// Where life begins again, if the task lets it.
    home: Option<Spawn>,
}

/// Points of food and of saturation that an item gives when eaten.
pub(crate) fn nutrition(item: Item) -> Option<(f32, f32)> {
    match item {
        Item::Apple => Some((4.0, 2.4)),
        Item::Beef | Item::Porkchop => Some((3.0, 1.8)),
        Item::CookedBeef | Item::CookedPorkchop => Some((8.0, 12.8)),
        Item::RottenFlesh => Some((4.0, 0.8)),
        _ => None,
    }
}

impl Survival {
    pub(crate) fn new(home: Option<Spawn>) -> Self {
        Self { vitals: Vitals::default(), fall: 0.0, eating: 0, home }
    }

    /// One tick after the body has moved from `before`; true when the player died of it.
    pub(crate) fn tick(&mut self, player: &Player, voxels: &Voxels, before: [f64; 3]) -> bool {
        let met = self.exposure(player, voxels, before);
        self.vitals.tick(&met);
        self.vitals.is_dead()
    }

    fn exposure(&mut self, player: &Player, voxels: &Voxels, before: [f64; 3]) -> Exposure {
        let body = &player.body;
        let [x, y, z] = body.position;
        let (in_water, in_lava) = (body.touches(voxels, Block::Water), body.touches(voxels, Block::Lava));
        let [eye_x, eye_y, eye_z] = player.eye().map(|value| value.floor() as i32);
        let at_eye = voxels.get(eye_x, eye_y, eye_z);
        let (dx, dy, dz) = (x - before[0], y - before[1], z - before[2]);
        self.fall = if in_water { 0.0 } else { (self.fall - dy.min(0.0)) * if in_lava { 0.5 } else { 1.0 } };
        let landed_from = (body.on_ground && self.fall > 0.0).then_some(self.fall);
        if body.on_ground {
            self.fall = 0.0;
        }
        // A cactus is a sixteenth narrower than its cell: who presses against it is stung.
        let mut nearby = *body;
        nearby.half_width += 0.01;
        Exposure {
            head_in_water: at_eye == Block::Water,
            in_water,
            in_lava,
            on_cactus: nearby.touches(voxels, Block::Cactus),
            in_wall: at_eye.is_solid() && at_eye.is_opaque(),
            landed_from,
            moved: (dx * dx + dz * dz).sqrt(),
            sprinting: player.is_sprinting(),
            jumped: player.has_just_jumped(),
        }
    }

    /// One tick with `held` in hand and the use button held or not; true when a meal is finished.
    pub(crate) fn chew(&mut self, held: Option<Item>, using: bool) -> bool {
        let meal = held.filter(|_| using && self.vitals.food < FULL).and_then(nutrition);
        let Some((food, saturation)) = meal else {
            self.eating = 0;
            return false;
        };
        self.eating += 1;
        if self.eating < MEAL {
            return false;
        }
        self.eating = 0;
        self.vitals.eat(food, saturation);
        true
    }

    /// A new life, where the task gives one.
    pub(crate) fn reborn(&self) -> Option<(Self, Player)> {
        self.home.map(|home| (Self::new(self.home), Player::new(home.feet, home.yaw)))
    }

    /// What decides the future, for hashing.
    pub(crate) fn hash(&self) -> u64 {
        let all = self.vitals.bits().into_iter().chain([self.fall.to_bits(), u64::from(self.eating)]);
        all.fold(0, mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meal_takes_thirty_two_ticks_and_needs_hunger() {
        let mut survival = Survival::new(None);
        assert!((0..100).all(|_| !survival.chew(Some(Item::Apple), true)), "nobody eats when full");
        survival.vitals.food = 10.0;
        assert!((0..31).all(|_| !survival.chew(Some(Item::Apple), true)));
        assert!(!survival.chew(Some(Item::Apple), false), "letting go starts over");
        assert!((0..31).all(|_| !survival.chew(Some(Item::Apple), true)));
        assert!(survival.chew(Some(Item::Apple), true));
        assert_eq!(survival.vitals.food, 14.0);
        survival.vitals.food = 10.0;
        assert!((0..100).all(|_| !survival.chew(Some(Item::Log), true)));
    }

    /// The least health while falling so far and after.
    fn fallen(blocks: i32) -> f32 {
        let mut voxels = Voxels::empty(64);
        voxels.set(0, 0, 0, Block::Stone);
        let mut player = Player::new([0.5, f64::from(blocks) + 1.0, 0.5], 0.0);
        let mut survival = Survival::new(None);
        let mut least = FULL;
        for _ in 0..200 {
            let before = player.body.position;
            player.walk(&crate::world::Action::NOOP, &voxels);
            survival.tick(&player, &voxels, before);
            least = least.min(survival.vitals.health);
        }
        least
    }

    #[test]
    fn bodies_fall_as_far_as_they_were_above_the_ground() {
        // The gap kept between bodies and blocks shortens a fall by less than a step of the rounding.
        assert_eq!([3, 4, 8, 30].map(fallen), [20.0, 19.0, 15.0, 0.0]);
    }
}
