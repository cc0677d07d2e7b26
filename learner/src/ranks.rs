//! Data parallel training: several learner processes, the ranks, train one model, each on its share of every batch.
//!
//! All take the same steps: gradients are averaged before each one (and before they are clipped), what is a sum or mean
//! over the batch is taken over the batches of all ranks, and whatever a rank would decide by its clock or its queue is
//! agreed on first. Weights are never sent after the start; every rank computes the same ones.
//!
//! # Layout
//! - [`Ranks`]: what training asks for; nothing is exchanged where there is only one
//! - [`Collective`]: the exchanges; `tcp` and `nccl` carry them, `frame` is one message, `rendezvous` how ranks meet
//! - `start`: what rank 0 hands to the others before training

mod config;
pub mod error;
mod frame;
mod nccl;
mod rendezvous;
pub(crate) mod start;
pub(crate) mod tcp;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use candle_core::Tensor;
use tokio_util::sync::CancellationToken;
use vpt_policy::{Gradients, Parameters, TargetSums};

pub use config::{RanksConfig, Transport};
pub use error::RanksError;

use self::nccl::NcclRanks;
use self::rendezvous::Meeting;
use crate::compute::Compute;
use crate::config::LearnerConfig;
use crate::error::LearnerError;
use crate::run::LearnerSetup;

/// Exchanges in which all ranks take part, each at the same point of its work. Every one has a deadline; after the first
/// failure there is no next.
pub(crate) trait Collective: Send {
    /// Replaces each number by its sum over all ranks; `meaning` is the hash of what they are.
    fn sum_numbers(&mut self, meaning: u64, numbers: &mut [f64]) -> Result<(), RanksError>;

    /// The sums of f32 `[N]`, whose layout has the hash `meaning`, over all ranks: the same bits on each.
    fn sum_gradients(&mut self, meaning: u64, gradients: &Tensor) -> Result<Tensor, LearnerError>;

    /// What every rank gave, by rank; empty except on rank 0.
    fn gather(&mut self, meaning: u64, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError>;

    /// What rank 0 gave.
    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError>;
}

/// This rank's hold on the others.
#[derive(Clone)]
pub(crate) struct Ranks {
    rank: usize,
    count: usize,
    collective: Option<Arc<Mutex<dyn Collective>>>,
    /// On rank 0, where actors reach each rank.
    urls: Vec<String>,
}

impl Ranks {
    /// The only one.
    pub(crate) fn alone() -> Self {
        Self { rank: 0, count: 1, collective: None, urls: Vec::new() }
    }

    /// Rank `rank` of `count`, connected.
    pub(crate) fn new(rank: usize, count: usize, collective: impl Collective + 'static) -> Self {
        Self { rank, count, collective: Some(Arc::new(Mutex::new(collective))), urls: Vec::new() }
    }

    /// Meets the others, where the config asks for them; blocks until all are there.
    ///
    /// # Errors
    /// When they do not come in time or run something else, or `shutdown` comes first.
    pub(crate) fn join(
        setup: &LearnerSetup,
        compute: &Compute,
        shutdown: &CancellationToken,
    ) -> Result<Self, LearnerError> {
        let config = &setup.learner.ranks;
        if config.count == 1 {
            return Ok(Self::alone());
        }
        let by_nccl = nccl::is_wanted(config.transport, compute)?;
        let meeting = Meeting {
            rank: config.rank,
            count: config.count,
            address: &config.rendezvous,
            patience: Duration::from_secs_f64(config.timeout_seconds),
            digest: &digest(setup, by_nccl)?,
            serves: &config.advertise,
            shutdown,
        };
        let tcp = meeting.join()?;
        let urls = if config.rank == 0 { tcp.serves().to_vec() } else { Vec::new() };
        let ranks = if by_nccl {
            Self::new(config.rank, config.count, NcclRanks::join(tcp, compute)?)
        } else {
            Self::new(config.rank, config.count, tcp)
        };
        Ok(Self { urls, ..ranks })
    }

