//! Liquids on the move: how full the cells are that are no sources, and when which cell is to be looked at again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fill, Liquid};
use crate::native::voxels::PERIOD;

/// Cells looked at in one tick; the rest waits, so that no flood makes a tick long.
const MOST: usize = 128;

/// A cell of a world that repeats, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot(u32);

impl Spot {
    /// The spot of a cell inside the volume's height.
    pub(crate) fn of([x, y, z]: [i32; 3]) -> Self {
        let wrap = |value: i32| (value & (PERIOD - 1)) as u32;
        Self((y as u32) << 16 | wrap(z) << 8 | wrap(x))
    }

    /// Its cell in the first copy of the world.
    pub(crate) fn cell(self) -> [i32; 3] {
        [self.0 & 0xff, self.0 >> 16, self.0 >> 8 & 0xff].map(|value| value as i32)
    }

    /// For hashing.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.0)
    }
}

/// All that flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// Cells of liquid that are no sources.
    fills: BTreeMap<Spot, Fill>,
    /// By the tick they are due in, then in the order in which they were noted.
    due: BTreeMap<(u64, u64), (Spot, Liquid)>,
    /// What is in `due`: nothing is noted twice.
    noted: BTreeSet<(Spot, Liquid)>,
    /// Notes so far.
    count: u64,
}

impl Flows {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How full a cell of liquid is.
    pub(crate) fn fill(&self, cell: [i32; 3]) -> Fill {
        self.fills.get(&Spot::of(cell)).copied().unwrap_or(Fill::Source)
    }

    /// Notes how full a cell is, or that it holds no liquid any more.
    pub(crate) fn put(&mut self, cell: [i32; 3], fill: Option<Fill>) {
        match fill {
            Some(Fill::Falling | Fill::Thin(_)) => self.fills.extend(fill.map(|fill| (Spot::of(cell), fill))),
            Some(Fill::Source) | None => drop(self.fills.remove(&Spot::of(cell))),
        }
    }

    /// Whether nothing flows and nothing will.
    pub(crate) fn is_still(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether every liquid is a source.
    pub(crate) fn has_none(&self) -> bool {
        self.fills.is_empty()
    }

    /// Notes that a cell is to be looked at when its liquid moves next.
    pub(crate) fn note(&mut self, cell: [i32; 3], liquid: Liquid, now: u64) {
        let what = (Spot::of(cell), liquid);
        if self.noted.insert(what) {
            self.due.insert((now + liquid.delay(), self.count), what);
            self.count += 1;
        }
    }

    /// The cells due now, at most so many, in order; they are not noted any more.
    pub(crate) fn take_due(&mut self, now: u64) -> Vec<(Spot, Liquid)> {
        let mut taken = Vec::new();
        while taken.len() < MOST
            && let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            taken.push(entry.remove());
        }
        for what in &taken {
            self.noted.remove(what);
        }
        taken
    }

    /// Feeds everything that decides the future to a hash.
    pub(crate) fn hash_into(&self, add: &mut impl FnMut(u64)) {
        for (spot, fill) in &self.fills {
            let fill = if let Fill::Thin(eighths) = fill { u64::from(*eighths) } else { 8 };
            add(spot.number() << 4 | fill);
        }
        for ((tick, order), (spot, liquid)) in &self.due {
            add(*tick);
            add(order << 1 | *liquid as u64);
            add(spot.number());
        }
        add(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_cell_are_one_spot() {
        assert_eq!(Spot::of([5, 7, -3]), Spot::of([5 + PERIOD, 7, PERIOD - 3]));
        assert_eq!(Spot::of([-1, 127, 4]).cell(), [127, 127, 4]);
    }

    #[test]
    fn what_is_due_comes_in_order_and_no_more_than_fits_a_tick() {
        let mut flows = Flows::default();
        for x in 0..100 {
            flows.note([x, 1, 0], Liquid::Lava, 0);
            flows.note([x, 1, 0], Liquid::Lava, 3);
        }
        for x in 0..100 {
            flows.note([x, 2, 0], Liquid::Water, 20);
        }
        assert!(flows.take_due(24).is_empty());
        let water = flows.take_due(25);
        assert_eq!(water.len(), 100);
        assert_eq!(water[7], (Spot::of([7, 2, 0]), Liquid::Water));
        for x in 0..100 {
            flows.note([x, 3, 0], Liquid::Water, 20);
        }
        // Water noted in tick 20 is due before lava noted in tick 0.
        let (first, rest) = (flows.take_due(30), flows.take_due(30));
        assert_eq!((first.len(), rest.len()), (MOST, 72));
        assert_eq!((first[99].1, first[100].1), (Liquid::Water, Liquid::Lava));
        assert!(flows.is_still());
    }
}
