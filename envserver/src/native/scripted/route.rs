//! The cheapest way for a person on foot through any ground: walking, jumping up, stepping down, digging what is in the
//! way. A* over the cells that feet can stand in; costs are ticks.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::native::block::Block;
use crate::native::voxels::Voxels;

/// A block of walking, of jumping up one, of falling one.
const WALK: u32 = 5;
const JUMP: u32 = 5;
const FALL: u32 = 2;
/// What a block of the way left is taken to cost.
const EXPECTED: u32 = 25;
/// Turning to a block before it can be dug.
const AIM: u32 = 10;
/// Wading through a block of water.
const WADE: u32 = 20;
/// Deepest drop taken: it does not hurt.
const DEEPEST: i32 = 3;
/// Cells looked at before the search gives up.
const MOST: usize = 60_000;

/// A position of the feet.
pub(super) type Cell = [i32; 3];

const SIDES: [Cell; 4] = [[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]];
const NEIGHBOURS: [Cell; 6] = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];

pub(super) fn offset(cell: Cell, by: Cell) -> Cell {
    [cell[0] + by[0], cell[1] + by[1], cell[2] + by[2]]
}

/// The blocks of a world and how long each takes to dig with what the player has.
pub(super) struct Ground<'a> {
    pub(super) voxels: &'a Voxels,
    /// Ticks; none for what cannot be dug.
    pub(super) dig: &'a dyn Fn(Block) -> Option<u32>,
}

impl Ground<'_> {
    pub(super) fn block(&self, [x, y, z]: Cell) -> Block {
        self.voxels.get(x, y, z)
    }

    fn stands(&self, feet: Cell) -> bool {
        self.block(offset(feet, [0, -1, 0])).is_solid()
    }

    /// Ticks to make a cell free for a body; none where that is impossible or unwise.
    fn clear(&self, cell: Cell) -> Option<u32> {
        let block = self.block(cell);
        if block == Block::Lava || self.near(cell, Block::Lava) {
            return None;
        }
        if block == Block::Water {
            return Some(WADE);
        }
        if !block.is_solid() {
            return Some(0);
        }
        // What is dug open beside water is flooded.
        if self.near(cell, Block::Water) {
            return None;
        }
        Some((self.dig)(block)? + AIM)
    }

    fn near(&self, cell: Cell, block: Block) -> bool {
        NEIGHBOURS.iter().any(|by| self.block(offset(cell, *by)) == block)
    }

    /// Sum over cells that a move needs free.
    fn clear_all(&self, cells: &[Cell]) -> Option<u32> {
        cells.iter().map(|cell| self.clear(*cell)).sum()
    }

    /// Where one step leads from `feet`, and its cost.
    fn steps(&self, feet: Cell, mut each: impl FnMut(Cell, u32)) {
        for side in SIDES {
            let level = offset(feet, side);
            for rise in (-DEEPEST..=1).rev() {
                let to = offset(level, [0, rise, 0]);
                let cells = cells_of(feet, to);
                // Stairs are dug a block at a time; farther down one only drops where it is open.
                if rise < -1 && cells.iter().any(|cell| self.block(*cell).is_solid()) {
                    break;
                }
                if let (true, Some(cost)) = (self.stands(to), self.clear_all(&cells)) {
                    let slope = if rise > 0 { JUMP } else { FALL * rise.unsigned_abs() };
                    each(to, WALK + slope + cost);
                }
            }
        }
    }
}

/// The cells that must be free to step from one position of the feet to another, in the order they are dug.
pub(super) fn cells_of(from: Cell, to: Cell) -> Vec<Cell> {
    let rise = to[1] - from[1];
    let at = |y: i32| [to[0], y, to[2]];
    if rise > 0 {
        return vec![offset(from, [0, 2, 0]), at(to[1] + 1), at(to[1])];
    }
    (to[1]..=from[1] + 1).rev().map(at).collect()
}

