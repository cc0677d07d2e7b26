//! Crafting recipes as data, and which of them a grid holds.

use super::item::{Item, Slot, Stack};

/// A shaped recipe: it may lie anywhere in the grid, also mirrored.
#[derive(Debug)]
struct Recipe {
    /// Rows of letters by `KEY`, a space for an empty slot; all rows equally long.
    rows: &'static [&'static str],
    result: Stack,
}

const KEY: [(char, Item); 9] = [
    ('l', Item::Log),
    ('p', Item::Planks),
    ('s', Item::Stick),
    ('c', Item::Cobblestone),
    ('i', Item::IronIngot),
    ('d', Item::Diamond),
    ('o', Item::Coal),
    ('h', Item::Charcoal),
    ('a', Item::Sand),
];

const RECIPES: [Recipe; 35] = [
    Recipe { rows: &["l"], result: Stack::new(Item::Planks, 4) },
    Recipe { rows: &["p", "p"], result: Stack::new(Item::Stick, 4) },
    Recipe { rows: &["pp", "pp"], result: Stack::new(Item::CraftingTable, 1) },
    Recipe { rows: &["ccc", "c c", "ccc"], result: Stack::new(Item::Furnace, 1) },
    Recipe { rows: &["o", "s"], result: Stack::new(Item::Torch, 4) },
    Recipe { rows: &["h", "s"], result: Stack::new(Item::Torch, 4) },
    Recipe { rows: &["aa", "aa"], result: Stack::new(Item::Sandstone, 1) },
    Recipe { rows: &["ppp", " s ", " s "], result: Stack::new(Item::WoodenPickaxe, 1) },
    Recipe { rows: &["ccc", " s ", " s "], result: Stack::new(Item::StonePickaxe, 1) },
    Recipe { rows: &["iii", " s ", " s "], result: Stack::new(Item::IronPickaxe, 1) },
    Recipe { rows: &["ddd", " s ", " s "], result: Stack::new(Item::DiamondPickaxe, 1) },
    Recipe { rows: &["pp", "ps", " s"], result: Stack::new(Item::WoodenAxe, 1) },
    Recipe { rows: &["cc", "cs", " s"], result: Stack::new(Item::StoneAxe, 1) },
    Recipe { rows: &["ii", "is", " s"], result: Stack::new(Item::IronAxe, 1) },
    Recipe { rows: &["dd", "ds", " s"], result: Stack::new(Item::DiamondAxe, 1) },
    Recipe { rows: &["p", "s", "s"], result: Stack::new(Item::WoodenShovel, 1) },
    Recipe { rows: &["c", "s", "s"], result: Stack::new(Item::StoneShovel, 1) },
    Recipe { rows: &["i", "s", "s"], result: Stack::new(Item::IronShovel, 1) },
    Recipe { rows: &["d", "s", "s"], result: Stack::new(Item::DiamondShovel, 1) },
    Recipe { rows: &["p", "p", "s"], result: Stack::new(Item::WoodenSword, 1) },
    Recipe { rows: &["c", "c", "s"], result: Stack::new(Item::StoneSword, 1) },
    Recipe { rows: &["i", "i", "s"], result: Stack::new(Item::IronSword, 1) },
    Recipe { rows: &["d", "d", "s"], result: Stack::new(Item::DiamondSword, 1) },
    Recipe { rows: &["pp", " s", " s"], result: Stack::new(Item::WoodenHoe, 1) },
    Recipe { rows: &["cc", " s", " s"], result: Stack::new(Item::StoneHoe, 1) },
    Recipe { rows: &["ii", " s", " s"], result: Stack::new(Item::IronHoe, 1) },
    Recipe { rows: &["dd", " s", " s"], result: Stack::new(Item::DiamondHoe, 1) },
    Recipe { rows: &["iii", "i i"], result: Stack::new(Item::IronHelmet, 1) },
    Recipe { rows: &["i i", "iii", "iii"], result: Stack::new(Item::IronChestplate, 1) },
    Recipe { rows: &["iii", "i i", "i i"], result: Stack::new(Item::IronLeggings, 1) },
    Recipe { rows: &["i i", "i i"], result: Stack::new(Item::IronBoots, 1) },
    Recipe { rows: &["ddd", "d d"], result: Stack::new(Item::DiamondHelmet, 1) },
    Recipe { rows: &["d d", "ddd", "ddd"], result: Stack::new(Item::DiamondChestplate, 1) },
    Recipe { rows: &["ddd", "d d", "d d"], result: Stack::new(Item::DiamondLeggings, 1) },
    Recipe { rows: &["d d", "d d"], result: Stack::new(Item::DiamondBoots, 1) },
];

impl Recipe {
    fn at(&self, row: usize, column: usize) -> Option<Item> {
        let letter = char::from(self.rows[row].as_bytes()[column]);
        KEY.iter().find(|(key, _)| *key == letter).map(|(_, item)| *item)
    }

