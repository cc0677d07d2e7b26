//! Furnaces: what lies in each, its fire and its progress, tick by tick as the game counts them.

use super::item::{Item, Slot, Stack};

/// Ticks one item takes.
pub(crate) const COOK_TICKS: u16 = 200;
/// Ticks of progress lost each tick without a fire.
const DECAY: u16 = 2;

/// What an item becomes in a furnace.
pub(crate) fn smelted(item: Item) -> Option<Item> {
    match item {
        Item::IronOre => Some(Item::IronIngot),
        Item::GoldOre => Some(Item::GoldIngot),
        Item::Log => Some(Item::Charcoal),
        Item::Sand => Some(Item::Glass),
        Item::Cobblestone => Some(Item::Stone),
        Item::Beef => Some(Item::CookedBeef),
        Item::Porkchop => Some(Item::CookedPorkchop),
        _ => None,
    }
}

/// Ticks an item burns; 0 for what is no fuel.
pub(crate) fn burn_ticks(item: Item) -> u16 {
    match item {
        Item::Coal | Item::Charcoal => 1600,
        Item::Log | Item::Planks | Item::CraftingTable => 300,
        Item::WoodenPickaxe | Item::WoodenAxe | Item::WoodenShovel | Item::WoodenSword | Item::WoodenHoe => {
            200
        }
        Item::Stick | Item::Sapling => 100,
        _ => 0,
    }
}

/// One furnace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Furnace {
    /// What is smelted, the fuel, and what came out.
    pub(crate) slots: [Slot; 3],
    /// Ticks of fire left, and how many the fuel had in all.
    burn: u16,
    burn_total: u16,
    cook: u16,
    /// What the progress was made on.
    cooking: Option<Item>,
}

impl Furnace {
    /// Whether a fire burns.
    pub(crate) fn is_lit(&self) -> bool {
        self.burn > 0
    }

    /// What the input will become, if that still fits where results go.
    fn next_result(&self) -> Option<Stack> {
        let made = Stack::new(smelted(self.slots[0]?.item)?, 1);
        match self.slots[2] {
            Some(there) if there.item != made.item || there.count >= made.item.max_stack() => None,
            Some(there) => Some(there.counted(there.count + 1)),
            None => Some(made),
        }
    }

    /// One tick; true when the fire began or ended.
    pub(crate) fn tick(&mut self) -> bool {
        let was_lit = self.is_lit();
        self.burn = self.burn.saturating_sub(1);
        let input = self.slots[0].map(|stack| stack.item);
        if input.is_some() && input != self.cooking {
            self.cooking = input;
            self.cook = 0;
        }
        if self.is_lit() || (self.slots[0].is_some() && self.slots[1].is_some()) {
            self.cook_on();
        } else {
            self.cook = self.cook.saturating_sub(DECAY);
        }
        was_lit != self.is_lit()
    }

    fn cook_on(&mut self) {
        let Some(result) = self.next_result() else {
            self.cook = 0;
            return;
        };
        if !self.is_lit() {
            self.burn = self.slots[1].map_or(0, |fuel| burn_ticks(fuel.item));
            self.burn_total = self.burn;
            if self.is_lit() {
                super::inventory::take(&mut self.slots[1], 1);
            }
        }
        if !self.is_lit() {
            self.cook = 0;
            return;
        }
        self.cook += 1;
        if self.cook == COOK_TICKS {
            self.cook = 0;
            super::inventory::take(&mut self.slots[0], 1);
            self.slots[2] = Some(result);
        }
    }

    /// Height of the flame and length of the arrow on its screen, pixels of 14 and 24.
    pub(crate) fn gauges(&self) -> [u8; 2] {
        let share = |part: u16, whole: u16, length: u32| {
            (u32::from(part) * length).div_ceil(u32::from(whole.max(1))).min(length) as u8
        };
        [share(self.burn, self.burn_total, 14), share(self.cook, COOK_TICKS, 24)]
    }
}

/// All furnaces of a world, in the order they were placed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Furnaces {
    list: Vec<([i32; 3], Furnace)>,
}

impl Furnaces {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// The furnace at a place, new and empty if none was known there.
    pub(crate) fn at(&mut self, cell: [i32; 3]) -> &mut Furnace {
        let index = self.list.iter().position(|(place, _)| *place == cell).unwrap_or_else(|| {
            self.list.push((cell, Furnace::default()));
            self.list.len() - 1
        });
        &mut self.list[index].1
    }

    /// Forgets the furnace at a place and hands it out.
    pub(crate) fn remove(&mut self, cell: [i32; 3]) -> Option<Furnace> {
        let index = self.list.iter().position(|(place, _)| *place == cell)?;
        Some(self.list.remove(index).1)
    }

    /// One tick of every furnace; returns where a fire began (true) or ended.
    pub(crate) fn tick(&mut self) -> Vec<([i32; 3], bool)> {
        let changed = self.list.iter_mut().filter_map(|(cell, furnace)| {
            let changed = furnace.tick();
            changed.then(|| (*cell, furnace.is_lit()))
        });
        changed.collect()
    }

