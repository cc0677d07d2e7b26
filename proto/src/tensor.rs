//! Checked conversions between wire tensors and plain numbers.
//!
//! Shape times element size is compared with the payload's length before anything is allocated, so a lying shape
//! costs its sender an error and the receiver nothing.

use crate::common::v1::{DType, Tensor};
use bytes::Bytes;

/// Why a wire tensor was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The dtype is unknown or not the one wanted here.
    #[error("tensor has dtype {found}, expected {expected}")]
    WrongDType {
        /// Names of those accepted.
        expected: &'static str,
        /// The number on the wire.
        found: i32,
    },
    /// Shape and payload disagree.
    #[error("tensor of shape {shape:?} does not match its {bytes} bytes")]
    WrongLength {
        /// Announced shape.
        shape: Vec<u64>,
        /// Payload bytes.
        bytes: usize,
    },
    /// Not the shape wanted here.
    #[error("tensor has shape {found:?}, expected {expected:?}")]
    WrongShape {
        /// Shape wanted.
        expected: Vec<usize>,
        /// Announced shape.
        found: Vec<u64>,
    },
}

/// Bytes of one element; `None` for an unknown dtype.
pub fn element_size(dtype: i32) -> Option<usize> {
    match DType::try_from(dtype).ok()? {
        DType::DtypeUnspecified => None,
        DType::DtypeU8 => Some(1),
        DType::DtypeU16 | DType::DtypeBf16 => Some(2),
        DType::DtypeU32 | DType::DtypeF32 => Some(4),
        DType::DtypeI64 => Some(8),
    }
}

/// Number of elements, after checking that shape × dtype is the payload's length.
///
/// # Errors
/// When the dtype is unknown or the lengths disagree.
pub fn check(tensor: &Tensor) -> Result<usize, TensorError> {
    let size = element_size(tensor.dtype)
        .ok_or(TensorError::WrongDType { expected: "a known one", found: tensor.dtype })?;
    let elements = tensor
        .shape
        .iter()
        .try_fold(1usize, |product, &side| product.checked_mul(usize::try_from(side).ok()?))
        .filter(|elements| elements.checked_mul(size) == Some(tensor.data.len()));
    elements.ok_or_else(|| TensorError::WrongLength {
        // A hostile message may carry millions of dimensions; the error need not.
        shape: tensor.shape.iter().copied().take(8).collect(),
        bytes: tensor.data.len(),
    })
}

/// Wraps bytes as a tensor of `shape`.
pub fn from_u8(shape: &[usize], data: impl Into<Bytes>) -> Tensor {
    wire(DType::DtypeU8, shape, data.into())
}

/// Copies f32 values into a tensor of `shape`.
pub fn from_f32(shape: &[usize], values: &[f32]) -> Tensor {
    let mut data = Vec::with_capacity(values.len() * 4);
    for value in values {
        data.extend_from_slice(&value.to_le_bytes());
    }
    wire(DType::DtypeF32, shape, data.into())
}

/// Rounds f32 values to bf16 (nearest, ties to even) into a tensor of `shape`.
pub fn from_f32_as_bf16(shape: &[usize], values: &[f32]) -> Tensor {
    let mut data = Vec::with_capacity(values.len() * 2);
    for &value in values {
        data.extend_from_slice(&bf16_bits(value).to_le_bytes());
    }
    wire(DType::DtypeBf16, shape, data.into())
}

/// The bytes of a u8 tensor of exactly `shape`.
///
/// # Errors
/// When dtype, shape or length differ.
pub fn to_u8(tensor: &Tensor, shape: &[usize]) -> Result<Bytes, TensorError> {
    expect_shape(tensor, shape)?;
    if tensor.dtype != DType::DtypeU8 as i32 {
        return Err(TensorError::WrongDType { expected: "u8", found: tensor.dtype });
    }
    Ok(tensor.data.clone())
}

