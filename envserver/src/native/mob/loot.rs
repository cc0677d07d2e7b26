//! What a mob leaves when it dies.

use super::kind::Kind;
use crate::native::item::{Item, Stack};
use crate::native::spawn::mix;

/// The stack a mob leaves; cooked where it died in fire. `roll` decides how many.
pub(crate) fn loot(kind: Kind, on_fire: bool, roll: u64) -> Option<Stack> {
    let number = mix(roll, 0x4c4f_4f54);
    let (item, count) = match (kind, on_fire) {
        (Kind::Cow, false) => (Item::Beef, 1 + number % 3),
        (Kind::Cow, true) => (Item::CookedBeef, 1 + number % 3),
        (Kind::Pig, false) => (Item::Porkchop, 1 + number % 3),
        (Kind::Pig, true) => (Item::CookedPorkchop, 1 + number % 3),
        (Kind::Zombie, _) => (Item::RottenFlesh, number % 3),
        // Powder and string are for nothing here.
        (Kind::Creeper | Kind::Spider, _) => return None,
    };
    (count > 0).then(|| Stack::new(item, count as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each number of each item is left in many deaths.
    fn shares(kind: Kind, on_fire: bool) -> Vec<(Item, u8, f64)> {
        let rolls = 30_000;
        let mut counts = std::collections::BTreeMap::new();
        for roll in 0..rolls {
            if let Some(stack) = loot(kind, on_fire, roll) {
                *counts.entry((stack.item, stack.count)).or_insert(0) += 1;
            }
        }
        counts.into_iter().map(|((item, n), times)| (item, n, f64::from(times) / rolls as f64)).collect()
    }

    #[test]
    fn drops_are_the_games() {
        let table = [
            (Kind::Cow, false, Some(Item::Beef), 1..=3),
            (Kind::Cow, true, Some(Item::CookedBeef), 1..=3),
            (Kind::Pig, false, Some(Item::Porkchop), 1..=3),
            (Kind::Pig, true, Some(Item::CookedPorkchop), 1..=3),
            (Kind::Zombie, true, Some(Item::RottenFlesh), 1..=2),
            (Kind::Creeper, false, None, 1..=1),
            (Kind::Spider, false, None, 1..=1),
        ];
        for (kind, on_fire, item, numbers) in table {
            let found = shares(kind, on_fire);
            let expected: Vec<_> = numbers.filter_map(|number| Some((item?, number))).collect();
            assert_eq!(found.iter().map(|(item, n, _)| (*item, *n)).collect::<Vec<_>>(), expected);
            assert!(found.iter().all(|(_, _, share)| (share - 1.0 / 3.0).abs() < 0.02), "{kind:?} {found:?}");
        }
    }
}
