//! Tasks as data: where an episode starts, how long it is, what it pays, what ends it.
//!
//! A task is a TOML text; the built-in ones lie in `envserver/tasks/`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::luanti::LuantiWorld;
use crate::minerl::MineRlWorld;
use crate::native::NativeWorld;
use crate::native::item::Item;

/// What can be wrong with a task.
#[derive(Debug, Error)]
pub enum TaskError {
    /// Neither a built-in name nor TOML text.
    #[error("unknown task `{name}` (built-in: {known}; or give the TOML text of a task file)")]
    Unknown {
        /// As asked for.
        name: String,
        /// Comma-separated built-in names.
        known: String,
    },
    /// Not TOML, or a key is unknown, missing or of the wrong type.
    #[error("task file: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A key has a value that makes no sense.
    #[error("task `{task}`: `{key}` {problem}")]
    Value {
        /// The task's name.
        task: String,
        /// The key at fault, with its path.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// Which way of obtaining an item a reward rule pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidFor {
    /// Picked up or crafted.
    #[default]
    Obtain,
    /// Picked up from the ground.
    Pickup,
    /// Crafted.
    Craft,
}

/// One row of the reward table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardRule {
    /// The item's name.
    pub item: String,
    /// Which way of obtaining it pays.
    #[serde(default)]
    pub on: PaidFor,
    /// How many units pay in an episode; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Reward for each unit.
    pub reward: f32,
}

/// A number of items: what the player starts with, or what ends the episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemCount {
    /// The item's name.
    pub item: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// Where an episode starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpawnRule {
    /// Look in a random direction (else along +z).
    pub random_yaw: bool,
    /// Least and greatest distance in blocks to the nearest trunk, which can be walked to in a straight line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk_distance: Option<[f32; 2]>,
}

/// Which kind of land the embedded world makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terrain {
    /// Rolling hills under an oak wood, always bright; shallow, with little to find below.
    #[default]
    Grove,
    /// Plains, forest, hills, desert and water over sixty blocks of caves and ores, with day and night.
    Overworld,
}

/// Which mobs the embedded world has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mobs {
    /// None.
    #[default]
    None,
    /// Animals: herds on grass.
    Passive,
    /// Monsters, too: out of caves and the night, after a player who can be hurt.
    All,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The world it is for.
    #[serde(default = "native")]
    pub world: String,
    /// The land of the embedded world.
    #[serde(default)]
    pub terrain: Terrain,
    /// Length in ticks, after which the episode is truncated.
    pub episode_steps: u32,
    /// Whether the player can be hurt, go hungry and drown; a death ends the episode.
    #[serde(default)]
    pub survival: bool,
    /// Whether a dead player goes on where the episode started, without what was carried, instead.
    #[serde(default)]
    pub respawn: bool,
    /// Which mobs there are.
    #[serde(default)]
    pub mobs: Mobs,
    /// Where an episode starts.
    #[serde(default)]
    pub spawn: SpawnRule,
    /// The reward table.
    #[serde(default)]
    pub rewards: Vec<RewardRule>,
    /// What the player starts with, from the first hotbar slot on.
    #[serde(default)]
    pub inventory: Vec<ItemCount>,
    /// Obtaining that many of any of these terminates the episode.
    #[serde(default)]
    pub terminate_on: Vec<ItemCount>,
}

fn native() -> String {
    NativeWorld::NAME.to_owned()
}

const BUILT_IN: [(&str, &str); 6] = [
    ("chop", include_str!("../tasks/chop.toml")),
    ("wood", include_str!("../tasks/wood.toml")),
    ("stone", include_str!("../tasks/stone.toml")),
    ("iron", include_str!("../tasks/iron.toml")),
    ("diamond_pickaxe", include_str!("../tasks/diamond_pickaxe.toml")),
    ("free", include_str!("../tasks/free.toml")),
];

/// Other worlds that play the tasks of the embedded world: their items and events have the same names.
const LIKE_NATIVE: [&str; 2] = [LuantiWorld::NAME, MineRlWorld::NAME];

/// Longest episode a task may ask for, in ticks: a day of game time many times over.
const MAX_EPISODE_STEPS: u32 = 1_000_000;

/// Slots a player starts with.
const INVENTORY_SLOTS: u64 = 36;

