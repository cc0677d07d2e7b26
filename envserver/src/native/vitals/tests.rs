//! The game's numbers: falls, breath, fire, hunger, healing.

use super::*;

/// Healthy, but not fed enough to heal.
fn unfed() -> Vitals {
    Vitals { food: 17.0, saturation: 0.0, ..Vitals::default() }
}

fn lived(ticks: usize, met: Exposure) -> Vitals {
    let mut vitals = unfed();
    (0..ticks).for_each(|_| vitals.tick(&met));
    vitals
}

/// Ticks until the health first falls.
fn first_wound(met: Exposure) -> usize {
    let mut vitals = unfed();
    (1..2000)
        .find(|_| {
            vitals.tick(&met);
            vitals.health < FULL
        })
        .unwrap()
}

#[test]
fn falls_cost_what_exceeds_three_blocks_rounded_up() {
    for (blocks, left) in [(1.0, 20.0), (3.0, 20.0), (3.01, 19.0), (4.0, 19.0), (10.5, 12.0), (23.0, 0.0)] {
        let vitals = lived(1, Exposure { landed_from: Some(blocks), ..Exposure::default() });
        assert_eq!(vitals.health, left, "{blocks} blocks");
        assert_eq!(vitals.is_dead(), left == 0.0);
    }
}

#[test]
fn breath_lasts_fifteen_seconds_and_then_costs_a_heart_a_second() {
    let under = Exposure { head_in_water: true, in_water: true, ..Exposure::default() };
    assert_eq!(first_wound(under), 320);
    let mut vitals = lived(320, under);
    assert_eq!((vitals.health, vitals.bubbles()), (18.0, Some(0)));
    (0..20).for_each(|_| vitals.tick(&under));
    assert_eq!(vitals.health, 16.0);
    // Above water it comes back within four seconds.
    (0..80).for_each(|_| vitals.tick(&Exposure::default()));
    assert_eq!(vitals.bubbles(), None);
    assert_eq!(lived(150, under).bubbles(), Some(5));
}

#[test]
fn lava_takes_two_hearts_every_half_second_and_burns_on() {
    let lava = Exposure { in_lava: true, ..Exposure::default() };
    let vitals = lived(1, lava);
    assert_eq!(vitals.health, 16.0);
    assert_eq!(lived(10, lava).health, 16.0);
    assert_eq!(lived(11, lava).health, 12.0);
    assert!(lived(60, lava).is_dead());
    let mut burning = lived(1, lava);
    (0..100).for_each(|_| burning.tick(&Exposure::default()));
    assert_eq!((burning.fire, burning.health), (199, 11.0));
    burning.tick(&Exposure { in_water: true, ..Exposure::default() });
    assert_eq!(burning.fire, 0);
}

#[test]
fn of_blows_in_quick_succession_the_harder_counts() {
    let mut vitals = Vitals::default();
    vitals.hurt(2.0);
    vitals.hurt(2.0);
    assert_eq!(vitals.health, 18.0);
    vitals.hurt(5.0);
    assert_eq!(vitals.health, 15.0);
    (0..10).for_each(|_| vitals.grace = vitals.grace.saturating_sub(1));
    vitals.hurt(2.0);
    assert_eq!(vitals.health, 13.0);
}

#[test]
fn sprinting_makes_hungry_and_the_hungry_neither_sprint_nor_heal() {
    let sprint = Exposure { moved: 0.2806, sprinting: true, ..Exposure::default() };
    // 0.02806 exhaustion a tick: a point in 143 ticks; five points of saturation go first.
    let mut vitals = Vitals::default();
    let until_hungry = (1..2000).find(|_| {
        vitals.tick(&sprint);
        vitals.food < FULL
    });
    assert_eq!(until_hungry, Some(856));
    vitals.food = 6.0;
    assert!(!vitals.can_sprint());
    vitals.health = 10.0;
    (0..400).for_each(|_| vitals.tick(&Exposure::default()));
    assert_eq!(vitals.health, 10.0);
    vitals.food = 0.0;
    (0..160).for_each(|_| vitals.tick(&Exposure::default()));
    assert_eq!(vitals.health, 8.0);
}

#[test]
fn a_fed_player_heals_and_a_full_one_heals_fast() {
    let mut vitals = Vitals { health: 10.0, saturation: 0.0, food: 18.0, ..Vitals::default() };
    (0..80).for_each(|_| vitals.tick(&Exposure::default()));
    assert_eq!((vitals.health, vitals.exhaustion), (11.0, 6.0));
    let mut vitals = Vitals { health: 10.0, saturation: 6.0, ..Vitals::default() };
    (0..10).for_each(|_| vitals.tick(&Exposure::default()));
    assert_eq!(vitals.health, 11.0);
}

#[test]
fn food_fills_and_saturation_stays_below_it() {
    let mut vitals = Vitals { food: 5.0, saturation: 0.0, ..Vitals::default() };
    vitals.eat(4.0, 12.8);
    assert_eq!((vitals.food, vitals.saturation), (9.0, 9.0));
    vitals.eat(20.0, 1.0);
    assert_eq!((vitals.food, vitals.saturation), (20.0, 10.0));
}

#[test]
fn armour_lessens_lava_and_thorns_but_neither_falls_nor_drowning() {
    use crate::native::armour::Protection;
    use crate::native::item::{Item, Stack};
    let iron = [Item::IronHelmet, Item::IronChestplate, Item::IronLeggings, Item::IronBoots];
    let armour = Protection::of(&iron.map(|item| Some(Stack::new(item, 1))));
    let worn = || Vitals { armour, ..Vitals::default() };
    let cases = [
        (Exposure { in_lava: true, ..Exposure::default() }, 20.0 - 1.92, 1),
        (Exposure { on_cactus: true, ..Exposure::default() }, 20.0 - 0.42, 1),
        (Exposure { landed_from: Some(8.0), ..Exposure::default() }, 15.0, 0),
        (Exposure { in_wall: true, ..Exposure::default() }, 19.0, 0),
    ];
    for (met, health, dents) in cases {
        let mut vitals = worn();
        vitals.tick(&met);
        assert!((vitals.health - health).abs() < 1e-4, "{met:?}: {}", vitals.health);
        assert_eq!((vitals.take_dents(), vitals.take_dents()), (dents, 0));
    }
}
