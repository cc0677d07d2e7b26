//! Mobs among blocks: nothing gets into walls, the sun burns, the dark brings forth, the light does not.

use super::crowd::Crowd;
use super::*;
use crate::task::{Mobs, Terrain};

const MIDNIGHT: u64 = 18_000;
const NOON: u64 = 6000;

/// Flat grass at 10 under the open sky, with light.
fn plain(torches: bool) -> Voxels {
    let mut voxels = Voxels::empty(32);
    for y in 0..=10 {
        for z in 0..128 {
            voxels.row_mut(y, z).fill(if y == 10 { Block::Grass } else { Block::Stone } as u8);
        }
    }
    for place in (0..128 * 128).filter(|_| torches) {
        let (x, z) = (place % 128, place / 128);
        if x % 5 == 0 && z % 5 == 0 {
            voxels.put(x, 11, z, Block::Torch);
        }
    }
    voxels.ground.fill(10);
    voxels.rebuild();
    voxels.shine();
    voxels
}

/// Lets mobs live for some ticks around a player in the middle.
fn live(crowd: &mut Crowd, voxels: &Voxels, from: u64, ticks: u64, prey: Option<Prey>) {
    let player = Body::new([64.5, 11.0, 64.5], 0.3, 1.8);
    for now in from..from + ticks {
        crowd.tick(&Around::new(voxels, now, player.position, prey), &player);
    }
}

fn monsters(crowd: &Crowd) -> usize {
    crowd.iter().filter(|mob| mob.kind.is_hostile()).count()
}

#[test]
fn monsters_come_out_of_the_dark_only() {
    let cases = [
        (Mobs::All, false, MIDNIGHT, true),
        (Mobs::All, false, NOON, false),
        (Mobs::All, true, MIDNIGHT, false),
        (Mobs::Passive, false, MIDNIGHT, false),
        (Mobs::None, false, MIDNIGHT, false),
    ];
    for (allowed, torches, time, some) in cases {
        let voxels = plain(torches);
        let mut crowd = Crowd::default();
        crowd.settle(5, allowed, &voxels, [64.5, 11.0, 64.5]);
        let animals = crowd.iter().count();
        live(&mut crowd, &voxels, time, 1500, None);
        let found = monsters(&crowd);
        assert_eq!(found > 5, some, "{allowed:?}, torches {torches}, time {time}: {found}");
        assert!(some || found == 0);
        assert_eq!(animals > 0, allowed != Mobs::None);
    }
}

#[test]
fn herds_are_on_grass_and_many_monsters_are_too_many() {
    let voxels = plain(false);
    let mut crowd = Crowd::default();
    crowd.settle(9, Mobs::All, &voxels, [64.5, 11.0, 64.5]);
    for mob in crowd.iter() {
        let [x, y, z] = mob.body.position.map(|value| value.floor() as i32);
        assert_eq!((voxels.get(x, y - 1, z), mob.kind.is_hostile()), (Block::Grass, false));
    }
    live(&mut crowd, &voxels, MIDNIGHT - 3000, 6000, None);
    assert!((8..=15).contains(&monsters(&crowd)), "{}", monsters(&crowd));
    for mob in crowd.iter().filter(|mob| mob.kind.is_hostile()) {
        assert!((mob.body.position[0] - 64.5).abs() <= 65.0);
    }
}

#[test]
fn zombies_burn_by_day_and_only_under_the_sky() {
    let mut voxels = plain(false);
    for x in 59..70 {
        for z in 59..70 {
            voxels.set(x, 14, z, Block::Stone);
            let wall = !(60..69).contains(&x) || !(60..69).contains(&z);
            for y in (11..14).filter(|_| wall) {
                voxels.set(x, y, z, Block::Stone);
            }
        }
    }
    let left = |feet: [f64; 3], kind: Kind, time: u64| {
        let mut crowd = Crowd::default();
        crowd.settle(1, Mobs::None, &voxels, feet);
        crowd.add(kind, feet);
        live(&mut crowd, &voxels, time, 800, None);
        crowd.iter().count()
    };
    assert_eq!(left([54.5, 11.0, 54.5], Kind::Zombie, NOON), 0);
    assert_eq!(left([54.5, 11.0, 54.5], Kind::Zombie, MIDNIGHT), 1);
    assert_eq!(left([64.5, 11.0, 64.5], Kind::Zombie, NOON), 1, "under a roof");
    assert_eq!(left([50.5, 11.0, 50.5], Kind::Creeper, NOON), 1);
}

#[test]
fn nothing_ends_inside_a_block_in_twenty_thousand_ticks() {
    let mut voxels = Voxels::empty(1);
    voxels.remake(Terrain::Overworld, 3);
    let (x, z) = (0..PERIOD)
        .flat_map(|x| (0..PERIOD).map(move |z| (x, z)))
        .find(|(x, z)| voxels.get(*x, voxels.ground_height(*x, *z), *z) == Block::Grass)
        .unwrap();
    let feet = [f64::from(x) + 0.5, f64::from(voxels.ground_height(x, z)) + 1.0, f64::from(z) + 0.5];
    let mut player = Body::new(feet, 0.3, 1.8);
    let mut crowd = Crowd::default();
    crowd.settle(3, Mobs::All, &voxels, feet);
    let (mut deeds, mut checked) = (0, 0);
    for now in 0..20_000_u64 {
        // The player is carried about, once around the world and more.
        player.position[0] = feet[0] + now as f64 * 0.012;
        let [px, _, pz] = player.position.map(|value| value.floor() as i32);
        player.position[1] = f64::from(voxels.ground_height(px, pz)) + 1.0;
        let eye = [player.position[0], player.position[1] + 1.62, player.position[2]];
        let prey = Some(Prey { eye, sneaking: false });
        deeds += crowd.tick(&Around::new(&voxels, now, player.position, prey), &player).deeds.len();
        for mob in crowd.iter() {
            let (low, high) = mob.body.bounds();
            let cells = |axis: usize| (low[axis] + 1e-6).floor() as i32..=(high[axis] - 1e-6).floor() as i32;
            for (y, z) in cells(1).flat_map(|y| cells(2).map(move |z| (y, z))) {
                for x in cells(0) {
                    let block = voxels.get(x, y, z);
                    assert!(!block.is_solid(), "tick {now}: {:?} inside {block:?}", mob.kind);
                }
            }
            assert!((mob.body.position[0] - player.position[0]).abs() <= 66.0, "the nearest copy");
            checked += 1;
        }
    }
    assert!(checked > 100_000 && deeds > 0, "{checked} {deeds}");
}

#[test]
fn mobs_walk_as_fast_as_the_games() {
    let voxels = plain(false);
    let eye = [64.5, 12.62, 100.5];
    let prey = Some(Prey { eye, sneaking: false });
    let mut zombie = Mob::new(Kind::Zombie, 0, [64.5, 11.0, 76.5], 3);
    let mut at = Vec::new();
    for now in MIDNIGHT..MIDNIGHT + 200 {
        let around = Around::new(&voxels, now, [64.5, 11.0, 100.5], prey);
        zombie.tick(&around, mix(8, now));
        at.push(zombie.body.position[2]);
    }
    let speed = (at[199] - at[99]) / 5.0;
    assert!((speed - 2.28).abs() < 0.02, "{speed} m/s");
}
