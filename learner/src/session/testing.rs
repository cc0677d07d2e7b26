//! For tests: a session without services or network, made from a config the way the role makes it.

use super::*;
use crate::admission::UnrollSpec;
use crate::batch_traces::BatchTraces;
use crate::checkpoint::{CheckpointFolder, POLICY_FILE, Weights};
use crate::config::{LearnerConfig, PublishDType, Stage};
use crate::event_log::EventLog;
use crate::publish::WeightStore;
use crate::queue::UnrollQueue;
use std::time::Duration;
use vpt_policy::PolicyConfig;

/// A session and what a test needs beside it.
pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) queue: Arc<UnrollQueue>,
    pub(crate) weights: Arc<WeightStore>,
    policy: PolicyConfig,
}

/// A session over `learner.out`; goes on from its newest checkpoint.
pub(crate) fn bench(learner: LearnerConfig, policy: &PolicyConfig) -> Bench {
    let checkpoints = CheckpointFolder::open(&learner.out, learner.checkpoint.keep).unwrap();
    let epoch = checkpoints.raise_epoch().unwrap();
    let ledger = Arc::new(Ledger::new());
    let queue = UnrollQueue::new(&learner.admission, ledger.clone());
    let log = EventLog::open(&learner.out).unwrap();
    let journal = Arc::new(Journal::off());
    let spec = UnrollSpec::new(policy, learner.unroll_length, true);
    let setup = LearnerSetup { learner, policy: policy.clone(), run_seed: 1, run_config_toml: String::new() };
    let weights = Arc::new(WeightStore::new());
    let session = Session {
        status: Arc::new(StatusBoard::new("test", setup.learner.stage.name())),
        setup,
        run_id: "test".into(),
        source: UnrollSource::live(queue.clone(), spec, 0),
        traces: BatchTraces::default(),
        journal: journal.clone(),
        publisher: Publisher::start(weights.clone(), PublishDType::F32).unwrap(),
        ledger,
        health: Health::new(Duration::from_secs(60)),
        shutdown: CancellationToken::new(),
        stopwatch: Stopwatch::new(),
        checkpoints: Some(CheckpointWriter::start(checkpoints, journal, None).unwrap()),
        log: Some(LogWriter::start(log, Arc::new(Journal::off())).unwrap()),
        version: Version::new(epoch, 0),
        returns: ReturnWindow::default(),
        consumed: 0,
        ranks: Ranks::alone(),
        assignment: Assignment::here(),
        other_ranks: Vec::new(),
        agreed_to_stop: false,
        comparison: None,
        seconds_before: 0.0,
        started: Instant::now(),
    };
    Bench { session, queue, weights, policy: policy.clone() }
}

impl Bench {
    /// The trainer to go on with, and the checkpoint it came from.
    pub(crate) fn trainer(&mut self) -> (Trainer, Option<Stored>) {
        let learner = &self.session.setup.learner;
        let folder = CheckpointFolder::open(&learner.out, learner.checkpoint.keep).unwrap();
        let stored = folder.newest(&self.policy.fingerprint()).unwrap();
        let weights = stored
            .as_ref()
            .map(|stored| Weights { config: None, parameters: stored.file(POLICY_FILE).unwrap().to_vec() });
        let adam = |lr| learner.optimizer.adam(lr, 0.0);
        let optimizers = match learner.stage {
            Stage::Bc => (adam(learner.bc.lr), None),
            Stage::Ppg => (adam(learner.ppg.lr), Some(adam(learner.ppg.aux_lr))),
        };
        let stopwatch = self.session.stopwatch.clone();
        let mut trainer = Trainer::new(
            crate::compute::Compute::cpu(),
            &self.policy,
            weights.as_ref(),
            1,
            optimizers,
            stopwatch,
        )
        .unwrap();
        if let Some(stored) = &stored {
            restore_trainer(&mut trainer, stored).unwrap();
            self.session.version.sequence = stored.manifest.version.sequence;
        }
        (trainer, stored)
    }
}
