//! The kinds of block the embedded world is made of, and what the rules need to know about each.

/// One kind of block; the number is what the voxel volume stores.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Block {
    /// Nothing: walked and seen through.
    Air = 0,
    /// Dirt with grass on top.
    Grass,
    /// Dirt.
    Dirt,
    /// Stone, which drops cobblestone.
    Stone,
    /// Sand, beside water.
    Sand,
    /// Gravel.
    Gravel,
    /// Still water: seen, walked through.
    Water,
    /// The unbreakable floor of the world.
    Bedrock,
    /// A tree trunk.
    Log,
    /// A tree's canopy.
    Leaves,
    /// Planks.
    Planks,
    /// A crafting table.
    CraftingTable,
    /// Coal in stone.
    CoalOre,
    /// Iron in stone.
    IronOre,
    /// Diamond in stone.
    DiamondOre,
    /// Cobblestone.
    Cobblestone,
    /// Gold in stone.
    GoldOre,
    /// Obsidian, where water met lava.
    Obsidian,
    /// Lava: seen, waded through, burns.
    Lava,
    /// A furnace without a fire.
    Furnace,
    /// A furnace that burns; light 13.
    LitFurnace,
    /// A torch on the floor; light 14.
    Torch,
    /// Glass.
    Glass,
    /// Sandstone, below a desert's sand.
    Sandstone,
    /// Snow, on high hills.
    Snow,
    /// A cactus, in deserts; stings.
    Cactus,
    /// Tall grass: walked through.
    TallGrass,
    /// A flower: walked through.
    Flower,
    /// An oak sapling: walked through.
    Sapling,
    /// A dead bush, in deserts: walked through.
    DeadBush,
}

/// The kind of tool that speeds up breaking a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Pickaxes: stone, ores.
    Pickaxe,
    /// Axes: logs, planks.
    Axe,
    /// Shovels: dirt, sand, gravel.
    Shovel,
    /// Hoes: leaves.
    Hoe,
    /// Swords.
    Sword,
}

impl Block {
    /// Room for numbers in tables by number: a power of two, so that a masked number is always inside.
    pub const SLOTS: usize = 32;

    /// Every block, in number order.
    pub const ALL: [Block; 30] = [
        Block::Air,
        Block::Grass,
        Block::Dirt,
        Block::Stone,
        Block::Sand,
        Block::Gravel,
        Block::Water,
        Block::Bedrock,
        Block::Log,
        Block::Leaves,
        Block::Planks,
        Block::CraftingTable,
        Block::CoalOre,
        Block::IronOre,
        Block::DiamondOre,
        Block::Cobblestone,
        Block::GoldOre,
        Block::Obsidian,
        Block::Lava,
        Block::Furnace,
        Block::LitFurnace,
        Block::Torch,
        Block::Glass,
        Block::Sandstone,
        Block::Snow,
        Block::Cactus,
        Block::TallGrass,
        Block::Flower,
        Block::Sapling,
        Block::DeadBush,
    ];

