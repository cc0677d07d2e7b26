//! The thread that makes bytes of weights and publishes them, so that training goes on meanwhile.
//!
//! Versions go out in order, none left out. One may be under way and one wait; before a third, training waits.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use vpt_policy::Parameters;
use vpt_runtime::faults::{self, Part};

use crate::batch_traces::BatchTraces;
use crate::config::PublishDType;
use crate::error::LearnerError;
use crate::journal::PublishMark;
use crate::named_thread::NamedThread;
use crate::publish::WeightStore;
use crate::version::Version;

/// The thread's name.
const THREAD: &str = "vpt-publish";
/// Versions that wait for the thread.
const WAITING: usize = 1;

struct Job {
    version: Version,
    /// Steps to come must not show in them.
    parameters: Parameters,
    /// Unrolls consumed by then.
    consumed: u64,
    /// Of the last of them.
    traces: BatchTraces,
}

/// The training thread's end.
pub(crate) struct Publisher {
    weights: Arc<WeightStore>,
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<PublishMark, LearnerError>>,
    thread: NamedThread,
    /// Jobs without a result.
    under_way: usize,
}

impl Publisher {
    /// Starts the thread, which publishes through `weights` in numbers of `dtype`.
    pub(crate) fn start(weights: Arc<WeightStore>, dtype: PublishDType) -> Result<Self, LearnerError> {
        let (jobs, inbox) = bounded::<Job>(WAITING);
        // Room for the results of all jobs that can be under way: the thread never waits for training.
        let (outbox, results) = bounded(WAITING + 2);
        let store = weights.clone();
        let thread = NamedThread::start(THREAD, move || {
            while let Ok(job) = inbox.recv() {
                let result = publish(&store, dtype, &job);
                // Its traces are out before anybody learns that it is.
                drop(job);
                if outbox.send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { weights, jobs: Some(jobs), results, thread, under_way: 0 })
    }

    /// Has `parameters` published as `version`; returns what was published meanwhile.
    ///
    /// # Errors
    /// When `version` is not newer than the newest one; what an earlier one failed with.
    pub(crate) fn publish(
        &mut self,
        version: Version,
        parameters: &Parameters,
        consumed: u64,
        traces: BatchTraces,
    ) -> Result<Vec<PublishMark>, LearnerError> {
        self.weights.reserve(version)?;
        let job = Job { version, parameters: parameters.frozen_copy()?, consumed, traces };
        let mut marks = Vec::new();
        while self.under_way > WAITING {
            marks.push(self.next()?);
        }
        let jobs = self.jobs.as_ref().ok_or(LearnerError::Panicked { name: THREAD })?;
        jobs.send(job).map_err(|_| LearnerError::Panicked { name: THREAD })?;
        self.under_way += 1;
        while let Ok(result) = self.results.try_recv() {
            self.under_way -= 1;
            marks.push(result?);
        }
        Ok(marks)
    }

    /// Waits until everything handed over is published.
    ///
    /// # Errors
    /// What one of them failed with.
    pub(crate) fn finish(&mut self) -> Result<Vec<PublishMark>, LearnerError> {
        let mut marks = Vec::new();
        while self.under_way > 0 {
            marks.push(self.next()?);
        }
        Ok(marks)
    }

    fn next(&mut self) -> Result<PublishMark, LearnerError> {
        self.under_way -= 1;
        self.results.recv().map_err(|_| LearnerError::Panicked { name: THREAD })?
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.jobs = None;
        self.thread.join();
    }
}

fn publish(weights: &WeightStore, dtype: PublishDType, job: &Job) -> Result<PublishMark, LearnerError> {
    faults::sleep(Part::Publish);
    let payload = Bytes::from(job.parameters.to_safetensors(dtype.export(), false)?);
    let hash = weights.announce(job.version, payload, dtype.name(), &job.parameters.fingerprint());
    job.traces.published(job.version);
    Ok(PublishMark { version: job.version, consumed: job.consumed, blake3: hash.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use vpt_policy::PolicyConfig;

    #[test]
    fn versions_come_out_in_order_as_they_were_handed_over() {
        let weights = Arc::new(WeightStore::keeping(8));
        let mut publisher = Publisher::start(weights.clone(), PublishDType::F32).unwrap();
        let mut parameters = Parameters::init(&PolicyConfig::linear(), 1, &Device::Cpu).unwrap();
        let mut expected = Vec::new();
        let mut marks = Vec::new();
        for sequence in 1..=5 {
            let mut normalizer = parameters.normalizer().unwrap();
            normalizer.running_mean = sequence as f64;
            parameters.set_normalizer(&normalizer).unwrap();
            expected
                .push(blake3::hash(&parameters.to_safetensors(PublishDType::F32.export(), false).unwrap()));
            let version = Version::new(1, sequence);
            marks.extend(
                publisher.publish(version, &parameters, sequence * 10, BatchTraces::default()).unwrap(),
            );
        }
        // What training does to them afterwards is not published.
        parameters.set_normalizer(&Default::default()).unwrap();
        marks.extend(publisher.finish().unwrap());
        let seen: Vec<_> = marks.iter().map(|mark| (mark.version.sequence, mark.consumed)).collect();
        assert_eq!(seen, [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)]);
        let hashes: Vec<blake3::Hash> = marks.iter().map(|mark| mark.blake3.into()).collect();
        assert_eq!(hashes, expected);
        assert_eq!(weights.current(), Some(Version::new(1, 5)));
    }

    #[test]
    fn a_version_that_is_not_newer_is_refused_before_it_is_made() {
        let weights = Arc::new(WeightStore::new());
        let mut publisher = Publisher::start(weights, PublishDType::F32).unwrap();
        let parameters = Parameters::init(&PolicyConfig::linear(), 1, &Device::Cpu).unwrap();
        let none = BatchTraces::default;
        publisher.publish(Version::new(2, 1), &parameters, 0, none()).unwrap();
        let error = publisher.publish(Version::new(1, 9), &parameters, 0, none()).unwrap_err();
        assert!(matches!(error, LearnerError::VersionNotNewer { .. }), "{error}");
        assert_eq!(publisher.finish().unwrap().len(), 1);
    }
}
