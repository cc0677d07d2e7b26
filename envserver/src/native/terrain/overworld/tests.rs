//! Whole overworlds: the same from the same seed, seamless, with ores where the game has them.

use super::*;
use vpt_proto::keys;

use crate::native::{NativeWorld, spawn};
use crate::task::{SpawnRule, Task, Terrain};
use crate::world::{Action, World};

fn overworld(seed: u64) -> Voxels {
    let mut voxels = Voxels::empty(HEIGHT);
    voxels.remake(Terrain::Overworld, seed);
    voxels
}

#[test]
fn an_episode_in_the_overworld_replays_bit_for_bit() {
    let task =
        Task::parse("name='x'\nterrain='overworld'\nepisode_steps=1000\n[spawn]\nrandom_yaw=true").unwrap();
    let (mut first, mut second) = (NativeWorld::new(), NativeWorld::new());
    let chop = Task::resolve("chop").unwrap();
    second.reset(1, &chop).unwrap();
    let (mut frame, mut again) = (Vec::new(), Vec::new());
    for seed in 0..3 {
        first.reset(seed, &task).unwrap();
        second.reset(seed, &task).unwrap();
        for tick in 0..200 {
            let bits = hash(seed, 7, tick / 8, 0);
            let held = bits as u32 & (keys::FORWARD | keys::LEFT | keys::JUMP) | keys::ATTACK;
            let action = Action { keys: held, pitch_delta: (bits >> 40 & 7) as f32 - 3.0, yaw_delta: 2.0 };
            let (tick_of_first, tick_of_second) = (first.step(&action), second.step(&action));
            assert_eq!(tick_of_first.events, tick_of_second.events);
            assert_eq!(first.state_hash(), second.state_hash());
            if tick % 20 == 0 {
                first.render(36, 64, &mut frame);
                second.render(36, 64, &mut again);
                assert_eq!(frame, again, "seed {seed} tick {tick}");
            }
        }
    }
    // Back in the grove nothing of the overworld is left.
    first.reset(1, &chop).unwrap();
    let mut fresh = NativeWorld::new();
    fresh.reset(1, &chop).unwrap();
    first.render(64, 64, &mut frame);
    fresh.render(64, 64, &mut again);
    assert_eq!(frame, again);
}

/// Every cell of the volume.
fn cells() -> impl Iterator<Item = [i32; 3]> {
    (0..HEIGHT as i32).flat_map(|y| (0..PERIOD).flat_map(move |z| (0..PERIOD).map(move |x| [x, y, z])))
}

#[test]
fn the_same_seed_makes_the_same_overworld() {
    let (mut first, second) = (overworld(5), overworld(5));
    assert_eq!(first.block_bytes(), second.block_bytes());
    first.remake(Terrain::Overworld, 6);
    assert_ne!(first.block_bytes(), second.block_bytes());
    first.remake(Terrain::Grove, 5);
    assert_eq!(first.block_bytes(), Voxels::generate(5).block_bytes());
    first.remake(Terrain::Overworld, 5);
    assert_eq!(first.block_bytes(), second.block_bytes());
    assert_eq!(first.distance_bytes(), second.distance_bytes());
    assert_eq!(first.trees, second.trees);
}

#[test]
fn bedrock_is_the_floor_and_nothing_reaches_the_top() {
    for seed in 0..4 {
        let voxels = overworld(seed);
        for [x, y, z] in cells() {
            let is_bedrock = voxels.get(x, y, z) == Block::Bedrock;
            assert!(y > 0 || is_bedrock);
            assert!(y <= BEDROCK_TOP || !is_bedrock);
            assert!(y < 120 || voxels.get(x, y, z) == Block::Air);
        }
    }
}

#[test]
fn ores_lie_at_the_games_depths_in_about_its_numbers() {
    // Blocks a world: veins a chunk x 64 chunks, at 30 % to 100 % of a vein's size; and where none may be.
    let bounds = [
        (Block::CoalOre, 64 * 20 * 17, 128 + 17),
        (Block::IronOre, 64 * 20 * 9, 64 + 9),
        (Block::GoldOre, 64 * 2 * 9, 32 + 9),
        (Block::DiamondOre, 64 * 8, 16 + 8),
    ];
    for seed in 0..4 {
        let voxels = overworld(seed);
        for (ore, most, below) in bounds {
            let heights: Vec<i32> =
                cells().filter(|[x, y, z]| voxels.get(*x, *y, *z) == ore).map(|[_, y, _]| y).collect();
            // Coal's upper veins start in the air.
            let least = most * if ore == Block::CoalOre { 25 } else { 40 } / 100;
            println!("seed {seed}: {} {} of {most}", heights.len(), ore.name());
            assert!((least..=most).contains(&heights.len()), "{}: {}", ore.name(), heights.len());
            assert!(heights.iter().all(|y| *y < below), "{}", ore.name());
        }
    }
}

