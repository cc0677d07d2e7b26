//! Element types under the names torch's storages and safetensors give them, and tensors from and to their bytes.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;

use super::error::OpenAiError;

/// The most sizes a shape may have.
pub(super) const MAX_RANK: usize = 16;

/// How the numbers of a stored tensor are encoded, little-endian all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    /// Also what booleans are, one byte each.
    U8,
}

impl ElementType {
    /// That of a storage class of module `torch`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" | "BoolStorage" => Self::U8,
            _ => return None,
        })
    }

    /// That of a safetensors tensor.
    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::I16 => Self::I16,
            Dtype::I8 => Self::I8,
            Dtype::U8 | Dtype::BOOL => Self::U8,
            _ => return None,
        })
    }

    /// That of a tensor in memory.
    pub(super) fn of_tensor(dtype: DType) -> Option<Self> {
        Some(match dtype {
            DType::F64 => Self::F64,
            DType::F32 => Self::F32,
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            DType::I64 => Self::I64,
            DType::I32 => Self::I32,
            DType::I16 => Self::I16,
            DType::U8 => Self::U8,
            _ => return None,
        })
    }

    /// The storage class of module `torch` that holds it.
    pub(super) fn storage(self) -> &'static str {
        match self {
            Self::F64 => "DoubleStorage",
            Self::F32 => "FloatStorage",
            Self::F16 => "HalfStorage",
            Self::Bf16 => "BFloat16Storage",
            Self::I64 => "LongStorage",
            Self::I32 => "IntStorage",
            Self::I16 => "ShortStorage",
            Self::I8 => "CharStorage",
            Self::U8 => "ByteStorage",
        }
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// A tensor of these bytes, which are exactly as many as `dims` ask for. Signed bytes become 16 bits wide, since
    /// the tensor library has no narrower signed type.
    pub(super) fn tensor(self, bytes: &[u8], dims: &[usize]) -> Result<Tensor, OpenAiError> {
        debug_assert_eq!(bytes.len(), dims.iter().product::<usize>() * self.size());
        let dtype = match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::I64 => DType::I64,
            Self::I32 => DType::I32,
            Self::I16 => DType::I16,
            Self::U8 => DType::U8,
            Self::I8 => {
                let wide = bytes.iter().map(|&byte| i16::from(byte.cast_signed())).collect();
                return Ok(Tensor::from_vec(wide, dims, &Device::Cpu)?);
            }
        };
        Ok(Tensor::from_raw_buffer(bytes, dtype, dims, &Device::Cpu)?)
    }

    /// The bytes of a tensor of this type in row-major order.
    pub(super) fn bytes(self, tensor: &Tensor) -> Result<Vec<u8>, OpenAiError> {
        let flat = tensor.flatten_all()?;
        Ok(match self {
            Self::F64 => flat.to_vec1::<f64>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F32 => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => flat.to_vec1::<f16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16 => flat.to_vec1::<bf16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I64 => flat.to_vec1::<i64>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I32 => flat.to_vec1::<i32>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I16 => flat.to_vec1::<i16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I8 | Self::U8 => flat.to_vec1::<u8>()?,
        })
    }
}

/// The number of elements, unless the sizes (zeros counted as ones) multiply to more than any memory has: the tensor
/// library multiplies them unchecked.
pub(super) fn element_count(dims: &[usize]) -> Option<usize> {
    const MAX_ELEMENTS: usize = 1 << 44;
    if dims.len() > MAX_RANK {
        return None;
    }
    let extent = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim.max(1)))?;
    (extent <= MAX_ELEMENTS).then(|| dims.iter().product())
}
