//! What the hands do to the world: attack breaks the block in reach, use opens it or places what is held.

use vpt_proto::keys;

use super::State;
use super::blocks::{gives_way, stands_on};
use crate::native::block::Block;
use crate::native::gui::Gui;
use crate::native::inventory::take;
use crate::native::item::Slot;
use crate::native::mining::Strike;
use crate::native::scene::GuiKind;
use crate::native::target::Hit;
use crate::native::wear::wear;
use crate::world::{Action, Event, EventKind};

/// One of the player's two.
#[derive(Clone, Copy)]
enum Hand {
    Main,
    Other,
}

impl State {
    pub(super) fn attack(&mut self, held: bool, fresh: bool, events: &mut Vec<Event>) {
        // Looked up anew: a use in this tick may have placed a block.
        let target = if held { self.player.target(&self.voxels) } else { None };
        if let Some(mob) = held.then(|| self.mob_in_reach(target)).flatten() {
            self.mining.tick(None);
            self.swing_arm(fresh);
            if fresh {
                self.strike_mob(mob, events);
            }
            return;
        }
        if fresh && target.is_none() {
            self.arm.strike(false);
        }
        let strike = target.map(|hit| {
            let [x, y, z] = hit.cell;
            let block = self.voxels.get(x, y, z);
            let on_ground = self.player.body.on_ground;
            let [x, y, z] = self.player.eye().map(|value| value.floor() as i32);
            let head_in_water = self.voxels.get(x, y, z) == Block::Water;
            Strike { cell: hit.cell, block, held: self.inventory.held(), on_ground, head_in_water }
        });
        self.swing_arm(strike.is_some() || fresh);
        if let (true, Some(strike)) = (self.mining.tick(strike), strike) {
            self.break_block(strike, events);
        }
    }

    fn break_block(&mut self, strike: Strike, events: &mut Vec<Event>) {
        events.push(Event { kind: EventKind::MineBlock, item: strike.block.unlit().name(), quantity: 1 });
        self.leave(strike.cell, strike.block, strike.held);
        if matches!(strike.block, Block::Furnace | Block::LitFurnace) {
            self.scatter_furnace(strike.cell, events);
        }
        self.change(strike.cell, Block::Air);
        if let Some(tool) = strike.held.filter(|item| item.tool().is_some()) {
            events.push(Event { kind: EventKind::UseItem, item: tool.name(), quantity: 1 });
        }
        let hand = &mut self.inventory.slots[self.inventory.selected];
        if let Some(broken) = wear(hand, strike.block) {
            events.push(Event { kind: EventKind::BreakItem, item: broken.name(), quantity: 1 });
        }
    }

    /// Right click in the world: opens a table or furnace, places the block in hand or else that in the other hand, or
    /// puts on the armour in hand.
    pub(super) fn use_on(&mut self, target: Option<Hit>, action: &Action, events: &mut Vec<Event>) {
        if let Some(hit) = target {
            if !action.holds(keys::SNEAK) && self.open(hit) {
                return;
            }
            let hands = [Hand::Main, Hand::Other];
            if hands.into_iter().any(|hand| self.place(hit, hand, events)) {
                return;
            }
        }
        self.inventory.dress();
    }

    /// Opens what is pointed at; false if it cannot be opened.
    fn open(&mut self, hit: Hit) -> bool {
        let [x, y, z] = hit.cell;
        match self.voxels.get(x, y, z) {
            Block::CraftingTable => self.gui = Some(Gui::open(GuiKind::CraftingTable)),
            Block::Furnace | Block::LitFurnace => self.open_furnace(hit.cell),
            _ => return false,
        }
        true
    }

    fn slot_of(&mut self, hand: Hand) -> &mut Slot {
        match hand {
            Hand::Main => &mut self.inventory.slots[self.inventory.selected],
            Hand::Other => &mut self.inventory.offhand,
        }
    }

    /// Places the block a hand holds; false if it holds none or there is no place for it.
    fn place(&mut self, hit: Hit, hand: Hand, events: &mut Vec<Event>) -> bool {
        let Some(item) = self.slot_of(hand).map(|stack| stack.item) else { return false };
        let placed = Block::ALL.into_iter().find(|block| block.name() == item.name());
        let [x, y, z] = hit.cell;
        let cell = if gives_way(self.voxels.get(x, y, z)) { hit.cell } else { hit.before };
        let [x, y, z] = cell;
        let free = gives_way(self.voxels.get(x, y, z)) && (0..self.voxels.height()).contains(&y);
        let Some(block) = placed.filter(|_| free) else { return false };
        let in_the_way = block.is_solid() && (self.player.body.overlaps(cell) || self.mobs.stand_in(cell));
        if in_the_way || !stands_on(block, self.voxels.get(x, y - 1, z)) {
            return false;
        }
        take(self.slot_of(hand), 1);
        self.swing = 1;
        events.push(Event { kind: EventKind::UseItem, item: item.name(), quantity: 1 });
        self.change(cell, block);
        true
    }
}

#[cfg(test)]
mod tests;
