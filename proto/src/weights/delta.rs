//! A weight set as what changed since another: per block of a tensor, whichever is smaller of the steps and the bytes.
//!
//! Format 1: `VPTD`, the format as u32, then a block for each MiB (less at a tensor's end) of each tensor in the file's
//! order, its length as u32 before it. The header of the file is the base's. Nothing is ever added up in floating point:
//! bit patterns become bit patterns, so a thousand deltas end in the same bits as the file.

use super::{layout, ulp};

const MAGIC: &[u8; 4] = b"VPTD";
const FORMAT: u32 = 1;
/// Bytes of a tensor that are coded together: much to gather statistics from, little to keep at hand.
const BLOCK: usize = 1 << 20;

/// A delta that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// Not a delta, or of another format.
    #[error("not a delta of format {FORMAT}")]
    Format,
    /// The weights it is applied to are not a safetensors file.
    #[error("the base is not a safetensors file")]
    Base,
    /// A block that does not say what becomes of its numbers.
    #[error("a malformed block, {0} bytes into the file")]
    Block(usize),
}

/// The delta from `base` to `new`, two safetensors files; none when their tensors are not the same in name, type and
/// shape, or when it would not be smaller than their bytes.
pub fn encode(base: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (data, tensors) = layout::tensors(base)?;
    if base.len() != new.len() || base[..data] != new[..data] {
        return None;
    }
    let mut out = Vec::with_capacity(new.len() / 8);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    for tensor in tensors {
        let bytes = tensor.bytes;
        for (base, new) in base[bytes.clone()].chunks(BLOCK).zip(new[bytes].chunks(BLOCK)) {
            let length = out.len();
            out.extend_from_slice(&[0; 4]);
            let encode = if tensor.bf16 { ulp::encode } else { ulp::encode_plain };
            encode(base, new, &mut out);
            let block = (out.len() - length - 4) as u32;
            out[length..length + 4].copy_from_slice(&block.to_le_bytes());
        }
        if out.len() >= new.len() - data {
            return None;
        }
    }
    Some(out)
}

/// The file that `delta` makes of `base`; as long as `base`, whatever the delta says.
///
/// # Errors
/// A delta or a base that is malformed. That the result is what was meant, its hash says.
pub fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let head = delta.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk());
    let mut blocks = match head {
        Some((format, blocks)) if u32::from_le_bytes(*format) == FORMAT => blocks,
        _ => return Err(DeltaError::Format),
    };
    let (data, tensors) = layout::tensors(base).ok_or(DeltaError::Base)?;
    let mut new = vec![0; base.len()];
    new[..data].copy_from_slice(&base[..data]);
    for tensor in tensors {
        let mut at = tensor.bytes.start;
        let bytes = tensor.bytes;
        for (base, new) in base[bytes.clone()].chunks(BLOCK).zip(new[bytes].chunks_mut(BLOCK)) {
            let (block, rest) = next(blocks).ok_or(DeltaError::Block(at))?;
            ulp::decode(base, block, new).ok_or(DeltaError::Block(at))?;
            at += base.len();
            blocks = rest;
        }
    }
    if blocks.is_empty() { Ok(new) } else { Err(DeltaError::Block(base.len())) }
}

fn next(blocks: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blocks.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::file;
    use super::*;
    use proptest::prelude::*;

    fn bf16(values: &[f32]) -> Vec<u8> {
        let wire = crate::tensor::from_f32_as_bf16(&[values.len()], values);
        wire.data.to_vec()
    }

    /// Weights as they train: f32 masters that take small steps, published as bf16 beside three f32 statistics.
    struct Training {
        masters: Vec<f32>,
        state: u64,
        statistics: [f32; 3],
    }

    impl Training {
        fn new(size: usize) -> Self {
            let mut training = Self { masters: vec![], state: 9, statistics: [0.0; 3] };
            training.masters = (0..size).map(|_| training.normal() * 0.02).collect();
            training
        }

        fn normal(&mut self) -> f32 {
            let mut sum = 0.0;
            for _ in 0..4 {
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                sum += (self.state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
            }
            sum * 1.7
        }

        fn step(&mut self, rate: f32) {
            for index in 0..self.masters.len() {
                self.masters[index] += rate * self.normal();
            }
            self.statistics[0] += 0.1;
        }

        fn published(&self) -> Vec<u8> {
            let statistics: Vec<u8> = self.statistics.iter().flat_map(|x| x.to_le_bytes()).collect();
            file(&[("a.mean", "F32", &statistics), ("b.weight", "BF16", &bf16(&self.masters))])
        }
    }

    #[test]
    fn a_thousand_versions_later_nothing_has_drifted() {
        let mut training = Training::new(3000);
        let mut held = training.published();
        for version in 0..1000 {
            training.step(2e-5);
            let new = training.published();
            let delta = encode(&held, &new).expect("smaller");
            held = apply(&held, &delta).unwrap();
            assert!(held == new, "version {version}");
        }
    }

    #[test]
    fn a_small_step_is_a_small_delta_over_several_blocks() {
        let mut training = Training::new(700_000);
        let base = training.published();
        training.step(6e-6);
        let new = training.published();
        let delta = encode(&base, &new).unwrap();
        assert!(delta.len() * 10 < new.len(), "{} of {}", delta.len(), new.len());
        assert!(apply(&base, &delta).unwrap() == new);
        assert!(
            apply(&new, &delta).map_or(true, |other| other != new),
            "on another base it is something else"
        );
    }

    #[test]
    fn what_is_not_smaller_or_not_alike_has_no_delta() {
        let base = file(&[("w", "F32", &[1; 4000])]);
        assert_eq!(encode(&base, &file(&[("w", "F32", &[2; 4000])])), None, "raw is not smaller");
        assert!(encode(&base, &base).is_some_and(|delta| delta.len() < 100));
        assert_eq!(encode(&base, &file(&[("v", "F32", &[1; 4000])])), None, "another tensor");
        assert_eq!(encode(b"weights 1", b"weights 2"), None, "no safetensors");
    }

    #[test]
    fn malformed_deltas_are_refused() {
        let mut training = Training::new(3000);
        let base = training.published();
        training.step(2e-5);
        let delta = encode(&base, &training.published()).unwrap();
        assert_eq!(apply(&base, b"VPTX").unwrap_err(), DeltaError::Format);
        assert_eq!(apply(&base, &[b"VPTD", 9u32.to_le_bytes().as_slice()].concat()), Err(DeltaError::Format));
        assert_eq!(apply(b"base", &delta), Err(DeltaError::Base));
        assert!(matches!(apply(&base, &delta[..delta.len() - 1]), Err(DeltaError::Block(_))));
        assert!(matches!(apply(&base, &[delta.as_slice(), &[0; 5]].concat()), Err(DeltaError::Block(_))));
    }

    proptest! {
        #[test]
        fn garbage_neither_panics_nor_grows(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let base = Training::new(50).published();
            let delta = [MAGIC.as_slice(), &FORMAT.to_le_bytes(), &bytes].concat();
            if let Ok(new) = apply(&base, &delta) {
                prop_assert_eq!(new.len(), base.len());
            }
        }
    }
}
