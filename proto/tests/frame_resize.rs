//! Whole frames of the size VPT plays at, resized bit for bit as OpenCV does.
//!
//! `fixtures/resized_*.rgb` are u8 `[128, 128, 3]`: what `cv2.resize(frame, (128, 128), INTER_LINEAR)` gives for the
//! two 640x360 frames whose formulas are below.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use vpt_proto::frame_resize::Resizer;

const WIDTH: u64 = 640;
const HEIGHT: u64 = 360;
const SIDE: usize = 128;

/// A 640x360 RGB frame from a formula of x, y and channel.
fn frame(value: impl Fn(u64, u64, u64) -> u64) -> Vec<u8> {
    let mut rgb = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            rgb.extend((0..3).map(|channel| value(x, y, channel) as u8));
        }
    }
    rgb
}

fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Blocks of 8x8 pixels (high bits) under noise (low bits).
fn noise(x: u64, y: u64, channel: u64) -> u64 {
    let base = (101 * 1_000_003) << 24;
    let block = splitmix64(base + (1 << 22) + (y / 8) * 1024 + (x / 8) * 4 + channel);
    let pixel = splitmix64(base + (y * 1024 + x) * 4 + channel);
    (block & 0xF0) | (pixel & 0x0F)
}

#[track_caller]
fn assert_resizes_to(rgb: &[u8], expected: &[u8]) {
    let resizer = Resizer::new((WIDTH as usize, HEIGHT as usize), (SIDE, SIDE)).unwrap();
    let mut out = vec![0; resizer.target_bytes()];
    resizer.resize(rgb, &mut out).unwrap();
    assert_eq!(out.len(), expected.len());
    let wrong = out.iter().zip(expected).filter(|(byte, expected)| byte != expected).count();
    assert_eq!(wrong, 0, "bytes that differ");
}

#[test]
fn noise_is_bit_equal() {
    assert_resizes_to(&frame(noise), include_bytes!("fixtures/resized_noise.rgb"));
}

#[test]
fn a_gradient_is_bit_equal() {
    let gradient = frame(|x, y, channel| (x * 3 + y * 5 + channel * 70 + (x * y) / 97) & 255);
    assert_resizes_to(&gradient, include_bytes!("fixtures/resized_gradient.rgb"));
}
