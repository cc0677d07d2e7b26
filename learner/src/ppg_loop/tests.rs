//! The policy gradient stage on the toy world, with an actor in the same process.

mod ranks;

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use vpt_policy::{ExportDType, Parameters, PolicyConfig};

mod health;

use super::*;
use crate::checkpoint::Weights;
use crate::config::{LearnerConfig, PublishDType, Stage};
use crate::session::testing::{Bench, bench};
use crate::synthetic::{EPISODE_STEPS, SyntheticSlot, buttons_of, tiny};
use crate::version::Version;
use vpt_proto::keys;

const STEPS: u32 = 8;

fn config(dir: &std::path::Path) -> LearnerConfig {
    let mut config = LearnerConfig { stage: Stage::Ppg, out: dir.to_owned(), ..LearnerConfig::default() };
    config.unroll_length = STEPS as usize;
    config.publish.dtype = PublishDType::F32;
    config.admission.queue_unrolls = 8;
    config.admission.max_staleness = 100;
    config.checkpoint.every_phases = 2;
    config.ppg = PpgConfig {
        batch_unrolls: 8,
        minibatch_unrolls: 4,
        epochs: 2,
        discount: 0.5,
        lr: 2e-3,
        aux_lr: 1e-3,
        weight_decay: 0.0,
        kl_coef: 0.0,
        policy_phases_per_aux: 2,
        total_env_steps: 8 * u64::from(STEPS) * 5,
        ..PpgConfig::default()
    };
    config
}

fn weights(config: &PolicyConfig, seed: u64) -> Weights {
    let parameters = Parameters::init(config, seed, &Device::Cpu).unwrap();
    Weights {
        config: Some(config.clone()),
        parameters: parameters.to_safetensors(ExportDType::F32, true).unwrap(),
    }
}

/// Plays one batch as the trainer's own weights act.
fn batch(trainer: &Trainer, slots: &mut [SyntheticSlot], config: &PpgConfig) -> Vec<Experience> {
    let play = |slot: &mut SyntheticSlot| {
        let received = slot.play(&trainer.parameters, STEPS, Version::new(1, 1));
        Experience::new(received, &trainer.config, config.gae(), &Device::Cpu).unwrap()
    };
    slots.iter_mut().map(play).collect()
}

fn slots(count: u32) -> Vec<SyntheticSlot> {
    (0..count).map(|slot| SyntheticSlot::new(&tiny(), slot, 9)).collect()
}

fn loop_over<'a>(
    bench: &'a mut Bench,
    trainer: &'a mut Trainer,
    frozen: Option<FrozenPolicy>,
) -> PpgLoop<'a> {
    let config = bench.session.setup.learner.ppg.clone();
    PpgLoop::new(&mut bench.session, trainer, frozen, config)
}

/// The state travels with the unroll, so the network that acted finds its own probabilities again.
#[test]
fn first_ratios_are_one_when_the_acting_weights_train() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let config = bench.session.setup.learner.ppg.clone();
    let mut slots = slots(8);
    for _ in 0..3 {
        // Later unrolls start in mid-episode with a memory; the second epoch's steps move the weights in between.
        let mut unrolls = batch(&trainer, &mut slots, &config);
        let mut ppg = loop_over(&mut bench, &mut trainer, None);
        ppg.summarise(&mut unrolls, 0.0).unwrap();
        let statistics = ppg.policy_phase(&unrolls).unwrap();
        let first = statistics.first.unwrap();
        assert!((first.ratio_min - 1.0).abs() < 1e-4 && (first.ratio_max - 1.0).abs() < 1e-4, "{first:?}");
        assert!(statistics.precision_kl.unwrap() < 1e-8);
        assert!(statistics.approx_kl > 0.0, "the second epoch sees moved weights");
    }
}

