//! The weights of a policy or inverse dynamics model under OpenAI's names and shapes, trainable or frozen.

mod architecture;
mod export;
mod init;
pub(crate) mod layout;
mod stored;

pub use architecture::Architecture;
pub use export::ExportDType;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use safetensors::SafeTensors;

use crate::config::PolicyConfig;
use crate::error::{PolicyError, Result};
use crate::value_normalizer::ValueNormalizer;
use layout::{DEBIASING_TERM, Initial, RUNNING_MEAN, RUNNING_MEAN_SQ, Spec};

/// One tensor; `tensor` shares its storage with `var`, so an update of the variable is seen through it.
#[derive(Debug)]
struct Entry {
    tensor: Tensor,
    var: Option<Var>,
}

/// An ordered map from OpenAI's parameter names to f32 tensors. Trainable ones track gradients; frozen ones do not.
#[derive(Debug)]
pub struct Parameters {
    architecture: Architecture,
    entries: BTreeMap<String, Entry>,
    device: Device,
}

impl Parameters {
    /// Fresh trainable weights: the paper's initialisation, the true value head zero, the auxiliary one random. A
    /// function of the seed and the architecture alone.
    ///
    /// # Errors
    /// An architecture that cannot be built.
    pub fn init(architecture: impl Into<Architecture>, seed: u64, device: &Device) -> Result<Self> {
        let architecture = architecture.into();
        architecture.validate()?;
        let specs = layout::specs(&architecture);
        let mut parameters = Self::empty(architecture, device);
        for spec in specs {
            parameters.insert(&spec, init::values(&spec, seed), true)?;
        }
        Ok(parameters)
    }

    /// Weights from a safetensors file of f32, f16 or bf16 tensors. The auxiliary value head may be absent: a trainable
    /// set then gets a fresh one, a frozen set goes without.
    ///
    /// # Errors
    /// Bytes that are not safetensors, and any tensor that is missing, extra, mis-shaped, mis-typed or not
    /// finite: all are listed.
    pub fn from_safetensors(
        bytes: &[u8],
        architecture: impl Into<Architecture>,
        trainable: bool,
        device: &Device,
    ) -> Result<Self> {
        let architecture = architecture.into();
        architecture.validate()?;
        let file = SafeTensors::deserialize(bytes)?;
        stored::assemble(file.iter().collect(), &[], architecture, trainable, device)
    }

    /// Weights from tensors by name, as [`from_safetensors`](Self::from_safetensors) takes them from a file.
    ///
    /// # Errors
    /// Any tensor that is missing, extra, mis-shaped, mis-typed or not finite: all are listed.
    pub fn from_tensors(
        tensors: &BTreeMap<String, Tensor>,
        architecture: impl Into<Architecture>,
        trainable: bool,
        device: &Device,
    ) -> Result<Self> {
        Self::from_tensors_ignoring(tensors, &[], architecture, trainable, device)
    }

    /// As [`from_tensors`](Self::from_tensors), but tensors named in `ignored` may be there though the architecture has
    /// none of that name.
    ///
    /// # Errors
    /// As [`from_tensors`](Self::from_tensors).
    pub fn from_tensors_ignoring(
        tensors: &BTreeMap<String, Tensor>,
        ignored: &[&str],
        architecture: impl Into<Architecture>,
        trainable: bool,
        device: &Device,
    ) -> Result<Self> {
        let architecture = architecture.into();
        architecture.validate()?;
        let stored = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        stored::assemble(stored, ignored, architecture, trainable, device)
    }

    fn empty(architecture: Architecture, device: &Device) -> Self {
        Self { architecture, entries: BTreeMap::new(), device: device.clone() }
    }

    fn insert(&mut self, spec: &Spec, values: Vec<f32>, trainable: bool) -> Result<()> {
        let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &self.device)?;
        let entry = if trainable && spec.initial != Initial::Statistic {
            let var = Var::from_tensor(&tensor)?;
            Entry { tensor: var.as_tensor().clone(), var: Some(var) }
        } else {
            Entry { tensor, var: None }
        };
        self.entries.insert(spec.name.clone(), entry);
        Ok(())
    }

    /// The architecture these are the weights of.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The configuration of the policy these are the weights of.
    ///
    /// # Panics
    /// When they are of an inverse dynamics model; ask for the [`architecture`](Self::architecture) where they may be.
    #[must_use]
    pub fn config(&self) -> &PolicyConfig {
        match &self.architecture {
            Architecture::Policy(config) => config,
            Architecture::InverseDynamics(_) => {
                panic!("the weights of an inverse dynamics model are no policy")
            }
        }
    }

    /// The device the tensors live on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// When the architecture has no such parameter.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.find(name).ok_or_else(|| PolicyError::UnknownParameter { name: name.to_owned() })
    }

    /// The tensor called `name`, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<&Tensor> {
        self.entries.get(name).map(|entry| &entry.tensor)
    }

    /// The trainable parameters, sorted by name; none in a frozen set. The normaliser's statistics are not among them.
    #[must_use]
    pub fn vars(&self) -> Vec<(String, Var)> {
        let trainable = self.entries.iter().filter_map(|(name, entry)| Some((name, entry.var.as_ref()?)));
        trainable.map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// A deep copy that tracks no gradients and that later updates do not reach.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn frozen_copy(&self) -> Result<Self> {
        let mut copy = Self::empty(self.architecture.clone(), &self.device);
        for (name, entry) in &self.entries {
            let tensor = entry.tensor.detach().copy()?;
            copy.entries.insert(name.clone(), Entry { tensor, var: None });
        }
        Ok(copy)
    }

    /// The value normaliser's statistics.
    ///
    /// # Errors
    /// When the device fails, or the weights are of a network without a value head.
    pub fn normalizer(&self) -> Result<ValueNormalizer> {
        let scalar = |name| -> Result<f64> {
            Ok(f64::from(self.get(name)?.flatten_all()?.get(0)?.to_scalar::<f32>()?))
        };
        Ok(ValueNormalizer {
            running_mean: scalar(RUNNING_MEAN)?,
            running_mean_sq: scalar(RUNNING_MEAN_SQ)?,
            debiasing_term: scalar(DEBIASING_TERM)?,
        })
    }

    /// Stores the value normaliser's statistics (as f32, which [`ValueNormalizer::update`] keeps exact).
    ///
    /// # Errors
    /// When the device fails, or the weights are of a network without a value head.
    pub fn set_normalizer(&mut self, normalizer: &ValueNormalizer) -> Result<()> {
        for (name, value) in [
            (RUNNING_MEAN, normalizer.running_mean),
            (RUNNING_MEAN_SQ, normalizer.running_mean_sq),
            (DEBIASING_TERM, normalizer.debiasing_term),
        ] {
            let shape = self.get(name)?.shape().clone();
            let tensor = Tensor::full(value as f32, shape, &self.device)?.contiguous()?;
            self.entries.insert(name.to_owned(), Entry { tensor, var: None });
        }
        Ok(())
    }

    /// As [`Architecture::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.architecture.fingerprint()
    }

    /// Numbers in OpenAI's state dict: everything but the auxiliary value head.
    #[must_use]
    pub fn count(&self) -> usize {
        layout::count(&self.architecture)
    }
}

/// The numbers of an f32 tensor in row-major order.
fn host_values(tensor: &Tensor) -> Result<Vec<f32>> {
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
}

#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
