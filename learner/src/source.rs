//! Where the training thread takes unrolls from: first what the journal holds from before, then the queue.
//!
//! A thread of its own, `vpt-prepare`, reads and decodes the journal and makes every unroll ready for training
//! (advantages, recurrent state) ahead of time and in order; how stale an unroll is, is judged when training takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Device;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use vpt_policy::PolicyConfig;
use vpt_proto::learner::v1::{EpisodeEnd, UnrollEvent};
use vpt_runtime::traces::Trace;

use crate::admission::{Envelope, UnrollSpec};
use crate::algo::gae::GaeConfig;
use crate::error::LearnerError;
use crate::experience::Experience;
use crate::journal::{Record, Replay};
use crate::named_thread::NamedThread;
use crate::queue::{Place, Queued, ReceivedUnroll, UnrollQueue};
use crate::version::Version;

/// The thread's name.
const THREAD: &str = "vpt-prepare";
/// Longest wait of the thread between two looks at whether it should end.
const POLL: Duration = Duration::from_millis(50);
/// No version is newer.
const NEWEST: Version = Version::new(u32::MAX, u64::MAX);

/// What unrolls are made ready with.
#[derive(Clone, Debug)]
pub(crate) struct Preparation {
    pub(crate) policy: PolicyConfig,
    pub(crate) gae: GaeConfig,
    pub(crate) device: Device,
    /// Unrolls that are made ready ahead of training.
    pub(crate) ahead: usize,
}

/// An unroll that training takes.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) steps: u64,
    pub(crate) episode_ends: Vec<EpisodeEnd>,
    pub(crate) events: Vec<UnrollEvent>,
    /// An unroll that cannot be used has come too.
    pub(crate) experience: Result<Experience, LearnerError>,
    pub(crate) trace: Trace,
}

/// An unroll made ready.
struct Prepared {
    arrival: Arrival,
    version: Version,
    /// None for one from the journal.
    place: Option<Place>,
}

/// The order of training, across restarts.
pub(crate) struct UnrollSource {
    queue: Arc<UnrollQueue>,
    spec: UnrollSpec,
    /// Handed to the thread when that starts.
    replay: Option<Replay>,
    /// Unrolls of the journal that training has not taken.
    replay_left: u64,
    /// Unrolls taken before this start and out of the journal since.
    taken: u64,
    /// Whether nothing follows what the journal holds.
    ends: bool,
    prepared: Option<Receiver<Result<Prepared, LearnerError>>>,
    thread: Option<NamedThread>,
    stop: Arc<AtomicBool>,
}

impl UnrollSource {
    /// The queue alone, after `taken` unrolls of earlier starts.
    pub(crate) fn live(queue: Arc<UnrollQueue>, spec: UnrollSpec, taken: u64) -> Self {
        Self {
            queue,
            spec,
            replay: None,
            replay_left: 0,
            taken,
            ends: false,
            prepared: None,
            thread: None,
            stop: Arc::default(),
        }
    }

    /// What `replay` holds before the queue.
    pub(crate) fn replaying(mut self, replay: Replay) -> Self {
        self.replay_left = replay.left();
        self.replay = Some(replay);
        self
    }

    /// What `replay` holds, and then no more.
    pub(crate) fn only(mut self, replay: Replay) -> Self {
        self.ends = true;
        self.replaying(replay)
    }

    /// Starts making unrolls ready; before the first [`Self::recv`].
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(&mut self, preparation: Preparation) -> Result<(), LearnerError> {
        let (outbox, prepared) = bounded(preparation.ahead.max(1));
        let preparer = Preparer {
            queue: self.queue.clone(),
            spec: self.spec.clone(),
            replay: self.replay.take().unwrap_or_else(Replay::empty),
            ends: self.ends,
            preparation,
            stop: self.stop.clone(),
        };
        self.thread = Some(NamedThread::start(THREAD, move || preparer.run(&outbox))?);
        self.prepared = Some(prepared);
        Ok(())
    }

