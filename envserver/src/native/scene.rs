//! What a frame shows: the plain data the rules hand to the renderer.

use super::item::{Item, Slot, Stack};
use super::mob::Kind;
use super::voxels::Voxels;

/// One view of the world.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The blocks.
    pub voxels: &'a Voxels,
    /// The eye's position in blocks.
    pub eye: [f32; 3],
    /// Degrees; 0 looks along +z, growing to the right.
    pub yaw: f32,
    /// Degrees; growing downward.
    pub pitch: f32,
    /// Ticks since the first morning; without effect where the land is always bright.
    pub time: u64,
    /// Item drops and the like.
    pub entities: &'a [Billboard],
    /// Animals and monsters.
    pub mobs: &'a [MobView],
    /// The block being broken and its crack stage, 0 to 9.
    pub breaking: Option<([i32; 3], u8)>,
    /// The block in reach under the crosshair, drawn with an outline.
    pub target: Option<[i32; 3]>,
    /// The player's hand.
    pub hand: HandView,
}

/// A small picture that always faces the eye.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Billboard {
    /// Its centre in blocks.
    pub center: [f32; 3],
    /// Its side in blocks.
    pub size: f32,
    /// What it shows.
    pub item: Item,
}

/// A mob as it is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MobView {
    /// What it is.
    pub kind: Kind,
    /// The middle between its feet, in blocks.
    pub feet: [f32; 3],
    /// Where it faces, degrees as for the eye.
    pub yaw: f32,
    /// How far its legs have swung, and how widely they do, 0 to 1.
    pub stride: f32,
    /// See `stride`.
    pub pace: f32,
    /// Hurt a moment ago: drawn red.
    pub hurt: bool,
    /// On fire.
    pub burning: bool,
    /// How far dying has come, 0 to 1: it tips over.
    pub dying: f32,
    /// How far a creeper's fuse has burnt, 0 to 1: it swells and flashes.
    pub fuse: f32,
}

/// The hand in the lower right corner, and the other one on the left if it holds something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HandView {
    /// What it holds.
    pub item: Option<Item>,
    /// What the other hand holds.
    pub offhand: Option<Item>,
    /// How far a swing has come: 0 at rest, up to 1.
    pub swing: f32,
}

/// What the heads-up display shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HudView {
    /// The nine hotbar slots.
    pub hotbar: [Slot; 9],
    /// What the other hand holds.
    pub offhand: Slot,
    /// The selected slot, 0 to 8.
    pub selected: usize,
    /// Half hearts left, 0 to 20.
    pub hearts: u8,
    /// Half plates of armour, 0 to 20.
    pub armour: u8,
    /// Half drumsticks left, 0 to 20, where the player can go hungry.
    pub food: Option<u8>,
    /// Bubbles of breath left, 0 to 10, while breath is not full.
    pub bubbles: Option<u8>,
}

/// The kind of screen that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuiKind {
    /// The player's inventory with its 2x2 grid.
    Inventory,
    /// A crafting table's 3x3 grid.
    CraftingTable,
    /// A furnace: input, fuel, result.
    Furnace,
}

/// An open screen.
#[derive(Clone, Copy, Debug)]
pub struct GuiView<'a> {
    /// Which screen.
    pub kind: GuiKind,
    /// Every slot: its top left corner in the 176x166 panel, and what it holds.
    pub slots: &'a [(i32, i32, Slot)],
    /// What the cursor carries.
    pub carried: Option<Stack>,
    /// The cursor in the 640x360 space.
    pub cursor: [f32; 2],
    /// A furnace's flame and arrow: pixels of 14 and 24.
    pub gauges: [u8; 2],
}
