//! Minecraft's statistics, as far as the embedded world tells what happened: only what is not zero.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vpt_envserver::world::{Event, EventKind};

use crate::names;

/// Metres that no body walks in a tick: it was put there.
const PUT: f64 = 4.0;

/// What has been counted since the world was made.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    metres: f64,
}

impl Statistics {
    /// One tick.
    pub(crate) fn count(&mut self, events: &[Event], before: [f64; 3], after: [f64; 3]) {
        self.add("custom", "play_one_minute", 1);
        let (dx, dz) = (after[0] - before[0], after[2] - before[2]);
        let metres = (dx * dx + dz * dz).sqrt();
        if metres < PUT {
            self.metres += metres;
        }
        for event in events {
            let group = match event.kind {
                EventKind::MineBlock => "mine_block",
                EventKind::Pickup => "pickup",
                EventKind::CraftItem => "craft_item",
                EventKind::UseItem => "use_item",
                EventKind::Drop => "drop",
                EventKind::BreakItem => "break_item",
                EventKind::KillEntity => "kill_entity",
            };
            self.add(group, names::theirs(event.item), u64::from(event.quantity));
        }
    }

    /// The player has died.
    pub(crate) fn count_death(&mut self) {
        self.add("custom", "deaths", 1);
    }

    fn add(&mut self, group: &'static str, name: &'static str, quantity: u64) {
        *self.counts.entry((group, name)).or_default() += quantity;
    }

    /// Centimetres walked.
    pub(crate) fn centimetres(&self) -> u64 {
        (self.metres * 100.0) as u64
    }

    /// Adds every group as an object.
    pub(crate) fn tell(&self, info: &mut Map<String, Value>) {
        for ((group, name), count) in self.counts.iter().filter(|(_, count)| **count > 0) {
            let group = info.entry(*group).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(group) = group {
                group.insert((*name).to_owned(), (*count).into());
            }
        }
    }
}
