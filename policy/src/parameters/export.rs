//! Weights as safetensors bytes, the same bytes for the same weights.

use half::bf16;
use safetensors::{Dtype, tensor::TensorView};

use super::{Parameters, host_values, layout};
use crate::error::Result;

/// Element type of exported weights. The value normaliser's statistics are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportDType {
    /// Exact.
    F32,
    /// Half the size, rounded to nearest even.
    Bf16,
}

impl Parameters {
    /// The weights as a safetensors file; without the auxiliary head the names are exactly OpenAI's.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_safetensors(&self, dtype: ExportDType, include_aux: bool) -> Result<Vec<u8>> {
        let mut stored = Vec::with_capacity(self.entries.len());
        for spec in layout::specs(&self.architecture) {
            let Some(tensor) = self.find(&spec.name) else { continue };
            if spec.is_aux() && !include_aux {
                continue;
            }
            let values = host_values(tensor)?;
            let (dtype, bytes) = match dtype {
                // A mean off by one part in 256 would shift every value estimate.
                ExportDType::Bf16 if !spec.is_statistic() => {
                    (Dtype::BF16, values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect())
                }
                _ => (Dtype::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            };
            stored.push((spec, dtype, bytes));
        }
        let views = stored
            .iter()
            .map(|(spec, dtype, bytes)| Ok((&spec.name, TensorView::new(*dtype, spec.shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(safetensors::serialize(views, None)?)
    }
}
