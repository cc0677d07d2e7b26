//! The bits of a human-level action's key set, in the wire's order (this crate does not see the wire).

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

/// One factor of the joint button space: at most one of its members is pressed; index 0 means none.
pub(super) struct Group {
    pub(super) members: &'static [u32],
    /// Opposite directions cancel; elsewhere the later member wins.
    pub(super) conflict_is_none: bool,
}

/// The factors in order, the last of them changing fastest; the camera's meta button follows.
pub(super) const GROUPS: [Group; 8] = [
    Group { members: &HOTBAR, conflict_is_none: false },
    Group { members: &[FORWARD, BACK], conflict_is_none: true },
    Group { members: &[LEFT, RIGHT], conflict_is_none: true },
    Group { members: &[SPRINT, SNEAK], conflict_is_none: false },
    Group { members: &[USE], conflict_is_none: false },
    Group { members: &[DROP], conflict_is_none: false },
    Group { members: &[ATTACK], conflict_is_none: false },
    Group { members: &[JUMP], conflict_is_none: false },
];

impl Group {
    /// Index of the pressed member plus one, or 0 for none.
    pub(super) fn encode(&self, keys: u32) -> u32 {
        let pressed = self.members.iter().filter(|&&key| keys & key != 0).count();
        if pressed > 1 && self.conflict_is_none {
            return 0;
        }
        let last = self.members.iter().rposition(|&key| keys & key != 0);
        last.map_or(0, |i| i as u32 + 1)
    }

    /// Choices including none.
    pub(super) fn size(&self) -> u32 {
        self.members.len() as u32 + 1
    }

    /// The key of an index below [`size`](Self::size).
    pub(super) fn decode(&self, index: u32) -> u32 {
        if index == 0 { 0 } else { self.members[index as usize - 1] }
    }
}
