//! The thread that makes bytes of checkpoints and writes them, so that training does not wait for the disk.
//!
//! One at a time: while one is being written, a later one is not begun.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use vpt_runtime::clock;

use crate::checkpoint::{CheckpointFolder, Draft};
use crate::error::LearnerError;
use crate::journal::Journal;
use crate::metrics;

/// What is to be written.
struct Job {
    draft: Draft,
    /// Unrolls consumed by then.
    consumed: u64,
}

/// The training thread's end.
pub(crate) struct CheckpointWriter {
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<(), LearnerError>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

/// The thread's own state.
struct Worker {
    folder: CheckpointFolder,
    journal: Arc<Journal>,
    /// Unrolls consumed by the checkpoints that are kept, oldest first.
    consumed: VecDeque<u64>,
}

impl CheckpointWriter {
    /// Starts the thread; `consumed` is what the newest checkpoint in `folder` had consumed.
    pub(crate) fn start(
        folder: CheckpointFolder,
        journal: Arc<Journal>,
        consumed: Option<u64>,
    ) -> Result<Self, LearnerError> {
        let (jobs, inbox) = bounded::<Job>(1);
        let (outbox, results) = bounded(1);
        let mut worker = Worker { folder, journal, consumed: consumed.into_iter().collect() };
        let thread = std::thread::Builder::new()
            .name("vpt-checkpoint".into())
            .spawn(move || {
                while let Ok(job) = inbox.recv() {
                    if outbox.send(worker.write(job)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| LearnerError::Thread { name: "vpt-checkpoint", source })?;
        Ok(Self { jobs: Some(jobs), results, thread: Some(thread), busy: false })
    }

    /// Whether a checkpoint would be begun now.
    pub(crate) fn is_free(&mut self) -> bool {
        // Failures are logged and counted by the thread.
        self.busy = self.busy && self.results.try_recv().is_err();
        !self.busy
    }

    /// Hands a checkpoint over; call when it [`is_free`](Self::is_free).
    pub(crate) fn begin(&mut self, draft: Draft, consumed: u64) -> Result<(), LearnerError> {
        let jobs = self.jobs.as_ref().ok_or(LearnerError::Panicked { name: "vpt-checkpoint" })?;
        let sent = jobs.send(Job { draft, consumed });
        sent.map_err(|_| LearnerError::Panicked { name: "vpt-checkpoint" })?;
        self.busy = true;
        Ok(())
    }

    /// Waits for the one under way; its failure is the error.
    pub(crate) fn wait(&mut self) -> Result<(), LearnerError> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        match self.results.recv() {
            Ok(result) => result,
            Err(_) => Err(LearnerError::Panicked { name: "vpt-checkpoint" }),
        }
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // What it was writing is whole or absent afterwards.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn write(&mut self, job: Job) -> Result<(), LearnerError> {
        if let Err(error) = self.journal.sync() {
            metrics::journal_failure();
            tracing::warn!(%error, "the journal may lose its end in a power cut");
        }
        let Job { draft, consumed } = job;
        let version = draft.version;
        let written = draft.into_snapshot().and_then(|snapshot| Ok(self.folder.write(&snapshot)?));
        match written {
            Ok(_) => {
                metrics::checkpoint_success(clock::calendar_seconds());
                tracing::info!(%version, "checkpoint written");
                self.cut_journal(consumed);
                Ok(())
            }
            Err(error) => {
                metrics::checkpoint_failure();
                tracing::error!(%error, "checkpoint not written; training goes on and tries again");
                Err(error)
            }
        }
    }

    /// Lets go of records that no checkpoint needs; of those that only older ones need, when there are too many.
    fn cut_journal(&mut self, consumed: u64) {
        self.consumed.push_back(consumed);
        while self.consumed.len() > self.folder.keep() {
            self.consumed.pop_front();
        }
        let oldest = self.consumed.front().copied().unwrap_or(consumed);
        self.journal.rotate(oldest);
        if self.journal.wants_checkpoint() {
            self.journal.rotate(consumed);
        }
    }
}
