//! The KL that training computes piece by piece along a long stream, with episodes that end inside unrolls and unrolls
//! that never arrive, against one forward pass of the frozen network over the whole stream.

use candle_core::{Device, Tensor};
use vpt_policy::{CounterRng, ExportDType, Parameters, Policy, RecurrentState, distribution};

use super::super::*;
use crate::checkpoint::Weights;
use crate::experience::{EpisodeEnds, SlotKey};
use crate::synthetic::tiny;

const STEPS: usize = 4;
const UNROLLS: u64 = 40;
const SLOTS: u32 = 3;
/// Nats a step.
const TOLERANCE: f32 = 2e-5;

/// Whether slot `slot`'s step `t` starts an episode: some are shorter than an unroll, some much longer than what the
/// network can see.
pub(super) fn starts_episode(slot: u32, t: usize) -> bool {
    [0, 37, 39, 45, 110, 111, 143].contains(&(t + 5 * slot as usize)) || t == 0
}

/// Unrolls that are lost on the way or refused: one alone, several in a row, one with an episode's start inside.
pub(super) fn is_lost(slot: u32, sequence: u64) -> bool {
    matches!((slot, sequence), (0, 3 | 14 | 15 | 16 | 27) | (1, 8 | 10 | 30) | (2, 20))
}

/// One slot's whole stream, cut into unrolls; frames are noise.
pub(super) fn stream(slot: u32) -> Vec<Experience> {
    let config = tiny();
    let mut rng = CounterRng::new(&[41, u64::from(slot)]);
    let pixels = STEPS * config.image_size * config.image_size * 3;
    let unroll = |sequence: u64| Experience {
        slot: SlotKey { actor_id: "noise".into(), incarnation: 1, slot },
        sequence,
        staleness: 0,
        frames: (0..pixels).map(|_| rng.next_u64() as u8).collect(),
        is_first: (0..STEPS).map(|t| u8::from(starts_episode(slot, sequence as usize * STEPS + t))).collect(),
        buttons: vec![0; STEPS],
        camera: vec![0; STEPS],
        behaviour_log_prob: vec![0.0; STEPS],
        values: vec![0.0; STEPS],
        rewards: vec![0.0; STEPS],
        advantages: vec![0.0; STEPS],
        value_targets: vec![0.0; STEPS],
        ends: EpisodeEnds::default(),
        aux_uses: 0,
        state: RecurrentState::initial(&config, 1, &Device::Cpu).unwrap(),
    };
    (0..UNROLLS).map(unroll).collect()
}

/// What arrives, in phases as the training loop takes them: several unrolls of each slot at a time.
pub(super) fn arriving() -> Vec<Vec<Experience>> {
    let streams: Vec<Vec<Experience>> = (0..SLOTS).map(stream).collect();
    let phase = |sequences: std::ops::Range<u64>| {
        let of_slot = |slot: u32| {
            let kept = sequences.clone().filter(move |&sequence| !is_lost(slot, sequence));
            kept.map(|sequence| streams[slot as usize][sequence as usize].clone()).collect::<Vec<_>>()
        };
        // The slots' unrolls interleave, the last slot first.
        (0..SLOTS).rev().flat_map(of_slot).collect()
    };
    (0..UNROLLS / 5).map(|i| phase(5 * i..5 * (i + 1))).collect()
}

/// Weights with nothing near its neutral start, so that KLs are of the size that training sees.
fn noisy(seed: u64) -> Parameters {
    let parameters = Parameters::init(&tiny(), seed, &Device::Cpu).unwrap();
    let mut rng = CounterRng::new(&[seed, 78]);
    for (_, var) in parameters.vars() {
        let noise: Vec<f32> = (0..var.elem_count()).map(|_| 0.1 * rng.normal_f32()).collect();
        let noise = Tensor::from_vec(noise, var.shape().clone(), &Device::Cpu).unwrap();
        var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
    }
    parameters
}

