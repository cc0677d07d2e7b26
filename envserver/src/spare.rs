//! Worlds made ahead of time: while an episode is played, a background thread makes the next one, so that its reset is
//! a swap.
//!
//! A session knows the seed of its next episode, so what is made ahead is exactly the world it will ask for, and is
//! thrown away only when the session ends early. The world just played is handed back as material for the one after:
//! a session never holds more than two. When the spare is not begun by the time it is needed, the session takes the
//! order back and makes the world itself, as if there were no spares; games are the same either way. The threads run
//! at ordinary priority: what they make is needed soon, and a session that waits for one should not wait long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::task::Task;
use crate::world::World;
use crate::worlds::Worlds;

/// Orders waiting for a thread; beyond this there is no point in ordering ahead.
const QUEUE: usize = 4096;

/// The threads that make worlds ahead; clones share them, and they end with the last clone.
#[derive(Clone, Debug)]
pub struct SparePool {
    queue: Option<SyncSender<Arc<Order>>>,
}

impl SparePool {
    /// Starts the threads; with none, no world is made ahead.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        if threads == 0 {
            return Self::none();
        }
        let (queue, orders) = sync_channel(QUEUE);
        let orders = Arc::new(Mutex::new(orders));
        let mut started = 0;
        for number in 0..threads {
            let orders = Arc::clone(&orders);
            let thread = std::thread::Builder::new().name(format!("spare-{number}"));
            match thread.spawn(move || serve(&orders)) {
                Ok(_) => started += 1,
                Err(error) => tracing::warn!(%error, "no thread for spare worlds: resets take longer"),
            }
        }
        Self { queue: (started > 0).then_some(queue) }
    }

    /// Makes nothing ahead.
    #[must_use]
    pub fn none() -> Self {
        Self { queue: None }
    }
}

/// A thread's life: one order after the other, until nobody can order any more.
fn serve(orders: &Mutex<Receiver<Arc<Order>>>) {
    loop {
        let next = orders.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(order) = next else { return };
        order.make();
    }
}

/// How far an order has come.
enum Stage {
    /// Nobody has begun; with the used world to make it from, if there is one.
    Waiting(Option<Box<dyn World>>),
    Making,
    Ready(Box<dyn World>),
    /// The world cannot be made, or making it panicked.
    Failed,
    /// Taken, or not wanted any more.
    Closed,
}

/// A world that a session will need.
struct Order {
    seed: u64,
    task: Arc<Task>,
    worlds: Worlds,
    stage: Mutex<Stage>,
    done: Condvar,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Order {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        // No code that can panic runs under the lock.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the world, unless the order was taken back.
    fn make(&self) {
        let used = {
            let mut stage = self.stage();
            match std::mem::replace(&mut *stage, Stage::Making) {
                Stage::Waiting(used) => used,
                other => {
                    *stage = other;
                    return;
                }
            }
        };
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut world = used.or_else(|| self.worlds.build(&self.task.world))?;
            world.reset(self.seed, &self.task).ok()?;
            Some(world)
        }));
        if made.is_err() {
            tracing::warn!(
                seed = self.seed,
                task = self.task.name,
                "a world panicked while it was made ahead"
            );
        }
        let mut stage = self.stage();
        if matches!(*stage, Stage::Making) {
            *stage = made.ok().flatten().map_or(Stage::Failed, Stage::Ready);
        }
        drop(stage);
        self.done.notify_all();
    }

    /// Ends the order: what it has come to, waiting a moment for a world that is being made.
    fn close(&self, longest_wait: Duration) -> (Stage, bool) {
        let stage = self.stage();
        let late = matches!(*stage, Stage::Making);
        let waited =
            self.done.wait_timeout_while(stage, longest_wait, |stage| matches!(stage, Stage::Making));
        let (mut stage, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut *stage, Stage::Closed), late)
    }
}

/// What became of the spare when an episode started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was ready: the world is in place, already reset.
    Ready,
    /// It was being made and came within a moment: in place as well.
    Late,
    /// It was not begun, or did not come: the world has to be reset.
    NotReady,
    /// It was for another seed: the world has to be reset.
    Wrong,
    /// It could not be made: the world has to be reset, which will say why.
    Failed,
    /// None was ordered: the world has to be reset.
    None,
}

impl Swap {
    /// Bounded label for `vpt_envserver_spares_total`; none where no spare was expected.
    pub(crate) fn label(self) -> Option<&'static str> {
        match self {
            Self::Ready => Some("ready"),
            Self::Late => Some("late"),
            Self::NotReady => Some("not_ready"),
            Self::Wrong => Some("wrong"),
            Self::Failed => Some("failed"),
            Self::None => None,
        }
    }

    /// Whether the world in place is the one asked for, reset and ready to be played.
    #[must_use]
    pub fn is_in_place(self) -> bool {
        matches!(self, Self::Ready | Self::Late)
    }
}

/// The next world of one player.
pub struct Spares {
    pool: SparePool,
    worlds: Worlds,
    task: Arc<Task>,
    /// How long a spare that is being made is waited for.
    wait: Duration,
    order: Option<Arc<Order>>,
    used: Option<Box<dyn World>>,
}

impl Spares {
    /// Spares of the task's world for a player who has `world`; none are ever made where that resets in no time.
    #[must_use]
    pub fn new(pool: &SparePool, worlds: &Worlds, task: &Task, world: &dyn World) -> Self {
        let wait = world.spare_wait();
        let pool = if wait.is_some() { pool.clone() } else { SparePool::none() };
        let wait = wait.unwrap_or_default();
        Self { pool, worlds: worlds.clone(), task: Arc::new(task.clone()), wait, order: None, used: None }
    }

    /// Orders the world of the next episode; comes back at once.
    pub fn prepare(&mut self, seed: u64) {
        let Some(queue) = &self.pool.queue else { return };
        let order = Arc::new(Order {
            seed,
            task: Arc::clone(&self.task),
            worlds: self.worlds.clone(),
            stage: Mutex::new(Stage::Waiting(self.used.take())),
            done: Condvar::new(),
        });
        if queue.try_send(Arc::clone(&order)).is_ok() {
            self.order = Some(order);
        } else {
            self.reclaim(&order, Duration::ZERO);
        }
    }

    /// Puts the world that was ordered in place of `world`, which becomes material for the next, if it is the one for
    /// `seed` and there in time.
    pub fn swap(&mut self, world: &mut Box<dyn World>, seed: u64) -> Swap {
        let Some(order) = self.order.take() else { return Swap::None };
        if order.seed != seed {
            self.reclaim(&order, Duration::ZERO);
            return Swap::Wrong;
        }
        match order.close(self.wait) {
            (Stage::Ready(spare), late) => {
                self.used = Some(std::mem::replace(world, spare));
                if late { Swap::Late } else { Swap::Ready }
            }
            (Stage::Waiting(used), _) => {
                self.used = used;
                Swap::NotReady
            }
            (Stage::Failed, _) => Swap::Failed,
            (Stage::Making | Stage::Closed, _) => Swap::NotReady,
        }
    }

    /// Ends an order and keeps what can be used of it.
    fn reclaim(&mut self, order: &Order, longest_wait: Duration) {
        match order.close(longest_wait).0 {
            Stage::Waiting(used) => self.used = used,
            Stage::Ready(world) => self.used = Some(world),
            Stage::Making | Stage::Failed | Stage::Closed => {}
        }
    }
}

impl Drop for Spares {
    /// Nobody will want what has not been begun.
    fn drop(&mut self) {
        if let Some(order) = self.order.take() {
            drop(order.close(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests;
