//! Tests of what grows and withers, on a lit floor of dirt.

use super::*;
use crate::native::item::Item;
use crate::native::voxels::Voxels;

/// The y of what stands on the floor.
const GROUND: i32 = 40;

/// A floor of `soil` under the open sky, the player on it; what `plant` puts there is at rest.
fn field(soil: Block, plant: impl FnOnce(&mut Voxels)) -> State {
    let mut state = State::new();
    state.voxels = Voxels::empty(128);
    for (x, z) in (-20..20).flat_map(|x| (-20..20).map(move |z| (x, z))) {
        state.voxels.put(x, GROUND - 1, z, soil);
    }
    plant(&mut state.voxels);
    state.voxels.rebuild();
    state.voxels.shine();
    state.player.body.position = [-3.5, f64::from(GROUND), 0.5];
    state
}

fn oak_at(voxels: &mut Voxels, x: i32) {
    terrain::oak([x, GROUND, 0], 7, |[x, y, z], block| voxels.put(x, y, z, block));
}

fn count(state: &State, block: Block, from: i32, to: i32) -> usize {
    let columns = (from..to).flat_map(|x| (-20..20).map(move |z| (x, z)));
    columns.map(|(x, z)| (0..60).filter(|y| state.at([x, *y, z]) == block).count()).sum()
}

fn pass(state: &mut State, ticks: u64) {
    for _ in 0..ticks {
        state.ticks += 1;
        state.grow();
    }
}

#[test]
fn leaves_fall_after_their_tree_is_felled_and_not_otherwise() {
    let mut state = field(Block::Grass, |voxels| [0, 14].into_iter().for_each(|x| oak_at(voxels, x)));
    let leaves = |state: &State| [count(state, Block::Leaves, -10, 6), count(state, Block::Leaves, 8, 20)];
    let whole = leaves(&state);
    assert!(whole[0] > 30 && whole == [whole[0]; 2]);
    pass(&mut state, 20_000);
    assert_eq!(leaves(&state), whole);
    assert!(state.entities.iter().next().is_none());
    let trunk: Vec<_> =
        (GROUND..GROUND + 8).map(|y| [0, y, 0]).filter(|cell| state.at(*cell) == Block::Log).collect();
    // The last log holds the crown.
    for log in &trunk[..trunk.len() - 1] {
        state.set(*log, Block::Air);
    }
    pass(&mut state, 20_000);
    assert_eq!(leaves(&state), whole);
    assert!(state.loose.is_empty());
    state.set(trunk[trunk.len() - 1], Block::Air);
    pass(&mut state, 20_000);
    assert_eq!(leaves(&state), [0, whole[1]]);
    let left: Vec<Item> = state.entities.iter().map(|entity| entity.stack.item).collect();
    assert!(left.iter().all(|item| matches!(item, Item::Sapling | Item::Stick | Item::Apple)), "{left:?}");
}

#[test]
fn grass_spreads_by_day_and_dies_under_stone() {
    let mut state = field(Block::Dirt, |voxels| voxels.put(0, GROUND - 1, 0, Block::Grass));
    state.ticks = 14_000;
    pass(&mut state, 7_000);
    assert_eq!(count(&state, Block::Grass, -20, 20), 1, "by night nothing grows");
    state.ticks = 24_000;
    pass(&mut state, 11_000);
    let grown = count(&state, Block::Grass, -20, 20);
    assert!(grown > 10, "{grown}");
    state.set([0, GROUND, 0], Block::Stone);
    state.set([1, GROUND - 1, 0], Block::Grass);
    state.set([1, GROUND, 0], Block::Glass);
    // Shut in below ground nothing comes back.
    pass(&mut state, 10_000);
    assert_eq!(state.at([0, GROUND - 1, 0]), Block::Dirt);
    assert_eq!(state.at([1, GROUND - 1, 0]), Block::Grass);
}

#[test]
fn a_sapling_becomes_a_tree_where_there_is_room_and_light() {
    let tall = |state: &State| (0..8).filter(|up| state.at([0, GROUND + up, 0]) == Block::Log).count();
    let mut state = field(Block::Grass, |voxels| voxels.put(0, GROUND, 0, Block::Sapling));
    let mut ticks = 0;
    while state.at([0, GROUND, 0]) == Block::Sapling {
        pass(&mut state, 100);
        ticks += 100;
        assert!(ticks < 400_000);
    }
    assert!((4..=6).contains(&tall(&state)) && count(&state, Block::Leaves, -5, 5) > 30);
    // Under a roof it waits.
    let mut state = field(Block::Grass, |voxels| {
        voxels.put(0, GROUND, 0, Block::Sapling);
        voxels.put(0, GROUND + 3, 0, Block::Glass);
    });
    pass(&mut state, 100_000);
    assert_eq!(state.at([0, GROUND, 0]), Block::Sapling);
}

#[test]
fn the_same_ticks_grow_the_same_and_the_grove_stays_as_it_is() {
    let grown = |seed: u64| {
        let mut state = field(Block::Dirt, |voxels| voxels.put(0, GROUND - 1, 0, Block::Grass));
        state.seed = seed;
        pass(&mut state, 9_000);
        (state.edits, state.hash())
    };
    assert_eq!(grown(1), grown(1));
    assert_ne!(grown(1), grown(2));
    let mut grove = State::for_test(4, &crate::task::Task::resolve("chop").unwrap());
    let trunk = grove.voxels.trees[0];
    grove.set(trunk, Block::Air);
    let edits = grove.edits;
    pass(&mut grove, 3_000);
    assert!(grove.edits == edits && grove.loose.is_empty());
}
