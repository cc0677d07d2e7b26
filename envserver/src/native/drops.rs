//! What a broken block leaves behind; chance is a pure function of seed, place and tick.

use super::block::Block;
use super::item::{Item, Stack};
use super::mining;
use super::spawn::mix;

/// The number all chances of one broken block follow from.
pub(crate) fn roll(seed: u64, cell: [i32; 3], tick: u64) -> u64 {
    let place = cell.iter().fold(mix(seed, 0x4452_4f50), |key, value| mix(key, u64::from(*value as u32)));
    mix(place, tick)
}

/// Whether something happens that does so `in_thousand` times in a thousand.
fn happens(roll: u64, which: u64, in_thousand: u64) -> bool {
    mix(roll, which) % 1000 < in_thousand
}

/// The stacks `block` leaves when broken with `held`.
pub(crate) fn drops(block: Block, held: Option<Item>, roll: u64) -> Vec<Stack> {
    if !mining::can_harvest(block, held) {
        return Vec::new();
    }
    match block {
        Block::Leaves => {
            let sticks = 1 + (mix(roll, 3) & 1) as u8;
            let leavings = [
                (50, Stack::new(Item::Sapling, 1)),
                (20, Stack::new(Item::Stick, sticks)),
                (5, Stack::new(Item::Apple, 1)),
            ];
            let chosen = (0..).zip(leavings).filter(|(which, (chance, _))| happens(roll, *which, *chance));
            chosen.map(|(_, (_, stack))| stack).collect()
        }
        Block::Gravel if happens(roll, 0, 100) => vec![Stack::new(Item::Flint, 1)],
        other => {
            let item = other.drop_name().and_then(Item::from_name);
            item.map(|item| Stack::new(item, 1)).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_drops_what_its_harvest_tier_allows() {
        let one = |block, held| drops(block, held, 1).first().map(|stack| stack.item);
        let table = [
            (Block::Stone, None, None),
            (Block::Stone, Some(Item::WoodenPickaxe), Some(Item::Cobblestone)),
            (Block::Grass, None, Some(Item::Dirt)),
            (Block::CoalOre, Some(Item::WoodenPickaxe), Some(Item::Coal)),
            (Block::IronOre, Some(Item::WoodenPickaxe), None),
            (Block::IronOre, Some(Item::StonePickaxe), Some(Item::IronOre)),
            (Block::GoldOre, Some(Item::StonePickaxe), None),
            (Block::DiamondOre, Some(Item::StonePickaxe), None),
            (Block::DiamondOre, Some(Item::IronPickaxe), Some(Item::Diamond)),
            (Block::DiamondOre, Some(Item::IronAxe), None),
            (Block::Obsidian, Some(Item::IronPickaxe), None),
            (Block::Obsidian, Some(Item::DiamondPickaxe), Some(Item::Obsidian)),
            (Block::LitFurnace, Some(Item::WoodenPickaxe), Some(Item::Furnace)),
            (Block::Torch, None, Some(Item::Torch)),
            (Block::Glass, None, None),
            (Block::TallGrass, None, None),
        ];
        for (block, held, expected) in table {
            assert_eq!(one(block, held), expected, "{block:?} with {held:?}");
        }
    }

    #[test]
    fn chances_are_the_games() {
        let rolls = 100_000;
        let mut counts = std::collections::BTreeMap::new();
        for tick in 0..rolls {
            let roll = roll(7, [3, -4, 5], tick);
            for block in [Block::Leaves, Block::Gravel] {
                for stack in drops(block, None, roll) {
                    *counts.entry((block, stack.item, stack.count)).or_insert(0) += 1;
                }
            }
        }
        let near = |key, expected: f64| {
            let share = f64::from(counts[&key]) / rolls as f64;
            assert!((share / expected - 1.0).abs() < 0.15, "{key:?}: {share}, not {expected}");
        };
        near((Block::Leaves, Item::Sapling, 1), 0.05);
        near((Block::Leaves, Item::Stick, 1), 0.01);
        near((Block::Leaves, Item::Stick, 2), 0.01);
        near((Block::Leaves, Item::Apple, 1), 0.005);
        near((Block::Gravel, Item::Flint, 1), 0.1);
        near((Block::Gravel, Item::Gravel, 1), 0.9);
    }

    #[test]
    fn rolls_differ_by_seed_place_and_tick() {
        let first = roll(1, [1, 2, 3], 4);
        assert_eq!(first, roll(1, [1, 2, 3], 4));
        for other in [roll(2, [1, 2, 3], 4), roll(1, [2, 1, 3], 4), roll(1, [1, 2, 3], 5)] {
            assert_ne!(first, other);
        }
    }
}
