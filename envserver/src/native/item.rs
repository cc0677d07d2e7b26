//! Items of the embedded world: names as MineRL's statistics spell them, stack limits, and stacks.

use super::armour::{ArmourItem, Part};
use super::block::Tool;

/// What a tool is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Material {
    /// Planks.
    Wood,
    /// Cobblestone.
    Stone,
    /// Iron ingots.
    Iron,
    /// Diamonds.
    Diamond,
}

impl Material {
    /// Harvest tier: 1 wood, 2 stone, 3 iron, 4 diamond.
    pub const fn tier(self) -> u8 {
        match self {
            Self::Wood => 1,
            Self::Stone => 2,
            Self::Iron => 3,
            Self::Diamond => 4,
        }
    }

    /// How many times faster than by hand a tool of it breaks the blocks it is for.
    pub const fn speed(self) -> f64 {
        match self {
            Self::Wood => 2.0,
            Self::Stone => 4.0,
            Self::Iron => 6.0,
            Self::Diamond => 8.0,
        }
    }

    /// Uses after which a tool of it breaks.
    pub const fn durability(self) -> u16 {
        match self {
            Self::Wood => 59,
            Self::Stone => 131,
            Self::Iron => 250,
            Self::Diamond => 1561,
        }
    }
}

/// A tool: what for, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolItem {
    /// What for.
    pub kind: Tool,
    /// Of what.
    pub material: Material,
}

/// Everything that can lie in an inventory slot.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A log of oak.
    Log,
    /// Planks.
    Planks,
    /// A stick.
    Stick,
    /// A crafting table.
    CraftingTable,
    /// Dirt.
    Dirt,
    /// Sand.
    Sand,
    /// Gravel.
    Gravel,
    /// Cobblestone.
    Cobblestone,
    /// An oak sapling.
    Sapling,
    /// Coal.
    Coal,
    /// Iron ore.
    IronOre,
    /// A diamond.
    Diamond,
    /// A wooden pickaxe.
    WoodenPickaxe,
    /// A stone pickaxe.
    StonePickaxe,
    /// A furnace.
    Furnace,
    /// A torch.
    Torch,
    /// A charcoal.
    Charcoal,
    /// An iron ingot.
    IronIngot,
    /// A gold ore.
    GoldOre,
    /// A gold ingot.
    GoldIngot,
    /// An obsidian.
    Obsidian,
    /// A glass.
    Glass,
    /// A stone.
    Stone,
    /// A sandstone.
    Sandstone,
    /// A cactus.
    Cactus,
    /// A yellow flower.
    Flower,
    /// A flint.
    Flint,
    /// An apple.
    Apple,
    /// A beef.
    Beef,
    /// A cooked beef.
    CookedBeef,
    /// A porkchop.
    Porkchop,
    /// A cooked porkchop.
    CookedPorkchop,
    /// A rotten flesh.
    RottenFlesh,
    /// An iron pickaxe.
    IronPickaxe,
    /// A diamond pickaxe.
    DiamondPickaxe,
    /// A wooden axe.
    WoodenAxe,
    /// A stone axe.
    StoneAxe,
    /// An iron axe.
    IronAxe,
    /// A diamond axe.
    DiamondAxe,
    /// A wooden shovel.
    WoodenShovel,
    /// A stone shovel.
    StoneShovel,
    /// An iron shovel.
    IronShovel,
    /// A diamond shovel.
    DiamondShovel,
    /// A wooden sword.
    WoodenSword,
    /// A stone sword.
    StoneSword,
    /// An iron sword.
    IronSword,
    /// A diamond sword.
    DiamondSword,
    /// A wooden hoe.
    WoodenHoe,
    /// A stone hoe.
    StoneHoe,
    /// An iron hoe.
    IronHoe,
    /// A diamond hoe.
    DiamondHoe,
    /// An iron helmet.
    IronHelmet,
    /// An iron chestplate.
    IronChestplate,
    /// Iron leggings.
    IronLeggings,
    /// Iron boots.
    IronBoots,
    /// A diamond helmet.
    DiamondHelmet,
    /// A diamond chestplate.
    DiamondChestplate,
    /// Diamond leggings.
    DiamondLeggings,
    /// Diamond boots.
    DiamondBoots,
}

