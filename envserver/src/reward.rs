//! Rewards from item events by a task's table.
//!
//! A unit pays when the number obtained, less what was dropped or placed, exceeds every earlier value: dropping
//! and re-collecting, or placing and breaking, earns nothing.

use crate::native::item::Item;
use crate::task::{PaidFor, RewardRule, Task};
use crate::world::{Event, EventKind};

#[derive(Clone, Debug)]
struct Account {
    rule: RewardRule,
    is_tool: bool,
    net: i64,
    /// The greatest `net` so far: what has been considered for payment.
    highest: i64,
}

impl Account {
    fn counts(&self, kind: EventKind) -> i64 {
        match kind {
            EventKind::Pickup if self.rule.on != PaidFor::Craft => 1,
            EventKind::CraftItem if self.rule.on != PaidFor::Pickup => 1,
            EventKind::Drop => -1,
            // Using a tool does not use it up.
            EventKind::UseItem if !self.is_tool => -1,
            _ => 0,
        }
    }

    fn pay(&mut self, event: &Event) -> f32 {
        if event.item != self.rule.item {
            return 0.0;
        }
        self.net += self.counts(event.kind) * i64::from(event.quantity);
        let cap = self.rule.max.map_or(i64::MAX, i64::from);
        let before = self.highest.min(cap);
        self.highest = self.highest.max(self.net);
        let units = self.highest.min(cap) - before;
        units as f32 * self.rule.reward
    }
}

/// What one episode has paid so far.
#[derive(Clone, Debug)]
pub struct RewardLedger {
    accounts: Vec<Account>,
}

impl RewardLedger {
    /// A fresh episode of `task`.
    pub fn new(task: &Task) -> Self {
        let open = |rule: &RewardRule| {
            let is_tool = Item::from_name(&rule.item).is_some_and(|item| item.tool().is_some());
            Account { rule: rule.clone(), is_tool, net: 0, highest: 0 }
        };
        Self { accounts: task.rewards.iter().map(open).collect() }
    }

    /// Forgets the episode.
    pub fn reset(&mut self) {
        for account in &mut self.accounts {
            account.net = 0;
            account.highest = 0;
        }
    }

    /// What `event` earns.
    pub fn pay(&mut self, event: &Event) -> f32 {
        self.accounts.iter_mut().map(|account| account.pay(event)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, quantity: u32) -> Event {
        Event { kind, item: "log", quantity }
    }

    #[test]
    fn re_collecting_a_dropped_log_pays_nothing() {
        let mut ledger = RewardLedger::new(&Task::resolve("chop").unwrap());
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 2)), 2.0);
        assert_eq!(ledger.pay(&event(EventKind::Drop, 1)), 0.0);
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 1)), 0.0);
        assert_eq!(ledger.pay(&event(EventKind::UseItem, 1)), 0.0);
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 2)), 1.0);
        ledger.reset();
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 1)), 1.0);
    }

    #[test]
    fn using_a_tool_does_not_lower_what_the_next_one_pays() {
        let mut ledger = RewardLedger::new(&Task::resolve("diamond_pickaxe").unwrap());
        let pickaxe = Event { kind: EventKind::CraftItem, item: "diamond_pickaxe", quantity: 1 };
        assert_eq!(ledger.pay(&pickaxe), 8.0);
        assert_eq!(ledger.pay(&Event { kind: EventKind::UseItem, ..pickaxe }), 0.0);
        assert_eq!(ledger.pay(&pickaxe), 8.0);
    }

    #[test]
    fn units_beyond_the_maximum_pay_nothing() {
        let mut ledger = RewardLedger::new(&Task::resolve("wood").unwrap());
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 7)), 0.875);
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 7)), 0.125);
        assert_eq!(ledger.pay(&event(EventKind::Pickup, 7)), 0.0);
        let crafted = Event { kind: EventKind::CraftItem, item: "crafting_table", quantity: 1 };
        assert_eq!(ledger.pay(&crafted), 1.0);
        assert_eq!(ledger.pay(&crafted), 0.0);
        let mined = Event { kind: EventKind::MineBlock, item: "planks", quantity: 1 };
        assert_eq!(ledger.pay(&mined), 0.0);
    }

    #[test]
    fn the_whole_way_to_a_diamond_pickaxe_pays_what_the_paper_says() {
        let mut ledger = RewardLedger::new(&Task::resolve("diamond_pickaxe").unwrap());
        let way = [
            ("log", 8, EventKind::Pickup),
            ("planks", 20, EventKind::CraftItem),
            ("stick", 16, EventKind::CraftItem),
            ("crafting_table", 1, EventKind::CraftItem),
            ("wooden_pickaxe", 1, EventKind::CraftItem),
            ("cobblestone", 11, EventKind::Pickup),
            ("stone_pickaxe", 1, EventKind::CraftItem),
            ("furnace", 1, EventKind::CraftItem),
            ("coal", 5, EventKind::Pickup),
            ("torch", 16, EventKind::CraftItem),
            ("iron_ore", 3, EventKind::Pickup),
            ("iron_ingot", 3, EventKind::CraftItem),
            ("iron_pickaxe", 1, EventKind::CraftItem),
        ];
        let pay = |ledger: &mut RewardLedger| -> f32 {
            way.iter()
                .map(|(item, quantity, kind)| ledger.pay(&Event { kind: *kind, item, quantity: *quantity }))
                .sum()
        };
        assert!((pay(&mut ledger) - 24.0).abs() < 1e-4);
        assert_eq!(pay(&mut ledger), 0.0, "more of the same pays nothing");
        let diamonds = Event { kind: EventKind::Pickup, item: "diamond", quantity: 3 };
        for _ in 0..2 {
            assert!((ledger.pay(&diamonds) - 8.0).abs() < 1e-4, "diamonds pay without end");
        }
        // Into a furnace and out of its ruins: what falls out counts as dropped, see the world's rules.
        assert_eq!(ledger.pay(&Event { kind: EventKind::Drop, ..diamonds }), 0.0);
        assert_eq!(ledger.pay(&diamonds), 0.0);
    }
}
