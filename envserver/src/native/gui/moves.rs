//! Moves of whole stacks in a screen: by shift, by number key, by double click, out of the result, and thrown.

use super::{Gui, GuiEffects, Place};
use crate::native::furnace::{burn_ticks, smelted};
use crate::native::inventory::{HOTBAR, Inventory, SLOTS, pour, take};
use crate::native::item::Stack;
use crate::native::scene::GuiKind;
use crate::world::{Event, EventKind};

impl Gui {
    /// Takes what was made in hand: a furnace gives all it has (right: half), a grid one craft.
    pub(super) fn take_result(&mut self, right: bool, effects: &mut GuiEffects) {
        let Some(made) = self.result() else { return };
        let half = right && self.kind == GuiKind::Furnace && self.carried.is_none();
        let part = made.counted(if half { made.count.div_ceil(2) } else { made.count });
        let mut carried = self.carried;
        if pour(part, &mut carried).is_none() {
            self.carried = carried;
            self.consume(part, effects);
        }
    }

    /// Pays for `made` in the grid, or takes it out of the furnace, and reports it.
    fn consume(&mut self, made: Stack, effects: &mut GuiEffects) {
        if self.kind == GuiKind::Furnace {
            take(&mut self.grid[2], made.count);
        } else {
            for slot in &mut self.grid {
                take(slot, 1);
            }
        }
        let quantity = u32::from(made.count);
        effects.events.push(Event { kind: EventKind::CraftItem, item: made.item.name(), quantity });
    }

    /// Shift-click: the stack goes to the part of the screen it belongs to.
    pub(super) fn quick_move(&mut self, place: Place, inventory: &mut Inventory, effects: &mut GuiEffects) {
        if place == Place::Result {
            return self.quick_result(inventory, effects);
        }
        let Some(stack) = self.slot(place, inventory).and_then(Option::take) else { return };
        let bare = stack.item.armour().map(|piece| piece.part as usize);
        let bare = bare.filter(|part| self.kind == GuiKind::Inventory && inventory.armour[*part].is_none());
        let rest = match (place, self.kind) {
            (Place::Inventory(_), _) if bare.is_some() => {
                pour(stack, &mut inventory.armour[bare.unwrap_or(0)])
            }
            (Place::Inventory(_), GuiKind::Furnace) if smelted(stack.item).is_some() => {
                pour(stack, &mut self.grid[0])
            }
            (Place::Inventory(_), GuiKind::Furnace) if burn_ticks(stack.item) > 0 => {
                pour(stack, &mut self.grid[1])
            }
            (Place::Inventory(index), _) if index < HOTBAR => inventory.add_within(stack, HOTBAR..SLOTS),
            (Place::Inventory(_), _) => inventory.add_within(stack, 0..HOTBAR),
            _ => inventory.add(stack),
        };
        if let Some(slot) = self.slot(place, inventory) {
            *slot = rest;
        }
    }

    fn quick_result(&mut self, inventory: &mut Inventory, effects: &mut GuiEffects) {
        if self.kind == GuiKind::Furnace {
            let Some(made) = self.result() else { return };
            let left = inventory.add(made).map_or(0, |rest| rest.count);
            if left < made.count {
                self.consume(made.counted(made.count - left), effects);
            }
            return;
        }
        // As often as the ingredients last and the product fits whole.
        while let Some(made) = self.result() {
            let mut after = inventory.clone();
            if after.add(made).is_some() {
                break;
            }
            *inventory = after;
            self.consume(made, effects);
        }
    }

    /// A number key or the swap key: the slot under the cursor and another change places; a result only comes out.
    pub(super) fn swap_with(
        &mut self,
        place: Place,
        other: Place,
        inventory: &mut Inventory,
        effects: &mut GuiEffects,
    ) {
        let waiting = self.content(other, inventory);
        let there = self.content(place, inventory);
        if place == Place::Result {
            if let (Some(made), None) = (there, waiting) {
                self.slot(other, inventory).into_iter().for_each(|slot| *slot = Some(made));
                self.consume(made, effects);
            }
        } else if waiting.is_none_or(|stack| self.accepts(place, stack.item)) {
            for (at, content) in [(place, waiting), (other, there)] {
                self.slot(at, inventory).into_iter().for_each(|slot| *slot = content);
            }
        }
    }

    /// The drop key: one, or all, of the slot under the cursor goes into the world.
    pub(super) fn throw_from(
        &mut self,
        place: Place,
        all: bool,
        inventory: &mut Inventory,
        effects: &mut GuiEffects,
    ) {
        if place == Place::Result {
            let Some(made) = self.result() else { return };
            // A craft cannot be split.
            let whole = all || self.kind != GuiKind::Furnace;
            let part = if whole { made } else { made.counted(1) };
            self.consume(part, effects);
            effects.thrown.push(part);
        } else if let Some(slot) = self.slot(place, inventory) {
            effects.thrown.extend(take(slot, if all { u8::MAX } else { 1 }));
        }
    }

    /// Double click: equal items from all over the screen join what is carried, broken stacks first.
    pub(super) fn collect(&mut self, inventory: &mut Inventory) {
        let Some(mut hand) = self.carried else { return };
        for full_too in [false, true] {
            for place in self.places().filter(|place| *place != Place::Result) {
                let Some(slot) = self.slot(place, inventory) else { continue };
                let limit = hand.item.max_stack();
                let matching = slot.filter(|there| there.stacks_with(hand));
                if matching.is_some_and(|there| full_too || there.count < limit) {
                    let taken = take(slot, limit.saturating_sub(hand.count));
                    hand = hand.counted(hand.count + taken.map_or(0, |stack| stack.count));
                }
            }
        }
        self.carried = Some(hand);
    }
}