impl Item {
    /// Every item, in the order of its discriminant.
    pub const ALL: [Self; 59] = [
        Self::Log,
        Self::Planks,
        Self::Stick,
        Self::CraftingTable,
        Self::Dirt,
        Self::Sand,
        Self::Gravel,
        Self::Cobblestone,
        Self::Sapling,
        Self::Coal,
        Self::IronOre,
        Self::Diamond,
        Self::WoodenPickaxe,
        Self::StonePickaxe,
        Self::Furnace,
        Self::Torch,
        Self::Charcoal,
        Self::IronIngot,
        Self::GoldOre,
        Self::GoldIngot,
        Self::Obsidian,
        Self::Glass,
        Self::Stone,
        Self::Sandstone,
        Self::Cactus,
        Self::Flower,
        Self::Flint,
        Self::Apple,
        Self::Beef,
        Self::CookedBeef,
        Self::Porkchop,
        Self::CookedPorkchop,
        Self::RottenFlesh,
        Self::IronPickaxe,
        Self::DiamondPickaxe,
        Self::WoodenAxe,
        Self::StoneAxe,
        Self::IronAxe,
        Self::DiamondAxe,
        Self::WoodenShovel,
        Self::StoneShovel,
        Self::IronShovel,
        Self::DiamondShovel,
        Self::WoodenSword,
        Self::StoneSword,
        Self::IronSword,
        Self::DiamondSword,
        Self::WoodenHoe,
        Self::StoneHoe,
        Self::IronHoe,
        Self::DiamondHoe,
        Self::IronHelmet,
        Self::IronChestplate,
        Self::IronLeggings,
        Self::IronBoots,
        Self::DiamondHelmet,
        Self::DiamondChestplate,
        Self::DiamondLeggings,
        Self::DiamondBoots,
    ];

