//! Items of the embedded world: names as MineRL's statistics spell them, stack limits, and stacks.

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
}

impl Item {
    /// Every item, in the order of its discriminant.
    pub const ALL: [Self; 14] = [
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
        }
    }

    /// The item of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.name() == name)
    }

    /// How many fit into one slot.
    pub const fn max_stack(self) -> u8 {
        match self {
            Self::WoodenPickaxe | Self::StonePickaxe => 1,
            _ => 64,
        }
    }
}

/// A number of equal items in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// What.
    pub item: Item,
    /// How many: at least 1, at most [`Item::max_stack`].
    pub count: u8,
}

impl Stack {
    /// `count` of `item`.
    pub const fn new(item: Item, count: u8) -> Self {
        Self { item, count }
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