impl Task {
    /// Names of the built-in tasks.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in task by name, or the task that a TOML text describes.
    ///
    /// # Errors
    /// Unknown names, and everything [`Task::parse`] refuses.
    pub fn resolve(name_or_toml: &str) -> Result<Self, TaskError> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_toml.trim()) {
            return Self::parse(text);
        }
        if name_or_toml.contains('=') {
            return Self::parse(name_or_toml);
        }
        Err(TaskError::Unknown {
            name: name_or_toml.chars().take(80).collect(),
            known: Self::built_in_names().collect::<Vec<_>>().join(", "),
        })
    }

    /// The task as it is played in `world`, if that plays tasks of the embedded world; any other task stays as it is.
    #[must_use]
    pub fn in_world(mut self, world: &str) -> Self {
        if self.world == NativeWorld::NAME && LIKE_NATIVE.contains(&world) {
            world.clone_into(&mut self.world);
        }
        self
    }

    /// The task that a TOML text describes.
    ///
    /// # Errors
    /// Bad TOML, unknown or missing keys, unknown items, lengths and numbers out of range.
    pub fn parse(text: &str) -> Result<Self, TaskError> {
        let task: Self = toml::from_str(text)?;
        task.validate()?;
        Ok(task)
    }

    /// The names of the rewarded items, in the table's order.
    pub fn reward_items(&self) -> Vec<String> {
        self.rewards.iter().map(|rule| rule.item.clone()).collect()
    }

    fn fault(&self, key: impl Into<String>, problem: impl Into<String>) -> TaskError {
        TaskError::Value { task: self.name.clone(), key: key.into(), problem: problem.into() }
    }

    fn check_item(&self, key: String, item: &str) -> Result<(), TaskError> {
        if Item::from_name(item).is_some() {
            return Ok(());
        }
        let known = Item::ALL.map(Item::name).join(", ");
        Err(self.fault(key, format!("names the unknown item `{item}` (known: {known})")))
    }

    fn validate(&self) -> Result<(), TaskError> {
        if self.name.trim().is_empty() {
            return Err(self.fault("name", "is empty"));
        }
        if self.episode_steps == 0 || self.episode_steps > MAX_EPISODE_STEPS {
            return Err(self.fault("episode_steps", format!("must be within 1..={MAX_EPISODE_STEPS}")));
        }
        if let Some([low, high]) = self.spawn.trunk_distance
            && !(low.is_finite() && high.is_finite() && low >= 1.0 && low < high)
        {
            return Err(self.fault("spawn.trunk_distance", "must be [low, high] with 1 <= low < high"));
        }
        for (index, rule) in self.rewards.iter().enumerate() {
            self.check_item(format!("rewards[{index}].item"), &rule.item)?;
            if !rule.reward.is_finite() {
                return Err(self.fault(format!("rewards[{index}].reward"), "is not finite"));
            }
            if self.rewards[..index].iter().any(|earlier| earlier.item == rule.item) {
                return Err(self.fault(format!("rewards[{index}].item"), "appears twice"));
            }
        }
        for (key, counts) in [("inventory", &self.inventory), ("terminate_on", &self.terminate_on)] {
            for (index, entry) in counts.iter().enumerate() {
                self.check_item(format!("{key}[{index}].item"), &entry.item)?;
                if entry.count == 0 {
                    return Err(self.fault(format!("{key}[{index}].count"), "must be at least 1"));
                }
            }
        }
        let slots = |entry: &ItemCount| {
            let stack = Item::from_name(&entry.item).map_or(1, Item::max_stack);
            u64::from(entry.count.div_ceil(u32::from(stack)))
        };
        let needed: u64 = self.inventory.iter().map(slots).sum();
        if needed > INVENTORY_SLOTS {
            let problem = format!("needs {needed} slots; the player has {INVENTORY_SLOTS}");
            return Err(self.fault("inventory", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_tasks_parse_and_bear_their_names() {
        for name in Task::built_in_names() {
            assert_eq!(Task::resolve(name).unwrap().name, name);
        }
        assert_eq!(Task::resolve("chop").unwrap().episode_steps, 200);
        assert_eq!(Task::resolve("chop").unwrap().reward_items(), ["log"]);
    }

    #[test]
    fn the_papers_table_is_paid_in_full() {
        let task = Task::resolve("diamond_pickaxe").unwrap();
        assert_eq!((task.episode_steps, task.rewards.len()), (12_000, 15));
        // Quantity and sum of each row; the last two have no limit, their quantities are the way's own.
        let table = [
            ("log", 8, 1.0),
            ("planks", 20, 1.0),
            ("stick", 16, 1.0),
            ("crafting_table", 1, 1.0),
            ("wooden_pickaxe", 1, 1.0),
            ("cobblestone", 11, 1.0),
            ("stone_pickaxe", 1, 1.0),
            ("furnace", 1, 1.0),
            ("coal", 5, 2.0),
            ("torch", 16, 2.0),
            ("iron_ore", 3, 4.0),
            ("iron_ingot", 3, 4.0),
            ("iron_pickaxe", 1, 4.0),
            ("diamond", 3, 8.0),
            ("diamond_pickaxe", 1, 8.0),
        ];
        for (rule, (item, quantity, sum)) in task.rewards.iter().zip(table) {
            let limit = (!item.starts_with("diamond")).then_some(quantity);
            assert_eq!((rule.item.as_str(), rule.max, rule.on), (item, limit, PaidFor::Obtain));
            assert!((rule.reward * quantity as f32 - sum).abs() < 1e-5, "{item}: {}", rule.reward);
        }
        let items = |name| Task::resolve(name).unwrap().rewards;
        assert_eq!(items("iron"), task.rewards[..13]);
        assert_eq!(items("stone"), task.rewards[..8]);
        assert!(items("free").is_empty());
    }

    fn message(text: &str) -> String {
        Task::resolve(text).unwrap_err().to_string()
    }

    #[test]
    fn tasks_of_the_embedded_world_are_played_in_real_games_and_others_are_not() {
        let task = Task::resolve("chop").unwrap();
        assert_eq!(task.clone().in_world("minerl").world, "minerl");
        assert_eq!(task.clone().in_world("luanti"), Task { world: "luanti".to_owned(), ..task.clone() });
        assert_eq!(task.clone().in_world("null"), task);
        let null = Task { world: "null".to_owned(), ..task };
        assert_eq!(null.clone().in_world("luanti"), null);
    }

    #[test]
    fn the_land_is_a_grove_unless_the_task_says_otherwise() {
        assert_eq!(Task::resolve("chop").unwrap().terrain, Terrain::Grove);
        let task = Task::parse("name='x'\nterrain='overworld'\nepisode_steps=5").unwrap();
        assert_eq!(task.terrain, Terrain::Overworld);
        assert!(message("name='x'\nterrain='moon'\nepisode_steps=5").contains("`grove` or `overworld`"));
    }

    #[test]
    fn there_are_no_mobs_unless_the_task_says_so() {
        let mobs = |name| Task::resolve(name).unwrap().mobs;
        assert_eq!(["chop", "wood"].map(mobs), [Mobs::None; 2]);
        assert_eq!(["iron", "diamond_pickaxe", "free"].map(mobs), [Mobs::Passive, Mobs::Passive, Mobs::All]);
        let refused = message("name='x'\nmobs='some'\nepisode_steps=5");
        assert!(refused.contains("mobs") && refused.contains("`none`, `passive`, `all`"), "{refused}");
    }

    #[test]
    fn errors_name_the_key() {
        assert!(message("chopp").contains("unknown task `chopp` (built-in: chop, wood"));
        assert!(message("name = \"x\"\nepisode_steps = 5\nrevards = []").contains("revards"));
        assert!(message("name = \"x\"").contains("episode_steps"));
        assert!(message("name = \"x\"\nepisode_steps = 0").contains("`episode_steps` must be"));
        let unknown_item = "name='x'\nepisode_steps=5\n[[rewards]]\nitem='lgo'\nreward=1";
        assert!(message(unknown_item).contains("`rewards[0].item` names the unknown item `lgo`"));
        let distances = "name='x'\nepisode_steps=5\n[spawn]\ntrunk_distance=[9.0, 3.0]";
        assert!(message(distances).contains("spawn.trunk_distance"));
        let heavy = "name='x'\nepisode_steps=5\n[[inventory]]\nitem='log'\ncount=2305";
        assert!(message(heavy).contains("`inventory` needs 37 slots"));
    }
}
