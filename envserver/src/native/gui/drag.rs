//! Dragging a carried stack over several slots: left spreads it evenly, right puts one into each.
//!
//! The game shows the spread while the button is held and makes it final on release; here it is final at every
//! step and done anew for each further slot, which shows and leaves the same.

use super::{Gui, Place};
use crate::native::inventory::Inventory;
use crate::native::item::{Slot, Stack};

/// A drag under way.
#[derive(Clone, Debug)]
pub(super) struct Drag {
    pub(super) right: bool,
    /// What was carried when it began.
    hand: Stack,
    /// The slots so far, with what they held before.
    places: Vec<(Place, Slot)>,
}

impl Drag {
    /// Feeds everything that decides the future to a hash.
    pub(super) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        add(u64::from(self.right));
        add(Stack::bits(Some(self.hand)));
        for (place, before) in &self.places {
            add(place.number());
            add(Stack::bits(*before));
        }
    }
}

impl Gui {
    /// Whether a slot could take some of `hand`.
    fn has_room(&self, place: Place, hand: Stack, inventory: &Inventory) -> bool {
        let room = match self.content(place, inventory) {
            None => true,
            Some(there) => there.stacks_with(hand) && there.count < hand.item.max_stack(),
        };
        room && self.accepts(place, hand.item)
    }

    /// Starts a drag with what is carried, if the slot has room for it.
    pub(super) fn begin_drag(&mut self, place: Place, right: bool, inventory: &mut Inventory) -> bool {
        let Some(hand) = self.carried.filter(|hand| self.has_room(place, *hand, inventory)) else {
            return false;
        };
        let places = vec![(place, self.content(place, inventory))];
        self.spread(Drag { right, hand, places }, inventory);
        true
    }

    /// The drag comes to a slot; one that it has met or that has no room changes nothing.
    pub(super) fn drag_over(&mut self, place: Place, inventory: &mut Inventory) {
        let Some(mut drag) = self.drag.take() else { return };
        let met = drag.places.iter().any(|(before, _)| *before == place);
        let enough = usize::from(drag.hand.count) > drag.places.len();
        if met || !enough || !self.has_room(place, drag.hand, inventory) {
            self.drag = Some(drag);
            return;
        }
        drag.places.push((place, self.content(place, inventory)));
        self.spread(drag, inventory);
    }

    fn spread(&mut self, drag: Drag, inventory: &mut Inventory) {
        let Drag { hand, .. } = drag;
        let share = if drag.right { 1 } else { hand.count / drag.places.len() as u8 };
        let mut left = hand.count;
        for (place, before) in &drag.places {
            let have = before.map_or(0, |stack| stack.count);
            let put = share.min(hand.item.max_stack() - have);
            left -= put;
            if let Some(slot) = self.slot(*place, inventory) {
                *slot = Some(hand.counted(have + put));
            }
        }
        self.carried = (left > 0).then(|| hand.counted(left));
        self.drag = Some(drag);
    }
}
