//! Weights from stored tensors: each is held against the architecture, and all that do not fit are reported at once.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};

use super::layout::{self, AUX_PREFIX, Spec};
use super::{Architecture, Parameters, host_values, init};
use crate::error::{PolicyError, Result};

/// A tensor in a file or in memory.
pub(super) trait Stored {
    /// Its sizes.
    fn dims(&self) -> &[usize];
    /// What its numbers are, as an error names it.
    fn element_type(&self) -> String;
    /// Its numbers in row-major order, or nothing when they are of a type that f32 does not hold exactly.
    fn values(&self) -> Result<Option<Vec<f32>>>;
}

impl Stored for TensorView<'_> {
    fn dims(&self) -> &[usize] {
        self.shape()
    }

    fn element_type(&self) -> String {
        format!("{:?}", self.dtype())
    }

    fn values(&self) -> Result<Option<Vec<f32>>> {
        let data = self.data();
        let halves =
            |to_f32: fn([u8; 2]) -> f32| data.as_chunks::<2>().0.iter().map(|&b| to_f32(b)).collect();
        Ok(match self.dtype() {
            Dtype::F32 => Some(data.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
            Dtype::F16 => Some(halves(|b| half::f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => Some(halves(|b| half::bf16::from_le_bytes(b).to_f32())),
            _ => None,
        })
    }
}

impl Stored for &Tensor {
    fn dims(&self) -> &[usize] {
        Tensor::dims(self)
    }

    fn element_type(&self) -> String {
        format!("{:?}", self.dtype())
    }

    fn values(&self) -> Result<Option<Vec<f32>>> {
        match self.dtype() {
            DType::F32 | DType::F16 | DType::BF16 => Ok(Some(host_values(&self.to_dtype(DType::F32)?)?)),
            _ => Ok(None),
        }
    }
}

/// The weights of `architecture` out of `stored`, but for an auxiliary head that may be absent. What is stored beyond
/// them is an error unless its name is among `ignored`.
pub(super) fn assemble<T: Stored>(
    mut stored: BTreeMap<&str, T>,
    ignored: &[&str],
    architecture: Architecture,
    trainable: bool,
    device: &Device,
) -> Result<Parameters> {
    let with_aux = stored.keys().any(|name| name.starts_with(AUX_PREFIX));
    let specs = layout::specs(&architecture);
    let mut parameters = Parameters::empty(architecture, device);
    let mut problems = Vec::new();
    for spec in &specs {
        if spec.is_aux() && !with_aux {
            if trainable {
                parameters.insert(spec, init::values(spec, 0), true)?;
            }
            continue;
        }
        match stored.remove(spec.name.as_str()) {
            None => problems.push(format!("{} is missing", spec.name)),
            Some(tensor) => match fitting(spec, &tensor)? {
                Ok(values) => parameters.insert(spec, values, trainable)?,
                Err(problem) => problems.push(problem),
            },
        }
    }
    let extra = stored.keys().filter(|name| !ignored.contains(name));
    problems.extend(extra.map(|name| format!("{name} is not part of it")));
    if problems.is_empty() { Ok(parameters) } else { Err(PolicyError::Weights { problems }) }
}

/// The numbers of a tensor that is what `spec` says, or why it is not.
fn fitting(spec: &Spec, tensor: &impl Stored) -> Result<Result<Vec<f32>, String>> {
    let name = &spec.name;
    if tensor.dims() != spec.shape {
        return Ok(Err(format!("{name} is {:?}, not {:?}", tensor.dims(), spec.shape)));
    }
    Ok(match tensor.values()? {
        Some(values) if values.iter().all(|x| x.is_finite()) => Ok(values),
        Some(_) => Err(format!("{name} holds values that are not finite")),
        None => Err(format!("{name} is {}, not F32, F16 or BF16", tensor.element_type())),
    })
}
