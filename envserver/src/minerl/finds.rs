//! What comes into the inventory without a statistic, as from a chest: it counts as picked up.
//!
//! What is held beyond what statistics account for since the episode's start was found. Using things up lets that fall, so
//! nothing is found twice: not what is laid into a chest and taken out again, nor what a cursor carries for a while. It
//! is the least that was found: of an item that was used up, as many more can be found without being seen.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names;
use crate::world::{Event, EventKind};

/// Observations in a row that must show a find: a statistic may come later than the item.
const PATIENCE: u32 = 20;

/// What the inventory holds, by our names; none where an observation does not tell.
pub(super) fn held(inventory: Option<&Value>) -> Option<BTreeMap<&'static str, i64>> {
    let mut held = BTreeMap::new();
    for stack in inventory?.as_array()? {
        let name = stack.get("type").and_then(Value::as_str).and_then(names::ours);
        if let Some((name, quantity)) = name.zip(stack.get("quantity").and_then(Value::as_f64)) {
            *held.entry(name).or_default() += quantity as i64;
        }
    }
    Some(held)
}

/// Finds of an episode.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// Held less picked up and crafted when the episode began, by item; none before the inventory was told.
    start: Option<BTreeMap<&'static str, i64>>,
    finds: BTreeMap<&'static str, Find>,
}

/// Of one item.
#[derive(Debug, Default)]
struct Find {
    told: i64,
    /// Observations in a row that show more than was told, and the least that they show.
    shown: u32,
    least: i64,
}

impl Finds {
    /// Takes note of what is held; the finds that are certain now. `got` says how many of an item were picked up or
    /// crafted, by the game's statistics.
    pub(super) fn observe(
        &mut self,
        held: &BTreeMap<&'static str, i64>,
        got: impl Fn(&str) -> i64,
    ) -> Vec<Event> {
        let Some(start) = &self.start else {
            // What was picked up before and is gone is not held: what is not named here starts with nothing.
            self.start = Some(held.iter().map(|(&item, &count)| (item, count - got(item))).collect());
            return Vec::new();
        };
        let mut events = Vec::new();
        for (&item, &count) in held {
            let before = start.get(item).copied().unwrap_or_default();
            let find = self.finds.entry(item).or_default();
            if let Some(quantity) = find.observe(count - got(item) - before) {
                events.push(Event { kind: EventKind::Pickup, item, quantity });
            }
        }
        // What is not held shows nothing.
        self.finds
            .iter_mut()
            .filter(|(item, _)| !held.contains_key(*item))
            .for_each(|(_, find)| find.shown = 0);
        events
    }
}

impl Find {
    /// How many more were found, once that is certain; `unexplained` is what this observation shows.
    fn observe(&mut self, unexplained: i64) -> Option<u32> {
        if unexplained <= self.told {
            self.shown = 0;
            return None;
        }
        self.least = if self.shown == 0 { unexplained } else { self.least.min(unexplained) };
        self.shown += 1;
        if self.shown < PATIENCE {
            return None;
        }
        let more = self.least - self.told;
        (self.told, self.shown) = (self.least, 0);
        u32::try_from(more).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes the same `times` times; how many of it were found.
    fn observe(finds: &mut Finds, times: u32, held: &[(&'static str, i64)], got: i64) -> u32 {
        let held = held.iter().copied().collect();
        (0..times).flat_map(|_| finds.observe(&held, |_| got)).map(|event| event.quantity).sum()
    }

    #[test]
    fn the_inventory_is_read_and_woods_are_counted_together() {
        let inventory = serde_json::json!([
            {"type": "oak_log", "quantity": 2}, {"type": "minecraft:birch_log", "quantity": 3.0},
            {"type": "netherrack", "quantity": 9}, {"quantity": 1}, 7
        ]);
        assert_eq!(held(Some(&inventory)), Some(BTreeMap::from([("log", 5)])));
        assert_eq!((held(Some(&serde_json::json!({}))), held(None)), (None, None));
    }

    #[test]
    fn what_a_chest_held_is_found_once() {
        let mut finds = Finds::default();
        assert_eq!(observe(&mut finds, 50, &[("stick", 2)], 0), 0, "given at the start");
        assert_eq!(observe(&mut finds, PATIENCE - 1, &[("stick", 5)], 0), 0, "not certain yet");
        assert_eq!(observe(&mut finds, 50, &[("stick", 5)], 0), 3);
        assert_eq!(observe(&mut finds, 50, &[], 0), 0, "laid back");
        assert_eq!(observe(&mut finds, 50, &[("stick", 5)], 0), 0, "taken again");
        assert_eq!(observe(&mut finds, 50, &[("stick", 6), ("diamond", 1)], 0), 2);
    }

    #[test]
    fn what_statistics_tell_is_no_find_even_if_they_tell_it_late() {
        let mut finds = Finds::default();
        observe(&mut finds, 1, &[], 0);
        assert_eq!(observe(&mut finds, PATIENCE - 1, &[("log", 4)], 0), 0);
        assert_eq!(observe(&mut finds, 50, &[("log", 4)], 4), 0);
        assert_eq!(observe(&mut finds, 50, &[("log", 4)], 9), 0, "some were used up");
    }
}