    /// On rank 0, where actors reach each rank; empty elsewhere and where there is only one.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.urls.clone()
    }

    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.collective.is_none()
    }

    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Runs an exchange, where there is somebody to exchange with.
    fn exchange<T, E>(
        &self,
        run: impl FnOnce(&mut dyn Collective) -> Result<T, E>,
    ) -> Result<Option<T>, LearnerError>
    where
        LearnerError: From<E>,
    {
        let Some(collective) = &self.collective else { return Ok(None) };
        // After a panic in an exchange the next one fails by itself.
        Ok(Some(run(&mut *collective.lock().unwrap_or_else(PoisonError::into_inner))?))
    }

    /// Replaces each number by its sum over all ranks; `what` they are must be the same on all.
    pub(crate) fn sum(&self, what: &'static str, numbers: &mut [f64]) -> Result<(), LearnerError> {
        self.exchange(|collective| collective.sum_numbers(meaning(what), numbers)).map(drop)
    }

    /// The number's sum over all ranks.
    pub(crate) fn total(&self, what: &'static str, number: f64) -> Result<f64, LearnerError> {
        let mut numbers = [number];
        self.sum(what, &mut numbers)?;
        Ok(numbers[0])
    }

    /// Whether it holds on some rank.
    pub(crate) fn any(&self, what: &'static str, here: bool) -> Result<bool, LearnerError> {
        Ok(self.total(what, f64::from(u8::from(here)))? > 0.0)
    }

    /// Whether it holds on every rank.
    pub(crate) fn all(&self, what: &'static str, here: bool) -> Result<bool, LearnerError> {
        Ok(!self.any(what, !here)?)
    }

    /// The factor on a mean over `kept` steps of this rank that makes the average over ranks the mean over all kept
    /// steps: ranks that keep more count for more.
    pub(crate) fn mean_weight(&self, kept: f64) -> Result<f64, LearnerError> {
        if self.is_alone() {
            return Ok(1.0);
        }
        let total = self.total("kept steps", kept)?;
        Ok(if total > 0.0 { kept * self.count as f64 / total } else { 1.0 })
    }

    /// The sums over the targets of all ranks.
    pub(crate) fn target_sums(&self, targets: &[f32]) -> Result<TargetSums, LearnerError> {
        let TargetSums { count, sum, sum_sq } = TargetSums::of(targets);
        let mut numbers = [count, sum, sum_sq];
        self.sum("value targets", &mut numbers)?;
        let [count, sum, sum_sq] = numbers;
        Ok(TargetSums { count, sum, sum_sq })
    }

    /// Replaces gradients by their means over all ranks, which must have gradients of the same parameters.
    pub(crate) fn average(&self, gradients: &mut Gradients) -> Result<(), LearnerError> {
        if self.is_alone() {
            return Ok(());
        }
        let (meaning, flat) = (layout(gradients), gradients.flatten()?);
        if let Some(sums) = self.exchange(|collective| collective.sum_gradients(meaning, &flat))? {
            gradients.replace(&sums.affine(1.0 / self.count as f64, 0.0)?)?;
        }
        Ok(())
    }

    /// What every rank gave, by rank; empty except on rank 0.
    pub(crate) fn gather(&self, what: &'static str, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, LearnerError> {
        match &self.collective {
            Some(_) => {
                Ok(self.exchange(|collective| collective.gather(meaning(what), bytes))?.unwrap_or_default())
            }
            None => Ok(vec![bytes]),
        }
    }

    /// What rank 0 gave.
    pub(crate) fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, LearnerError> {
        match &self.collective {
            Some(_) => Ok(self.exchange(|collective| collective.broadcast(bytes))?.unwrap_or_default()),
            None => Ok(bytes),
        }
    }

    /// Makes sure that all ranks hold the same weights.
    ///
    /// # Errors
    /// When they do not, on every rank.
    pub(crate) fn check_same(&self, parameters: &Parameters, steps: u64) -> Result<(), LearnerError> {
        if self.is_alone() {
            return Ok(());
        }
        let bytes = parameters.to_safetensors(vpt_policy::ExportDType::F32, true)?;
        let mut hashes = vec![0.0; self.count];
        // As many bits as an f64 holds exactly.
        hashes[self.rank] = (leading(blake3::hash(&bytes)) >> 12) as f64;
        self.sum("weights", &mut hashes)?;
        match hashes.iter().position(|hash| *hash != hashes[0]) {
            Some(rank) => Err(RanksError::Diverged { rank, steps }.into()),
            None => Ok(()),
        }
    }
}

/// Hash of everything that must be the same on all ranks.
fn digest(setup: &LearnerSetup, by_nccl: bool) -> Result<String, RanksError> {
    let ours = LearnerConfig::default();
    let mut learner = setup.learner.clone();
    learner.ranks.rank = 0;
    // Where a rank runs is its own affair.
    (learner.listen, learner.ops_listen, learner.out) = (ours.listen, ours.ops_listen, ours.out);
    (learner.device, learner.threads) = (ours.device, ours.threads);
    learner.bc.data_dir = ours.bc.data_dir;
    (learner.init, learner.pretrained) = (ours.init, ours.pretrained);
    (learner.journal, learner.checkpoint.keep) = (ours.journal, ours.checkpoint.keep);
    (learner.ranks.rendezvous, learner.ranks.advertise) = (ours.ranks.rendezvous, ours.ranks.advertise);
    let text = serde_json::to_string(&(learner, &setup.policy, setup.run_seed, by_nccl))?;
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// Hash of which parameters have gradients, and of their shapes.
fn layout(gradients: &Gradients) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for name in gradients.names() {
        let dims = gradients.get(name).map(|grad| grad.dims().to_vec());
        hasher.update(format!("{name} {dims:?}\n").as_bytes());
    }
    leading(hasher.finalize())
}

/// Hash of what an exchange is about.
fn meaning(what: &str) -> u64 {
    leading(blake3::hash(what.as_bytes()))
}

fn leading(hash: blake3::Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
