//! Every input comes back bit for bit; what no encoder wrote comes back as an error.

use super::*;
use proptest::prelude::*;

const SIDE: usize = 64;
const FRAME: usize = SIDE * SIDE * 3;

/// Bytes without any pattern.
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Frames in few colours of which a block moves over a picture that stands still.
fn game(frame_len: usize, count: usize) -> Vec<u8> {
    let pixel = |frame: usize, at: usize| {
        let moving = at % 50 > 3 * frame && at % 50 < 3 * frame + 9;
        let colour = if moving { 200 + at % 7 } else { at / 11 % 90 };
        [colour as u8, (colour * 3) as u8, 7]
    };
    (0..count).flat_map(|frame| (0..frame_len).map(move |byte| pixel(frame, byte / 3)[byte % 3])).collect()
}

#[test]
fn frames_of_a_game_pack_well() {
    let frames = game(FRAME, 32);
    let (codec, packed) = encode(frames.clone().into(), FRAME);
    assert_eq!(codec, FrameCodec::ChangedPixels);
    assert!(packed.len() * 20 < frames.len(), "{} of {}", packed.len(), frames.len());
    assert_eq!(decode(codec, &packed, FRAME, 32).unwrap(), frames);
}

#[test]
fn noise_travels_as_it_is_and_without_a_copy() {
    let frames = Bytes::from(noise(8 * FRAME, 3));
    let (codec, packed) = encode(frames.clone(), FRAME);
    assert_eq!((codec, packed.as_ptr()), (FrameCodec::Raw, frames.as_ptr()));
    assert_eq!(decode(codec, &packed, FRAME, 8).unwrap(), frames);
    assert_eq!(encode_as(FrameCodec::ChangedPixels, &frames, FRAME), None, "it would grow");
}

#[test]
fn what_earlier_builds_wrote_is_read() {
    let frames = game(FRAME, 4);
    let packed = encode_as(FrameCodec::XorLz4, &frames, FRAME).unwrap();
    assert_eq!(decode(FrameCodec::XorLz4, &packed, FRAME, 4).unwrap(), frames);
    // Two frames of one pixel, [1, 2, 3] and [1, 2, 4], as version 0.1 packed them.
    let recorded = Bytes::from_static(&[6, 0, 0, 0, 0x60, 1, 2, 3, 0, 0, 7]);
    assert_eq!(decode(FrameCodec::XorLz4, &recorded, 3, 2).unwrap(), &[1, 2, 3, 1, 2, 4][..]);
}

#[test]
fn a_lying_length_is_refused_before_it_is_allocated() {
    for codec in [FrameCodec::ChangedPixels, FrameCodec::XorLz4] {
        let packed = encode_as(codec, &game(300, 4), 300).unwrap();
        assert!(decode(codec, &packed, 300, 4).is_ok());
        for (frame_len, count) in [(300, 5), (300, 3), (303, 4), (0, 4), (0, 0), (300, 0)] {
            assert!(decode(codec, &packed, frame_len, count).is_err(), "{codec:?} {frame_len} {count}");
        }
        for (frame_len, count) in [(usize::MAX, 2), (u32::MAX as usize, 1)] {
            let error = decode(codec, &packed, frame_len, count).unwrap_err();
            assert_eq!(error, FrameCodecError::TooLarge { frame_len, count });
        }
        let mut lying = packed.to_vec();
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode(codec, &lying.into(), 300, 4), Err(FrameCodecError::WrongLength { .. })));
    }
}

#[test]
fn data_beyond_the_streams_is_refused() {
    let (codec, packed) = encode(game(300, 4).into(), 300);
    let longer = Bytes::from([&packed[..], &[0]].concat());
    assert!(decode(codec, &longer, 300, 4).unwrap_err().to_string().contains("1 bytes too many"));
    let (head, empty) = ([300u32.to_le_bytes(), 4u32.to_le_bytes()].concat(), [0; 24]);
    let error = decode(codec, &[&head[..], &empty].concat().into(), 300, 4).unwrap_err();
    assert!(error.to_string().contains("short map"), "{error}");
}

#[test]
fn an_unknown_codec_is_an_error() {
    assert!(decode_wire(0, &Bytes::new(), 3, 0).is_err());
    assert_eq!(decode_wire(9, &Bytes::new(), 3, 0), Err(FrameCodecError::UnknownCodec { codec: 9 }));
}

proptest! {
    #[test]
    fn any_frames_round_trip(frame_len in 1usize..700, count in 0usize..9, seed in any::<u64>(), colours in 1u8..=255) {
        let frames: Vec<u8> = noise(frame_len * count, seed).iter().map(|byte| byte % colours).collect();
        let (codec, packed) = encode(frames.clone().into(), frame_len);
        prop_assert_eq!(decode(codec, &packed, frame_len, count).unwrap(), frames.clone());
        for codec in [FrameCodec::ChangedPixels, FrameCodec::XorLz4] {
            if let Some(packed) = encode_as(codec, &frames, frame_len) {
                prop_assert_eq!(decode(codec, &packed, frame_len, count).unwrap(), frames.clone());
            }
        }
    }

    #[test]
    fn damage_never_panics(cut in 0usize..2000, flip in 0usize..16000, at_most in 0usize..8) {
        for codec in [FrameCodec::ChangedPixels, FrameCodec::XorLz4] {
            let packed = encode_as(codec, &game(300, 6), 300).unwrap();
            let mut damaged = packed.to_vec();
            let at = flip % (damaged.len() * 8);
            damaged[at / 8] ^= 1 << (at % 8);
            let damaged = Bytes::from(damaged);
            let _ = decode(codec, &damaged, 300, 6);
            let _ = decode(codec, &damaged, 300, at_most);
            prop_assert!(decode(codec, &packed.slice(..cut % packed.len()), 300, 6).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..300), frame_len in 0usize..400, count in 0usize..5) {
        let data = Bytes::from(data);
        for codec in 0..5 {
            if let Ok(frames) = decode_wire(codec, &data, frame_len, count) {
                prop_assert_eq!(frames.len(), frame_len * count);
            }
        }
    }

    /// Streams that are sound by themselves and do not fit each other.
    #[test]
    fn streams_that_do_not_fit_never_panic(map in proptest::collection::vec(any::<u8>(), 0..60), indices in proptest::collection::vec(any::<u8>(), 0..80), colours in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut streams = Vec::new();
        for stream in [&map, &indices, &colours] {
            let packed = if stream.is_empty() { Vec::new() } else { zstd::bulk::compress(stream, 1).unwrap() };
            streams.extend_from_slice(&(stream.len() as u32).to_le_bytes());
            streams.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            streams.extend_from_slice(&packed);
        }
        for (frame_len, count) in [(3, 2), (195, 3), (192, 2), (600, 1)] {
            let head = [(frame_len as u32).to_le_bytes(), (count as u32).to_le_bytes()].concat();
            let data = Bytes::from([head, streams.clone()].concat());
            if let Ok(frames) = decode(FrameCodec::ChangedPixels, &data, frame_len, count) {
                prop_assert_eq!(frames.len(), frame_len * count);
            }
        }
    }
}
