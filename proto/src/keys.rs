//! The bits of [`HumanAction::keys`](crate::envserver::v1::HumanAction): keys and mouse buttons held during a tick.

/// Left mouse button.
pub const ATTACK: u32 = 1 << 0;
/// S.
pub const BACK: u32 = 1 << 1;
/// W.
pub const FORWARD: u32 = 1 << 2;
/// Space.
pub const JUMP: u32 = 1 << 3;
/// A.
pub const LEFT: u32 = 1 << 4;
/// D.
pub const RIGHT: u32 = 1 << 5;
/// Left shift.
pub const SNEAK: u32 = 1 << 6;
/// Left control.
pub const SPRINT: u32 = 1 << 7;
/// Right mouse button.
pub const USE: u32 = 1 << 8;
/// Q.
pub const DROP: u32 = 1 << 9;
/// E.
pub const INVENTORY: u32 = 1 << 10;
/// Keys 1 to 9; index 0 is hotbar.1.
pub const HOTBAR: [u32; 9] =
    [1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19];
/// Escape.
pub const ESC: u32 = 1 << 20;
/// Middle mouse button.
pub const PICK_ITEM: u32 = 1 << 21;
/// F.
pub const SWAP_HANDS: u32 = 1 << 22;
/// Every bit that means something.
pub const ALL: u32 = (1 << 23) - 1;

/// Names in bit order, as the paper and MineRL spell them.
pub const NAMES: [&str; 23] = [
    "attack",
    "back",
    "forward",
    "jump",
    "left",
    "right",
    "sneak",
    "sprint",
    "use",
    "drop",
    "inventory",
    "hotbar.1",
    "hotbar.2",
    "hotbar.3",
    "hotbar.4",
    "hotbar.5",
    "hotbar.6",
    "hotbar.7",
    "hotbar.8",
    "hotbar.9",
    "ESC",
    "pickItem",
    "swapHands",
];