    /// Whether everything has been taken and nothing can follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends && self.replay_left == 0
    }

    /// Unrolls taken since the run began, those that were too old included: the place in the journal to go on from.
    pub(crate) fn taken(&self) -> u64 {
        self.taken + self.queue.taken()
    }

    /// Env steps that are still to be taken.
    pub(crate) fn steps(&self) -> u64 {
        self.queue.steps() + self.replay_left * self.spec.unroll_length as u64
    }

    /// Waits at most `timeout` for an unroll that is not too far from `current`; blocks the calling thread.
    ///
    /// # Errors
    /// A queue that is closed and empty; a record that is damaged.
    pub(crate) fn recv(
        &mut self,
        timeout: Duration,
        current: Version,
    ) -> Result<Option<Arrival>, LearnerError> {
        let deadline = Instant::now() + timeout;
        while !self.has_ended() {
            let prepared = self.prepared.as_ref().ok_or(LearnerError::Panicked { name: THREAD })?;
            let Prepared { mut arrival, version, place } = match prepared.recv_deadline(deadline) {
                Ok(prepared) => prepared?,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(self.why_it_ended()),
            };
            match place {
                Some(place) => self.queue.consumed(place),
                None => {
                    self.taken += 1;
                    self.replay_left -= 1;
                }
            }
            arrival.trace.lap("ready");
            if let Some(staleness) = self.queue.judge(version, arrival.steps, current) {
                arrival.trace.note("vpt.staleness_versions", staleness);
                if let Ok(experience) = &mut arrival.experience {
                    experience.staleness = staleness;
                }
                return Ok(Some(arrival));
            }
            arrival.trace.lost("stale");
        }
        Ok(None)
    }

    fn why_it_ended(&self) -> LearnerError {
        if self.queue.is_closed() {
            LearnerError::QueueClosed
        } else {
            LearnerError::Panicked { name: THREAD }
        }
    }

    /// Ends the thread; what was made ready for nothing is booked as dropped, where there is a reason.
    pub(crate) fn close(&mut self, reason: Option<&str>) {
        self.stop.store(true, Ordering::Release);
        let Some(prepared) = self.prepared.take() else { return };
        // Until the thread is gone: it may be waiting for room.
        while let Ok(prepared) = prepared.recv() {
            if let Ok(Prepared { place: Some(place), .. }) = prepared {
                self.queue.give_up(place, reason);
            }
        }
        if let Some(thread) = &mut self.thread {
            thread.join();
        }
    }
}

impl Drop for UnrollSource {
    fn drop(&mut self) {
        self.close(None);
    }
}

/// The thread's own state.
struct Preparer {
    queue: Arc<UnrollQueue>,
    spec: UnrollSpec,
    replay: Replay,
    ends: bool,
    preparation: Preparation,
    stop: Arc<AtomicBool>,
}

impl Preparer {
    fn run(mut self, outbox: &Sender<Result<Prepared, LearnerError>>) {
        while !self.stop.load(Ordering::Acquire) {
            let next = self.next();
            let is_last = next.is_err();
            let Some(next) = next.transpose() else {
                if self.ends {
                    return;
                }
                continue;
            };
            if outbox.send(next).is_err() || is_last {
                return;
            }
        }
    }

    /// The next unroll of the journal, then of the queue; none when there is none right now.
    fn next(&mut self) -> Result<Option<Prepared>, LearnerError> {
        while self.replay.left() > 0 {
            let Some(record) = self.replay.next()? else { break };
            let Record::Unroll { entry, encoded } = record else { continue };
            let (slot, sequence) = (entry.slot, entry.sequence);
            let envelope = Envelope { actor: entry.actor, slot, sequence, newest: NEWEST, since: None };
            // It was good once: the config is another one now.
            let received = self
                .spec
                .admit(encoded, &envelope)
                .map_err(|error| LearnerError::JournalUnroll { slot, sequence, reason: error.to_string() })?;
            return Ok(Some(self.prepare(received, None)));
        }
        if self.ends {
            return Ok(None);
        }
        let queued = self.queue.take(POLL)?;
        Ok(queued.map(|Queued { received, place }| self.prepare(received, Some(place))))
    }