#[derive(PartialEq, Eq)]
struct Open {
    estimate: u32,
    cost: u32,
    cell: Cell,
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest: the least estimate; equal ones in a fixed order.
        (other.estimate, other.cost, other.cell).cmp(&(self.estimate, self.cost, self.cell))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The way from `from` until the body covers `goal`, both ends included; none when there is none within reach.
pub(super) fn find(ground: &Ground<'_>, from: Cell, goal: Cell) -> Option<Vec<Cell>> {
    let estimate = |cell: Cell| {
        let [dx, dy, dz] = [0, 1, 2].map(|axis| (cell[axis] - goal[axis]).unsigned_abs());
        // Most of a way underground is dug: a search that expects open ground would look everywhere first.
        EXPECTED * (dx + dz).max(dy.saturating_sub(1))
    };
    let arrived = |cell: Cell| cell == goal || offset(cell, [0, 1, 0]) == goal;
    let mut open = BinaryHeap::from([Open { estimate: estimate(from), cost: 0, cell: from }]);
    let mut best: HashMap<Cell, (u32, Cell)> = HashMap::from([(from, (0, from))]);
    while let Some(Open { cost, cell, .. }) = open.pop() {
        if best.len() > MOST {
            return None;
        }
        if best[&cell].0 < cost {
            continue;
        }
        if arrived(cell) {
            let mut way = vec![cell];
            while way[way.len() - 1] != from {
                way.push(best[&way[way.len() - 1]].1);
            }
            way.reverse();
            return Some(way);
        }
        ground.steps(cell, |to, step| {
            let total = cost + step;
            if best.get(&to).is_none_or(|(known, _)| total < *known) {
                best.insert(to, (total, cell));
                open.push(Open { estimate: total + estimate(to), cost: total, cell: to });
            }
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meadow() -> Voxels {
        let mut voxels = Voxels::empty(32);
        for (x, z) in (0..24).flat_map(|x| (0..24).map(move |z| (x, z))) {
            for y in 0..10 {
                voxels.set(x, y, z, if y == 0 { Block::Bedrock } else { Block::Stone });
            }
        }
        voxels
    }

    fn way(voxels: &Voxels, from: Cell, goal: Cell) -> Option<Vec<Cell>> {
        let dig = |block: Block| block.hardness().map(|hardness| (hardness * 30.0) as u32);
        find(&Ground { voxels, dig: &dig }, from, goal)
    }

    #[test]
    fn it_walks_round_walls_and_digs_through_where_that_is_quicker() {
        let mut voxels = meadow();
        let (from, goal) = ([2, 10, 2], [2, 10, 8]);
        assert_eq!(way(&voxels, from, goal).unwrap().len(), 7);
        for (x, y) in (0..5).flat_map(|x| (10..13).map(move |y| (x, y))) {
            voxels.set(x, y, 5, Block::Stone);
        }
        let round = way(&voxels, from, goal).unwrap();
        assert!(
            round.len() > 7 && round.iter().all(|cell| voxels.get(cell[0], cell[1], cell[2]) == Block::Air)
        );
        for (x, y) in (0..24).flat_map(|x| (10..13).map(move |y| (x, y))) {
            voxels.set(x, y, 5, Block::Dirt);
        }
        assert_eq!(way(&voxels, from, goal).unwrap().len(), 7);
    }

    #[test]
    fn it_digs_stairs_down_and_keeps_away_from_lava() {
        let mut voxels = meadow();
        let (from, goal) = ([12, 10, 12], [12, 3, 12]);
        let stairs = way(&voxels, from, goal).unwrap();
        assert!(stairs.windows(2).all(|pair| (pair[1][1] - pair[0][1]).abs() <= DEEPEST));
        voxels.set(12, 2, 12, Block::Lava);
        assert_eq!(way(&voxels, from, goal), None, "the goal itself touches lava");
        voxels.set(12, 2, 12, Block::Stone);
        voxels.set(9, 6, 12, Block::Lava);
        for cell in way(&voxels, from, goal).unwrap() {
            assert!(!NEIGHBOURS.iter().any(|by| {
                let [x, y, z] = offset(cell, *by);
                voxels.get(x, y, z) == Block::Lava
            }));
        }
    }

    #[test]
    fn what_is_walled_in_by_bedrock_is_not_reached() {
        let mut voxels = meadow();
        for by in NEIGHBOURS {
            let [x, y, z] = offset([12, 5, 12], by);
            voxels.set(x, y, z, Block::Bedrock);
        }
        assert_eq!(way(&voxels, [2, 10, 2], [12, 5, 12]), None);
    }
}
