//! The game's items by the names that tasks and rewards use: `luanti/items.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::native::item::Item;

const TABLE: &str = include_str!("../../luanti/items.toml");

struct Names {
    ours: BTreeMap<String, &'static str>,
    /// For what a task gives: the first of the game's items of that name.
    theirs: BTreeMap<&'static str, String>,
}

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let table: toml::Table =
            TABLE.parse().expect("the table is part of the program, and a test reads it");
        let mut names = Names { ours: BTreeMap::new(), theirs: BTreeMap::new() };
        for (theirs, ours) in table.get("names").and_then(toml::Value::as_table).into_iter().flatten() {
            let item = ours.as_str().and_then(Item::from_name);
            if let Some(item) = item {
                names.ours.insert(theirs.clone(), item.name());
                names.theirs.entry(item.name()).or_insert_with(|| theirs.clone());
            }
        }
        names
    })
}

/// Our name of one of the game's items; none where there is no counterpart.
pub(super) fn ours(theirs: &str) -> Option<&'static str> {
    names().ours.get(theirs).copied()
}

/// The game's item of that name; none where there is no counterpart.
pub(super) fn theirs(ours: &str) -> Option<&'static str> {
    names().theirs.get(ours).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_an_item() {
        let rows = TABLE.lines().filter(|line| line.contains("\" = \"")).count();
        assert_eq!(names().ours.len(), rows);
        assert_eq!(
            (ours("default:aspen_tree"), ours("default:steel_ingot")),
            (Some("log"), Some("iron_ingot"))
        );
        assert_eq!((theirs("log"), theirs("iron_ore")), (Some("default:tree"), Some("default:iron_lump")));
        assert_eq!((ours("default:papyrus"), theirs("crafting_table")), (None, None));
    }

    #[test]
    fn the_papers_items_have_counterparts_but_the_table() {
        let task = crate::task::Task::resolve("diamond_pickaxe").unwrap();
        let missing: Vec<_> = task
            .rewards
            .iter()
            .map(|rule| rule.item.as_str())
            .filter(|item| theirs(item).is_none())
            .collect();
        assert_eq!(missing, ["crafting_table"]);
    }
}