    fn prepare(&self, mut received: ReceivedUnroll, place: Option<Place>) -> Prepared {
        let (version, steps) = (received.version, received.steps());
        let episode_ends = std::mem::take(&mut received.unroll.episode_ends);
        let events = std::mem::take(&mut received.unroll.events);
        let trace = std::mem::take(&mut received.trace);
        let Preparation { policy, gae, device, .. } = &self.preparation;
        let experience = Experience::new(received, policy, *gae, device);
        trace.lap("prepare");
        Prepared { arrival: Arrival { steps, episode_ends, events, experience, trace }, version, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::AdmissionConfig;
    use crate::config::PpgConfig;
    use crate::ledger::Ledger;
    use crate::synthetic::{SyntheticSlot, tiny};
    use vpt_policy::Parameters;

    const STEPS: u32 = 4;

    /// A source over a queue of eight unrolls of sequences 0 to 7, two of which are made ready ahead.
    fn source() -> (UnrollSource, Arc<UnrollQueue>, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::new());
        let config = AdmissionConfig { queue_unrolls: 8, max_staleness: 2, ..AdmissionConfig::default() };
        let queue = UnrollQueue::new(&config, ledger.clone());
        let weights = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
        let mut slot = SyntheticSlot::new(&tiny(), 0, 1);
        for _ in 0..8 {
            queue.push(slot.play(&weights, STEPS, Version::new(1, 1))).unwrap();
        }
        let spec = UnrollSpec::new(&tiny(), STEPS as usize, true);
        let mut source = UnrollSource::live(queue.clone(), spec, 100);
        let gae = PpgConfig::default().gae();
        let preparation = Preparation { policy: tiny(), gae, device: Device::Cpu, ahead: 2 };
        source.start(preparation).unwrap();
        (source, queue, ledger)
    }

    fn next(source: &mut UnrollSource, current: Version) -> Option<Arrival> {
        source.recv(Duration::from_secs(10), current).unwrap()
    }

    #[test]
    fn unrolls_come_in_order_and_keep_their_places_until_they_are_taken() {
        let (mut source, queue, _) = source();
        for sequence in 0..8 {
            assert_eq!(queue.steps(), u64::from(STEPS) * (8 - sequence), "however many are being made ready");
            assert_eq!((queue.len() as u64, source.taken()), (8 - sequence, 100 + sequence));
            let arrival = next(&mut source, Version::new(1, 2)).unwrap();
            let experience = arrival.experience.unwrap();
            assert_eq!((experience.sequence, experience.staleness), (sequence, 1));
        }
        assert!(source.recv(Duration::from_millis(1), Version::new(1, 2)).unwrap().is_none());
    }

    #[test]
    fn staleness_is_judged_when_training_takes_an_unroll_not_when_it_is_made_ready() {
        let (mut source, queue, ledger) = source();
        next(&mut source, Version::new(1, 1)).unwrap();
        // Those that are ready by now were fresh then.
        assert!(source.recv(Duration::from_millis(200), Version::new(1, 9)).unwrap().is_none());
        assert_eq!(ledger.totals().dropped["stale"], 7 * u64::from(STEPS));
        assert_eq!((queue.steps(), source.taken()), (0, 108));
    }

    #[test]
    fn what_was_made_ready_for_nothing_is_booked() {
        let (mut source, queue, ledger) = source();
        next(&mut source, Version::new(1, 1)).unwrap();
        queue.close();
        source.close(Some("draining"));
        queue.discard("draining");
        assert_eq!(ledger.totals().dropped["draining"], 7 * u64::from(STEPS));
        assert_eq!((queue.steps(), queue.bytes(), queue.len()), (0, 0, 0));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_an_error() {
        let (mut source, queue, _) = source();
        queue.close();
        for _ in 0..8 {
            next(&mut source, Version::new(1, 1)).unwrap();
        }
        let error = source.recv(Duration::from_secs(10), Version::new(1, 1)).unwrap_err();
        assert!(matches!(error, LearnerError::QueueClosed), "{error}");
    }
}
