//! How water and lava flow, by the game's rules (Java 1.16): down first, then sideways towards the nearest hole, thinner
//! with every step; two sources of water with a floor between them make a third.
//!
//! The volume says which cells hold a liquid. How full those that flow are is kept beside it, so that land at rest, all
//! of it sources, costs nothing.
//!
//! # Layout
//! - here: the rules, as questions to a [`Basin`]
//! - [`flows`]: how full flowing cells are, and which cells are to be looked at when

pub(crate) mod flows;

use self::flows::Flows;
use super::block::Block;
use super::voxels::Voxels;

/// Positions beside a cell.
pub(crate) const SIDES: [[i32; 3]; 4] = [[0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0]];
const DOWN: [i32; 3] = [0, -1, 0];
const UP: [i32; 3] = [0, 1, 0];

/// A cell and a way to go from it.
pub(crate) fn beside(cell: [i32; 3], way: [i32; 3]) -> [i32; 3] {
    [cell[0] + way[0], cell[1] + way[1], cell[2] + way[2]]
}

/// What flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Liquid {
    Water,
    Lava,
}

impl Liquid {
    /// The liquid that a block is.
    pub(crate) fn of(block: Block) -> Option<Self> {
        match block {
            Block::Water => Some(Self::Water),
            Block::Lava => Some(Self::Lava),
            _ => None,
        }
    }

    pub(crate) fn block(self) -> Block {
        match self {
            Self::Water => Block::Water,
            Self::Lava => Block::Lava,
        }
    }

    /// Ticks from one step of the flow to the next.
    pub(crate) fn delay(self) -> u64 {
        match self {
            Self::Water => 5,
            Self::Lava => 30,
        }
    }

    /// Eighths that a block of way costs.
    fn loss(self) -> u8 {
        match self {
            Self::Water => 1,
            Self::Lava => 2,
        }
    }

    /// How many blocks away a hole still draws the flow.
    fn sense(self) -> u8 {
        match self {
            Self::Water => 4,
            Self::Lava => 2,
        }
    }
}

/// How full a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Stays without being fed.
    Source,
    /// Fed from above.
    Falling,
    /// Eighths, 1 to 7.
    Thin(u8),
}

impl Fill {
    pub(crate) fn eighths(self) -> u8 {
        match self {
            Self::Source | Self::Falling => 8,
            Self::Thin(eighths) => eighths,
        }
    }
}

/// Whether a liquid can take the place of a block, alone by what the block is made of.
fn holds_liquid(block: Block) -> bool {
    !block.is_solid()
}

/// The liquids of a volume.
#[derive(Clone, Copy)]
pub(crate) struct Basin<'a> {
    pub(crate) voxels: &'a Voxels,
    pub(crate) flows: &'a Flows,
}