#[test]
fn the_kl_to_itself_is_zero_and_grows_as_the_policy_moves() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let config = PpgConfig { epochs: 1, minibatch_unrolls: 8, ..bench.session.setup.learner.ppg.clone() };
    bench.session.setup.learner.ppg = config.clone();
    let start = Weights {
        config: None,
        parameters: trainer.parameters.to_safetensors(ExportDType::F32, true).unwrap(),
    };
    let mut frozen =
        Some(FrozenPolicy::new(crate::compute::Compute::cpu(), &start, &tiny(), 1 << 20).unwrap());
    let mut slots = slots(8);
    let mut kls = Vec::new();
    for _ in 0..3 {
        let mut unrolls = batch(&trainer, &mut slots, &config);
        let mut ppg = loop_over(&mut bench, &mut trainer, frozen.take());
        ppg.summarise(&mut unrolls, 0.0).unwrap();
        kls.push(ppg.policy_phase(&unrolls).unwrap().kl_to_pretrained);
        frozen = ppg.frozen.take();
    }
    assert!(kls[0].abs() < 1e-6 && kls[1] > 1e-6 && kls[2] > kls[1], "{kls:?}");
}

#[test]
fn an_auxiliary_phase_keeps_the_newest_unrolls_it_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    bench.session.setup.learner.ppg.aux_unrolls = 12;
    let (mut trainer, _) = bench.trainer();
    let config = bench.session.setup.learner.ppg.clone();
    let mut slots = slots(8);
    let batches: Vec<_> = (0..2).map(|_| batch(&trainer, &mut slots, &config)).collect();
    let mut ppg = loop_over(&mut bench, &mut trainer, None);
    for unrolls in batches {
        ppg.keep(unrolls);
    }
    let sequences: Vec<u64> = ppg.buffer.iter().map(|unroll| unroll.sequence).collect();
    let (old, new) = (sequences[0], sequences[11]);
    assert_eq!(sequences, [[old; 4].as_slice(), &[new; 8]].concat());
    assert_eq!((new, ppg.buffered_phases), (old + 1, 2));
}

#[test]
fn warm_up_moves_the_value_head_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    bench.session.setup.learner.ppg.value_warmup_phases = 1;
    let (mut trainer, _) = bench.trainer();
    let before = trainer.parameters.frozen_copy().unwrap();
    let config = bench.session.setup.learner.ppg.clone();
    let mut unrolls = batch(&trainer, &mut slots(8), &config);
    let mut ppg = loop_over(&mut bench, &mut trainer, None);
    ppg.summarise(&mut unrolls, 0.0).unwrap();
    ppg.policy_phase(&unrolls).unwrap();
    for (name, var) in trainer.parameters.vars() {
        let moved = (var.as_tensor() - before.get(&name).unwrap()).unwrap().abs().unwrap().sum_all().unwrap();
        let moved = moved.to_scalar::<f32>().unwrap() > 0.0;
        assert_eq!(moved, name.starts_with("value_head.linear"), "{name}");
    }
}

/// Makes the policy choose between attacking and walking, as a cloned one would: from random weights every one of the
/// 8641 classes would have to be found by itself.
fn choose_between_two(trainer: &Trainer) {
    let name = "pi_head.buttons.linear_layer.bias";
    let (_, bias) = trainer.parameters.vars().into_iter().find(|(n, _)| n == name).unwrap();
    let mut numbers = bias.as_tensor().to_vec1::<f32>().unwrap();
    for keys in [keys::ATTACK, keys::FORWARD] {
        numbers[buttons_of(keys) as usize] = 24.0;
    }
    bias.set(&Tensor::new(numbers, &Device::Cpu).unwrap()).unwrap();
}

/// Played in lockstep, so that the numbers are the same on every machine.
#[test]
fn the_toy_world_is_learned() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    choose_between_two(&trainer);
    let config = bench.session.setup.learner.ppg.clone();
    let mut slots = slots(8);
    let mut rewards = Vec::new();
    for phase in 0..30 {
        let mut unrolls = batch(&trainer, &mut slots, &config);
        let mut ppg = loop_over(&mut bench, &mut trainer, None);
        rewards.push(ppg.summarise(&mut unrolls, 0.0).unwrap().mean_reward);
        ppg.policy_phase(&unrolls).unwrap();
        ppg.keep(unrolls);
        if phase % 2 == 1 {
            ppg.aux_phase().unwrap();
        }
    }
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    let (start, end) = (mean(&rewards[..4]), mean(&rewards[26..]));
    assert!(start < 0.65, "chance is a half: {start}");
    assert!(end > 0.8, "from {start} to {end}");
}