    /// The name used in events, tasks and reward tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Planks => "planks",
            Self::Stick => "stick",
            Self::CraftingTable => "crafting_table",
            Self::Dirt => "dirt",
            Self::Sand => "sand",
            Self::Gravel => "gravel",
            Self::Cobblestone => "cobblestone",
            Self::Sapling => "sapling",
            Self::Coal => "coal",
            Self::IronOre => "iron_ore",
            Self::Diamond => "diamond",
            Self::WoodenPickaxe => "wooden_pickaxe",
            Self::StonePickaxe => "stone_pickaxe",
            Self::Furnace => "furnace",
            Self::Torch => "torch",
            Self::Charcoal => "charcoal",
            Self::IronIngot => "iron_ingot",
            Self::GoldOre => "gold_ore",
            Self::GoldIngot => "gold_ingot",
            Self::Obsidian => "obsidian",
            Self::Glass => "glass",
            Self::Stone => "stone",
            Self::Sandstone => "sandstone",
            Self::Cactus => "cactus",
            Self::Flower => "yellow_flower",
            Self::Flint => "flint",
            Self::Apple => "apple",
            Self::Beef => "beef",
            Self::CookedBeef => "cooked_beef",
            Self::Porkchop => "porkchop",
            Self::CookedPorkchop => "cooked_porkchop",
            Self::RottenFlesh => "rotten_flesh",
            Self::IronPickaxe => "iron_pickaxe",
            Self::DiamondPickaxe => "diamond_pickaxe",
            Self::WoodenAxe => "wooden_axe",
            Self::StoneAxe => "stone_axe",
            Self::IronAxe => "iron_axe",
            Self::DiamondAxe => "diamond_axe",
            Self::WoodenShovel => "wooden_shovel",
            Self::StoneShovel => "stone_shovel",
            Self::IronShovel => "iron_shovel",
            Self::DiamondShovel => "diamond_shovel",
            Self::WoodenSword => "wooden_sword",
            Self::StoneSword => "stone_sword",
            Self::IronSword => "iron_sword",
            Self::DiamondSword => "diamond_sword",
            Self::WoodenHoe => "wooden_hoe",
            Self::StoneHoe => "stone_hoe",
            Self::IronHoe => "iron_hoe",
            Self::DiamondHoe => "diamond_hoe",
            Self::IronHelmet => "iron_helmet",
            Self::IronChestplate => "iron_chestplate",
            Self::IronLeggings => "iron_leggings",
            Self::IronBoots => "iron_boots",
            Self::DiamondHelmet => "diamond_helmet",
            Self::DiamondChestplate => "diamond_chestplate",
            Self::DiamondLeggings => "diamond_leggings",
            Self::DiamondBoots => "diamond_boots",
        }
    }

    /// What the item is worth as a tool, if it is one.
    pub const fn tool(self) -> Option<ToolItem> {
        let (kind, material) = match self {
            Self::WoodenPickaxe => (Tool::Pickaxe, Material::Wood),
            Self::StonePickaxe => (Tool::Pickaxe, Material::Stone),
            Self::IronPickaxe => (Tool::Pickaxe, Material::Iron),
            Self::DiamondPickaxe => (Tool::Pickaxe, Material::Diamond),
            Self::WoodenAxe => (Tool::Axe, Material::Wood),
            Self::StoneAxe => (Tool::Axe, Material::Stone),
            Self::IronAxe => (Tool::Axe, Material::Iron),
            Self::DiamondAxe => (Tool::Axe, Material::Diamond),
            Self::WoodenShovel => (Tool::Shovel, Material::Wood),
            Self::StoneShovel => (Tool::Shovel, Material::Stone),
            Self::IronShovel => (Tool::Shovel, Material::Iron),
            Self::DiamondShovel => (Tool::Shovel, Material::Diamond),
            Self::WoodenSword => (Tool::Sword, Material::Wood),
            Self::StoneSword => (Tool::Sword, Material::Stone),
            Self::IronSword => (Tool::Sword, Material::Iron),
            Self::DiamondSword => (Tool::Sword, Material::Diamond),
            Self::WoodenHoe => (Tool::Hoe, Material::Wood),
            Self::StoneHoe => (Tool::Hoe, Material::Stone),
            Self::IronHoe => (Tool::Hoe, Material::Iron),
            Self::DiamondHoe => (Tool::Hoe, Material::Diamond),
            _ => return None,
        };
        Some(ToolItem { kind, material })
    }

    /// What the item is worth as armour, if it is some.
    pub const fn armour(self) -> Option<ArmourItem> {
        let (part, material) = match self {
            Self::IronHelmet => (Part::Head, Material::Iron),
            Self::IronChestplate => (Part::Chest, Material::Iron),
            Self::IronLeggings => (Part::Legs, Material::Iron),
            Self::IronBoots => (Part::Feet, Material::Iron),
            Self::DiamondHelmet => (Part::Head, Material::Diamond),
            Self::DiamondChestplate => (Part::Chest, Material::Diamond),
            Self::DiamondLeggings => (Part::Legs, Material::Diamond),
            Self::DiamondBoots => (Part::Feet, Material::Diamond),
            _ => return None,
        };
        Some(ArmourItem { part, material })
    }

    /// Uses or dents after which it breaks; none for what does not wear.
    pub const fn durability(self) -> Option<u16> {
        match (self.tool(), self.armour()) {
            (Some(tool), _) => Some(tool.material.durability()),
            (None, Some(piece)) => Some(piece.durability()),
            (None, None) => None,
        }
    }

    /// The item of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.name() == name)
    }

    /// How many fit into one slot.
    pub const fn max_stack(self) -> u8 {
        if self.durability().is_some() { 1 } else { 64 }
    }
}

/// A number of equal items in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// What.
    pub item: Item,
    /// How many: at least 1, at most [`Item::max_stack`].
    pub count: u8,
    /// Uses a tool, or dents a piece of armour has behind it; 0 for everything else.
    pub worn: u16,
}

impl Stack {
    /// `count` of `item`.
    pub const fn new(item: Item, count: u8) -> Self {
        Self { item, count, worn: 0 }
    }

    /// The same in another number.
    pub const fn counted(self, count: u8) -> Self {
        Self { count, ..self }
    }

    /// Whether both may lie in one slot: the same item, equally worn.
    pub fn stacks_with(self, other: Self) -> bool {
        self.item == other.item && self.worn == other.worn
    }

    /// All of it in one number, for hashing; an empty slot is 0.
    pub(crate) fn bits(slot: Slot) -> u64 {
        slot.map_or(0, |stack| {
            (1 + stack.item as u64 * 256 + u64::from(stack.count)) | u64::from(stack.worn) << 32
        })
    }
}

/// What a slot holds.
pub type Slot = Option<Stack>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_distinct() {
        for (index, item) in Item::ALL.into_iter().enumerate() {
            assert_eq!(item as usize, index);
            assert_eq!(Item::from_name(item.name()), Some(item));
        }
        assert_eq!(Item::from_name("bedrock"), None);
    }
}
