//! Armour by the game's numbers (Java 1.16): which item goes on which part of the body, what it keeps off, and how it
//! wears.

use super::inventory::take;
use super::item::{Item, Material, Slot};

/// Where a piece is worn; the number is its slot, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Helmets.
    Head,
    /// Chestplates.
    Chest,
    /// Leggings.
    Legs,
    /// Boots.
    Feet,
}

/// Slots for armour.
pub(crate) const PARTS: usize = 4;

/// A piece of armour: for what, of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmourItem {
    /// For what.
    pub part: Part,
    /// Of what.
    pub material: Material,
}

impl ArmourItem {
    /// Half plates in the bar.
    const fn points(self) -> u8 {
        let diamond = matches!(self.material, Material::Diamond);
        match self.part {
            Part::Head => 2 + diamond as u8,
            Part::Chest => 6 + 2 * diamond as u8,
            Part::Legs => 5 + diamond as u8,
            Part::Feet => 2 + diamond as u8,
        }
    }

    /// What keeps hard blows from getting through.
    const fn toughness(self) -> u8 {
        if matches!(self.material, Material::Diamond) { 2 } else { 0 }
    }

    /// Dents after which it breaks.
    pub const fn durability(self) -> u16 {
        let part = match self.part {
            Part::Head => 11,
            Part::Chest => 16,
            Part::Legs => 15,
            Part::Feet => 13,
        };
        part * if matches!(self.material, Material::Diamond) { 33 } else { 15 }
    }
}

/// What all that is worn is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) points: u8,
    toughness: u8,
}

impl Protection {
    /// The protection of what is worn.
    pub(crate) fn of(worn: &[Slot; PARTS]) -> Self {
        let pieces = worn.iter().flatten().filter_map(|stack| stack.item.armour());
        pieces.fold(Self::default(), |sum, piece| Self {
            points: sum.points + piece.points(),
            toughness: sum.toughness + piece.toughness(),
        })
    }

    /// What of a blow gets through.
    pub(crate) fn lessen(self, blow: f32) -> f32 {
        let points = f32::from(self.points);
        let left = points - blow / (2.0 + f32::from(self.toughness) / 4.0);
        blow * (1.0 - left.clamp(points * 0.2, 20.0) / 25.0)
    }
}

/// Dents that a blow makes in every piece.
pub(crate) fn dents(blow: f32) -> u16 {
    (blow / 4.0).max(1.0) as u16
}

/// Dents every piece; those at their end are gone and returned.
pub(crate) fn dent(worn: &mut [Slot; PARTS], dents: u16) -> Vec<Item> {
    let mut broken = Vec::new();
    for slot in worn {
        let Some(stack) = slot else { continue };
        stack.worn = stack.worn.saturating_add(dents);
        if stack.item.durability().is_some_and(|most| stack.worn >= most) {
            broken.extend(take(slot, 1).map(|stack| stack.item));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Stack;

    pub(crate) const IRON: [Item; PARTS] =
        [Item::IronHelmet, Item::IronChestplate, Item::IronLeggings, Item::IronBoots];
    const DIAMOND: [Item; PARTS] =
        [Item::DiamondHelmet, Item::DiamondChestplate, Item::DiamondLeggings, Item::DiamondBoots];

    fn suit(items: [Item; PARTS]) -> [Slot; PARTS] {
        items.map(|item| Some(Stack::new(item, 1)))
    }

    #[test]
    fn pieces_have_the_games_points_and_durability() {
        let points = |items: [Item; PARTS]| items.map(|item| item.armour().unwrap().points());
        let lasts = |items: [Item; PARTS]| items.map(|item| item.durability().unwrap());
        assert_eq!((points(IRON), points(DIAMOND)), ([2, 6, 5, 2], [3, 8, 6, 3]));
        assert_eq!((lasts(IRON), lasts(DIAMOND)), ([165, 240, 225, 195], [363, 528, 495, 429]));
        assert!(IRON.iter().chain(&DIAMOND).all(|item| item.max_stack() == 1));
        let parts = IRON.map(|item| item.armour().unwrap().part as usize);
        assert_eq!(parts, [0, 1, 2, 3]);
    }

    #[test]
    fn blows_are_lessened_as_the_game_does() {
        // Blow, and what gets through nothing, iron (15 points) and diamond (20 points, toughness 8).
        let table = [
            (1.0, [1.0, 0.42, 0.21]),
            (4.0, [4.0, 1.92, 0.96]),
            (10.0, [10.0, 6.0, 3.0]),
            (20.0, [20.0, 16.0, 8.0]),
            (40.0, [40.0, 35.2, 24.0]),
            (100.0, [100.0, 88.0, 84.0]),
        ];
        for (blow, expected) in table {
            let worn = [[None; PARTS], suit(IRON), suit(DIAMOND)];
            for (worn, expected) in worn.iter().zip(expected) {
                let through = Protection::of(worn).lessen(blow);
                assert!((through - expected).abs() < 1e-4, "{blow}: {through}, not {expected}");
            }
        }
        let mut boots = [None; PARTS];
        boots[3] = Some(Stack::new(Item::IronBoots, 1));
        assert!((Protection::of(&boots).lessen(4.0) - 4.0 * (1.0 - 0.4 / 25.0)).abs() < 1e-5);
    }

    #[test]
    fn armour_wears_by_a_quarter_of_the_blow_and_breaks() {
        assert_eq!([0.5, 4.0, 7.9, 8.0, 20.0].map(dents), [1, 1, 1, 2, 5]);
        let mut worn = suit(IRON);
        assert!(dent(&mut worn, 164).is_empty());
        assert_eq!(dent(&mut worn, 1), [Item::IronHelmet]);
        assert_eq!(worn[1].map(|stack| stack.worn), Some(165));
        assert_eq!(dent(&mut worn, 100), [Item::IronChestplate, Item::IronLeggings, Item::IronBoots]);
        assert_eq!(worn, [None; PARTS]);
    }
}
