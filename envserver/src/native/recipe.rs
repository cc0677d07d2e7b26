//! Crafting recipes as data, and which of them a grid holds.

use super::item::{Item, Slot, Stack};

/// A shaped recipe: it may lie anywhere in the grid, also mirrored.
#[derive(Debug)]
struct Recipe {
    /// Rows of letters by `KEY`, a space for an empty slot; all rows equally long.
    rows: &'static [&'static str],
    result: Stack,
}

const KEY: [(char, Item); 4] =
    [('l', Item::Log), ('p', Item::Planks), ('s', Item::Stick), ('c', Item::Cobblestone)];

const RECIPES: [Recipe; 5] = [
    Recipe { rows: &["l"], result: Stack::new(Item::Planks, 4) },
    Recipe { rows: &["p", "p"], result: Stack::new(Item::Stick, 4) },
    Recipe { rows: &["pp", "pp"], result: Stack::new(Item::CraftingTable, 1) },
    Recipe { rows: &["ppp", " s ", " s "], result: Stack::new(Item::WoodenPickaxe, 1) },
    Recipe { rows: &["ccc", " s ", " s "], result: Stack::new(Item::StonePickaxe, 1) },
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
        assert_eq!(placed, (4 + 9) + (2 + 6) + (1 + 4) + 1 + 1);
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
