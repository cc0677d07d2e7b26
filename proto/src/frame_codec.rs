//! Lossless packing of consecutive RGB frames.
//!
//! A block of frames is self-contained. [`encode`] chooses: frames that look like noise travel raw, all others by the
//! codec of [`changed_pixels`], which was chosen by measurement (see BENCHMARKS.md); [`xor_lz4`] is what earlier builds
//! wrote. Decoding checks every announced length against what the caller expects before it allocates.
//!
//! # Layout
//! - here: the choice, the bounds, the errors
//! - [`changed_pixels`]: which pixels changed, their colours by a cache, the rest by zstd
//! - [`noise`]: whether packing is worth trying
//! - [`xor_lz4`]: the codec of shards and journals written before

mod changed_pixels;
mod noise;
mod xor_lz4;

#[cfg(test)]
mod tests;

use crate::learner::v1::FrameCodec;
use crate::limits::MAX_UNROLL_BYTES;
use bytes::Bytes;

/// Why packed frames could not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameCodecError {
    /// The codec field holds a value this build does not know.
    #[error("unknown frame codec {codec}; the frames were written by a newer build")]
    UnknownCodec {
        /// The number on the wire.
        codec: i32,
    },
    /// Frames of that size and number may not be asked for.
    #[error("{count} frames of {frame_len} bytes are more than {MAX_UNROLL_BYTES} bytes")]
    TooLarge {
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
    /// The data is not what an encoder writes.
    #[error("frames are corrupt: {reason}")]
    Corrupt {
        /// What does not hold.
        reason: String,
    },
}

impl FrameCodecError {
    fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt { reason: reason.into() }
    }
}

/// Packs `frames` (a whole number of frames of `frame_len` bytes) by the codec that suits them; raw frames are handed
/// back without a copy.
pub fn encode(frames: Bytes, frame_len: usize) -> (FrameCodec, Bytes) {
    if !noise::is_noise(&frames, frame_len)
        && let Some(packed) = encode_as(FrameCodec::ChangedPixels, &frames, frame_len)
    {
        return (FrameCodec::ChangedPixels, packed);
    }
    (FrameCodec::Raw, frames)
}

/// Packs `frames` by one codec, whatever they are like; none when it cannot take them or makes them no smaller.
pub fn encode_as(codec: FrameCodec, frames: &[u8], frame_len: usize) -> Option<Bytes> {
    debug_assert!(frame_len > 0 && frames.len().is_multiple_of(frame_len));
    let packed = match codec {
        FrameCodec::ChangedPixels => changed_pixels::encode(frames, frame_len)?,
        FrameCodec::XorLz4 => xor_lz4::encode(frames, frame_len),
        FrameCodec::Raw | FrameCodec::Unspecified => return None,
    };
    (packed.len() < frames.len()).then(|| packed.into())
}

/// Unpacks `count` frames of `frame_len` bytes: `[count * frame_len]`; raw frames are `data` itself.
///
/// # Errors
/// When that is more than an unroll may hold, or `data` does not hold exactly that many bytes or is corrupt.
pub fn decode(
    codec: FrameCodec,
    data: &Bytes,
    frame_len: usize,
    count: usize,
) -> Result<Bytes, FrameCodecError> {
    let too_large = FrameCodecError::TooLarge { frame_len, count };
    let expected = frame_len.checked_mul(count).filter(|&bytes| bytes as u64 <= MAX_UNROLL_BYTES);
    let expected = expected.ok_or(too_large)?;
    match codec {
        FrameCodec::Raw if data.len() == expected => Ok(data.clone()),
        FrameCodec::Raw => Err(FrameCodecError::WrongLength { expected, found: data.len() }),
        FrameCodec::XorLz4 => xor_lz4::decode(data, frame_len, expected).map(Bytes::from),
        FrameCodec::ChangedPixels => changed_pixels::decode(data, frame_len, count).map(Bytes::from),
        FrameCodec::Unspecified => Err(FrameCodecError::UnknownCodec { codec: codec.into() }),
    }
}

/// As [`decode`], with the codec as it comes off the wire.
///
/// # Errors
/// As [`decode`], and when the codec is unknown.
pub fn decode_wire(
    codec: i32,
    data: &Bytes,
    frame_len: usize,
    count: usize,
) -> Result<Bytes, FrameCodecError> {
    let known = FrameCodec::try_from(codec).map_err(|_| FrameCodecError::UnknownCodec { codec })?;
    decode(known, data, frame_len, count)
}
