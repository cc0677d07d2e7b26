//! A thread that reads and decodes batches ahead of training.

use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{Demonstrations, HostBatch, SequencePlan};
use crate::error::LearnerError;

/// Decodes batches in plan order into a bounded channel; stops when dropped.
#[derive(Debug)]
pub(crate) struct SequenceLoader {
    batches: Option<Receiver<Result<HostBatch, LearnerError>>>,
    thread: Option<JoinHandle<()>>,
}

impl SequenceLoader {
    /// Starts decoding at the plan's position, at most `prefetch` batches ahead; of each batch only `lanes`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        demonstrations: Arc<Demonstrations>,
        mut plan: SequencePlan,
        lanes: Range<usize>,
        prefetch: usize,
    ) -> Result<Self, LearnerError> {
        let (sender, batches) = bounded(prefetch.max(1));
        let load = move || {
            loop {
                let batch = demonstrations.read(&plan.next_batch()[lanes.clone()]);
                let failed = batch.is_err();
                // A closed channel means that training ended; after an error there is nothing to go on with.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("vpt-loader".into())
            .spawn(load)
            .map_err(|source| LearnerError::Thread { name: "vpt-loader", source })?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }

    /// The next batch, or `None` when none came within `timeout`.
    ///
    /// # Errors
    /// What reading it failed with.
    pub(crate) fn recv(&self, timeout: Duration) -> Result<Option<HostBatch>, LearnerError> {
        let batches = self.batches.as_ref().expect("taken only on drop");
        match batches.recv_timeout(timeout) {
            Ok(batch) => batch.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LearnerError::Panicked { name: "vpt-loader" }),
        }
    }
}

impl Drop for SequenceLoader {
    fn drop(&mut self) {
        // Closing the channel first is what ends a thread that waits in `send`.
        self.batches = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the loader thread panicked");
        }
    }
}