    /// The block a stored number stands for; unknown numbers are air.
    pub fn from_u8(number: u8) -> Block {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Block::Air)
    }

    /// The block's name as the game's statistics spell it.
    pub fn name(self) -> &'static str {
        match self {
            Block::Air => "air",
            Block::Grass => "grass_block",
            Block::Dirt => "dirt",
            Block::Stone => "stone",
            Block::Sand => "sand",
            Block::Gravel => "gravel",
            Block::Water => "water",
            Block::Bedrock => "bedrock",
            Block::Log => "log",
            Block::Leaves => "leaves",
            Block::Planks => "planks",
            Block::CraftingTable => "crafting_table",
            Block::CoalOre => "coal_ore",
            Block::IronOre => "iron_ore",
            Block::DiamondOre => "diamond_ore",
            Block::Cobblestone => "cobblestone",
            Block::GoldOre => "gold_ore",
            Block::Obsidian => "obsidian",
            Block::Lava => "lava",
            Block::Furnace => "furnace",
            Block::LitFurnace => "lit_furnace",
            Block::Torch => "torch",
            Block::Glass => "glass",
            Block::Sandstone => "sandstone",
            Block::Snow => "snow_block",
            Block::Cactus => "cactus",
            Block::TallGrass => "tallgrass",
            Block::Flower => "yellow_flower",
            Block::Sapling => "sapling",
            Block::DeadBush => "deadbush",
        }
    }

    /// The block without its fire: the game counts both furnaces as one.
    pub fn unlit(self) -> Block {
        if self == Block::LitFurnace { Block::Furnace } else { self }
    }

    /// How long the block takes to break, in the game's unit; `None` where it cannot be broken.
    pub fn hardness(self) -> Option<f32> {
        match self {
            Block::Air | Block::Water | Block::Lava | Block::Bedrock => None,
            Block::Torch | Block::TallGrass | Block::Flower | Block::Sapling | Block::DeadBush => Some(0.0),
            Block::Grass | Block::Gravel => Some(0.6),
            Block::Dirt | Block::Sand => Some(0.5),
            Block::Stone => Some(1.5),
            Block::Log | Block::Planks | Block::Cobblestone => Some(2.0),
            Block::Leaves | Block::Snow => Some(0.2),
            Block::Glass => Some(0.3),
            Block::Cactus => Some(0.4),
            Block::Sandstone => Some(0.8),
            Block::CraftingTable => Some(2.5),
            Block::CoalOre | Block::IronOre | Block::GoldOre | Block::DiamondOre => Some(3.0),
            Block::Furnace | Block::LitFurnace => Some(3.5),
            Block::Obsidian => Some(50.0),
        }
    }

    /// The tool kind that breaks it faster, if any.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Block::Log | Block::Planks | Block::CraftingTable => Some(Tool::Axe),
            Block::Grass | Block::Dirt | Block::Sand | Block::Gravel | Block::Snow => Some(Tool::Shovel),
            Block::Stone
            | Block::Cobblestone
            | Block::Sandstone
            | Block::CoalOre
            | Block::IronOre
            | Block::GoldOre
            | Block::DiamondOre
            | Block::Furnace
            | Block::LitFurnace
            | Block::Obsidian => Some(Tool::Pickaxe),
            Block::Leaves => Some(Tool::Hoe),
            _ => None,
        }
    }

    /// The lowest tool tier (1 wood, 2 stone, 3 iron, 4 diamond) that makes it drop something; 0: by hand.
    pub fn harvest_tier(self) -> u8 {
        match self {
            Block::Stone
            | Block::Cobblestone
            | Block::Sandstone
            | Block::CoalOre
            | Block::Furnace
            | Block::LitFurnace => 1,
            Block::IronOre => 2,
            Block::GoldOre | Block::DiamondOre => 3,
            Block::Obsidian => 4,
            _ => 0,
        }
    }

    /// The name of the item it drops when harvested.
    pub fn drop_name(self) -> Option<&'static str> {
        match self {
            Block::Air | Block::Water | Block::Lava | Block::Bedrock | Block::Leaves => None,
            Block::Glass | Block::Snow | Block::TallGrass => None,
            Block::LitFurnace => Some(Block::Furnace.name()),
            Block::DeadBush => Some("stick"),
            Block::Grass => Some("dirt"),
            Block::Stone => Some("cobblestone"),
            Block::CoalOre => Some("coal"),
            Block::DiamondOre => Some("diamond"),
            other => Some(other.name()),
        }
    }

    /// Whether a body collides with it.
    pub fn is_solid(self) -> bool {
        !self.is_plant() && !matches!(self, Block::Air | Block::Water | Block::Lava | Block::Torch)
    }

    /// Whether it is a small plant: drawn as such, walked through.
    pub fn is_plant(self) -> bool {
        matches!(self, Block::TallGrass | Block::Flower | Block::Sapling | Block::DeadBush)
    }

    /// Light it gives, 0 to 15.
    pub fn light(self) -> u8 {
        match self {
            Block::Lava => 15,
            Block::Torch => 14,
            Block::LitFurnace => 13,
            _ => 0,
        }
    }

    /// Whether it hides what lies behind it.
    pub fn is_opaque(self) -> bool {
        let clear = matches!(self, Block::Air | Block::Water | Block::Leaves | Block::Glass | Block::Torch);
        !clear && !self.is_plant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_in_the_list() {
        for (number, block) in Block::ALL.iter().enumerate() {
            assert_eq!(*block as usize, number);
            assert_eq!(Block::from_u8(number as u8), *block);
        }
        assert_eq!(Block::from_u8(200), Block::Air);
    }
}