    fn matches(&self, grid: &[Slot], side: usize, corner: (usize, usize)) -> bool {
        let width = self.rows[0].len();
        [false, true].into_iter().any(|mirrored| {
            (0..self.rows.len()).all(|row| {
                (0..width).all(|column| {
                    let from = if mirrored { width - 1 - column } else { column };
                    let slot = grid[(corner.0 + row) * side + corner.1 + column];
                    slot.map(|stack| stack.item) == self.at(row, from)
                })
            })
        })
    }
}

/// What a square grid (row by row, `side` slots wide) crafts; each craft takes one item from every filled slot.
pub(crate) fn craft(grid: &[Slot], side: usize) -> Slot {
    let filled = || (0..side * side).filter(|index| grid[*index].is_some());
    let top = filled().map(|index| index / side).min()?;
    let bottom = filled().map(|index| index / side).max()?;
    let left = filled().map(|index| index % side).min()?;
    let right = filled().map(|index| index % side).max()?;
    let size = (bottom - top + 1, right - left + 1);
    RECIPES
        .iter()
        .filter(|recipe| (recipe.rows.len(), recipe.rows[0].len()) == size)
        .find(|recipe| recipe.matches(grid, side, (top, left)))
        .map(|recipe| recipe.result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(item: Item) -> Slot {
        Some(Stack::new(item, 1))
    }

    #[test]
    fn every_recipe_works_wherever_it_fits_and_mirrored() {
        let mut placed = 0;
        for recipe in &RECIPES {
            let (height, width) = (recipe.rows.len(), recipe.rows[0].len());
            for side in [2, 3] {
                for (row, column) in (0..side * side).map(|index| (index / side, index % side)) {
                    if row + height > side || column + width > side {
                        continue;
                    }
                    let mut grid = vec![None; side * side];
                    for (r, c) in (0..height * width).map(|index| (index / width, index % width)) {
                        grid[(row + r) * side + column + c] =
                            recipe.at(r, width - 1 - c).map(|i| Stack::new(i, 3));
                    }
                    assert_eq!(
                        craft(&grid, side),
                        Some(recipe.result),
                        "{:?} at {row},{column}",
                        recipe.result
                    );
                    placed += 1;
                }
            }
        }
        // Places in the 2x2 and 3x3 grid, by shape: log; sticks and two torches; table and sandstone; furnace and four
        // pickaxes; axes and hoes; shovels and swords; armour.
        assert_eq!(placed, (4 + 9) + 3 * (2 + 6) + 2 * (1 + 4) + 5 + 8 * 2 + 8 * 3 + 2 * (2 + 1 + 1 + 2));
    }

    #[test]
    fn every_tool_is_crafted_of_its_material_and_sticks() {
        let heads = [(3, "pickaxe"), (3, "axe"), (1, "shovel"), (2, "sword"), (2, "hoe")];
        let tools = Item::ALL.into_iter().filter(|item| item.tool().is_some());
        for tool in tools {
            let made: Vec<_> = RECIPES.iter().filter(|recipe| recipe.result.item == tool).collect();
            assert_eq!(made.len(), 1, "{tool:?}");
            let text = made[0].rows.concat();
            let sticks = text.matches('s').count();
            let head = text.chars().filter(|letter| !" s".contains(*letter)).count();
            let expected = heads.iter().find(|(_, kind)| tool.name().ends_with(&format!("_{kind}"))).unwrap();
            assert_eq!((head, sticks), (expected.0, if expected.1 == "sword" { 1 } else { 2 }), "{tool:?}");
        }
    }

    #[test]
    fn every_piece_of_armour_is_crafted_of_its_material_alone() {
        let amounts = [(5, "helmet"), (8, "chestplate"), (7, "leggings"), (4, "boots")];
        for piece in Item::ALL.into_iter().filter(|item| item.armour().is_some()) {
            let made: Vec<_> = RECIPES.iter().filter(|recipe| recipe.result.item == piece).collect();
            assert_eq!(made.len(), 1, "{piece:?}");
            let text = made[0].rows.concat().replace(' ', "");
            let letter = if piece.name().starts_with("iron") { 'i' } else { 'd' };
            assert!(text.chars().all(|found| found == letter));
            let amount = amounts.iter().find(|(_, kind)| piece.name().ends_with(kind)).unwrap().0;
            assert_eq!(text.len(), amount, "{piece:?}");
        }
    }

    #[test]
    fn other_grids_craft_nothing() {
        let p = one(Item::Planks);
        assert_eq!(craft(&[None; 4], 2), None);
        assert_eq!(craft(&[p, None, None, None], 2), None);
        assert_eq!(craft(&[p, p, None, None], 2), None, "sticks need planks one above the other");
        assert_eq!(craft(&[p, p, p, None], 2), None);
        assert_eq!(craft(&[p, None, None, p], 2), None);
        assert_eq!(craft(&[one(Item::Log), one(Item::Log), None, None], 2), None);
        assert_eq!(craft(&[p, p, p, p], 2), Some(Stack::new(Item::CraftingTable, 1)));
    }
}