/// The values of an f32 or bf16 tensor of exactly `shape`, as f32.
///
/// # Errors
/// When dtype, shape or length differ.
pub fn to_f32(tensor: &Tensor, shape: &[usize]) -> Result<Vec<f32>, TensorError> {
    expect_shape(tensor, shape)?;
    match DType::try_from(tensor.dtype) {
        Ok(DType::DtypeF32) => {
            let (words, _) = tensor.data.as_chunks::<4>();
            Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
        }
        Ok(DType::DtypeBf16) => {
            let (words, _) = tensor.data.as_chunks::<2>();
            Ok(words.iter().map(|word| f32::from_bits(u32::from(u16::from_le_bytes(*word)) << 16)).collect())
        }
        _ => Err(TensorError::WrongDType { expected: "f32 or bf16", found: tensor.dtype }),
    }
}

fn expect_shape(tensor: &Tensor, shape: &[usize]) -> Result<(), TensorError> {
    check(tensor)?;
    let same = tensor.shape.len() == shape.len()
        && tensor.shape.iter().zip(shape).all(|(&found, &wanted)| found == wanted as u64);
    if same {
        return Ok(());
    }
    Err(TensorError::WrongShape {
        expected: shape.to_vec(),
        found: tensor.shape.iter().copied().take(8).collect(),
    })
}

fn wire(dtype: DType, shape: &[usize], data: Bytes) -> Tensor {
    let tensor = Tensor { dtype: dtype.into(), shape: shape.iter().map(|&side| side as u64).collect(), data };
    debug_assert!(check(&tensor).is_ok(), "shape {shape:?} does not match its data");
    tensor
}

fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Rounding could carry a NaN's payload into infinity.
        return (bits >> 16) as u16 | 0x0040;
    }
    let round = 0x7fff + ((bits >> 16) & 1);
    (bits.wrapping_add(round) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lying_shapes_are_refused() {
        let mut tensor = from_f32(&[2, 3], &[0.0; 6]);
        assert_eq!(check(&tensor), Ok(6));
        tensor.shape = vec![2, 4];
        assert!(matches!(check(&tensor), Err(TensorError::WrongLength { .. })));
        tensor.shape = vec![u64::MAX, u64::MAX];
        assert!(check(&tensor).is_err());
        tensor.shape = vec![1 << 32, 1 << 32, 0];
        assert!(check(&tensor).is_err(), "an empty shape with a payload");
        tensor.shape = vec![3, 2];
        assert!(matches!(to_f32(&tensor, &[2, 3]), Err(TensorError::WrongShape { .. })));
    }

    #[test]
    fn dtypes_are_checked() {
        let tensor = from_u8(&[2], vec![1, 2]);
        assert!(matches!(to_f32(&tensor, &[2]), Err(TensorError::WrongDType { .. })));
        assert_eq!(&to_u8(&tensor, &[2]).unwrap()[..], &[1, 2]);
        assert!(check(&Tensor { dtype: 77, shape: vec![], data: Bytes::new() }).is_err());
        assert!(to_u8(&from_f32(&[1], &[1.0]), &[1]).is_err());
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        // 1 + 2^-8 lies halfway between 1 and 1 + 2^-7: even is 1; 1 + 3 * 2^-8 goes up to 1 + 2^-6.
        let halves = [1.0 + 0.003_906_25, 1.0 + 0.011_718_75, -2.0, f32::INFINITY];
        let back = to_f32(&from_f32_as_bf16(&[4], &halves), &[4]).unwrap();
        assert_eq!(back, [1.0, 1.015_625, -2.0, f32::INFINITY]);
        let nan = to_f32(&from_f32_as_bf16(&[1], &[f32::from_bits(0x7f80_0001)]), &[1]).unwrap();
        assert!(nan[0].is_nan());
    }

    proptest! {
        #[test]
        fn f32_round_trips(values in proptest::collection::vec(any::<f32>(), 0..50)) {
            let tensor = from_f32(&[values.len()], &values);
            let back = to_f32(&tensor, &[values.len()]).unwrap();
            prop_assert!(values.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
