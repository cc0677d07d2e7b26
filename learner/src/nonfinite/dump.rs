//! A skipped minibatch on disk: `<n>.safetensors` with everything that went into the step and `<n>.json` with where it
//! came from, its losses and which numbers were not finite. Written by a thread of its own: training goes on.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use candle_core::{DType, Device, Tensor, WithDType};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Fault;
use crate::error::LearnerError;
use crate::experience::Experience;
use crate::training::Counters;

/// Where an unroll came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UnrollIdentity {
    actor_id: String,
    incarnation: u64,
    slot: u32,
    sequence: u64,
    staleness: u64,
    steps: usize,
}

/// One minibatch as it is kept.
pub(crate) struct Evidence {
    /// `policy`, `auxiliary` or `bc`.
    pub(crate) phase: &'static str,
    /// How far training was.
    pub(crate) counters: Counters,
    /// Terms of the loss by name.
    pub(crate) losses: Vec<(&'static str, f64)>,
    /// What went into the step, `[B, T, ...]`.
    pub(crate) tensors: Vec<(String, Tensor)>,
    /// In the order of the batch; none in behavioural cloning, where seed and `bc_updates` say which steps they were.
    pub(crate) unrolls: Vec<UnrollIdentity>,
}

impl Evidence {
    /// A minibatch of unrolls, with what `losses` came to.
    pub(crate) fn of_unrolls(
        phase: &'static str,
        counters: &Counters,
        unrolls: &[&Experience],
        losses: Vec<(&'static str, f64)>,
    ) -> Result<Self, LearnerError> {
        let mut tensors = vec![
            gather("frames", unrolls, |u| &u.frames)?,
            gather("is_first", unrolls, |u| &u.is_first)?,
            gather("buttons", unrolls, |u| &u.buttons)?,
            gather("camera", unrolls, |u| &u.camera)?,
            gather("behaviour_log_prob", unrolls, |u| &u.behaviour_log_prob)?,
            gather("values", unrolls, |u| &u.values)?,
            gather("rewards", unrolls, |u| &u.rewards)?,
            gather("advantages", unrolls, |u| &u.advantages)?,
            gather("value_targets", unrolls, |u| &u.value_targets)?,
        ];
        let states: Vec<_> = unrolls.iter().map(|unroll| &unroll.state).collect();
        tensors.extend(super::state_tensors(&vpt_policy::RecurrentState::cat(&states)?));
        let unrolls = unrolls.iter().map(|unroll| identity(unroll)).collect();
        Ok(Self { phase, counters: counters.clone(), losses, tensors, unrolls })
    }

    /// Names of the losses, inputs and gradients that are not finite.
    fn not_finite(&self, fault: &Fault) -> Result<Vec<String>, LearnerError> {
        let total = (!fault.loss.is_finite()).then(|| "loss.total".to_owned());
        let terms = self.losses.iter().filter(|(_, loss)| !loss.is_finite());
        let mut names: Vec<String> =
            total.into_iter().chain(terms.map(|(name, _)| format!("loss.{name}"))).collect();
        for (name, tensor) in &self.tensors {
            if tensor.dtype() == DType::F32
                && !tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|x| x.is_finite())
            {
                names.push(format!("input.{name}"));
            }
        }
        names.extend(fault.gradients.iter().map(|name| format!("gradient.{name}")));
        Ok(names)
    }

    fn description(&self, fault: &Fault, tensors: &Path) -> Result<Value, LearnerError> {
        let mut losses: Map<String, Value> =
            self.losses.iter().map(|(name, loss)| ((*name).to_owned(), number(*loss))).collect();
        losses.insert("total".to_owned(), number(fault.loss));
        Ok(json!({
            "phase": self.phase,
            "counters": self.counters,
            "losses": losses,
            "not_finite": self.not_finite(fault)?,
            "unrolls": self.unrolls,
            "tensors": tensors.file_name().map(|name| name.to_string_lossy()),
        }))
    }
}

/// One field of every unroll, `[B, T]`, or `[B, T, n]` where a step has `n` numbers.
fn gather<'a, T: WithDType>(
    name: &str,
    unrolls: &[&'a Experience],
    field: impl Fn(&'a Experience) -> &'a [T],
) -> Result<(String, Tensor), LearnerError> {
    let numbers: Vec<T> = unrolls.iter().flat_map(|unroll| field(unroll)).copied().collect();
    let (batch, steps) = (unrolls.len(), unrolls.first().map_or(0, |unroll| unroll.steps()));
    let tensor = match numbers.len() / (batch * steps).max(1) {
        1 => Tensor::from_vec(numbers, (batch, steps), &Device::Cpu)?,
        each => Tensor::from_vec(numbers, (batch, steps, each), &Device::Cpu)?,
    };
    Ok((name.to_owned(), tensor))
}

fn identity(unroll: &Experience) -> UnrollIdentity {
    UnrollIdentity {
        actor_id: unroll.slot.actor_id.clone(),
        incarnation: unroll.slot.incarnation,
        slot: unroll.slot.slot,
        sequence: unroll.sequence,
        staleness: unroll.staleness,
        steps: unroll.steps(),
    }
}

/// A number, or its name where JSON has no word for it.
fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

/// Dumps that lie in `folder`.
pub(super) fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let is_dump = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|ext| ext == "json");
    entries.flatten().filter(is_dump).count()
}

/// Starts writing dump number `n`; a failure costs the dump and is logged.
pub(super) fn write(
    folder: PathBuf,
    n: usize,
    mut evidence: Evidence,
    fault: Fault,
) -> Result<JoinHandle<()>, LearnerError> {
    for (_, tensor) in &mut evidence.tensors {
        // The device belongs to the training thread.
        *tensor = tensor.to_device(&Device::Cpu)?;
    }
    let work = move || match write_files(&folder, n, &evidence, &fault) {
        Ok(path) => tracing::warn!(dump = %path.display(), "skipped batch kept for inspection"),
        Err(error) => tracing::warn!(%error, "skipped batch not kept for inspection"),
    };
    std::thread::Builder::new()
        .name("vpt-nonfinite".into())
        .spawn(work)
        .map_err(|source| LearnerError::Thread { name: "vpt-nonfinite", source })
}

fn write_files(folder: &Path, n: usize, evidence: &Evidence, fault: &Fault) -> Result<PathBuf, LearnerError> {
    let io = |path: &Path, source| LearnerError::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
    let path = folder.join(format!("{n}.safetensors"));
    let tensors = safetensors::serialize(evidence.tensors.iter().map(|(name, t)| (name, t)), None)?;
    let put = |path: &Path, bytes: &[u8]| {
        vpt_runtime::atomic_file::write(path, bytes).map_err(|error| io(path, error.source))
    };
    put(&path, &tensors)?;
    let description = path.with_extension("json");
    // The last of the two: what has a description is whole.
    put(&description, format!("{:#}\n", evidence.description(fault, &path)?).as_bytes())?;
    Ok(description)
}
