//! The player's 36 slots, 0 to 8 the hotbar, 9 to 35 the rows above it; the other hand; and the armour worn.

use super::armour::PARTS;
use super::item::{Item, Slot, Stack};

/// Slots in the hotbar.
pub(crate) const HOTBAR: usize = 9;
/// All slots.
pub(crate) const SLOTS: usize = 36;

/// What the player carries.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    pub(crate) slots: [Slot; SLOTS],
    /// Armour from the head down.
    pub(crate) armour: [Slot; PARTS],
    /// What the other hand holds.
    pub(crate) offhand: Slot,
    /// The selected hotbar slot.
    pub(crate) selected: usize,
}

impl Inventory {
    pub(crate) fn empty() -> Self {
        Self { slots: [None; SLOTS], armour: [None; PARTS], offhand: None, selected: 0 }
    }

    /// The item in hand.
    pub(crate) fn held(&self) -> Option<Item> {
        self.slots[self.selected].map(|stack| stack.item)
    }

    /// Puts what fits into slots of `range`, first onto equal stacks, then into the first free slots; returns what
    /// did not fit.
    pub(crate) fn add_within(&mut self, stack: Stack, range: std::ops::Range<usize>) -> Slot {
        let mut left = stack;
        for onto_stacks in [true, false] {
            for slot in &mut self.slots[range.clone()] {
                if slot.is_some() == onto_stacks {
                    left = pour(left, slot)?;
                }
            }
        }
        Some(left)
    }

    /// Puts what fits anywhere; returns what did not fit.
    pub(crate) fn add(&mut self, stack: Stack) -> Slot {
        self.add_within(stack, 0..SLOTS)
    }

    /// Every slot there is.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().chain(&self.armour).chain([&self.offhand])
    }

    /// Takes everything out.
    pub(crate) fn take_all(&mut self) -> Vec<Stack> {
        let all = self.slots.iter_mut().chain(&mut self.armour).chain([&mut self.offhand]);
        all.filter_map(Option::take).collect()
    }

    /// The hands change what they hold.
    pub(crate) fn swap_hands(&mut self) {
        std::mem::swap(&mut self.slots[self.selected], &mut self.offhand);
    }

    /// Puts on the armour in hand, if that part of the body is bare.
    pub(crate) fn dress(&mut self) {
        let part = self.held().and_then(Item::armour).map(|piece| piece.part as usize);
        if let Some(part) = part.filter(|part| self.armour[*part].is_none()) {
            self.armour[part] = self.slots[self.selected].take();
        }
    }

    /// Takes an item of that name in hand: selects it in the hotbar, or swaps it in from the rows above, for an empty
    /// slot if there is one.
    pub(crate) fn pick(&mut self, name: &str) {
        let holds = |slot: &usize| self.slots[*slot].is_some_and(|stack| stack.item.name() == name);
        let Some(found) = (0..SLOTS).find(holds) else { return };
        if found < HOTBAR {
            self.selected = found;
            return;
        }
        let from_here = (0..HOTBAR).map(|step| (self.selected + step) % HOTBAR);
        let free = from_here.into_iter().find(|slot| self.slots[*slot].is_none());
        self.selected = free.unwrap_or(self.selected);
        self.slots.swap(found, self.selected);
    }

    /// Takes one item from a slot.
    pub(crate) fn take_one(&mut self, index: usize) -> Option<Item> {
        take(&mut self.slots[index], 1).map(|stack| stack.item)
    }
}

/// Moves as much of `from` into `slot` as fits (nothing onto another item); returns the rest.
pub(crate) fn pour(from: Stack, slot: &mut Slot) -> Slot {
    let have = match slot {
        Some(stack) if !stack.stacks_with(from) => return Some(from),
        Some(stack) => stack.count,
        None => 0,
    };
    let moved = from.count.min(from.item.max_stack().saturating_sub(have));
    if moved > 0 {
        *slot = Some(from.counted(have + moved));
    }
    (moved < from.count).then(|| from.counted(from.count - moved))
}

/// Takes up to `count` items out of a slot.
pub(crate) fn take(slot: &mut Slot, count: u8) -> Slot {
    let stack = (*slot)?;
    let taken = stack.count.min(count);
    *slot = (taken < stack.count).then(|| stack.counted(stack.count - taken));
    (taken > 0).then(|| stack.counted(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_fills_stacks_first_and_returns_the_rest() {
        let mut inventory = Inventory::empty();
        inventory.slots[5] = Some(Stack::new(Item::Log, 60));
        assert_eq!(inventory.add(Stack::new(Item::Log, 10)), None);
        assert_eq!(inventory.slots[5], Some(Stack::new(Item::Log, 64)));
        assert_eq!(inventory.slots[0], Some(Stack::new(Item::Log, 6)));
        assert_eq!(inventory.add(Stack::new(Item::WoodenPickaxe, 1)), None);
        assert_eq!(inventory.add(Stack::new(Item::WoodenPickaxe, 1)), None);
        assert_eq!(inventory.slots[2], Some(Stack::new(Item::WoodenPickaxe, 1)));
        inventory.slots = [Some(Stack::new(Item::Dirt, 64)); SLOTS];
        inventory.slots[7] = Some(Stack::new(Item::Dirt, 62));
        assert_eq!(inventory.add(Stack::new(Item::Dirt, 5)), Some(Stack::new(Item::Dirt, 3)));
        assert_eq!(inventory.add(Stack::new(Item::Log, 1)), Some(Stack::new(Item::Log, 1)));
    }

    #[test]
    fn picking_selects_or_swaps_in() {
        let mut inventory = Inventory::empty();
        for (slot, item) in [(2, Item::Log), (20, Item::Dirt), (30, Item::Stone)] {
            inventory.slots[slot] = Some(Stack::new(item, 3));
        }
        inventory.pick("log");
        assert_eq!(inventory.selected, 2);
        inventory.pick("dirt");
        assert_eq!((inventory.selected, inventory.held(), inventory.slots[20]), (3, Some(Item::Dirt), None));
        inventory.slots[..HOTBAR].fill(Some(Stack::new(Item::Sand, 1)));
        inventory.pick("stone");
        assert_eq!((inventory.selected, inventory.held()), (3, Some(Item::Stone)));
        assert_eq!(inventory.slots[30], Some(Stack::new(Item::Sand, 1)));
        inventory.pick("cactus");
        assert_eq!(inventory.selected, 3);
    }

    #[test]
    fn taking_empties_a_slot() {
        let mut slot = Some(Stack::new(Item::Log, 3));
        assert_eq!(take(&mut slot, 2), Some(Stack::new(Item::Log, 2)));
        assert_eq!(take(&mut slot, 2), Some(Stack::new(Item::Log, 1)));
        assert_eq!((slot, take(&mut slot, 2)), (None, None));
    }
}
