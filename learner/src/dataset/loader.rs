//! A thread that reads and decodes batches, and makes tensors of them, ahead of training.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{Demonstrations, HostBatch, SequencePlan};
use crate::batch::SequenceBatch;
use crate::error::LearnerError;
use crate::named_thread::NamedThread;
use candle_core::{Device, Tensor};

/// A batch of sequences to clone.
#[derive(Clone, Debug)]
pub(crate) struct LoadedBatch {
    pub(crate) sequences: SequenceBatch,
    /// `[B * T]`, 1 where the step counts in the loss.
    pub(crate) mask: Vec<f32>,
    /// Steps left out of the loss, or of the stream, for doing nothing.
    pub(crate) null_actions: u64,
}

/// Decodes batches in plan order into a bounded channel; stops when dropped.
#[derive(Debug)]
pub(crate) struct SequenceLoader {
    batches: Option<Receiver<Result<LoadedBatch, LearnerError>>>,
    thread: NamedThread,
}

impl LoadedBatch {
    /// A batch of `lanes` sequences as tensors on `device`.
    pub(crate) fn new(
        batch: HostBatch,
        lanes: usize,
        data: &Demonstrations,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let HostBatch { frames, is_first, buttons, camera, mask, null_actions } = batch;
        let (info, count) = (data.dataset.info(), is_first.len());
        let steps = count / lanes.max(1);
        let shape = (lanes, steps, info.frame_height as usize, info.frame_width as usize, 3);
        let sequences = SequenceBatch {
            frames: Tensor::from_vec(frames, shape, device)?,
            is_first: Tensor::from_vec(is_first, (lanes, steps), device)?,
            buttons: Tensor::from_vec(buttons, count, device)?,
            camera: Tensor::from_vec(camera, count, device)?,
        };
        Ok(Self { sequences, mask, null_actions })
    }
}

impl SequenceLoader {
    /// Starts decoding at the plan's position, at most `prefetch` batches ahead; of each batch only `lanes`, as tensors on
    /// `device`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        demonstrations: Arc<Demonstrations>,
        mut plan: SequencePlan,
        lanes: Range<usize>,
        prefetch: usize,
        device: Device,
    ) -> Result<Self, LearnerError> {
        let (sender, batches) = bounded(prefetch.max(1));
        let load = move || {
            loop {
                let read = demonstrations.read(&plan.next_batch()[lanes.clone()]);
                let batch =
                    read.and_then(|batch| LoadedBatch::new(batch, lanes.len(), &demonstrations, &device));
                let failed = batch.is_err();
                // A closed channel means that training ended; after an error there is nothing to go on with.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        Ok(Self { batches: Some(batches), thread: NamedThread::start("vpt-loader", load)? })
    }

    /// The next batch, or `None` when none came within `timeout`.
    ///
    /// # Errors
    /// What reading it failed with.
    pub(crate) fn recv(&self, timeout: Duration) -> Result<Option<LoadedBatch>, LearnerError> {
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
        self.thread.join();
    }
}
