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
}

impl Block {
    /// Every block, in number order.
    pub const ALL: [Block; 16] = [
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
        }
    }

    /// How long the block takes to break, in the game's unit; `None` where it cannot be broken.
    pub fn hardness(self) -> Option<f32> {
        match self {
            Block::Air | Block::Water | Block::Bedrock => None,
            Block::Grass | Block::Gravel => Some(0.6),
            Block::Dirt | Block::Sand => Some(0.5),
            Block::Stone => Some(1.5),
            Block::Log | Block::Planks | Block::Cobblestone => Some(2.0),
            Block::Leaves => Some(0.2),
            Block::CraftingTable => Some(2.5),
            Block::CoalOre | Block::IronOre | Block::DiamondOre => Some(3.0),
        }
    }

    /// The tool kind that breaks it faster, if any.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Block::Log | Block::Planks | Block::CraftingTable => Some(Tool::Axe),
            Block::Grass | Block::Dirt | Block::Sand | Block::Gravel => Some(Tool::Shovel),
            Block::Stone | Block::Cobblestone | Block::CoalOre | Block::IronOre | Block::DiamondOre => {
                Some(Tool::Pickaxe)
            }
            Block::Air | Block::Water | Block::Bedrock | Block::Leaves => None,
        }
    }

    /// The lowest tool tier (1 wood, 2 stone, 3 iron) that makes it drop something; 0: by hand.
    pub fn harvest_tier(self) -> u8 {
        match self {
            Block::Stone | Block::Cobblestone | Block::CoalOre => 1,
            Block::IronOre => 2,
            Block::DiamondOre => 3,
            _ => 0,
        }
    }

    /// The name of the item it drops when harvested.
    pub fn drop_name(self) -> Option<&'static str> {
        match self {
            Block::Air | Block::Water | Block::Bedrock | Block::Leaves => None,
            Block::Grass => Some("dirt"),
            Block::Stone => Some("cobblestone"),
            Block::CoalOre => Some("coal"),
            Block::DiamondOre => Some("diamond"),
            other => Some(other.name()),
        }
    }

    /// Whether a body collides with it.
    pub fn is_solid(self) -> bool {
        !matches!(self, Block::Air | Block::Water)
    }

    /// Whether it hides what lies behind it.
    pub fn is_opaque(self) -> bool {
        !matches!(self, Block::Air | Block::Water | Block::Leaves)
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