impl Basin<'_> {
    fn at(self, [x, y, z]: [i32; 3]) -> Block {
        self.voxels.get(x, y, z)
    }

    /// How much of a liquid a cell holds; none where there is something else.
    pub(crate) fn fill(self, liquid: Liquid, cell: [i32; 3]) -> Option<Fill> {
        (self.at(cell) == liquid.block()).then(|| self.flows.fill(cell))
    }

    fn is_source(self, liquid: Liquid, cell: [i32; 3]) -> bool {
        self.fill(liquid, cell) == Some(Fill::Source)
    }

    /// How much of a liquid the cells around would keep in a cell.
    pub(crate) fn fed(self, liquid: Liquid, cell: [i32; 3]) -> Option<Fill> {
        if !holds_liquid(self.at(cell)) {
            return None;
        }
        let around = SIDES.map(|side| self.fill(liquid, beside(cell, side)));
        let sources = around.iter().filter(|fill| **fill == Some(Fill::Source)).count();
        let below = beside(cell, DOWN);
        let floor = self.at(below).is_solid() || self.is_source(liquid, below);
        if liquid == Liquid::Water && sources >= 2 && floor {
            return Some(Fill::Source);
        }
        if self.fill(liquid, beside(cell, UP)).is_some() {
            return Some(Fill::Falling);
        }
        let most = around.into_iter().flatten().map(Fill::eighths).max()?;
        (most > liquid.loss()).then(|| Fill::Thin(most - liquid.loss()))
    }

    /// Whether liquid in a cell would fall.
    fn is_hole(self, cell: [i32; 3]) -> bool {
        holds_liquid(self.at(beside(cell, DOWN)))
    }

    /// Whether a liquid on its way to a hole can go through a cell.
    fn passes(self, liquid: Liquid, cell: [i32; 3]) -> bool {
        holds_liquid(self.at(cell)) && !self.is_source(liquid, cell)
    }

    /// Whether a flow displaces what is in a cell; lava that falls onto water does, and becomes stone.
    fn displaces(self, liquid: Liquid, cell: [i32; 3], falls: bool) -> bool {
        let there = self.at(cell);
        match (Liquid::of(there), liquid) {
            (None, _) => holds_liquid(there),
            (Some(Liquid::Water), Liquid::Lava) => falls,
            // Water runs over lava that stands this high, and stops before lower.
            (Some(Liquid::Lava), Liquid::Water) => self.flows.fill(cell).eighths() >= 4,
            (Some(_), _) => false,
        }
    }

    /// Where a cell's liquid flows, and how much of it comes there.
    pub(crate) fn outflow(self, liquid: Liquid, cell: [i32; 3], fill: Fill) -> Vec<([i32; 3], Fill)> {
        let mut ways = Vec::new();
        let below = beside(cell, DOWN);
        if self.displaces(liquid, below, true) {
            ways.extend(self.fed(liquid, below).map(|fill| (below, fill)));
            let sources = SIDES.iter().filter(|side| self.is_source(liquid, beside(cell, **side))).count();
            if sources < 3 {
                return ways;
            }
        } else if fill != Fill::Source && self.is_hole(cell) {
            return ways;
        }
        let left = if fill == Fill::Falling { 7 } else { fill.eighths().saturating_sub(liquid.loss()) };
        if left > 0 {
            self.spread(liquid, cell, &mut ways);
        }
        ways
    }

    /// Sideways: only towards the nearest holes, if there are any within what the liquid senses.
    fn spread(self, liquid: Liquid, cell: [i32; 3], ways: &mut Vec<([i32; 3], Fill)>) {
        let ways_before = ways.len();
        let mut nearest = u8::MAX;
        for side in SIDES {
            let next = beside(cell, side);
            if !self.passes(liquid, next) {
                continue;
            }
            let away = if self.is_hole(next) { 0 } else { self.to_hole(liquid, next, 1, side) };
            if away < nearest {
                ways.truncate(ways_before);
                nearest = away;
            }
            if away == nearest && self.displaces(liquid, next, false) {
                ways.extend(self.fed(liquid, next).map(|fill| (next, fill)));
            }
        }
    }

    /// Blocks from a cell to the nearest hole, on any way that does not turn back.
    fn to_hole(self, liquid: Liquid, cell: [i32; 3], walked: u8, came: [i32; 3]) -> u8 {
        let back = came.map(|value| -value);
        let mut nearest = u8::MAX;
        for side in SIDES.into_iter().filter(|side| *side != back) {
            let next = beside(cell, side);
            if !self.passes(liquid, next) {
                continue;
            }
            if self.is_hole(next) {
                return walked;
            }
            if walked < liquid.sense() {
                nearest = nearest.min(self.to_hole(liquid, next, walked + 1, side));
            }
        }
        nearest
    }

    /// What lava turns into where it is, if water touches it from above or from a side.
    pub(crate) fn hardened(self, lava: [i32; 3]) -> Option<Block> {
        let mut around = SIDES.into_iter().chain([UP]);
        let quenched = around.any(|side| self.at(beside(lava, side)) == Block::Water);
        let whole = self.flows.fill(lava) == Fill::Source;
        quenched.then_some(if whole { Block::Obsidian } else { Block::Cobblestone })
    }

    /// Which way the liquid in a cell pulls at what swims in it: not of unit length, and zero in still water.
    pub(crate) fn current(self, liquid: Liquid, cell: [i32; 3]) -> [f64; 3] {
        let Some(own) = self.fill(liquid, cell) else { return [0.0; 3] };
        let own = f64::from(own.eighths());
        let mut pull = [0.0; 3];
        for side in SIDES {
            let next = beside(cell, side);
            let drop = match self.fill(liquid, next) {
                Some(fill) => own - f64::from(fill.eighths()),
                None if self.at(next).is_solid() => continue,
                // Over an edge it pulls hardest.
                None => self
                    .fill(liquid, beside(next, DOWN))
                    .map_or(0.0, |fill| own + 8.0 - f64::from(fill.eighths())),
            };
            pull[0] += drop * f64::from(side[0]);
            pull[2] += drop * f64::from(side[2]);
        }
        pull
    }
}
