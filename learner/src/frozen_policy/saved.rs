//! The frozen policy's streams as bytes of a checkpoint: states one below the other, and which slot each belongs to.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use vpt_policy::RecurrentState;

use super::FrozenPolicy;
use super::streams::{Stream, StreamNetwork};
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

/// Every stream at one moment, the least recently used first. States are never changed in place, so that holding them
/// is enough.
pub(crate) struct SavedStreams {
    streams: Vec<SavedStream>,
    states: Vec<RecurrentState>,
}

impl SavedStreams {
    /// A safetensors file of the states, the list of streams in its metadata.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, LearnerError> {
        let states = RecurrentState::cat(&self.states.iter().collect::<Vec<_>>())?;
        let list = serde_json::to_string(&self.streams).map_err(|error| misfit(error.to_string()))?;
        lanes::to_bytes_with(&states, Some(HashMap::from([(STREAMS.to_owned(), list)])))
    }
}

impl FrozenPolicy {
    /// Every stream as it is now.
    pub(crate) fn saved_streams(&self) -> Result<SavedStreams, LearnerError> {
        let streams = self.streams.by_last_use();
        let mut states: Vec<RecurrentState> =
            streams.iter().map(|(_, stream)| stream.state.clone()).collect();
        if states.is_empty() {
            // A file needs something to hold.
            states.push(self.network.initial()?);
        }
        let saved = streams.iter().map(|(slot, stream)| SavedStream {
            actor_id: slot.actor_id.clone(),
            incarnation: slot.incarnation,
            slot: slot.slot,
            next_sequence: stream.next_sequence,
            masked_left: stream.masked_left,
        });
        Ok(SavedStreams { streams: saved.collect(), states })
    }

    /// Takes back what [`SavedStreams::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that, or of another network.
    pub(crate) fn load_streams(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let list = header.metadata().as_ref().and_then(|entries| entries.get(STREAMS));
        let list = list.ok_or_else(|| misfit("it lists no streams".to_owned()))?;
        let saved: Vec<SavedStream> =
            serde_json::from_str(list).map_err(|error| misfit(error.to_string()))?;
        let device = &self.network.compute.device;
        let states = lanes::from_bytes(bytes, &self.network.config, saved.len().max(1), device)?;
        self.streams.clear();
        for (row, saved) in saved.into_iter().enumerate() {
            let SavedStream { actor_id, incarnation, slot, next_sequence, masked_left } = saved;
            let stream = Stream::new(states.row(row)?, next_sequence, masked_left);
            self.streams.store(SlotKey { actor_id, incarnation, slot }, stream);
        }
        Ok(())
    }
}

fn misfit(reason: String) -> LearnerError {
    LearnerError::FrozenStreams { reason }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{experiences, frozen, row_bytes};
    use super::*;

    fn bytes_of(policy: &FrozenPolicy) -> Vec<u8> {
        policy.saved_streams().unwrap().to_bytes().unwrap()
    }

    fn logits(policy: &mut FrozenPolicy, unrolls: &[crate::experience::Experience]) -> Vec<f32> {
        let outputs = policy.follow(unrolls).unwrap();
        let logits = outputs.iter().map(|o| o.buttons_logits.flatten_all().unwrap().to_vec1().unwrap());
        logits.collect::<Vec<Vec<f32>>>().concat()
    }

    #[test]
    fn a_stream_goes_on_bit_for_bit() {
        let unrolls = experiences(2, 6);
        let (before, after) = unrolls.split_at(6);
        let mut straight = frozen(1 << 20);
        straight.follow(before).unwrap();
        let bytes = bytes_of(&straight);
        let mut resumed = frozen(1 << 20);
        resumed.load_streams(&bytes).unwrap();
        assert_eq!(bytes_of(&resumed), bytes);
        assert_eq!(logits(&mut resumed, after), logits(&mut straight, after));
        assert_eq!(resumed.masked_steps, 0, "no gap");
    }

    #[test]
    fn masking_goes_on_where_it_was() {
        // The second unroll of a slot, its first one lost: six steps are not enough to be exact again.
        let unrolls = experiences(1, 2).split_off(1);
        let mut straight = frozen(1 << 20);
        let mut unroll = unrolls[0].clone();
        unroll.is_first = vec![0; 4];
        straight.follow(std::slice::from_ref(&unroll)).unwrap();
        let mut resumed = frozen(1 << 20);
        resumed.load_streams(&bytes_of(&straight)).unwrap();
        unroll.sequence += 1;
        let outputs = resumed.follow(&[unroll]).unwrap();
        assert_eq!(outputs[0].mask, [0.0; 4]);
    }

    #[test]
    fn the_least_recently_used_still_goes_first() {
        let unrolls = experiences(2, 1);
        let mut straight = frozen(1 << 20);
        straight.follow(&[unrolls[1].clone()]).unwrap();
        straight.follow(&[unrolls[0].clone()]).unwrap();
        let bytes = bytes_of(&straight);
        let mut smaller = frozen(row_bytes());
        smaller.load_streams(&bytes).unwrap();
        let kept: Vec<_> = smaller.streams.by_last_use().into_iter().map(|(slot, _)| slot.clone()).collect();
        assert_eq!(kept, [unrolls[0].slot.clone()]);
    }

    #[test]
    fn no_streams_are_saved_too() {
        let bytes = bytes_of(&frozen(1 << 20));
        let mut policy = frozen(1 << 20);
        policy.follow(&experiences(1, 1)).unwrap();
        policy.load_streams(&bytes).unwrap();
        assert!(policy.streams.by_last_use().is_empty());
    }

    #[test]
    fn misfits_are_named() {
        let mut policy = frozen(1 << 20);
        policy.follow(&experiences(2, 1)).unwrap();
        let load = |bytes: &[u8]| frozen(1 << 20).load_streams(bytes).unwrap_err().to_string();
        let states = policy.network.initial().unwrap();
        assert!(load(&lanes::to_bytes(&states).unwrap()).contains("lists no streams"));
        let with = |list: &str| {
            let metadata = HashMap::from([(STREAMS.to_owned(), list.to_owned())]);
            load(&lanes::to_bytes_with(&states, Some(metadata)).unwrap())
        };
        assert!(with("[{}]").contains("actor_id"), "{}", with("[{}]"));
        let one = r#"{"actor_id":"a","incarnation":1,"slot":0,"next_sequence":1,"masked_left":0}"#;
        let message = with(&format!("[{one},{one}]"));
        assert!(message.contains("layer0.mask"), "two streams, one state: {message}");
        assert!(frozen(1 << 20).load_streams(b"torn").is_err());
    }
}
