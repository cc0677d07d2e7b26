//! Training run again from a checkpoint and the journal, and compared with the first time, bit for bit.
//!
//! Nothing is written: the folder stays as it is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vpt_runtime::ops::Health;

use crate::assignment::Assignment;
use crate::batch_traces::BatchTraces;
use crate::checkpoint::{OPTIMIZER_FILE, POLICY_FILE, Stored, kept_checkpoints};
use crate::comparison::Comparison;
use crate::compute::Compute;
use crate::error::LearnerError;
use crate::journal::{self, Journal};
use crate::ledger::Ledger;
use crate::ppg_loop;
use crate::publish::WeightStore;
use crate::publisher::Publisher;
use crate::queue::UnrollQueue;
use crate::ranks::Ranks;
use crate::run::{LearnerSetup, frozen, spec, trainer};
use crate::session::{Session, saved_state};
use crate::source::UnrollSource;
use crate::status::StatusBoard;
use crate::stopwatch::Stopwatch;
use crate::version::Version;

/// Longest gap between heartbeats; nobody listens to them here.
const HEARTBEAT: Duration = Duration::from_secs(3600);

/// How the second time went.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// The checkpoint it began from.
    pub from: String,
    /// Unrolls the journal holds after it.
    pub unrolls: u64,
    /// Policy phases trained again.
    pub policy_phases: u64,
    /// What was the same and what was not.
    pub comparison: Comparison,
    /// BLAKE3 of the last weights (f32, with the auxiliary head), hex.
    pub weights: String,
}

impl ReplayReport {
    /// Whether everything that could be compared was the same, and something was.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let Comparison { equal, first_difference, different_checkpoints, .. } = &self.comparison;
        *equal > 0 && first_difference.is_none() && different_checkpoints.is_empty()
    }
}

/// Trains again on what the journal in `setup.learner.out` holds after the oldest kept checkpoint that it reaches back
/// to; blocks until done or `shutdown`.
///
/// # Errors
/// A folder without checkpoint or journal, a damaged record, a failed tensor operation.
pub fn replay_training(
    setup: &LearnerSetup,
    shutdown: CancellationToken,
) -> Result<ReplayReport, LearnerError> {
    let out = setup.learner.out.clone();
    let contents = journal::survey(&out)?;
    let reaches = |stored: &Stored| saved_state(stored).is_ok_and(|saved| saved.consumed >= contents.first);
    let mut kept = kept_checkpoints(&out)?;
    let from =
        kept.iter().position(reaches).ok_or_else(|| LearnerError::NothingToReplay { path: out.clone() })?;
    let later = kept.split_off(from + 1);
    let stored = kept.swap_remove(from);
    let comparison = compare_with(contents.marks, &later)?;
    let saved = saved_state(&stored)?;
    let compute = Compute::open(&setup.learner)?;
    let frozen = frozen(setup, &compute, Some(&stored))?;
    let stopwatch = Stopwatch::new();
    let mut trainer = trainer(setup, compute, Some(&stored), None, stopwatch.clone())?;
    let phases_before = trainer.counters.policy_phases;
    let ledger = Arc::new(Ledger::resume(saved.ledger));
    let queue = UnrollQueue::new(&setup.learner.admission, ledger.clone());
    let replay = journal::Replay::open(&out, saved.consumed, contents.end)?;
    let source = UnrollSource::live(queue, spec(setup), saved.consumed).only(replay);
    let mut session = Session {
        source,
        traces: BatchTraces::default(),
        // Its marks are what the second run is compared with: nothing is added to them.
        journal: Arc::new(Journal::read_only()),
        publisher: Publisher::start(Arc::new(WeightStore::new()), setup.learner.publish.dtype)?,
        ledger,
        status: Arc::new(StatusBoard::new(&saved.run_id, setup.learner.stage.name())),
        health: Health::new(HEARTBEAT),
        shutdown,
        stopwatch,
        checkpoints: None,
        log: None,
        version: Version::new(stored.manifest.version.epoch, stored.manifest.version.sequence),
        returns: saved.returns,
        consumed: saved.consumed,
        ranks: Ranks::alone(),
        assignment: Assignment::here(),
        other_ranks: Vec::new(),
        agreed_to_stop: false,
        comparison: Some(comparison),
        seconds_before: trainer.counters.training_seconds,
        started: Instant::now(),
        run_id: saved.run_id,
        setup: setup.clone(),
    };
    ppg_loop::run(&mut session, &mut trainer, frozen)?;
    let weights = trainer.parameters.to_safetensors(vpt_policy::ExportDType::F32, true)?;
    Ok(ReplayReport {
        from: name_of(&stored.path),
        unrolls: contents.end.saturating_sub(saved.consumed),
        policy_phases: trainer.counters.policy_phases - phases_before,
        comparison: session.comparison.unwrap_or_default(),
        weights: blake3::hash(&weights).to_hex().to_string(),
    })
}

fn compare_with(marks: Vec<journal::PublishMark>, later: &[Stored]) -> Result<Comparison, LearnerError> {
    let mut comparison = Comparison::with(marks);
    for stored in later {
        let consumed = saved_state(stored)?.consumed;
        let hash = |name| stored.file(name).map(|bytes| blake3::hash(bytes).to_hex().to_string());
        comparison.expect_checkpoint(
            consumed,
            name_of(&stored.path),
            [hash(POLICY_FILE)?, hash(OPTIMIZER_FILE)?],
        );
    }
    Ok(comparison)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
