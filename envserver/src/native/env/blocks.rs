//! Changes to the blocks and what follows from them: drops, sand and gravel that fall, plants and torches that pop off.

use super::State;
use crate::native::block::Block;
use crate::native::drops;
use crate::native::entity::{BLOCK_DROP_DELAY, ItemEntity};
use crate::native::item::{Item, Stack};
use crate::native::liquid::Fill;
use crate::native::spawn::mix;

/// Whether a block gives way to what is placed or falls into it.
pub(super) fn gives_way(block: Block) -> bool {
    matches!(block, Block::Air | Block::Water | Block::Lava | Block::TallGrass | Block::DeadBush)
}

/// Whether `block` can stay where `floor` is below it; sand and gravel are another matter, they fall.
pub(super) fn stands_on(block: Block, floor: Block) -> bool {
    match block {
        Block::Torch => floor.is_solid() && floor != Block::Leaves && floor != Block::Cactus,
        Block::TallGrass | Block::Flower | Block::Sapling => matches!(floor, Block::Grass | Block::Dirt),
        Block::DeadBush => matches!(floor, Block::Sand | Block::Dirt),
        Block::Cactus => matches!(floor, Block::Sand | Block::Cactus),
        _ => true,
    }
}

impl State {
    /// Changes one block, and wakes the liquids around it.
    pub(super) fn set(&mut self, cell: [i32; 3], block: Block) {
        self.put(cell, block, None);
    }

    /// Changes one block, a liquid's with how full it is, and wakes the liquids around it.
    pub(super) fn put(&mut self, cell: [i32; 3], block: Block, fill: Option<Fill>) {
        if !(0..self.voxels.height()).contains(&cell[1]) {
            return;
        }
        let before = self.voxels.set(cell[0], cell[1], cell[2], block);
        self.flows.put(cell, fill);
        for value in cell {
            self.edits = mix(self.edits, u64::from(value as u32));
        }
        self.edits = mix(self.edits, block as u64);
        self.stir(cell);
        if before != block && matches!(before, Block::Log | Block::Leaves) {
            self.loosen(cell);
        }
    }

    pub(super) fn at(&self, cell: [i32; 3]) -> Block {
        self.voxels.get(cell[0], cell[1], cell[2])
    }

    /// Changes one block, then lets what stood on or hung in it fall or pop off.
    pub(super) fn change(&mut self, cell: [i32; 3], block: Block) {
        self.set(cell, block);
        let [x, y, z] = cell;
        self.settle(cell);
        // Upwards as long as something moves: each falling block takes away the floor of the next.
        for above in y + 1..self.voxels.height() {
            if !self.settle([x, above, z]) {
                break;
            }
        }
    }

    /// Lets one block fall or pop off if nothing holds it; true if it went.
    fn settle(&mut self, cell: [i32; 3]) -> bool {
        let block = self.at(cell);
        let floor = self.at([cell[0], cell[1] - 1, cell[2]]);
        match block {
            Block::Sand | Block::Gravel if gives_way(floor) => self.fall(cell, block),
            _ if stands_on(block, floor) => return false,
            _ => {
                self.set(cell, Block::Air);
                self.leave(cell, block, None);
            }
        }
        true
    }

    /// Sand and gravel come to rest within the tick; on a torch, a flower or somebody's feet they come apart.
    fn fall(&mut self, from: [i32; 3], block: Block) {
        let [x, mut y, z] = from;
        while gives_way(self.at([x, y - 1, z])) {
            y -= 1;
        }
        self.set(from, Block::Air);
        let landing = [x, y, z];
        let below = self.at([x, y - 1, z]);
        let occupied = self.player.body.overlaps(landing) || self.mobs.stand_in(landing);
        if below.is_solid() && !occupied {
            self.set(landing, block);
        } else {
            self.spawn_drop(landing, Item::from_name(block.name()).map(|item| Stack::new(item, 1)));
        }
    }

    /// Puts what `block` leaves when broken with `held` into the world.
    pub(super) fn leave(&mut self, cell: [i32; 3], block: Block, held: Option<Item>) {
        let roll = drops::roll(self.seed, cell, self.ticks);
        self.spawn_drop(cell, drops::drops(block, held, roll));
    }

    pub(super) fn spawn_drop(&mut self, cell: [i32; 3], stacks: impl IntoIterator<Item = Stack>) {
        let [x, y, z] = cell.map(f64::from);
        for stack in stacks {
            let centre = [x + 0.5, y + 0.375, z + 0.5];
            self.entities.spawn(ItemEntity::new(stack, centre, [0.0; 3], BLOCK_DROP_DELAY));
        }
    }
}

#[cfg(test)]
mod tests;
