//! Minecraft's names of what the embedded world has.

use vpt_envserver::native::item::Item;

/// Where the two differ: ours, then Minecraft's of 1.16.
const DIFFERENT: [(&str, &str); 8] = [
    ("log", "oak_log"),
    ("planks", "oak_planks"),
    ("leaves", "oak_leaves"),
    ("sapling", "oak_sapling"),
    ("yellow_flower", "dandelion"),
    ("tallgrass", "grass"),
    ("deadbush", "dead_bush"),
    ("lit_furnace", "furnace"),
];

/// Minecraft's name of one of our items, blocks or mobs.
pub(crate) fn theirs(ours: &'static str) -> &'static str {
    DIFFERENT.iter().find(|(name, _)| *name == ours).map_or(ours, |(_, theirs)| theirs)
}

/// Our name of one of Minecraft's items, which may come with its namespace.
pub(crate) fn ours(theirs: &str) -> &str {
    let theirs = theirs.strip_prefix("minecraft:").unwrap_or(theirs);
    // A furnace is one: the lit one is no item.
    if Item::from_name(theirs).is_some() {
        return theirs;
    }
    DIFFERENT.iter().find(|(_, name)| *name == theirs).map_or(theirs, |(ours, _)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_names_there_and_back() {
        assert_eq!((theirs("log"), theirs("stick"), theirs("lit_furnace")), ("oak_log", "stick", "furnace"));
        for item in Item::ALL {
            assert_eq!(ours(theirs(item.name())), item.name());
        }
        assert_eq!(ours("minecraft:oak_planks"), "planks");
    }
}
