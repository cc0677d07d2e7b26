//! Minecraft's names by those that tasks, rewards and statistics use here: what is made of some wood is that of any wood.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::native::block::Block;
use crate::native::item::Item;
use crate::native::mob::Kind;

/// The game's woods; a task is given what is of the first.
const WOODS: [&str; 6] = ["oak", "spruce", "birch", "jungle", "acacia", "dark_oak"];
/// What there is of each.
const OF_WOOD: [&str; 4] = ["log", "planks", "leaves", "sapling"];
/// Other names that differ.
const OTHERS: [(&str, &str); 3] =
    [("dandelion", "yellow_flower"), ("grass", "tallgrass"), ("dead_bush", "deadbush")];

fn table() -> &'static BTreeMap<String, &'static str> {
    static TABLE: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let items = Item::ALL.map(Item::name);
        let blocks = Block::ALL.map(Block::name);
        let mobs = Kind::ALL.map(Kind::name);
        let same = items.into_iter().chain(blocks).chain(mobs).map(|name| (name.to_owned(), name));
        let woods = WOODS.iter().flat_map(|wood| OF_WOOD.iter().map(move |of| (format!("{wood}_{of}"), *of)));
        let others = OTHERS.iter().map(|(theirs, ours)| ((*theirs).to_owned(), *ours));
        same.chain(woods).chain(others).collect()
    })
}

/// Our name of one of the game's items, blocks or creatures; none where there is no counterpart.
pub(super) fn ours(theirs: &str) -> Option<&'static str> {
    let bare =
        theirs.strip_prefix("minecraft:").or_else(|| theirs.strip_prefix("minecraft.")).unwrap_or(theirs);
    table().get(bare).copied()
}

/// The game's name of one of our items.
pub(super) fn theirs(ours: &str) -> String {
    if OF_WOOD.contains(&ours) {
        return format!("{}_{ours}", WOODS[0]);
    }
    let other = OTHERS.iter().find(|(_, name)| *name == ours);
    other.map_or(ours, |(theirs, _)| *theirs).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn every_wood_is_wood() {
        assert_eq!(
            ["oak_log", "dark_oak_log", "minecraft.birch_planks", "minecraft:jungle_sapling"].map(ours),
            [Some("log"), Some("log"), Some("planks"), Some("sapling")]
        );
        assert_eq!(["netherite_ingot", "", "oak_"].map(ours), [None; 3]);
    }

    #[test]
    fn whatever_a_task_can_name_the_game_has_and_tells() {
        for item in Item::ALL {
            assert_eq!(ours(&theirs(item.name())), Some(item.name()), "{item:?}");
        }
        for name in Task::built_in_names() {
            for rule in Task::resolve(name).unwrap().rewards {
                assert!(ours(&theirs(&rule.item)).is_some(), "{}", rule.item);
            }
        }
        assert_eq!((theirs("log").as_str(), theirs("diamond").as_str()), ("oak_log", "diamond"));
    }
}
