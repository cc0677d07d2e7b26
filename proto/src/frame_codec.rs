//! Lossless packing of consecutive frames: every frame but the first XORed with the one before it, then LZ4.
//!
//! A block of frames is self-contained: the first one is stored as it is. Decoding checks the announced length
//! against what the caller expects, and against what LZ4 can possibly produce, before it allocates.

use crate::learner::v1::FrameCodec;
use bytes::Bytes;

/// LZ4 cannot expand one input byte to more than this many output bytes.
const LZ4_MAX_RATIO: usize = 255;

/// Why packed frames could not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameCodecError {
    /// The codec field holds a value this build does not know.
    #[error("unknown frame codec {codec}")]
    UnknownCodec {
        /// The number on the wire.
        codec: i32,
    },
    /// `frame_len * count` does not fit in memory.
    #[error("{count} frames of {frame_len} bytes overflow")]
    Overflow {
        /// Bytes a frame.
        frame_len: usize,
        /// Frames.
        count: usize,
    },
    /// The data is for another number of bytes.
    #[error("frames hold {found} bytes, expected {expected}")]
    WrongLength {
        /// Bytes expected.
        expected: usize,
        /// Bytes announced or found.
        found: usize,
    },
    /// LZ4 refuses the data.
    #[error("frames are corrupt: {reason}")]
    Corrupt {
        /// What the decompressor says.
        reason: String,
    },
}

/// Packs `frames` (a whole number of frames of `frame_len` bytes); falls back to raw when that is smaller.
pub fn encode(frames: &[u8], frame_len: usize) -> (FrameCodec, Bytes) {
    debug_assert!(frame_len > 0 && frames.len().is_multiple_of(frame_len));
    let mut delta = frames.to_vec();
    for start in (frame_len..frames.len()).step_by(frame_len.max(1)) {
        let end = (start + frame_len).min(frames.len());
        let previous = &frames[start - frame_len..end - frame_len];
        for (byte, before) in delta[start..end].iter_mut().zip(previous) {
            *byte ^= before;
        }
    }
    let packed = lz4_flex::block::compress_prepend_size(&delta);
    if packed.len() < frames.len() {
        (FrameCodec::XorLz4, packed.into())
    } else {
        (FrameCodec::Raw, Bytes::copy_from_slice(frames))
    }
}

/// Unpacks `count` frames of `frame_len` bytes: `[count * frame_len]`.
///
/// # Errors
/// When `data` does not hold exactly that many bytes or is corrupt.
pub fn decode(
    codec: FrameCodec,
    data: &[u8],
    frame_len: usize,
    count: usize,
) -> Result<Vec<u8>, FrameCodecError> {
    let expected = frame_len.checked_mul(count).ok_or(FrameCodecError::Overflow { frame_len, count })?;
    match codec {
        FrameCodec::Raw if data.len() == expected => Ok(data.to_vec()),
        FrameCodec::Raw => Err(FrameCodecError::WrongLength { expected, found: data.len() }),
        FrameCodec::XorLz4 => decode_xor_lz4(data, frame_len, expected),
        FrameCodec::Unspecified => Err(FrameCodecError::UnknownCodec { codec: codec.into() }),
    }
}

/// As [`decode`], with the codec as it comes off the wire.
///
/// # Errors
/// As [`decode`], and when the codec is unknown.
pub fn decode_wire(
    codec: i32,
    data: &[u8],
    frame_len: usize,
    count: usize,
) -> Result<Vec<u8>, FrameCodecError> {
    let known = FrameCodec::try_from(codec).map_err(|_| FrameCodecError::UnknownCodec { codec })?;
    decode(known, data, frame_len, count)
}

fn decode_xor_lz4(data: &[u8], frame_len: usize, expected: usize) -> Result<Vec<u8>, FrameCodecError> {
    let Some((prefix, body)) = data.split_first_chunk::<4>() else {
        return Err(FrameCodecError::Corrupt { reason: "shorter than its length prefix".to_owned() });
    };
    let announced = u32::from_le_bytes(*prefix) as usize;
    if announced != expected {
        return Err(FrameCodecError::WrongLength { expected, found: announced });
    }
    if expected / LZ4_MAX_RATIO > body.len() {
        return Err(FrameCodecError::Corrupt { reason: format!("{} bytes are too few", body.len()) });
    }
    let mut frames = vec![0; expected];
    let written = lz4_flex::block::decompress_into(body, &mut frames)
        .map_err(|error| FrameCodecError::Corrupt { reason: error.to_string() })?;
    if written != expected {
        return Err(FrameCodecError::WrongLength { expected, found: written });
    }
    for start in (frame_len..expected).step_by(frame_len.max(1)) {
        let (done, rest) = frames.split_at_mut(start);
        for (byte, before) in rest[..frame_len].iter_mut().zip(&done[start - frame_len..]) {
            *byte ^= before;
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slowly_changing(frame_len: usize, count: usize) -> Vec<u8> {
        (0..frame_len * count)
            .map(|i| ((i % frame_len) / 7 + usize::from(i % 31 == i / frame_len)) as u8)
            .collect()
    }

    #[test]
    fn similar_frames_pack_well() {
        let frames = slowly_changing(64 * 64 * 3, 32);
        let (codec, packed) = encode(&frames, 64 * 64 * 3);
        assert_eq!(codec, FrameCodec::XorLz4);
        assert!(packed.len() * 4 < frames.len(), "{} of {}", packed.len(), frames.len());
        assert_eq!(decode(codec, &packed, 64 * 64 * 3, 32).unwrap(), frames);
    }

    #[test]
    fn a_lying_length_is_refused_before_it_is_allocated() {
        let (codec, packed) = encode(&slowly_changing(300, 4), 300);
        assert_eq!(codec, FrameCodec::XorLz4);
        assert!(decode(codec, &packed, 300, 5).is_err());
        assert!(decode(codec, &packed, usize::MAX, 2).is_err());
        let mut lying = packed.to_vec();
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode(codec, &lying, u32::MAX as usize, 1), Err(FrameCodecError::Corrupt { .. })));
    }

    #[test]
    fn an_unknown_codec_is_an_error() {
        assert!(decode_wire(0, &[], 3, 0).is_err());
        assert_eq!(decode_wire(9, &[], 3, 0), Err(FrameCodecError::UnknownCodec { codec: 9 }));
    }

    proptest! {
        #[test]
        fn any_frames_round_trip(frame_len in 1usize..40, count in 0usize..9, seed in any::<u64>(), noise in any::<bool>()) {
            let mut state = seed;
            let frames: Vec<u8> = (0..frame_len * count).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                if noise { (state >> 56) as u8 } else { (state >> 63) as u8 }
            }).collect();
            let (codec, packed) = encode(&frames, frame_len);
            prop_assert_eq!(decode(codec, &packed, frame_len, count).unwrap(), frames);
        }

        #[test]
        fn damage_never_panics(cut in 0usize..2000, flip in 0usize..16000) {
            let (codec, packed) = encode(&slowly_changing(300, 6), 300);
            let mut damaged = packed.to_vec();
            let at = flip % (damaged.len() * 8);
            damaged[at / 8] ^= 1 << (at % 8);
            let _ = decode(codec, &damaged, 300, 6);
            prop_assert!(decode(codec, &packed[..cut % packed.len()], 300, 6).is_err());
        }
    }
}
