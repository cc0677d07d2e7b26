//! Tests of flowing liquids, tick by tick, on a stone floor in an empty world.

use super::*;
use crate::native::item::Item;
use crate::native::voxels::Voxels;
use crate::task::Task;
use crate::world::Action;

/// Half the side of the floor.
const FLOOR: i32 = 24;
/// The y of what lies on the floor.
const GROUND: i32 = 10;

/// A floor of stone; the player is far from it.
fn floor() -> State {
    let mut state = State::new();
    state.voxels = Voxels::empty(crate::native::terrain::HEIGHT);
    state.player.body.position = [60.5, 40.0, 60.5];
    for (x, z) in square(FLOOR) {
        state.voxels.put(x, GROUND - 1, z, Block::Stone);
    }
    state.voxels.rebuild();
    state
}

fn square(reach: i32) -> impl Iterator<Item = (i32, i32)> {
    (-reach..=reach).flat_map(move |z| (-reach..=reach).map(move |x| (x, z)))
}

fn pass(state: &mut State, ticks: u64) {
    for _ in 0..ticks {
        state.ticks += 1;
        state.tick_liquids();
    }
}

/// Passes ticks until nothing flows any more.
fn settle(state: &mut State) -> u64 {
    let began = state.ticks;
    while !state.flows.is_still() {
        pass(state, 1);
        assert!(state.ticks < began + 5000, "it never comes to rest");
    }
    state.ticks - began
}

fn at(state: &State, [x, y, z]: [i32; 3]) -> Block {
    state.voxels.get(x, y, z)
}

/// Eighths of a liquid in a cell; 9 for a source.
fn level(state: &State, liquid: Liquid, cell: [i32; 3]) -> u8 {
    match state.basin().fill(liquid, cell) {
        Some(Fill::Source) => 9,
        Some(fill) => fill.eighths(),
        None => 0,
    }
}

fn wet(state: &State, liquid: Liquid) -> usize {
    let cells = (0..40).flat_map(|y| square(FLOOR + 4).map(move |(x, z)| [x, y, z]));
    cells.filter(|cell| at(state, *cell) == liquid.block()).count()
}

#[test]
fn on_level_ground_each_liquid_spreads_as_far_and_as_fast_as_the_game_says() {
    let table: [(Liquid, u64, &[u8]); 2] =
        [(Liquid::Water, 5, &[9, 7, 6, 5, 4, 3, 2, 1]), (Liquid::Lava, 30, &[9, 6, 4, 2])];
    for (liquid, delay, levels) in table {
        let mut state = floor();
        state.set([0, GROUND, 0], liquid.block());
        for tick in 0..delay * 10 {
            let steps = (tick / delay) as usize;
            for (x, z) in square(9) {
                let away = (x.abs() + z.abs()) as usize;
                let expected = if away <= steps { levels.get(away).copied().unwrap_or(0) } else { 0 };
                assert_eq!(level(&state, liquid, [x, GROUND, z]), expected, "{liquid:?} {tick} {x} {z}");
            }
            pass(&mut state, 1);
        }
        assert!(state.flows.is_still());
    }
}

#[test]
fn without_its_source_a_flow_dries_up() {
    for liquid in [Liquid::Water, Liquid::Lava] {
        let mut state = floor();
        state.set([0, GROUND, 0], liquid.block());
        settle(&mut state);
        state.set([0, GROUND, 0], Block::Air);
        settle(&mut state);
        assert_eq!(wet(&state, liquid), 0);
        assert!(state.flows.has_none());
    }
}

#[test]
fn a_hole_near_by_draws_all_of_the_flow() {
    let mut state = floor();
    state.set([4, GROUND - 1, 0], Block::Air);
    state.set([0, GROUND, 0], Block::Water);
    pass(&mut state, 20);
    let row: Vec<u8> = (-1..6).map(|x| level(&state, Liquid::Water, [x, GROUND, 0])).collect();
    assert_eq!(row, [0, 9, 7, 6, 5, 4, 0]);
    assert_eq!(wet(&state, Liquid::Water), 5);
    // Five steps away it is not felt.
    let mut state = floor();
    state.set([6, GROUND - 1, 0], Block::Air);
    state.set([0, GROUND, 0], Block::Water);
    pass(&mut state, 5);
    assert_eq!(wet(&state, Liquid::Water), 5);
}

