//! Every frame but the first XORed with the one before it, then LZ4 with the length in front: what builds up to 0.1
//! wrote into shards and journals. Kept to read those, and to be measured against.

use super::FrameCodecError;

/// LZ4 cannot expand one input byte to more than this many output bytes.
const LZ4_MAX_RATIO: usize = 255;

pub(super) fn encode(frames: &[u8], frame_len: usize) -> Vec<u8> {
    let mut delta = frames.to_vec();
    for start in (frame_len..frames.len()).step_by(frame_len.max(1)) {
        let end = (start + frame_len).min(frames.len());
        let previous = &frames[start - frame_len..end - frame_len];
        for (byte, before) in delta[start..end].iter_mut().zip(previous) {
            *byte ^= before;
        }
    }
    lz4_flex::block::compress_prepend_size(&delta)
}

pub(super) fn decode(data: &[u8], frame_len: usize, expected: usize) -> Result<Vec<u8>, FrameCodecError> {
    let Some((prefix, body)) = data.split_first_chunk::<4>() else {
        return Err(FrameCodecError::corrupt("shorter than its length prefix"));
    };
    let announced = u32::from_le_bytes(*prefix) as usize;
    if announced != expected {
        return Err(FrameCodecError::WrongLength { expected, found: announced });
    }
    if expected / LZ4_MAX_RATIO > body.len() {
        return Err(FrameCodecError::corrupt(format!("{} bytes are too few", body.len())));
    }
    let mut frames = vec![0; expected];
    let written = lz4_flex::block::decompress_into(body, &mut frames)
        .map_err(|error| FrameCodecError::corrupt(error.to_string()))?;
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