    /// Feeds everything that decides the future to a hash.
    pub(crate) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        for (cell, furnace) in &self.list {
            cell.iter().for_each(|value| add(u64::from(*value as u32)));
            furnace.slots.iter().for_each(|slot| add(Stack::bits(*slot)));
            for ticks in [furnace.burn, furnace.burn_total, furnace.cook] {
                add(u64::from(ticks));
            }
            add(furnace.cooking.map_or(0, |item| 1 + item as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn furnace(input: (Item, u8), fuel: (Item, u8)) -> Furnace {
        let slots = [Some(Stack::new(input.0, input.1)), Some(Stack::new(fuel.0, fuel.1)), None];
        Furnace { slots, ..Furnace::default() }
    }

    fn run(furnace: &mut Furnace, ticks: usize) -> Slot {
        for _ in 0..ticks {
            furnace.tick();
        }
        furnace.slots[2]
    }

    #[test]
    fn an_item_takes_two_hundred_ticks() {
        let mut ore = furnace((Item::IronOre, 2), (Item::Coal, 1));
        assert_eq!(run(&mut ore, 199), None);
        assert_eq!(run(&mut ore, 1), Some(Stack::new(Item::IronIngot, 1)));
        assert_eq!(run(&mut ore, 199), Some(Stack::new(Item::IronIngot, 1)));
        assert_eq!(run(&mut ore, 1), Some(Stack::new(Item::IronIngot, 2)));
        assert_eq!(ore.slots[..2], [None, None]);
    }

    #[test]
    fn each_fuel_lasts_its_ticks() {
        let table = [
            (Item::Coal, 1600),
            (Item::Charcoal, 1600),
            (Item::Log, 300),
            (Item::Planks, 300),
            (Item::CraftingTable, 300),
            (Item::WoodenHoe, 200),
            (Item::Stick, 100),
            (Item::Sapling, 100),
            (Item::Dirt, 0),
            (Item::StonePickaxe, 0),
        ];
        for (fuel, ticks) in table {
            let mut sand = furnace((Item::Sand, 64), (fuel, 1));
            let lit = (0..3000).filter(|_| {
                sand.tick();
                sand.is_lit()
            });
            assert_eq!(lit.count(), ticks, "{fuel:?}");
            let made = sand.slots[2].map_or(0, |stack| usize::from(stack.count));
            assert_eq!(made, ticks / 200, "{fuel:?}");
        }
    }

    #[test]
    fn every_smelting_recipe_gives_one_for_one() {
        let pairs = Item::ALL.into_iter().filter_map(|item| Some((item, smelted(item)?)));
        for (from, to) in pairs {
            let mut lit = furnace((from, 3), (Item::Coal, 1));
            assert_eq!(run(&mut lit, 601), Some(Stack::new(to, 3)), "{from:?}");
            assert_eq!(lit.slots[0], None);
        }
    }

    #[test]
    fn fuel_is_kept_when_nothing_can_be_smelted() {
        let mut dirt = furnace((Item::Dirt, 1), (Item::Coal, 1));
        assert_eq!((run(&mut dirt, 500), dirt.is_lit()), (None, false));
        assert_eq!(dirt.slots[1], Some(Stack::new(Item::Coal, 1)));
        let mut full = furnace((Item::Sand, 1), (Item::Coal, 1));
        full.slots[2] = Some(Stack::new(Item::Glass, 64));
        assert_eq!((run(&mut full, 500), full.is_lit()), (Some(Stack::new(Item::Glass, 64)), false));
        full.slots[2] = Some(Stack::new(Item::Stone, 1));
        assert_eq!((run(&mut full, 500), full.is_lit()), (Some(Stack::new(Item::Stone, 1)), false));
    }

    #[test]
    fn progress_decays_by_two_a_tick_without_a_fire() {
        let mut sand = furnace((Item::Sand, 2), (Item::Stick, 1));
        run(&mut sand, 100);
        assert_eq!((sand.cook, sand.burn), (100, 1));
        run(&mut sand, 1);
        assert_eq!((sand.cook, sand.is_lit()), (98, false));
        run(&mut sand, 10);
        assert_eq!(sand.cook, 78);
        sand.slots[1] = Some(Stack::new(Item::Coal, 1));
        assert_eq!(run(&mut sand, 122), Some(Stack::new(Item::Glass, 1)));
    }

    #[test]
    fn another_input_starts_from_nothing() {
        let mut change = furnace((Item::Sand, 2), (Item::Coal, 1));
        run(&mut change, 150);
        change.slots[0] = Some(Stack::new(Item::Cobblestone, 1));
        assert_eq!(run(&mut change, 199), None);
        assert_eq!(run(&mut change, 1), Some(Stack::new(Item::Stone, 1)));
    }
}
