//! Who is connected: one push stream an actor, one living incarnation an actor name.
//!
//! A new stream of the same incarnation replaces the old one (the network broke). A new incarnation supersedes the
//! old one for good, so two processes that were given the same name by mistake do not take turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::ledger::ActorKey;
use crate::metrics;
use crate::version::Version;

/// Superseded incarnations remembered per actor name.
const REMEMBERED_INCARNATIONS: usize = 16;

/// Why an actor may not connect.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConnectError {
    /// Another process has taken over the name.
    #[error(
        "actor {actor_id:?} was taken over by a newer process; two actors need two names, set actor.id of each"
    )]
    Superseded {
        /// The name.
        actor_id: String,
    },
    /// A stream that was opened before.
    #[error("stream {stream} of actor {actor_id:?} was opened before: this is a replay")]
    Replayed {
        /// The name.
        actor_id: String,
        /// Its number.
        stream: u64,
    },
    /// As many actors as may be are connected.
    #[error("{max} actors are connected, which is learner.admission.max_actors")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

/// What `vpt status` shows of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorInfo {
    /// Its process.
    pub key: ActorKey,
    /// Whether it has an open stream.
    pub connected: bool,
    /// Streams after its first one, over all incarnations.
    pub reconnects: u64,
    /// The version it acts with, as it said last.
    pub acting_version: Option<Version>,
    /// Its slots.
    pub slots: u32,
}

#[derive(Debug)]
struct Entry {
    key: ActorKey,
    stream: Option<Stream>,
    reconnects: u64,
    acting_version: Option<Version>,
    slots: u32,
    superseded: VecDeque<u64>,
    touched: u64,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    replaced: CancellationToken,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    streams: u64,
    /// By name: the incarnation and number of the newest stream that an actor opened.
    opened: BTreeMap<String, (u64, u64)>,
}

impl Table {
    fn connected(&self) -> usize {
        self.entries.values().filter(|entry| entry.stream.is_some()).count()
    }
}

/// The actors of a learner.
#[derive(Debug)]
pub struct ActorTable {
    table: Mutex<Table>,
    max_actors: usize,
}