/// KL per step of pretrained logits from a policy that stays the same throughout.
fn kl(frozen: &FrozenOutput, current: &(Tensor, Tensor)) -> Vec<f32> {
    let buttons = distribution::kl(&frozen.buttons_logits, &current.0).unwrap();
    let camera = distribution::kl(&frozen.camera_logits, &current.1).unwrap();
    (buttons + camera).unwrap().to_vec1().unwrap()
}

/// Logits `[T, ...]` of one pass over unrolls that follow each other.
fn pass(policy: &Policy, unrolls: &[Experience]) -> (Tensor, Tensor) {
    let frames: Vec<u8> = unrolls.iter().flat_map(|unroll| unroll.frames.clone()).collect();
    let flags: Vec<u8> = unrolls.iter().flat_map(|unroll| unroll.is_first.clone()).collect();
    let (side, steps) = (tiny().image_size, flags.len());
    let frames = Tensor::from_vec(frames, (1, steps, side, side, 3), &Device::Cpu).unwrap();
    let flags = Tensor::from_vec(flags, (1, steps), &Device::Cpu).unwrap();
    let state = RecurrentState::initial(&tiny(), 1, &Device::Cpu).unwrap();
    let output = policy.forward(&frames, &flags, &state).unwrap();
    (output.buttons_logits.squeeze(0).unwrap(), output.camera_logits.squeeze(0).unwrap())
}

#[test]
fn the_kl_along_a_stream_is_that_of_one_long_pass() {
    let parameters = noisy(3).to_safetensors(ExportDType::F32, true).unwrap();
    let weights = Weights { config: Some(tiny()), parameters };
    let mut frozen = FrozenPolicy::new(crate::compute::Compute::cpu(), &weights, &tiny(), 1 << 20).unwrap();
    let pretrained = Policy::new(&tiny(), &noisy(3).frozen_copy().unwrap()).unwrap();
    let current = Policy::new(&tiny(), &noisy(4).frozen_copy().unwrap()).unwrap();
    let long: Vec<(Tensor, Tensor)> = (0..SLOTS).map(|slot| pass(&pretrained, &stream(slot))).collect();
    let (mut compared, mut largest, mut largest_kl, mut largest_masked) = (0, 0.0f32, 0.0f32, 0.0f32);
    for unrolls in arriving() {
        let outputs = frozen.follow(&unrolls).unwrap();
        for (unroll, output) in unrolls.iter().zip(&outputs) {
            let whole = &long[unroll.slot.slot as usize];
            let at = |logits: &Tensor| logits.narrow(0, unroll.sequence as usize * STEPS, STEPS).unwrap();
            let expected = FrozenOutput {
                buttons_logits: at(&whole.0).contiguous().unwrap(),
                camera_logits: at(&whole.1).contiguous().unwrap(),
                mask: Vec::new(),
            };
            let now = pass(&current, std::slice::from_ref(unroll));
            let pairs = kl(output, &now).into_iter().zip(kl(&expected, &now));
            for ((got, expected), &kept) in pairs.zip(&output.mask) {
                let difference = (got - expected).abs();
                if kept == 1.0 {
                    compared += 1;
                    largest = largest.max(difference);
                    largest_kl = largest_kl.max(expected);
                } else {
                    largest_masked = largest_masked.max(difference);
                }
            }
        }
    }
    println!(
        "{compared} steps, KL up to {largest_kl}, differences up to {largest} (masked {largest_masked})"
    );
    assert!(largest <= TOLERANCE, "{largest} nats at a KL of up to {largest_kl}");
    assert!(largest_kl > 0.1, "the KL must be worth comparing: {largest_kl}");
    assert!(largest_masked > TOLERANCE, "masking must be needed: {largest_masked}");
    let arrived = (u64::from(SLOTS) * UNROLLS - 9) * STEPS as u64;
    assert_eq!(compared, arrived - frozen.masked_steps);
    assert!(frozen.masked_steps > 0 && frozen.masked_steps < arrived / 4, "{}", frozen.masked_steps);
}
