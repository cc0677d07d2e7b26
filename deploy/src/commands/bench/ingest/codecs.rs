//! How well and how fast each codec packs the frames, on one thread, by CPU time: what the choice of codec rests on.

use std::collections::BTreeMap;

use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use vpt_proto::frame_codec;
use vpt_proto::learner::v1::FrameCodec;

use super::FRAME;

/// Passes over the frames; the fastest counts.
const PASSES: usize = 3;

/// One codec's figures; bytes per second are of unpacked frames.
pub(super) struct Packing {
    name: &'static str,
    bytes_per_frame: f64,
    encode_bytes_per_second: f64,
    decode_bytes_per_second: f64,
}

impl Packing {
    pub(super) fn line(&self) -> String {
        format!(
            "{:<15} {:>6.0} B/frame   packs {:>6.0} MB/s   unpacks {:>6.0} MB/s",
            self.name,
            self.bytes_per_frame,
            self.encode_bytes_per_second / 1e6,
            self.decode_bytes_per_second / 1e6
        )
    }

    pub(super) fn json(packings: &[Self]) -> Value {
        let by_name = packings.iter().map(|packing| {
            let value = json!({
                "bytes_per_frame": packing.bytes_per_frame,
                "encode_bytes_per_second": packing.encode_bytes_per_second,
                "decode_bytes_per_second": packing.decode_bytes_per_second,
            });
            (packing.name, value)
        });
        json!(by_name.collect::<BTreeMap<_, _>>())
    }
}

/// Packs and unpacks all `frames`, `unroll_length` at a time.
pub(super) fn measure(frames: &Bytes, unroll_length: usize) -> anyhow::Result<Vec<Packing>> {
    type Encode = fn(Bytes) -> (FrameCodec, Bytes);
    fn by(codec: FrameCodec, frames: Bytes) -> (FrameCodec, Bytes) {
        match frame_codec::encode_as(codec, &frames, FRAME) {
            Some(packed) => (codec, packed),
            None => (FrameCodec::Raw, frames),
        }
    }
    let kinds: [(&'static str, Encode); 3] = [
        ("chosen", |frames| frame_codec::encode(frames, FRAME)),
        ("changed pixels", |frames| by(FrameCodec::ChangedPixels, frames)),
        ("XOR and LZ4", |frames| by(FrameCodec::XorLz4, frames)),
    ];
    kinds.into_iter().map(|(name, encode)| measure_one(name, encode, frames, unroll_length)).collect()
}

fn measure_one(
    name: &'static str,
    encode: impl Fn(Bytes) -> (FrameCodec, Bytes),
    frames: &Bytes,
    unroll_length: usize,
) -> anyhow::Result<Packing> {
    let unrolls = || (0..frames.len()).step_by(unroll_length * FRAME);
    let unroll = |start| frames.slice(start..frames.len().min(start + unroll_length * FRAME));
    let (mut encoding, mut decoding, mut packed_bytes) = (f64::MAX, f64::MAX, 0);
    for _ in 0..PASSES {
        let began = thread_seconds()?;
        let packed: Vec<_> = unrolls().map(|start| encode(unroll(start))).collect();
        encoding = encoding.min(thread_seconds()? - began);
        packed_bytes = packed.iter().map(|(_, data)| data.len()).sum();
        let began = thread_seconds()?;
        for (codec, data) in &packed {
            frame_codec::decode(*codec, data, FRAME, unroll_length)?;
        }
        decoding = decoding.min(thread_seconds()? - began);
    }
    let bytes = frames.len() as f64;
    Ok(Packing {
        name,
        bytes_per_frame: packed_bytes as f64 / (bytes / FRAME as f64),
        encode_bytes_per_second: bytes / encoding.max(1e-6),
        decode_bytes_per_second: bytes / decoding.max(1e-6),
    })
}

/// CPU seconds of this thread.
fn thread_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
