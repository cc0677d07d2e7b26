//! The gradient of a minibatch is the same however it is divided among ranks.

use candle_core::Device;
use vpt_policy::{ExportDType, Parameters, ValueGradient};

use super::*;
use crate::algo::advantage_norm::normalize_advantages_over;
use crate::checkpoint::Weights;
use crate::compute::Compute;
use crate::config::OptimizerConfig;
use crate::frozen_policy::FrozenPolicy;
use crate::ranks::Ranks;
use crate::ranks::testing::{ranks, relative_distance};
use crate::synthetic::{SyntheticSlot, tiny};
use crate::version::Version;

const UNROLLS: usize = 4;

/// Four unrolls, the last after a gap in its stream.
fn unrolls() -> Vec<Experience> {
    let parameters = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
    let play = |slot: u32| {
        let has_gap = slot == UNROLLS as u32 - 1;
        let mut slot = SyntheticSlot::new(&tiny(), slot, 9);
        if has_gap {
            slot.play(&parameters, 8, Version::new(1, 1));
        }
        let received = slot.play(&parameters, 8, Version::new(1, 1));
        Experience::new(received, &tiny(), PpgConfig::default().gae(), &Device::Cpu).unwrap()
    };
    (0..UNROLLS as u32).map(play).collect()
}

/// Gradients of all terms of the loss for this rank's share of the unrolls, averaged over ranks.
fn gradients(ranks: Ranks, all: &[Experience]) -> Vec<f32> {
    let count = UNROLLS / ranks.count();
    let mut unrolls = all[ranks.rank() * count..(ranks.rank() + 1) * count].to_vec();
    let mut advantages: Vec<_> =
        unrolls.iter_mut().map(|unroll| std::mem::take(&mut unroll.advantages)).collect();
    normalize_advantages_over(&mut advantages, |numbers| ranks.sum("advantages", numbers)).unwrap();
    for (unroll, advantages) in unrolls.iter_mut().zip(advantages) {
        unroll.advantages = advantages;
    }
    let pretrained = Parameters::init(&tiny(), 5, &Device::Cpu).unwrap();
    let pretrained =
        Weights { config: None, parameters: pretrained.to_safetensors(ExportDType::F32, true).unwrap() };
    let mut frozen = FrozenPolicy::new(Compute::cpu(), &pretrained, &tiny(), 1 << 20).unwrap();
    let frozen = frozen.follow(&unrolls).unwrap();
    let adam = OptimizerConfig::default().adam(1e-4, 0.0);
    let stopwatch = Stopwatch::new();
    let optimizers = (adam, Some(adam));
    let mut trainer = Trainer::new(Compute::cpu(), &tiny(), None, 2, optimizers, stopwatch.clone()).unwrap();
    trainer.set_value_gradient(ValueGradient::Shared).unwrap();
    trainer.ranks = ranks;
    let config = PpgConfig { entropy_coef: 0.01, ..PpgConfig::default() };
    let phase = PolicyPhase {
        config: &config,
        unrolls: &unrolls,
        frozen: &frozen,
        seed: 1,
        lr: 1e-4,
        kl_coef: 0.2,
        stopwatch: &stopwatch,
        traces: &BatchTraces::default(),
        stop: &|| false,
    };
    let indices: Vec<usize> = (0..count).collect();
    let minibatch = Minibatch::stacked(&unrolls, &indices, tiny().image_size, &Device::Cpu).unwrap();
    let losses = phase.losses(&mut trainer, &minibatch, &indices).unwrap();
    trainer.gradients(&losses.total).unwrap().1.unwrap().flatten().unwrap().to_vec1().unwrap()
}

#[test]
fn one_step_has_the_gradient_of_the_whole_minibatch() {
    let unrolls = unrolls();
    let whole = gradients(Ranks::alone(), &unrolls);
    for count in [2, 4] {
        let shared = ranks(count, |ranks| gradients(ranks, &unrolls));
        assert!(shared.iter().all(|gradients| *gradients == shared[0]), "ranks differ");
        let distance = relative_distance(&whole, &shared[0]);
        println!("{count} ranks: gradient off by {distance:.2e}");
        assert!(distance <= 1e-5, "{distance}");
    }
}
