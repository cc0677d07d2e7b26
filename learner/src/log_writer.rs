//! The thread that writes what training says about itself, the event log and the journal's marks of publications, so
//! that training does not wait for the disk.
//!
//! What waits is bounded: when the disk does not keep up, what does not fit is dropped and counted, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use vpt_runtime::faults::{self, Part};

use crate::error::LearnerError;
use crate::event_log::{EventLog, EventLogError};
use crate::journal::{Journal, PublishMark};
use crate::metrics;
use crate::named_thread::NamedThread;

/// Messages that wait at most; a policy phase sends a handful.
const WAITING: usize = 1024;

enum Message {
    Scalars {
        step: u64,
        scalars: Vec<(String, f64)>,
    },
    Counts {
        step: u64,
        tag: &'static str,
        counts: BTreeMap<u64, u64>,
    },
    Mark(PublishMark),
    Flush,
    /// Flush and say so.
    Finish(Sender<()>),
}

/// The training thread's end.
pub(crate) struct LogWriter {
    messages: Option<Sender<Message>>,
    // None in a test without one.
    thread: Option<NamedThread>,
}

impl LogWriter {
    /// Starts the thread over `log` and `journal`.
    pub(crate) fn start(log: EventLog, journal: Arc<Journal>) -> Result<Self, LearnerError> {
        let (sender, inbox) = bounded(WAITING);
        let mut worker = Worker { log, journal };
        let thread = NamedThread::start("vpt-log", move || worker.run(&inbox))?;
        Ok(Self { messages: Some(sender), thread: Some(thread) })
    }

    /// Notes scalars at `step`.
    pub(crate) fn scalars(&self, step: u64, scalars: Vec<(String, f64)>) {
        self.send(Message::Scalars { step, scalars });
    }

    /// Notes how often each number occurred at `step`.
    pub(crate) fn counts(&self, step: u64, tag: &'static str, counts: BTreeMap<u64, u64>) {
        self.send(Message::Counts { step, tag, counts });
    }

    /// Records a publication in the journal.
    pub(crate) fn mark(&self, mark: PublishMark) {
        self.send(Message::Mark(mark));
    }

    /// Has what was noted written.
    pub(crate) fn flush(&self) {
        self.send(Message::Flush);
    }

    /// Waits until everything is written; for the end of a stage.
    pub(crate) fn finish(&self) {
        let (done, written) = bounded(1);
        if let Some(messages) = &self.messages
            && messages.send(Message::Finish(done)).is_ok()
        {
            // Ends with the thread at the latest.
            let _ = written.recv();
        }
    }

    fn send(&self, message: Message) {
        if self.messages.as_ref().is_none_or(|messages| messages.try_send(message).is_err()) {
            metrics::log_drop();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = &mut self.thread {
            thread.join();
        }
    }
}

/// The thread's own state.
struct Worker {
    log: EventLog,
    journal: Arc<Journal>,
}

impl Worker {
    fn run(&mut self, inbox: &Receiver<Message>) {
        while let Ok(message) = inbox.recv() {
            if let Err(error) = self.write(message) {
                // A log that cannot be written costs the log, not the training.
                tracing::warn!(%error, "scalars not logged");
            }
        }
    }

    fn write(&mut self, message: Message) -> Result<(), EventLogError> {
        faults::sleep(Part::Disk);
        match message {
            Message::Scalars { step, scalars } => {
                scalars.iter().try_for_each(|(tag, value)| self.log.scalar(tag, step, *value))
            }
            Message::Counts { step, tag, counts } => self.log.counts(tag, step, counts),
            Message::Mark(mark) => {
                // It only serves a later comparison; the failure is counted.
                if let Err(error) = self.journal.mark(&mark) {
                    tracing::warn!(%error, "publication not recorded in the journal");
                }
                Ok(())
            }
            Message::Flush => self.log.flush(),
            Message::Finish(done) => {
                let flushed = self.log.flush();
                // Whoever asked may have gone.
                let _ = done.send(());
                flushed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_written_by_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path()).unwrap();
        let writer = LogWriter::start(log, Arc::new(Journal::off())).unwrap();
        for step in 0..100 {
            writer.scalars(step, vec![("charts/SPS".to_owned(), step as f64)]);
        }
        writer.counts(99, "charts/staleness_versions", BTreeMap::from([(0, 3), (2, 1)]));
        writer.finish();
        let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 100);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["charts/staleness_versions"], serde_json::json!([[0, 3], [2, 1]]));
        writer.scalars(100, vec![("charts/SPS".to_owned(), 1.0)]);
        drop(writer);
        let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 101, "dropping it writes the rest");
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_never_waited_for() {
        let (sender, inbox) = bounded(1);
        let writer = LogWriter { messages: Some(sender), thread: None };
        // Nobody takes anything out: waiting would hang the test.
        writer.flush();
        writer.flush();
        assert_eq!(inbox.len(), 1);
    }
}
