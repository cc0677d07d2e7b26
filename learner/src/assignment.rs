//! Which rank takes which actor's slots: rank 0 says so at the handshake.
//!
//! An actor's slots stay together, on the rank that had the fewest slots when it first came; it keeps that rank for good,
//! over checkpoints too, because the rank's ledger knows the actor's unrolls and its frozen policy their streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// An actor's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    rank: usize,
    slots: u32,
}

/// Places by actor name.
pub(crate) type Places = BTreeMap<String, Place>;

/// The places that rank 0 gives.
#[derive(Debug, Default)]
pub struct Assignment {
    /// Where actors reach each rank; empty where nobody is sent elsewhere.
    urls: Vec<String>,
    places: Mutex<Places>,
}

impl Assignment {
    /// Everybody stays here.
    #[must_use]
    pub fn here() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Places on the ranks at `urls`, with those that were given before.
    pub(crate) fn over(urls: Vec<String>, mut given: Places) -> Arc<Self> {
        given.retain(|_, place| place.rank < urls.len());
        Arc::new(Self { urls, places: Mutex::new(given) })
    }

    /// Where an actor with `slots` is to push; none when that is here.
    pub(crate) fn elsewhere(&self, actor_id: &str, slots: u32) -> Option<&str> {
        if self.urls.is_empty() {
            return None;
        }
        let mut places = self.lock();
        let rank = match places.get(actor_id) {
            Some(place) => place.rank,
            None => {
                let taken = |rank: usize| {
                    places
                        .values()
                        .filter(|place| place.rank == rank)
                        .map(|place| u64::from(place.slots))
                        .sum::<u64>()
                };
                let rank = (0..self.urls.len()).min_by_key(|&rank| taken(rank))?;
                tracing::info!(actor_id, slots, rank, "actor assigned");
                rank
            }
        };
        places.insert(actor_id.to_owned(), Place { rank, slots });
        (rank > 0).then(|| self.urls[rank].as_str())
    }

    /// All places, for a checkpoint.
    pub(crate) fn places(&self) -> Places {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> Vec<String> {
        ["http://a", "http://b"].map(str::to_owned).to_vec()
    }

    #[test]
    fn slots_are_spread_and_actors_keep_their_rank() {
        let assignment = Assignment::over(urls(), Places::new());
        assert_eq!(assignment.elsewhere("big", 16), None);
        assert_eq!(assignment.elsewhere("small", 4), Some("http://b"));
        assert_eq!(assignment.elsewhere("other", 8), Some("http://b"));
        assert_eq!(assignment.elsewhere("last", 8), Some("http://b"), "12 slots are fewer than 16");
        assert_eq!(assignment.elsewhere("next", 1), None, "16 are fewer than 20");
        assert_eq!(assignment.elsewhere("small", 4), Some("http://b"));
        let resumed = Assignment::over(urls(), assignment.places());
        assert_eq!(resumed.elsewhere("big", 16), None);
        assert_eq!(resumed.elsewhere("other", 8), Some("http://b"));
        assert_eq!(Assignment::here().elsewhere("big", 16), None);
    }
}
