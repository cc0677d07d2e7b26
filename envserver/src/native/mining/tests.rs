//! Tests of breaking blocks: tick-exact times of every block with every tool.

use super::*;

fn ticks(block: Block, held: Option<Item>, on_ground: bool) -> usize {
    let mut mining = Mining::default();
    let strike = Strike { cell: [0; 3], block, held, on_ground, head_in_water: false };
    (1..10_000).find(|_| mining.tick(Some(strike))).unwrap_or(0)
}

#[test]
fn break_times_are_the_games() {
    let pickaxe = Some(Item::WoodenPickaxe);
    let table = [
        (Block::Log, None, 60),
        (Block::Planks, None, 60),
        (Block::Dirt, None, 15),
        (Block::Grass, None, 18),
        (Block::Sand, None, 15),
        (Block::Gravel, None, 18),
        (Block::Leaves, None, 6),
        (Block::CraftingTable, None, 75),
        (Block::Stone, None, 150),
        (Block::Stone, pickaxe, 23),
        (Block::Stone, Some(Item::StonePickaxe), 12),
        (Block::Cobblestone, pickaxe, 30),
        (Block::CoalOre, pickaxe, 45),
        (Block::IronOre, Some(Item::StonePickaxe), 23),
        (Block::IronOre, None, 300),
        (Block::Log, pickaxe, 60),
        (Block::Bedrock, pickaxe, 0),
    ];
    for (block, held, expected) in table {
        assert_eq!(ticks(block, held, true), expected, "{block:?} with {held:?}");
    }
    assert_eq!(ticks(Block::Log, None, false), 300, "five times slower off the ground");
}

#[test]
fn harvest_tiers_decide_drops() {
    assert!(can_harvest(Block::Log, None) && can_harvest(Block::Stone, Some(Item::WoodenPickaxe)));
    assert!(!can_harvest(Block::Stone, None) && !can_harvest(Block::IronOre, Some(Item::WoodenPickaxe)));
}

#[test]
fn progress_is_lost_on_release_and_on_changes() {
    let strike =
        Strike { cell: [0; 3], block: Block::Dirt, held: None, on_ground: true, head_in_water: false };
    let interruptions =
        [None, Some(Strike { cell: [1, 0, 0], ..strike }), Some(Strike { held: Some(Item::Log), ..strike })];
    for interruption in interruptions {
        let mut mining = Mining::default();
        assert!((0..14).all(|_| !mining.tick(Some(strike))));
        assert!(!mining.tick(interruption));
        let again = (1..).find(|_| mining.tick(Some(strike))).unwrap();
        assert_eq!(again, 15, "after {interruption:?}");
    }
}

#[test]
fn five_ticks_pass_between_blocks() {
    let mut mining = Mining::default();
    let strike =
        Strike { cell: [0; 3], block: Block::Log, held: None, on_ground: true, head_in_water: false };
    let broken: Vec<_> = (1..=200).filter(|_| mining.tick(Some(strike))).collect();
    assert_eq!(broken, [60, 125, 190]);
}

/// The published formula in whole numbers: hardness in tenths, speed in halves, rounded up.
fn published(block: Block, held: Option<Item>) -> usize {
    let Some(hardness) = block.hardness() else { return 0 };
    let tenths = (f64::from(hardness) * 10.0).round() as usize;
    let tool = held.and_then(Item::tool);
    let right = tool.filter(|tool| block.tool() == Some(tool.kind));
    let halves = match (right, tool) {
        (Some(tool), _) => [4, 8, 12, 16][usize::from(tool.material.tier()) - 1],
        (None, Some(tool)) if tool.kind == Tool::Sword && block == Block::Leaves => 3,
        _ => 2,
    };
    let harvests = right.map_or(0, |tool| tool.material.tier()) >= block.harvest_tier();
    (tenths * if harvests { 30 } else { 100 } * 2).div_ceil(10 * halves).max(1)
}

#[test]
fn every_block_takes_its_ticks_with_every_tool() {
    let tools = Item::ALL.into_iter().filter(|item| item.tool().is_some()).map(Some);
    let hands: Vec<_> = [None, Some(Item::Log)].into_iter().chain(tools).collect();
    assert_eq!(hands.len(), 22);
    for block in Block::ALL {
        for held in &hands {
            assert_eq!(ticks(block, *held, true), published(block, *held), "{block:?} with {held:?}");
        }
    }
}

#[test]
fn better_tools_are_as_much_faster_as_published() {
    use Item::{DiamondAxe, DiamondPickaxe, IronAxe, IronPickaxe, StoneAxe, StonePickaxe, WoodenAxe};
    let axes = [WoodenAxe, StoneAxe, IronAxe, DiamondAxe];
    let pickaxes = [Item::WoodenPickaxe, StonePickaxe, IronPickaxe, DiamondPickaxe];
    let rows = [
        (Block::Log, axes, [30, 15, 10, 8]),
        (Block::Stone, pickaxes, [23, 12, 8, 6]),
        (Block::Cobblestone, pickaxes, [30, 15, 10, 8]),
        (Block::CoalOre, pickaxes, [45, 23, 15, 12]),
        (Block::DiamondOre, pickaxes, [150, 75, 15, 12]),
        (Block::Obsidian, pickaxes, [2500, 1250, 834, 188]),
    ];
    for (block, tools, expected) in rows {
        assert_eq!(tools.map(|tool| ticks(block, Some(tool), true)), expected, "{block:?}");
    }
}

#[test]
fn air_and_water_slow_the_arm_five_times_each() {
    let strike =
        Strike { cell: [0; 3], block: Block::Dirt, held: None, on_ground: true, head_in_water: true };
    let time = |strike: Strike| {
        let mut mining = Mining::default();
        (1..10_000).find(|_| mining.tick(Some(strike)))
    };
    assert_eq!(time(strike), Some(75));
    assert_eq!(time(Strike { on_ground: false, ..strike }), Some(375));
}

#[test]
fn no_pause_follows_what_breaks_at_once() {
    let mut mining = Mining::default();
    let torch =
        Strike { cell: [0; 3], block: Block::Torch, held: None, on_ground: true, head_in_water: false };
    assert!((0..3).all(|_| mining.tick(Some(torch))));
}