/// Runs the loop with an actor that follows the published weights on another thread.
fn run_with_actor(bench: &mut Bench, trainer: &mut Trainer, frozen: Option<FrozenPolicy>) {
    let (weights, queue) = (bench.weights.clone(), bench.queue.clone());
    let ledger = bench.session.ledger.clone();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slots = slots(4);
            for i in (0..slots.len()).cycle() {
                let played = loop {
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    if queue.len() < queue.capacity()
                        && let Some(published) = weights.store().newest()
                    {
                        let payload = published.payload.payload().unwrap();
                        let acting = Parameters::from_safetensors(&payload, &tiny(), false, &Device::Cpu);
                        break slots[i].play(&acting.unwrap(), STEPS, published.version.into());
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                let actor = crate::ledger::ActorKey { actor_id: "synthetic".into(), incarnation: 1 };
                ledger.arrived(&actor, played.unroll.slot, played.unroll.sequence, played.steps());
                queue.push(played).unwrap();
            }
        });
        let result = run(&mut bench.session, trainer, frozen);
        done.store(true, Ordering::Release);
        result.unwrap();
    });
}

#[test]
fn the_loop_trains_publishes_checkpoints_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = bench(config(dir.path()), &tiny());
    let (mut trainer, stored) = first.trainer();
    assert!(stored.is_none());
    let frozen =
        FrozenPolicy::new(crate::compute::Compute::cpu(), &weights(&tiny(), 3), &tiny(), 1 << 20).unwrap();
    run_with_actor(&mut first, &mut trainer, Some(frozen));
    let counters = trainer.counters.clone();
    assert_eq!((counters.policy_phases, counters.aux_phases), (5, 2));
    assert_eq!(counters.env_steps_trained, 5 * 8 * u64::from(STEPS));
    assert_eq!(first.session.version, Version::new(1, 6));
    let totals = first.session.ledger.totals();
    assert_eq!(totals.trained, counters.env_steps_trained);
    assert_eq!(totals.produced, totals.trained + totals.dropped.values().sum::<u64>() + totals.in_flight);
    let lines = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    for tag in
        ["losses/policy_loss", "losses/aux_clone_kl", "losses/kl_to_pretrained", "charts/episodic_return"]
    {
        assert!(lines.contains(tag), "{tag}");
    }
    let status = first.session.status.snapshot();
    assert!(status.episodes > 0 && status.mean_return <= f64::from(EPISODE_STEPS));
    drop(first);

    let mut longer = config(dir.path());
    longer.ppg.total_env_steps += 64;
    let mut second = bench(longer, &tiny());
    let (mut trainer, stored) = second.trainer();
    assert_eq!(stored.unwrap().manifest.version, Version::new(1, 6));
    assert_eq!(trainer.counters.optimizer_steps, counters.optimizer_steps);
    assert!(second.session.version >= Version::new(2, 6), "versions only go up");
    run_with_actor(&mut second, &mut trainer, None);
    assert_eq!(trainer.counters.policy_phases, 6);
    assert_eq!(second.session.version, Version::new(2, 7));
    assert_eq!(
        crate::checkpoint::load_policy(dir.path().join("checkpoints").as_path()).unwrap().version,
        Version::new(2, 7)
    );
}

#[test]
fn a_batch_that_is_not_finite_is_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let config = bench.session.setup.learner.ppg.clone();
    let mut unrolls = batch(&trainer, &mut slots(8), &config);
    for unroll in &mut unrolls {
        unroll.advantages[0] = f32::NAN;
    }
    let before = crate::synthetic::bits(&trainer.parameters);
    let mut ppg = loop_over(&mut bench, &mut trainer, None);
    ppg.policy_phase(&unrolls).unwrap();
    assert_eq!(crate::synthetic::bits(&trainer.parameters), before);
    assert_eq!(trainer.counters.nonfinite_batches, 4);
    assert_eq!(trainer.counters.env_steps_trained, 0);
    assert_eq!(bench.session.ledger.totals().dropped["nonfinite"], 64);
}

#[test]
fn a_stop_books_what_was_collected_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(config(dir.path()), &tiny());
    let (mut trainer, _) = bench.trainer();
    let played = slots(1)[0].play(&trainer.parameters, STEPS, Version::new(1, 1));
    bench.queue.push(played).unwrap();
    let shutdown = bench.session.shutdown.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !bench.queue.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            shutdown.cancel();
        });
        run(&mut bench.session, &mut trainer, None).unwrap();
    });
    assert_eq!(bench.session.ledger.totals().dropped["draining"], u64::from(STEPS));
    assert!(dir.path().join("checkpoints/latest").exists());
}
