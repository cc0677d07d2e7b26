//! Items lying or falling in the world, until the player walks over them.

use super::block::Block;
use super::inventory::Inventory;
use super::item::Stack;
use super::physics::Body;
use super::voxels::Voxels;
use crate::world::{Event, EventKind};

/// Ticks before what a broken block leaves can be picked up.
pub(crate) const BLOCK_DROP_DELAY: u32 = 10;
/// Ticks before what was thrown away can be picked up.
pub(crate) const THROWN_DELAY: u32 = 40;
/// How far around the player's box items are picked up, metres.
const PICKUP_SIDEWAYS: f64 = 1.0;
const PICKUP_VERTICAL: f64 = 0.5;
/// Ticks until an item vanishes.
const LIFETIME: u32 = 6000;
/// Most items in the world; the oldest vanishes first.
const LIMIT: usize = 256;

/// A stack in the world.
#[derive(Clone, Debug)]
pub(crate) struct ItemEntity {
    pub(crate) stack: Stack,
    pub(crate) body: Body,
    delay: u32,
    age: u32,
}

impl ItemEntity {
    /// A stack whose bottom centre is at `position`, moving by `velocity` (metres per tick).
    pub(crate) fn new(stack: Stack, position: [f64; 3], velocity: [f64; 3], delay: u32) -> Self {
        let mut body = Body::new(position, 0.125, 0.25);
        body.velocity = velocity;
        Self { stack, body, delay, age: 0 }
    }

    /// Ticks it has been in the world.
    pub(crate) fn age(&self) -> u32 {
        self.age
    }

    fn tick(&mut self, voxels: &Voxels) {
        self.age += 1;
        self.delay = self.delay.saturating_sub(1);
        let in_water = self.body.touches(voxels, Block::Water);
        // Items float slowly upwards in water.
        self.body.velocity[1] += if in_water { 0.005 } else { -0.04 };
        self.body.advance(voxels);
        let drag = if self.body.on_ground { 0.6 * 0.98 } else { 0.98 };
        self.body.velocity[0] *= drag;
        self.body.velocity[2] *= drag;
        self.body.velocity[1] *= if in_water { 0.8 } else { 0.98 };
    }

    fn within_reach_of(&self, player: &Body) -> bool {
        let (low, high) = player.bounds();
        let (item_low, item_high) = self.body.bounds();
        let margin = [PICKUP_SIDEWAYS, PICKUP_VERTICAL, PICKUP_SIDEWAYS];
        (0..3).all(|axis| {
            item_low[axis] < high[axis] + margin[axis] && item_high[axis] > low[axis] - margin[axis]
        })
    }
}

/// All items in the world, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entities {
    items: Vec<ItemEntity>,
}

impl Entities {
    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ItemEntity> {
        self.items.iter()
    }

    pub(crate) fn spawn(&mut self, item: ItemEntity) {
        if self.items.len() >= LIMIT {
            self.items.remove(0);
        }
        self.items.push(item);
    }

    /// Feeds everything that decides the future to a hash.
    pub(crate) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        for item in &self.items {
            item.body.position.iter().chain(&item.body.velocity).for_each(|value| add(value.to_bits()));
            add(Stack::bits(Some(item.stack)));
            add(u64::from(item.delay) << 32 | u64::from(item.age));
            add(u64::from(item.body.on_ground));
        }
    }

    /// Moves everything one tick and lets the player collect what is near.
    pub(crate) fn tick(
        &mut self,
        voxels: &Voxels,
        player: &Body,
        inventory: &mut Inventory,
        events: &mut Vec<Event>,
    ) {
        self.items.retain_mut(|item| {
            item.tick(voxels);
            if item.age >= LIFETIME {
                return false;
            }
            if item.delay > 0 || !item.within_reach_of(player) {
                return true;
            }
            let rest = inventory.add(item.stack);
            let left = rest.map_or(0, |stack| stack.count);
            let quantity = u32::from(item.stack.count - left);
            if quantity > 0 {
                events.push(Event { kind: EventKind::Pickup, item: item.stack.item.name(), quantity });
            }
            item.stack.count = left;
            left > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Item;

    fn ground() -> Voxels {
        let mut voxels = Voxels::empty(16);
        for z in 0..16 {
            for x in 0..16 {
                voxels.set(x, 0, z, Block::Stone);
            }
        }
        voxels
    }

    #[test]
    fn items_are_collected_near_the_player_after_the_delay() {
        let voxels = ground();
        for (distance, collected) in [(1.4, true), (1.5, false)] {
            let mut entities = Entities::default();
            let mut inventory = Inventory::empty();
            let player = Body::new([8.0, 1.0, 8.0], 0.3, 1.8);
            let log = Stack::new(Item::Log, 2);
            entities.spawn(ItemEntity::new(log, [8.0 + distance, 1.0, 8.0], [0.0; 3], BLOCK_DROP_DELAY));
            let mut first = None;
            for tick in 1..=30 {
                let mut events = Vec::new();
                entities.tick(&voxels, &player, &mut inventory, &mut events);
                if let Some(event) = events.pop() {
                    assert_eq!((event.kind, event.item, event.quantity), (EventKind::Pickup, "log", 2));
                    first = Some(tick);
                }
            }
            assert_eq!(first, collected.then_some(10));
            assert_eq!(inventory.slots[0], collected.then_some(log));
        }
    }

    #[test]
    fn what_does_not_fit_stays() {
        let voxels = ground();
        let mut entities = Entities::default();
        let mut inventory = Inventory::empty();
        inventory.slots.fill(Some(Stack::new(Item::Log, 64)));
        inventory.slots[3] = Some(Stack::new(Item::Log, 63));
        let player = Body::new([8.0, 1.0, 8.0], 0.3, 1.8);
        entities.spawn(ItemEntity::new(Stack::new(Item::Log, 4), [8.0, 1.0, 8.0], [0.0; 3], 0));
        let mut events = Vec::new();
        for _ in 0..5 {
            entities.tick(&voxels, &player, &mut inventory, &mut events);
        }
        assert_eq!(events.iter().map(|event| event.quantity).sum::<u32>(), 1);
        assert_eq!(entities.iter().map(|item| item.stack.count).sum::<u8>(), 3);
    }
}
