//! What the game tells beside its picture: whether a screen is open and the player lives, its statistics, from whose rise
//! events are made, and the inventory, for what no statistic tells.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::finds::{Finds, held};
use super::names;
use super::wire::WireError;
use crate::metrics;
use crate::world::{Event, EventKind};

/// The statistics that are events, in the order in which a step's are told, by the game's names.
const KINDS: [(&str, EventKind); 7] = [
    ("mine_block", EventKind::MineBlock),
    ("pickup", EventKind::Pickup),
    ("craft_item", EventKind::CraftItem),
    ("use_item", EventKind::UseItem),
    ("drop", EventKind::Drop),
    ("break_item", EventKind::BreakItem),
    ("kill_entity", EventKind::KillEntity),
];

/// Those that bring something into the inventory.
const GOT: [EventKind; 2] = [EventKind::Pickup, EventKind::CraftItem];

/// One observation's text; the game has much more to tell than is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// A screen is open.
    #[serde(rename = "isGuiOpen")]
    pub(super) gui_open: bool,
    is_alive: Option<bool>,
    life: Option<f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Info {
    /// Reads one; an empty text says nothing.
    pub(super) fn read(text: &[u8]) -> Result<Self, WireError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(text)
            .map_err(|error| WireError::Content { what: "an observation", reason: error.to_string() })
    }

    /// Whether the player has died.
    pub(super) fn died(&self) -> bool {
        self.is_alive == Some(false) || self.life.is_some_and(|life| life <= 0.0)
    }
}

/// The game's statistics, as far as they have counterparts here.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    counts: BTreeMap<(usize, &'static str), u64>,
    /// Names without a counterpart.
    unknown: usize,
    finds: Finds,
}

impl Statistics {
    fn of(info: &Info) -> Self {
        let mut statistics = Self::default();
        for (index, (name, _)) in KINDS.iter().enumerate() {
            for (theirs, count) in info.rest.get(*name).and_then(Value::as_object).into_iter().flatten() {
                match names::ours(theirs).zip(count.as_f64()) {
                    Some((ours, count)) => {
                        *statistics.counts.entry((index, ours)).or_default() += count as u64
                    }
                    None => statistics.unknown += 1,
                }
            }
        }
        statistics
    }

    /// An episode starts with what is told now.
    pub(super) fn begin(&mut self, info: &Info) {
        *self = Self::of(info);
        metrics::count_unknown_names(self.unknown);
        self.found(info);
    }

    /// What the inventory shows beyond the statistics.
    fn found(&mut self, info: &Info) -> Vec<Event> {
        let Some(held) = held(info.rest.get("inventory")) else { return Vec::new() };
        let counts = &self.counts;
        let got = |item: &str| {
            let of_item =
                counts.iter().filter(|((kind, name), _)| GOT.contains(&KINDS[*kind].1) && *name == item);
            of_item.map(|(_, count)| *count as i64).sum()
        };
        self.finds.observe(&held, got)
    }

    /// What has risen since the last observation, as events.
    pub(super) fn rise(&mut self, info: &Info) -> Vec<Event> {
        // An observation without statistics is one that says nothing about them.
        if KINDS.iter().all(|(name, _)| !info.rest.contains_key(*name)) {
            return Vec::new();
        }
        let now = Self::of(info);
        metrics::count_unknown_names(now.unknown.saturating_sub(self.unknown));
        let finds = std::mem::take(&mut self.finds);
        let before = std::mem::replace(self, Self { finds, ..now });
        let rises = self.counts.iter().filter_map(|(&(kind, item), count)| {
            let risen = count.saturating_sub(before.counts.get(&(kind, item)).copied().unwrap_or_default());
            let quantity = u32::try_from(risen).unwrap_or(u32::MAX);
            (quantity > 0).then_some(Event { kind: KINDS[kind].1, item, quantity })
        });
        let mut events: Vec<Event> = rises.collect();
        events.extend(self.found(info));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    fn info(text: &str) -> Info {
        Info::read(text.as_bytes()).unwrap()
    }

    fn event(kind: EventKind, item: &'static str, quantity: u32) -> Event {
        Event { kind, item, quantity }
    }

    #[test]
    fn the_described_observation_is_read() {
        let info = Info::read(&golden::INFO[1..].concat()).unwrap();
        assert!(!info.gui_open && !info.died());
        let mut statistics = Statistics::default();
        let events = statistics.rise(&info);
        let expected = [
            event(EventKind::MineBlock, "log", 3),
            event(EventKind::Pickup, "log", 4),
            event(EventKind::CraftItem, "stick", 2),
        ];
        assert_eq!(events, expected);
        assert!(statistics.rise(&info).is_empty(), "nothing has risen since");
    }

    #[test]
    fn only_what_has_risen_is_told_and_woods_are_counted_together() {
        let mut statistics = Statistics::default();
        statistics.begin(&info("{\"pickup\":{\"oak_log\":4,\"birch_log\":1}}"));
        let events = statistics.rise(&info("{\"pickup\":{\"oak_log\":5,\"birch_log\":3,\"netherrack\":9}}"));
        assert_eq!(events, [event(EventKind::Pickup, "log", 3)]);
        let events = statistics.rise(&info(
            "{\"pickup\":{\"oak_log\":5.0,\"birch_log\":3},\"kill_entity\":{\"cow\":1},\"use_item\":{\"minecraft.torch\":2}}",
        ));
        let expected = [event(EventKind::UseItem, "torch", 2), event(EventKind::KillEntity, "cow", 1)];
        assert_eq!(events, expected);
    }

    #[test]
    fn what_comes_into_the_inventory_without_a_statistic_is_picked_up() {
        let told = |pickup: u32, held: u32| {
            info(&format!(
                "{{\"pickup\":{{\"oak_log\":{pickup}}},\"inventory\":[{{\"type\":\"oak_log\",\"quantity\":{held}}}]}}"
            ))
        };
        let mut statistics = Statistics::default();
        statistics.begin(&told(4, 1));
        assert_eq!(statistics.rise(&told(6, 3)), [event(EventKind::Pickup, "log", 2)]);
        // One out of a chest.
        let events: Vec<Event> = (0..40).flat_map(|_| statistics.rise(&told(6, 4))).collect();
        assert_eq!(events, [event(EventKind::Pickup, "log", 1)]);
    }

    #[test]
    fn an_observation_without_statistics_forgets_none() {
        let mut statistics = Statistics::default();
        statistics.begin(&info("{\"pickup\":{\"oak_log\":4}}"));
        assert!(statistics.rise(&info("{\"isGuiOpen\":true}")).is_empty());
        let events = statistics.rise(&info("{\"pickup\":{\"oak_log\":5}}"));
        assert_eq!(events, [event(EventKind::Pickup, "log", 1)]);
    }

    #[test]
    fn death_is_seen_and_nonsense_is_an_error() {
        assert!(info("{\"is_alive\":false}").died() && info("{\"life\":0.0}").died());
        assert!(!info("{\"is_alive\":true,\"life\":0.5}").died() && !Info::read(b"").unwrap().died());
        assert!(info("{\"isGuiOpen\":true,\"xpos\":[1,2]}").gui_open);
        for text in ["{", "[]", "{\"isGuiOpen\":7}", "\u{0}"] {
            assert!(Info::read(text.as_bytes()).is_err(), "{text}");
        }
        let odd = info("{\"pickup\":{\"oak_log\":\"many\",\"stick\":-3},\"drop\":4}");
        assert!(Statistics::default().rise(&odd).is_empty());
    }
}
