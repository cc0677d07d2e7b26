//! Named tensors in a safetensors file, with errors that name the file and the tensor.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use vpt_runtime::atomic_file;

use super::super::Usage;

/// What one file held.
pub(super) struct TensorFile {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl TensorFile {
    /// Reads a whole file onto a device.
    pub(super) fn read(path: &Path, device: &Device) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)
            .with_context(|| format!("{} is not a safetensors file", path.display()))?;
        Ok(Self { path: path.to_owned(), tensors })
    }

    /// A tensor that must be there with this element type.
    pub(super) fn get(&self, name: &str, dtype: DType) -> anyhow::Result<Tensor> {
        self.find(name, dtype)?
            .ok_or_else(|| Usage(format!("{} holds no tensor `{name}`", self.path.display())).into())
    }

    /// A tensor that may be there, with this element type if it is.
    pub(super) fn find(&self, name: &str, dtype: DType) -> anyhow::Result<Option<Tensor>> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(None) };
        if tensor.dtype() != dtype {
            let found = tensor.dtype().as_str();
            let problem = format!("`{name}` in {} is {found}, needs {}", self.path.display(), dtype.as_str());
            return Err(Usage(problem).into());
        }
        Ok(Some(tensor.clone()))
    }
}

/// Writes tensors in the order of their names; the file appears whole or not at all.
pub(super) fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> anyhow::Result<()> {
    let tensors = tensors.iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?)));
    let bytes = safetensors::serialize(tensors.collect::<anyhow::Result<BTreeMap<_, _>>>()?, None)?;
    Ok(atomic_file::write(path, &bytes)?)
}
