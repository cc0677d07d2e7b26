//! Breaking blocks: damage adds up tick by tick while attack is held on one block.

use super::block::{Block, Tool};
use super::item::Item;

/// Ticks between breaking one block and starting on the next.
const PAUSE: u8 = 5;
/// Damage at which a block breaks; a hair less than 1, so that sums of 1/60 do not need a 61st tick.
const BROKEN: f64 = 1.0 - 1e-5;

/// What an item is worth as a tool: kind, speed, harvest tier.
fn tool_of(item: Option<Item>) -> Option<(Tool, f64, u8)> {
    let tool = item?.tool()?;
    Some((tool.kind, tool.material.speed(), tool.material.tier()))
}

/// Whether breaking `block` with `held` in hand yields its drop.
pub(crate) fn can_harvest(block: Block, held: Option<Item>) -> bool {
    let tier = match tool_of(held) {
        Some((kind, _, tier)) if block.tool() == Some(kind) => tier,
        _ => 0,
    };
    tier >= block.harvest_tier()
}

/// The share of a block's strength one tick of attacking takes; `None` where it cannot be broken.
fn damage_per_tick(block: Block, held: Option<Item>, on_ground: bool) -> Option<f64> {
    let hardness = f64::from(block.hardness()?);
    let tool_speed = match tool_of(held) {
        Some((kind, speed, _)) if block.tool() == Some(kind) => speed,
        _ => 1.0,
    };
    let speed = if on_ground { tool_speed } else { tool_speed * 0.2 };
    Some(speed / hardness / if can_harvest(block, held) { 30.0 } else { 100.0 })
}

/// Ticks to break `block` with `held` in hand, standing on the ground; `None` where it cannot be broken.
pub(crate) fn ticks(block: Block, held: Option<Item>) -> Option<u32> {
    let damage = damage_per_tick(block, held, true)?;
    Some((BROKEN / damage).ceil() as u32)
}

/// A block and what it is being broken with.
pub(crate) type Target = ([i32; 3], Option<Item>);

/// Progress on the block being broken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mining {
    target: Option<Target>,
    damage: f64,
    pause: u8,
}

/// What an attack is aimed at in one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) cell: [i32; 3],
    pub(crate) block: Block,
    pub(crate) held: Option<Item>,
    pub(crate) on_ground: bool,
}

impl Mining {
    /// One tick: with attack held on a block, or not. True when the block broke.
    pub(crate) fn tick(&mut self, strike: Option<Strike>) -> bool {
        let paused = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        let Some(strike) = strike else {
            self.target = None;
            self.damage = 0.0;
            return false;
        };
        if paused {
            return false;
        }
        let target = Some((strike.cell, strike.held));
        if self.target != target {
            self.target = target;
            self.damage = 0.0;
        }
        let Some(damage) = damage_per_tick(strike.block, strike.held, strike.on_ground) else { return false };
        self.damage += damage;
        if self.damage < BROKEN {
            return false;
        }
        self.target = None;
        self.damage = 0.0;
        if damage < 1.0 {
            self.pause = PAUSE;
        }
        true
    }

    /// The block being broken and its crack stage, 0 to 9.
    pub(crate) fn crack(&self) -> Option<([i32; 3], u8)> {
        let (cell, _) = self.target?;
        Some((cell, ((self.damage * 10.0) as u8).min(9)))
    }

    /// What decides the future, for hashing.
    pub(crate) fn state(&self) -> (Option<Target>, u64, u8) {
        (self.target, self.damage.to_bits(), self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(block: Block, held: Option<Item>, on_ground: bool) -> usize {
        let mut mining = Mining::default();
        let strike = Strike { cell: [0; 3], block, held, on_ground };
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
        let strike = Strike { cell: [0; 3], block: Block::Dirt, held: None, on_ground: true };
        let interruptions = [
            None,
            Some(Strike { cell: [1, 0, 0], ..strike }),
            Some(Strike { held: Some(Item::Log), ..strike }),
        ];
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
        let strike = Strike { cell: [0; 3], block: Block::Log, held: None, on_ground: true };
        let broken: Vec<_> = (1..=200).filter(|_| mining.tick(Some(strike))).collect();
        assert_eq!(broken, [60, 125, 190]);
    }
}
