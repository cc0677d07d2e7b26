//! A minibatch whose loss or gradient is not a finite number: it is skipped and counted where it is met, kept on disk
//! for inspection here, and after too many of them training ends.
//!
//! # Layout
//! - here: settings, the count, and when training ends
//! - [`dump`]: what is kept of a minibatch, and the thread that writes it

mod dump;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use vpt_policy::{Gradients, RecurrentState};

use crate::error::LearnerError;
use crate::metrics;

pub(crate) use dump::Evidence;

/// Folder of the dumps, below `learner.out`.
const FOLDER: &str = "nonfinite";

/// The section `[learner.nonfinite]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NonFiniteConfig {
    /// Minibatches kept in `<out>/nonfinite` at most, over all starts; 0 keeps none.
    pub dump_limit: usize,
    /// Ends training with an error at this many skipped minibatches since the start of the process; 0 never does.
    pub stop_after: u64,
}

impl Default for NonFiniteConfig {
    fn default() -> Self {
        Self { dump_limit: 4, stop_after: 20 }
    }
}

/// What made a step impossible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fault {
    /// The loss, finite or not.
    pub(crate) loss: f64,
    /// Parameters whose gradient is not finite; empty when the loss already is not, and no gradient was taken.
    pub(crate) gradients: Vec<String>,
}

impl Fault {
    /// A loss that is not finite.
    pub(crate) fn of_loss(loss: f64) -> Self {
        Self { loss, gradients: Vec::new() }
    }

    /// Gradients that are not finite.
    pub(crate) fn of_gradients(loss: f64, gradients: &Gradients) -> Result<Self, LearnerError> {
        Ok(Self { loss, gradients: gradients.non_finite()? })
    }
}

/// Counts skipped minibatches, keeps some of them, and says when there were too many.
#[derive(Debug)]
pub(crate) struct NonFiniteGuard {
    config: NonFiniteConfig,
    /// None where nothing is written, as in a replay.
    out: Option<PathBuf>,
    /// Since the start of the process.
    skipped: u64,
    kept: usize,
    fault: Fault,
    writers: Vec<JoinHandle<()>>,
}

impl NonFiniteGuard {
    /// A guard that only counts.
    pub(crate) fn counting() -> Self {
        Self::with(NonFiniteConfig { dump_limit: 0, stop_after: 0 }, None, 0)
    }

    /// A guard over the run in `out`; dumps of earlier starts count towards the limit.
    pub(crate) fn new(config: &NonFiniteConfig, out: &Path) -> Self {
        let kept = dump::count(&out.join(FOLDER));
        Self::with(config.clone(), Some(out.to_owned()), kept)
    }

    fn with(config: NonFiniteConfig, out: Option<PathBuf>, kept: usize) -> Self {
        Self { config, out, skipped: 0, kept, fault: Fault::default(), writers: Vec::new() }
    }

    /// A step was left out for `fault`.
    pub(crate) fn note(&mut self, fault: Fault) {
        self.skipped += 1;
        metrics::nonfinite_batch();
        tracing::warn!(
            skipped = self.skipped,
            loss = fault.loss,
            gradients = fault.gradients.len(),
            "batch skipped: loss or gradient is not finite"
        );
        self.fault = fault;
    }

    /// Keeps the minibatch that was noted last, if there is room for it; `evidence` is asked only then.
    ///
    /// # Errors
    /// [`LearnerError::NonFinite`] when there were as many as the configuration allows; what `evidence` fails with.
    pub(crate) fn examine(
        &mut self,
        evidence: impl FnOnce() -> Result<Evidence, LearnerError>,
    ) -> Result<(), LearnerError> {
        if let Some(out) = self.out.clone()
            && self.kept < self.config.dump_limit
        {
            let evidence = evidence()?;
            self.kept += 1;
            let writer = dump::write(out.join(FOLDER), self.kept, evidence, self.fault.clone())?;
            self.writers.push(writer);
        }
        if self.config.stop_after == 0 || self.skipped < self.config.stop_after {
            return Ok(());
        }
        self.finish();
        let out = self.out.clone().unwrap_or_default();
        Err(LearnerError::NonFinite {
            skipped: self.skipped,
            dumps: out.join(FOLDER),
            checkpoints: out.join("checkpoints"),
        })
    }

    /// Waits for what is being written.
    fn finish(&mut self) {
        for writer in self.writers.drain(..) {
            if writer.join().is_err() {
                tracing::warn!("the thread that keeps a batch for inspection panicked");
            }
        }
    }
}

impl Drop for NonFiniteGuard {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The memory of each layer as tensors of a dump.
pub(crate) fn state_tensors(state: &RecurrentState) -> Vec<(String, Tensor)> {
    let layers = state.layers.iter().enumerate();
    let fields = layers.flat_map(|(i, layer)| {
        [("mask", &layer.mask), ("keys", &layer.keys), ("values", &layer.values)]
            .map(|(field, tensor)| (format!("layer{i}.{field}"), tensor.clone()))
    });
    fields.collect()
}

#[cfg(test)]
mod tests;