#[test]
fn water_falls_a_block_in_five_ticks_and_spreads_anew_where_it_lands() {
    let mut state = floor();
    state.set([0, GROUND + 6, 0], Block::Water);
    for fallen in 1..=6 {
        pass(&mut state, 5);
        assert_eq!(level(&state, Liquid::Water, [0, GROUND + 6 - fallen, 0]), 8, "{fallen}");
        assert_eq!(level(&state, Liquid::Water, [0, GROUND + 5 - fallen, 0]), 0);
    }
    settle(&mut state);
    // A source in the air also runs over at its sides, so that five columns come down.
    assert_eq!([7, 8, 9].map(|x| level(&state, Liquid::Water, [x, GROUND, 0])), [2, 1, 0]);
    assert_eq!(wet(&state, Liquid::Water), 6 * 5 + 145);
}

#[test]
fn two_sources_over_a_floor_make_a_third_for_ever() {
    let mut state = floor();
    for z in [-1, 1] {
        for x in -1..=3 {
            state.set([x, GROUND, z], Block::Stone);
        }
    }
    state.set([-1, GROUND, 0], Block::Stone);
    state.set([3, GROUND, 0], Block::Stone);
    state.set([0, GROUND, 0], Block::Water);
    state.set([2, GROUND, 0], Block::Water);
    for _ in 0..3 {
        settle(&mut state);
        assert_eq!(level(&state, Liquid::Water, [1, GROUND, 0]), 9);
        state.set([1, GROUND, 0], Block::Air);
    }
    // Not in the air, and lava never.
    for (liquid, below) in [(Liquid::Water, Block::Air), (Liquid::Lava, Block::Stone)] {
        let mut state = floor();
        state.set([1, GROUND - 1, 0], below);
        state.set([0, GROUND, 0], liquid.block());
        state.set([2, GROUND, 0], liquid.block());
        settle(&mut state);
        assert!((1..9).contains(&level(&state, liquid, [1, GROUND, 0])));
    }
}

#[test]
fn lava_that_meets_water_is_obsidian_cobblestone_or_stone() {
    // Water comes to a source of lava.
    let mut state = floor();
    state.set([2, GROUND, 0], Block::Lava);
    state.set([0, GROUND, 0], Block::Water);
    pass(&mut state, 5);
    assert_eq!(at(&state, [2, GROUND, 0]), Block::Obsidian);
    // Lava that flows comes beside water.
    let mut state = floor();
    for x in -1..4 {
        state.set([x, GROUND, -1], Block::Stone);
        state.set([x, GROUND, 1], Block::Stone);
    }
    state.set([-1, GROUND, 0], Block::Stone);
    state.set([3, GROUND, 0], Block::Water);
    state.set([2, GROUND, 0], Block::Stone);
    settle(&mut state);
    state.set([0, GROUND, 0], Block::Lava);
    settle(&mut state);
    state.set([2, GROUND, 0], Block::Air);
    assert_eq!(at(&state, [1, GROUND, 0]), Block::Lava);
    settle(&mut state);
    assert_eq!(at(&state, [1, GROUND, 0]), Block::Cobblestone);
    assert_eq!(at(&state, [0, GROUND, 0]), Block::Lava);
    // Lava falls onto water.
    let mut state = floor();
    state.set([0, GROUND, 0], Block::Water);
    settle(&mut state);
    state.set([0, GROUND + 2, 0], Block::Lava);
    settle(&mut state);
    assert_eq!(at(&state, [0, GROUND, 0]), Block::Stone);
    assert_eq!(at(&state, [0, GROUND + 1, 0]), Block::Lava);
    // From below water does nothing to lava.
    let mut state = floor();
    state.set([0, GROUND, 0], Block::Lava);
    state.set([0, GROUND - 1, 0], Block::Water);
    assert_eq!(at(&state, [0, GROUND, 0]), Block::Lava);
}

