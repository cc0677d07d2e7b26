//! The frozen policy follows streams exactly, and masks where it cannot.

use candle_core::Device;

mod double;
mod long_stream;

use super::*;
use crate::algo::gae::GaeConfig;
use crate::config::PpgConfig;
use crate::synthetic::{SyntheticSlot, tiny};
use crate::version::Version;
use vpt_policy::ExportDType;

const STEPS: u32 = 4;

fn parameters() -> Parameters {
    Parameters::init(&tiny(), 3, &Device::Cpu).unwrap()
}

pub(super) fn frozen(max_bytes: usize) -> FrozenPolicy {
    let parameters = parameters().to_safetensors(ExportDType::F32, true).unwrap();
    FrozenPolicy::new(
        crate::compute::Compute::cpu(),
        &Weights { config: Some(tiny()), parameters },
        &tiny(),
        max_bytes,
    )
    .unwrap()
}

pub(super) fn experiences(slots: u32, unrolls: u32) -> Vec<Experience> {
    let gae: GaeConfig = PpgConfig::default().gae();
    let parameters = parameters();
    let mut slots: Vec<_> = (0..slots).map(|slot| SyntheticSlot::new(&tiny(), slot, 5)).collect();
    (0..unrolls)
        .flat_map(|_| {
            let play = |slot: &mut SyntheticSlot| {
                let received = slot.play(&parameters, STEPS, Version::new(1, 1));
                Experience::new(received, &tiny(), gae, &Device::Cpu).unwrap()
            };
            slots.iter_mut().map(play).collect::<Vec<_>>()
        })
        .collect()
}

/// Memory of one stream.
pub(super) fn row_bytes() -> usize {
    let config = tiny();
    config.n_recurrence_layers * config.maxlen() * (8 * config.hidsize + 1)
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// With the acting weights frozen, the state it computes must be the one that travelled with the unroll.
#[test]
fn a_followed_stream_agrees_with_the_acting_policy() {
    let unrolls = experiences(3, 6);
    let mut frozen = frozen(1 << 20);
    let outputs = frozen.follow(&unrolls).unwrap();
    let config = tiny();
    let policy = Policy::new(&config, &parameters().frozen_copy().unwrap()).unwrap();
    for (unroll, output) in unrolls.iter().zip(&outputs) {
        let (batch, state) = stack(&[unroll], config.image_size, &Device::Cpu).unwrap();
        let expected = policy.forward(&batch.frames, &batch.is_first, &state).unwrap();
        assert!(difference(&expected.buttons_logits.get(0).unwrap(), &output.buttons_logits) < 1e-5);
        assert!(difference(&expected.camera_logits.get(0).unwrap(), &output.camera_logits) < 1e-5);
        assert!(output.mask.iter().all(|&kept| kept == 1.0));
    }
    assert_eq!(frozen.masked_steps, 0);
}

#[test]
fn after_a_gap_the_memory_is_masked_until_it_is_full_or_an_episode_starts() {
    let mut unrolls = experiences(1, 8);
    // Episodes are 10 steps: unrolls 0..2 hold steps 0 to 8, unroll 2 a start at its third step.
    unrolls.remove(1);
    let mut frozen = frozen(1 << 20);
    let outputs = frozen.follow(&unrolls).unwrap();
    assert_eq!(outputs[1].mask, [0.0, 0.0, 1.0, 1.0]);
    assert!(outputs[2].mask.iter().all(|&kept| kept == 1.0));
    assert_eq!(frozen.masked_steps, 2);
}

#[test]
fn the_store_stays_within_its_bytes_and_forgets_the_least_recent() {
    let mut frozen = frozen(2 * row_bytes());
    let unrolls = experiences(3, 1);
    frozen.follow(&unrolls).unwrap();
    let kept: Vec<_> = frozen.streams.by_last_use().into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(kept, [&unrolls[1].slot, &unrolls[2].slot], "the least recently used goes first");
}
