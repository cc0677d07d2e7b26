//! Where the training thread takes unrolls from: first what the journal holds from before, then the queue.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::{Envelope, UnrollSpec};
use crate::error::LearnerError;
use crate::journal::{Record, Replay};
use crate::queue::{ReceivedUnroll, UnrollQueue};
use crate::version::Version;

/// No version is newer.
const NEWEST: Version = Version::new(u32::MAX, u64::MAX);

/// The order of training, across restarts.
pub(crate) struct UnrollSource {
    queue: Arc<UnrollQueue>,
    spec: UnrollSpec,
    replay: Replay,
    /// Unrolls taken before this start and out of the journal since.
    taken: u64,
    /// Whether nothing follows what the journal holds.
    ends: bool,
}

impl UnrollSource {
    /// The queue alone, after `taken` unrolls of earlier starts.
    pub(crate) fn live(queue: Arc<UnrollQueue>, spec: UnrollSpec, taken: u64) -> Self {
        Self { queue, spec, replay: Replay::empty(), taken, ends: false }
    }

    /// What `replay` holds before the queue.
    pub(crate) fn replaying(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// What `replay` holds, and then no more.
    pub(crate) fn only(self, replay: Replay) -> Self {
        Self { ends: true, ..self.replaying(replay) }
    }

    /// Whether everything has been taken and nothing can follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends && self.replay.left() == 0
    }

    /// Unrolls taken since the run began, those that were too old included: the place in the journal to go on from.
    pub(crate) fn taken(&self) -> u64 {
        self.taken + self.queue.taken()
    }

    /// Env steps that are still to be taken.
    pub(crate) fn steps(&self) -> u64 {
        self.queue.steps() + self.replay.left() * self.spec.unroll_length as u64
    }

    /// Waits at most `timeout` for an unroll that is not too far from `current`; blocks the calling thread.
    ///
    /// # Errors
    /// A queue that is closed and empty; a record that is damaged.
    pub(crate) fn recv(
        &mut self,
        timeout: Duration,
        current: Version,
    ) -> Result<Option<ReceivedUnroll>, LearnerError> {
        while self.replay.left() > 0 {
            let Some(record) = self.replay.next()? else { break };
            let Record::Unroll { entry, encoded } = record else { continue };
            self.taken += 1;
            let (slot, sequence) = (entry.slot, entry.sequence);
            let envelope = Envelope { actor: entry.actor, slot, sequence, newest: NEWEST };
            let received = match self.spec.admit(encoded, &envelope) {
                Ok(received) => received,
                Err(error) => {
                    // It was good once: the config is another one now.
                    return Err(LearnerError::JournalUnroll { slot, sequence, reason: error.to_string() });
                }
            };
            if let Some(received) = self.queue.judge(received, current) {
                return Ok(Some(received));
            }
        }
        if self.ends {
            return Ok(None);
        }
        self.queue.recv(timeout, current)
    }
}
