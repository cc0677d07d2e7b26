//! The frozen policy's streams as bytes of a checkpoint: states one below the other, and which slot each belongs to.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use vpt_policy::RecurrentState;

use super::{FrozenPolicy, Stream};
use crate::error::LearnerError;
use crate::experience::SlotKey;
use crate::lanes;

/// Key of the list in the file's metadata.
const STREAMS: &str = "streams";

#[derive(Serialize, Deserialize)]
struct SavedStream {
    actor_id: String,
    incarnation: u64,
    slot: u32,
    next_sequence: u64,
    masked_left: usize,
}

impl FrozenPolicy {
    /// Every stream, the least recently used first.
    pub(crate) fn streams_to_bytes(&self) -> Result<Vec<u8>, LearnerError> {
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_by_key(|(_, stream)| stream.touched);
        let saved: Vec<SavedStream> = streams
            .iter()
            .map(|(slot, stream)| SavedStream {
                actor_id: slot.actor_id.clone(),
                incarnation: slot.incarnation,
                slot: slot.slot,
                next_sequence: stream.next_sequence,
                masked_left: stream.masked_left,
            })
            .collect();
        let states: Vec<&RecurrentState> = streams.iter().map(|(_, stream)| &stream.state).collect();
        let states = if states.is_empty() {
            RecurrentState::initial(&self.config, 1, &self.compute.device)?
        } else {
            RecurrentState::cat(&states)?
        };
        let list = serde_json::to_string(&saved).map_err(|error| misfit(error.to_string()))?;
        lanes::to_bytes_with(&states, Some(HashMap::from([(STREAMS.to_owned(), list)])))
    }

    /// Takes back what [`streams_to_bytes`](Self::streams_to_bytes) wrote.
    ///
    /// # Errors
    /// When the bytes are not that, or of another network.
    pub(crate) fn load_streams(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let list = header.metadata().as_ref().and_then(|entries| entries.get(STREAMS));
        let list = list.ok_or_else(|| misfit("it lists no streams".to_owned()))?;
        let saved: Vec<SavedStream> =
            serde_json::from_str(list).map_err(|error| misfit(error.to_string()))?;
        let states = lanes::from_bytes(bytes, &self.config, saved.len().max(1), &self.compute.device)?;
        self.streams.clear();
        for (row, saved) in saved.into_iter().enumerate() {
            let SavedStream { actor_id, incarnation, slot, next_sequence, masked_left } = saved;
            let stream = Stream { state: states.row(row)?, next_sequence, masked_left, touched: 0 };
            self.store(SlotKey { actor_id, incarnation, slot }, stream);
        }
        Ok(())
    }
}

fn misfit(reason: String) -> LearnerError {
    LearnerError::FrozenStreams { reason }
}
