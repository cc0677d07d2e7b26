//! Rewards from item events by a task's table.
//!
//! A unit pays when the number obtained, less what was dropped or placed, exceeds every earlier value: dropping
//! and re-collecting, or placing and breaking, earns nothing.

use crate::task::{PaidFor, RewardRule, Task};
use crate::world::{Event, EventKind};

#[derive(Clone, Debug)]
struct Account {
    rule: RewardRule,
    net: i64,
    /// The greatest `net` so far: what has been considered for payment.
    highest: i64,
}

impl Account {
    fn counts(&self, kind: EventKind) -> i64 {
        match kind {
            EventKind::Pickup if self.rule.on != PaidFor::Craft => 1,
            EventKind::CraftItem if self.rule.on != PaidFor::Pickup => 1,
            EventKind::Drop | EventKind::UseItem => -1,
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
        let open = |rule: &RewardRule| Account { rule: rule.clone(), net: 0, highest: 0 };
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
}
