//! The weights of a policy under OpenAI's names and shapes, trainable or frozen.

mod export;
mod init;
pub(crate) mod layout;

pub use export::ExportDType;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::config::PolicyConfig;
use crate::error::{PolicyError, Result};
use crate::value_normalizer::ValueNormalizer;
use layout::{AUX_PREFIX, DEBIASING_TERM, Initial, RUNNING_MEAN, RUNNING_MEAN_SQ, Spec};

/// One tensor; `tensor` shares its storage with `var`, so an update of the variable is seen through it.
#[derive(Debug)]
struct Entry {
    tensor: Tensor,
    var: Option<Var>,
}

/// An ordered map from OpenAI's parameter names to f32 tensors. Trainable ones track gradients; frozen ones do not.
#[derive(Debug)]
pub struct Parameters {
    config: PolicyConfig,
    entries: BTreeMap<String, Entry>,
    device: Device,
}

impl Parameters {
    /// Fresh trainable weights: the paper's initialisation, the true value head zero, the auxiliary one random. A
    /// function of the seed and the architecture alone.
    ///
    /// # Errors
    /// An architecture that cannot be built.
    pub fn init(config: &PolicyConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut parameters = Self::empty(config, device);
        for spec in layout::specs(config) {
            parameters.insert(&spec, init::values(&spec, seed), true)?;
        }
        Ok(parameters)
    }

    /// Weights from a safetensors file of f32 or bf16 tensors. The auxiliary value head may be absent: a trainable
    /// set then gets a fresh one, a frozen set goes without.
    ///
    /// # Errors
    /// Bytes that are not safetensors, and any tensor that is missing, extra, mis-shaped, mis-typed or not
    /// finite: all are listed.
    pub fn from_safetensors(
        bytes: &[u8],
        config: &PolicyConfig,
        trainable: bool,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let file = SafeTensors::deserialize(bytes)?;
        let mut stored: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let specs = layout::specs(config);
        let with_aux = stored.keys().any(|name| name.starts_with(AUX_PREFIX));
        let mut parameters = Self::empty(config, device);
        let mut problems = Vec::new();
        for spec in &specs {
            if spec.is_aux() && !with_aux {
                if trainable {
                    parameters.insert(spec, init::values(spec, 0), true)?;
                }
                continue;
            }
            let Some(view) = stored.remove(&spec.name) else {
                problems.push(format!("{} is missing", spec.name));
                continue;
            };
            if view.shape() != spec.shape {
                problems.push(format!("{} is {:?}, not {:?}", spec.name, view.shape(), spec.shape));
                continue;
            }
            match read_f32(&view) {
                Some(values) if values.iter().all(|x| x.is_finite()) => {
                    parameters.insert(spec, values, trainable)?;
                }
                Some(_) => problems.push(format!("{} holds values that are not finite", spec.name)),
                None => problems.push(format!("{} is {:?}, not F32 or BF16", spec.name, view.dtype())),
            }
        }
        problems.extend(stored.keys().map(|name| format!("{name} is not part of it")));
        if problems.is_empty() { Ok(parameters) } else { Err(PolicyError::Weights { problems }) }
    }

    fn empty(config: &PolicyConfig, device: &Device) -> Self {
        Self { config: config.clone(), entries: BTreeMap::new(), device: device.clone() }
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
    pub fn config(&self) -> &PolicyConfig {
        &self.config
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
        let mut copy = Self::empty(&self.config, &self.device);
        for (name, entry) in &self.entries {
            let tensor = entry.tensor.detach().copy()?;
            copy.entries.insert(name.clone(), Entry { tensor, var: None });
        }
        Ok(copy)
    }

    /// The value normaliser's statistics.
    ///
    /// # Errors
    /// When the device fails.
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
    /// When the device fails.
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

    /// As [`PolicyConfig::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.config.fingerprint()
    }

    /// Numbers in OpenAI's state dict: everything but the auxiliary value head.
    #[must_use]
    pub fn count(&self) -> usize {
        layout::count(&self.config)
    }
}

/// The tensor's numbers as f32, or nothing when it holds another type.
fn read_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Some(data.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        Dtype::BF16 => {
            let upcast = |&b: &[u8; 2]| half::bf16::from_le_bytes(b).to_f32();
            Some(data.as_chunks::<2>().0.iter().map(upcast).collect())
        }
        _ => None,
    }
}

/// The numbers of an f32 tensor in row-major order.
fn host_values(tensor: &Tensor) -> Result<Vec<f32>> {
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
}

#[cfg(test)]
mod tests;