/// Walls round the floor's middle, from the floor up.
fn walled(reach: i32, height: i32) -> State {
    let mut state = floor();
    for (x, z) in square(reach + 1).filter(|(x, z)| x.abs().max(z.abs()) > reach) {
        (0..height).for_each(|up| state.set([x, GROUND + up, z], Block::Stone));
    }
    state
}

#[test]
fn a_flood_in_a_closed_room_comes_to_rest() {
    let mut state = walled(5, 5);
    for x in [-3, 3] {
        state.set([x, GROUND + 3, 2], Block::Water);
        state.set([x, GROUND, -3], Block::Lava);
    }
    settle(&mut state);
    let hash = state.hash();
    let ticks = state.ticks;
    pass(&mut state, 300);
    state.ticks = ticks;
    assert_eq!(state.hash(), hash, "nothing moves any more");
    assert!(
        square(FLOOR).all(|(x, z)| x.abs().max(z.abs()) <= 5 || at(&state, [x, GROUND, z]) != Block::Water)
    );
}

#[test]
fn a_pond_with_a_hole_in_its_bed_feeds_a_fall_and_stays() {
    // Three by three sources over a bed with a chamber below.
    let mut state = floor();
    for (x, z) in square(2) {
        let rim = x.abs().max(z.abs()) == 2;
        state.set([x, GROUND + 4, z], Block::Stone);
        state.set([x, GROUND + 5, z], if rim { Block::Stone } else { Block::Water });
    }
    settle(&mut state);
    assert_eq!(wet(&state, Liquid::Water), 9);
    state.set([0, GROUND + 4, 0], Block::Air);
    pass(&mut state, 25);
    for down in 1..=5 {
        assert_eq!(level(&state, Liquid::Water, [0, GROUND + 5 - down, 0]), 8, "{down}");
    }
    settle(&mut state);
    let sources = square(1).filter(|(x, z)| level(&state, Liquid::Water, [*x, GROUND + 5, *z]) == 9).count();
    assert_eq!(sources, 9);
    // A plug in the hole, and what has run out is gone.
    state.set([0, GROUND + 4, 0], Block::Stone);
    settle(&mut state);
    assert_eq!(wet(&state, Liquid::Water), 9);
}

#[test]
fn water_washes_torches_away_and_lava_burns_them() {
    for (liquid, left) in [(Liquid::Water, Some(Item::Torch)), (Liquid::Lava, None)] {
        let mut state = floor();
        state.set([1, GROUND, 0], Block::Torch);
        state.set([0, GROUND, 0], liquid.block());
        settle(&mut state);
        assert_eq!(at(&state, [1, GROUND, 0]), liquid.block());
        assert_eq!(state.entities.iter().next().map(|entity| entity.stack.item), left);
    }
}

#[test]
fn a_current_takes_the_swimmer_along() {
    let mut state = floor();
    for (x, z) in (-2..10).flat_map(|x| [(x, -1), (x, 1)]) {
        state.set([x, GROUND, z], Block::Stone);
        state.set([x, GROUND + 1, z], Block::Stone);
    }
    state.set([-2, GROUND, 0], Block::Stone);
    state.set([-1, GROUND, 0], Block::Water);
    settle(&mut state);
    state.player.body.position = [0.5, f64::from(GROUND), 0.5];
    (0..60).for_each(|_| drop(state.step(&Action::NOOP)));
    let [x, _, z] = state.player.body.position;
    assert!(x > 3.0 && (z - 0.5).abs() < 1e-9, "{x} {z}");
}

#[test]
fn generated_worlds_are_at_rest_until_touched() {
    for (seed, task) in (0..3).flat_map(|seed| ["chop", "diamond_pickaxe"].map(|task| (seed, task))) {
        let mut state = State::for_test(seed, &Task::resolve(task).unwrap());
        (0..100).for_each(|_| drop(state.step(&Action::NOOP)));
        assert!(state.flows.is_still() && state.flows.has_none(), "{task} {seed}");
    }
}
