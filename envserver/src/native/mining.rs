//! Breaking blocks: damage adds up tick by tick while attack is held on one block.

use super::block::{Block, Tool};
use super::item::Item;

/// Ticks between breaking one block and starting on the next.
const PAUSE: u8 = 5;
/// Damage at which a block breaks; a hair less than 1, so that sums of 1/60 do not need a 61st tick.
const BROKEN: f64 = 1.0 - 1e-5;

/// How many times faster than by hand a sword cuts leaves, whatever it is made of.
const SWORD_ON_LEAVES: f64 = 1.5;

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
fn damage_per_tick(strike: &Strike) -> Option<f64> {
    let Strike { block, held, .. } = *strike;
    let hardness = f64::from(block.hardness()?);
    let mut speed = match tool_of(held) {
        Some((kind, speed, _)) if block.tool() == Some(kind) => speed,
        Some((Tool::Sword, _, _)) if block == Block::Leaves => SWORD_ON_LEAVES,
        _ => 1.0,
    };
    for slowed in [!strike.on_ground, strike.head_in_water] {
        speed *= if slowed { 0.2 } else { 1.0 };
    }
    Some(speed / hardness / if can_harvest(block, held) { 30.0 } else { 100.0 })
}

/// Ticks to break `block` with `held` in hand, standing on the ground; `None` where it cannot be broken.
pub(crate) fn ticks(block: Block, held: Option<Item>) -> Option<u32> {
    let strike = Strike { cell: [0; 3], block, held, on_ground: true, head_in_water: false };
    let damage = damage_per_tick(&strike)?;
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
    pub(crate) head_in_water: bool,
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
        let Some(damage) = damage_per_tick(&strike) else { return false };
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
mod tests;
