//! Flow control: an actor needs a credit for every unroll it sends, and there are never more credits out and unrolls
//! in than the queue has room for.
//!
//! `free + outstanding + busy = capacity`, where outstanding credits are with actors and busy ones belong to an
//! unroll that is being received, decoded or queued. A credit that comes back goes to the actor that has least, so
//! newcomers get their share and a full learner slows everyone down instead of dropping.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Credits granted to one stream and not yet told to it; numbers add up, so nothing queues.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pending: AtomicU32,
    notify: Notify,
}

impl Grant {
    /// Credits granted since the last call.
    pub(crate) fn take(&self) -> u32 {
        self.pending.swap(0, Ordering::AcqRel)
    }

    /// Waits until something is granted; cancel safe, [`take`](Self::take) tells how much.
    pub(crate) async fn granted(&self) {
        while self.pending.load(Ordering::Acquire) == 0 {
            self.notify.notified().await;
        }
    }

    fn add(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // One waiter, the stream's task; a permit is kept when it is busy elsewhere.
        self.notify.notify_one();
    }
}

#[derive(Debug)]
struct Holder {
    outstanding: u32,
    busy: u32,
    limit: u32,
    grant: Arc<Grant>,
}

#[derive(Debug)]
struct Pool {
    free: u32,
    next_id: u64,
    holders: BTreeMap<u64, Holder>,
}

impl Pool {
    /// Hands free credits out, always to the holder with least; `first` wins ties.
    fn distribute(&mut self, first: Option<u64>) {
        while self.free > 0 {
            let least = self
                .holders
                .iter_mut()
                .filter(|(_, holder)| holder.outstanding + holder.busy < holder.limit)
                .min_by_key(|(id, holder)| (holder.outstanding + holder.busy, Some(**id) != first, **id));
            let Some((_, holder)) = least else { return };
            holder.outstanding += 1;
            holder.grant.add();
            self.free -= 1;
        }
    }
}

/// All credits of a learner.
#[derive(Debug)]
pub struct CreditPool {
    capacity: u32,
    pool: Mutex<Pool>,
}

impl CreditPool {
    /// A pool of `capacity` credits, in unrolls.
    pub(crate) fn new(capacity: u32) -> Arc<Self> {
        let pool = Pool { free: capacity, next_id: 0, holders: BTreeMap::new() };
        Arc::new(Self { capacity, pool: Mutex::new(pool) })
    }

    /// Opens an account that holds at most `limit` credits; its first ones are granted at once.
    pub(crate) fn open(self: &Arc<Self>, limit: u32) -> Account {
        let grant = Arc::new(Grant::default());
        let mut pool = self.lock();
        let id = pool.next_id;
        pool.next_id += 1;
        pool.holders
            .insert(id, Holder { outstanding: 0, busy: 0, limit: limit.max(1), grant: grant.clone() });
        pool.distribute(None);
        Account { id, grant, pool: self.clone() }
    }

    /// Credits with actors plus credits of unrolls being received or queued.
    pub fn in_use(&self) -> u32 {
        self.capacity - self.lock().free
    }

    /// Bound on [`in_use`](Self::in_use), in unrolls.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The credits of one stream; what is outstanding goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Account {
    id: u64,
    grant: Arc<Grant>,
    pool: Arc<CreditPool>,
}

impl Account {
    /// What has been granted and not told.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Spends one credit on an unroll; none when the actor has none.
    pub(crate) fn spend(&self) -> Option<Ticket> {
        let mut pool = self.pool.lock();
        let holder = pool.holders.get_mut(&self.id)?;
        holder.outstanding = holder.outstanding.checked_sub(1)?;
        holder.busy += 1;
        Some(Ticket { id: self.id, pool: self.pool.clone() })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut pool = self.pool.lock();
        if let Some(holder) = pool.holders.remove(&self.id) {
            // Its busy credits come back with their tickets.
            pool.free += holder.outstanding;
            pool.distribute(None);
        }
    }
}

/// The credit of one unroll on its way through the learner; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Ticket {
    id: u64,
    pool: Arc<CreditPool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut pool = self.pool.lock();
        if let Some(holder) = pool.holders.get_mut(&self.id) {
            holder.busy -= 1;
        }
        pool.free += 1;
        let id = self.id;
        pool.distribute(Some(id));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_consumed_unroll_returns_its_credit() {
        let pool = CreditPool::new(2);
        let account = pool.open(8);
        assert_eq!(account.grant().take(), 2);
        let first = account.spend().unwrap();
        let _second = account.spend().unwrap();
        assert!(account.spend().is_none(), "both credits are spent");
        assert_eq!(account.grant().take(), 0);
        drop(first);
        assert_eq!(account.grant().take(), 1);
        assert!(account.spend().is_some());
    }

    #[test]
    fn a_newcomer_gets_its_share_as_credits_come_back() {
        let pool = CreditPool::new(4);
        let old = pool.open(8);
        assert_eq!(old.grant().take(), 4);
        let new = pool.open(8);
        assert_eq!(new.grant().take(), 0);
        for _ in 0..2 {
            drop(old.spend().unwrap());
        }
        assert_eq!(new.grant().take(), 2);
        drop(old.spend().unwrap());
        assert_eq!((old.grant().take(), new.grant().take()), (1, 0));
    }

    #[test]
    fn a_closed_account_leaves_nothing_behind() {
        let pool = CreditPool::new(3);
        let account = pool.open(8);
        let ticket = account.spend().unwrap();
        drop(account);
        assert_eq!(pool.in_use(), 1);
        drop(ticket);
        assert_eq!(pool.in_use(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn credits_never_exceed_the_queue(moves in proptest::collection::vec((0..4_u8, 0..6_usize), 0..200)) {
            let pool = CreditPool::new(5);
            let mut accounts: Vec<Account> = Vec::new();
            let mut tickets: Vec<Ticket> = Vec::new();
            for (kind, index) in moves {
                match kind {
                    0 if accounts.len() < 4 => accounts.push(pool.open(3)),
                    1 if index < accounts.len() => drop(accounts.remove(index)),
                    2 if index < accounts.len() => tickets.extend(accounts[index].spend()),
                    3 if index < tickets.len() => drop(tickets.remove(index)),
                    _ => {}
                }
                let held: u32 = pool.lock().holders.values().map(|holder| holder.outstanding).sum();
                prop_assert_eq!(held as usize + tickets.len(), pool.in_use() as usize);
                prop_assert!(pool.in_use() <= 5);
            }
            drop((accounts, tickets));
            prop_assert_eq!(pool.in_use(), 0);
        }
    }
}
