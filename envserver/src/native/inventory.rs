//! The player's 36 slots: 0 to 8 are the hotbar, 9 to 35 the rows above it.

use super::item::{Item, Slot, Stack};

/// Slots in the hotbar.
pub(crate) const HOTBAR: usize = 9;
/// All slots.
pub(crate) const SLOTS: usize = 36;

/// What the player carries.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    pub(crate) slots: [Slot; SLOTS],
    /// The selected hotbar slot.
    pub(crate) selected: usize,
}

impl Inventory {
    pub(crate) fn empty() -> Self {
        Self { slots: [None; SLOTS], selected: 0 }
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
    fn taking_empties_a_slot() {
        let mut slot = Some(Stack::new(Item::Log, 3));
        assert_eq!(take(&mut slot, 2), Some(Stack::new(Item::Log, 2)));
        assert_eq!(take(&mut slot, 2), Some(Stack::new(Item::Log, 1)));
        assert_eq!((slot, take(&mut slot, 2)), (None, None));
    }
}
