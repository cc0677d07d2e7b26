//! A thread beside the training thread, under the name that errors and the log give it.

use std::thread::{Builder, JoinHandle};

use crate::error::LearnerError;

/// A running thread; it is told to end by closing its channel, then [`join`](Self::join)ed.
#[derive(Debug)]
pub(crate) struct NamedThread {
    name: &'static str,
    handle: Option<JoinHandle<()>>,
}

impl NamedThread {
    /// Starts `work`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<Self, LearnerError> {
        let handle = Builder::new().name(name.into()).spawn(work);
        let handle = handle.map_err(|source| LearnerError::Thread { name, source })?;
        Ok(Self { name, handle: Some(handle) })
    }

    /// Waits for its end; a panic in it is logged.
    pub(crate) fn join(&mut self) {
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::warn!("the thread {} panicked", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_once_and_a_panic_stays_inside() {
        let (done, seen) = crossbeam_channel::bounded(1);
        let mut thread = NamedThread::start("vpt-test", move || {
            done.send(std::thread::current().name().map(str::to_owned)).unwrap();
            panic!("inside");
        })
        .unwrap();
        thread.join();
        thread.join();
        assert_eq!(seen.recv().unwrap().as_deref(), Some("vpt-test"));
    }
}