/// Cells of air that lie below the ground.
fn cave_cells(voxels: &Voxels) -> Vec<[i32; 3]> {
    cells()
        .filter(|[x, y, z]| *y + 3 < voxels.ground_height(*x, *z) && voxels.get(*x, *y, *z) == Block::Air)
        .collect()
}

#[test]
fn caves_hang_together_and_show_ore() {
    for seed in 0..6 {
        let voxels = overworld(seed);
        let caves = cave_cells(&voxels);
        let exposes = |ore: Block| {
            let beside = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
            caves
                .iter()
                .filter(|[x, y, z]| beside.iter().any(|[a, b, c]| voxels.get(x + a, y + b, z + c) == ore))
                .count()
        };
        let (coal, iron) = (exposes(Block::CoalOre), exposes(Block::IronOre));
        // A flood from the deepest air cell that is in the largest cave found by trying some.
        let reached = caves.iter().step_by(caves.len() / 12 + 1).map(|start| flood(&voxels, *start)).max();
        println!("seed {seed}: {} cells, largest part {reached:?}, coal {coal}, iron {iron}", caves.len());
        assert!((3_000..120_000).contains(&caves.len()));
        assert!(reached >= Some(1_000) && coal > 100 && iron > 30);
    }
}

/// How many cells below the ground hang together with one.
fn flood(voxels: &Voxels, start: [i32; 3]) -> usize {
    let mut seen = std::collections::HashSet::from([start]);
    let mut open = vec![start];
    while let Some([x, y, z]) = open.pop() {
        for [a, b, c] in [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]] {
            let next = [(x + a) & (PERIOD - 1), y + b, (z + c) & (PERIOD - 1)];
            let below = next[1] <= voxels.ground_height(next[0], next[2]);
            if below && voxels.get(next[0], next[1], next[2]) == Block::Air && seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn caves_reach_the_surface_and_lava_lies_deep() {
    let mut mouths = 0;
    for seed in 0..6 {
        let voxels = overworld(seed);
        for x in 0..PERIOD {
            for z in 0..PERIOD {
                let ground = voxels.ground_height(x, z);
                mouths += usize::from((0..3).all(|down| voxels.get(x, ground - down, z) == Block::Air));
            }
        }
        let lava: Vec<i32> =
            cells().filter(|[x, y, z]| voxels.get(*x, *y, *z) == Block::Lava).map(|[_, y, _]| y).collect();
        println!("seed {seed}: {} lava, {mouths} mouth columns so far", lava.len());
        assert!(lava.len() > 100 && lava.iter().all(|y| *y < 32));
    }
    assert!(mouths > 150, "{mouths} columns open");
}

#[test]
fn water_never_hangs_over_a_hole() {
    for seed in 0..4 {
        let voxels = overworld(seed);
        for [x, y, z] in cells().filter(|[x, y, z]| voxels.get(*x, *y, *z) == Block::Water) {
            for [a, b, c] in [[1, 0, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]] {
                assert_ne!(voxels.get(x + a, y + b, z + c), Block::Air, "seed {seed}: beside {x} {y} {z}");
            }
        }
    }
}

#[test]
fn a_player_can_start_near_trees_in_every_overworld() {
    let rule = SpawnRule { random_yaw: true, trunk_distance: Some([3.0, 10.0]) };
    let mut voxels = Voxels::empty(HEIGHT);
    for seed in 0..50 {
        voxels.remake(Terrain::Overworld, seed);
        let spawn = spawn::find(&voxels, seed, &rule);
        let [x, y, z] = spawn.unwrap_or_else(|| panic!("seed {seed}")).feet.map(|value| value.floor() as i32);
        assert!(voxels.get(x, y - 1, z).is_solid() && y > SEA_LEVEL - 1, "seed {seed}");
        assert!((y..HEIGHT as i32).all(|above| !voxels.get(x, above, z).is_solid()), "in the open");
    }
}