impl ActorTable {
    /// An empty table for at most `max_actors`.
    pub fn new(max_actors: usize) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), max_actors: max_actors.max(1) })
    }

    /// Notes that `key` opens its stream number `stream`.
    ///
    /// # Errors
    /// When it has opened that one or a later one before.
    pub(crate) fn note_stream(&self, key: &ActorKey, stream: u64) -> Result<(), ConnectError> {
        let mut guard = self.lock();
        let Table { entries, opened, .. } = &mut *guard;
        let newest = opened.get(&key.actor_id).filter(|(incarnation, _)| *incarnation == key.incarnation);
        if newest.is_some_and(|&(_, newest)| stream <= newest) {
            return Err(ConnectError::Replayed { actor_id: key.actor_id.clone(), stream });
        }
        if opened.len() >= 2 * self.max_actors {
            opened.retain(|actor_id, _| entries.contains_key(actor_id));
        }
        opened.insert(key.actor_id.clone(), (key.incarnation, stream));
        Ok(())
    }

    /// Registers a stream of `key`; an earlier stream of that actor is told to end.
    ///
    /// # Errors
    /// When `key` was superseded or the table is full of connected actors.
    pub(crate) fn connect(self: &Arc<Self>, key: &ActorKey) -> Result<Connection, ConnectError> {
        let mut guard = self.lock();
        let table = &mut *guard;
        table.streams += 1;
        let number = table.streams;
        let replaced = CancellationToken::new();
        let stream = Stream { number, replaced: replaced.clone() };
        if let Some(entry) = table.entries.get_mut(&key.actor_id) {
            if entry.superseded.contains(&key.incarnation) {
                return Err(ConnectError::Superseded { actor_id: key.actor_id.clone() });
            }
            if entry.key != *key {
                if entry.superseded.len() == REMEMBERED_INCARNATIONS {
                    entry.superseded.pop_front();
                }
                entry.superseded.push_back(entry.key.incarnation);
                entry.key = key.clone();
            }
            if let Some(old) = entry.stream.replace(stream) {
                old.replaced.cancel();
            }
            entry.reconnects += 1;
            entry.touched = number;
            metrics::actor_reconnect();
        } else {
            self.make_room(table)?;
            let entry = Entry {
                key: key.clone(),
                stream: Some(stream),
                reconnects: 0,
                acting_version: None,
                slots: 0,
                superseded: VecDeque::new(),
                touched: number,
            };
            table.entries.insert(key.actor_id.clone(), entry);
        }
        metrics::connected_actors(table.connected());
        drop(guard);
        Ok(Connection { table: self.clone(), actor_id: key.actor_id.clone(), number, replaced })
    }

    /// Every actor that is remembered, by name.
    pub fn list(&self) -> Vec<ActorInfo> {
        let table = self.lock();
        let info = |entry: &Entry| ActorInfo {
            key: entry.key.clone(),
            connected: entry.stream.is_some(),
            reconnects: entry.reconnects,
            acting_version: entry.acting_version,
            slots: entry.slots,
        };
        table.entries.values().map(info).collect()
    }

    /// The processes that have an open stream.
    pub(crate) fn connected_keys(&self) -> BTreeSet<ActorKey> {
        let table = self.lock();
        let connected = table.entries.values().filter(|entry| entry.stream.is_some());
        connected.map(|entry| entry.key.clone()).collect()
    }

    /// Actors with an open stream.
    pub fn connected(&self) -> usize {
        self.lock().connected()
    }

    /// Actors that are remembered.
    pub(crate) fn known(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether a connected actor of that name plays in slot number `slot`.
    pub(crate) fn plays(&self, actor_id: &str, slot: u32) -> bool {
        let table = self.lock();
        table.entries.get(actor_id).is_some_and(|entry| entry.stream.is_some() && slot < entry.slots)
    }

    /// Forgets the actor that has been gone longest when there is no room for another.
    fn make_room(&self, table: &mut Table) -> Result<(), ConnectError> {
        if table.entries.len() < self.max_actors {
            return Ok(());
        }
        let gone = table.entries.values().filter(|entry| entry.stream.is_none());
        let longest = gone.min_by_key(|entry| entry.touched).map(|entry| entry.key.actor_id.clone());
        let actor_id = longest.ok_or(ConnectError::TooMany { max: self.max_actors })?;
        table.entries.remove(&actor_id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An actor's stream in the table; dropping it marks the actor as gone.
#[derive(Debug)]
pub(crate) struct Connection {
    table: Arc<ActorTable>,
    actor_id: String,
    number: u64,
    /// Cancelled when a newer stream of the same actor came.
    pub(crate) replaced: CancellationToken,
}

impl Connection {
    /// Notes how many slots the actor has.
    pub(crate) fn plays(&self, slots: u32) {
        if let Some(entry) = self.table.lock().entries.get_mut(&self.actor_id) {
            entry.slots = slots;
        }
    }

    /// Notes the version the actor acts with.
    pub(crate) fn acting(&self, version: Version) {
        if let Some(entry) = self.table.lock().entries.get_mut(&self.actor_id) {
            entry.acting_version = Some(version);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        if let Some(entry) = table.entries.get_mut(&self.actor_id)
            && entry.stream.as_ref().is_some_and(|stream| stream.number == self.number)
        {
            entry.stream = None;
        }
        metrics::connected_actors(table.connected());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(actor_id: &str, incarnation: u64) -> ActorKey {
        ActorKey { actor_id: actor_id.to_owned(), incarnation }
    }

    #[test]
    fn a_reconnect_replaces_the_old_stream_and_is_counted() {
        let table = ActorTable::new(4);
        let old = table.connect(&key("a", 1)).unwrap();
        let new = table.connect(&key("a", 1)).unwrap();
        assert!(old.replaced.is_cancelled() && !new.replaced.is_cancelled());
        drop(old);
        assert_eq!(table.connected(), 1, "the old stream's end does not touch the new one");
        drop(new);
        assert_eq!(table.connected(), 0);
        assert_eq!(table.list()[0].reconnects, 1);
        let again = table.connect(&key("a", 1)).unwrap();
        again.plays(2);
        assert!(table.plays("a", 1) && !table.plays("a", 2) && !table.plays("b", 0));
        drop(again);
        assert!(!table.plays("a", 1), "it is gone");
    }

    #[test]
    fn a_new_process_supersedes_the_old_one_for_good() {
        let table = ActorTable::new(4);
        let old = table.connect(&key("a", 1)).unwrap();
        let new = table.connect(&key("a", 2)).unwrap();
        assert!(old.replaced.is_cancelled());
        assert_eq!(table.list()[0].key, key("a", 2));
        let refused = table.connect(&key("a", 1)).unwrap_err();
        assert!(refused.to_string().contains("actor.id"), "{refused}");
        assert!(!new.replaced.is_cancelled());
    }

    #[test]
    fn a_stream_is_opened_once() {
        let table = ActorTable::new(1);
        table.note_stream(&key("a", 1), 1).unwrap();
        table.note_stream(&key("a", 1), 3).unwrap();
        for stream in [0, 1, 3] {
            let replayed = table.note_stream(&key("a", 1), stream).unwrap_err();
            assert!(matches!(replayed, ConnectError::Replayed { .. }), "{replayed}");
        }
        table.note_stream(&key("a", 2), 1).unwrap();
        for stranger in 0..100 {
            table.note_stream(&key(&format!("stranger-{stranger}"), 1), 1).unwrap();
        }
        assert!(table.lock().opened.len() <= 2, "what strangers say is not kept for ever");
    }

    #[test]
    fn only_actors_that_are_gone_make_room() {
        let table = ActorTable::new(2);
        let a = table.connect(&key("a", 1)).unwrap();
        let _b = table.connect(&key("b", 1)).unwrap();
        assert_eq!(table.connect(&key("c", 1)).unwrap_err(), ConnectError::TooMany { max: 2 });
        drop(a);
        let _c = table.connect(&key("c", 1)).unwrap();
        let names: Vec<_> = table.list().into_iter().map(|info| info.key.actor_id).collect();
        assert_eq!(names, ["b", "c"]);
    }
}
