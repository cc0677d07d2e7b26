//! Two ranks with half the unrolls each train as one with all of them.

use super::*;
use crate::compute::Compute;
use crate::queue::UnrollQueue;
use crate::ranks::Ranks;
use crate::ranks::testing::{Mortal, PATIENCE, connected, largest_difference, ranks};
use crate::synthetic::numbers;

/// Slots of the whole batch.
const SLOTS: u32 = 8;
const PHASES: u32 = 10;

/// Unrolls by phase that fixed weights play; those of the last slots begin with a gap in their streams.
fn unrolls() -> Vec<Vec<Experience>> {
    let parameters = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
    let gae = PpgConfig::default().gae();
    let mut slots = slots(SLOTS);
    for slot in &mut slots[6..] {
        slot.play(&parameters, STEPS, Version::new(1, 1));
    }
    let mut play = |slot: &mut SyntheticSlot| {
        let received = slot.play(&parameters, STEPS, Version::new(1, 1));
        Experience::new(received, &tiny(), gae, &Device::Cpu).unwrap()
    };
    (0..PHASES).map(|_| slots.iter_mut().map(&mut play).collect()).collect()
}

/// Ten phases of four steps, and one auxiliary step after each.
fn train(dir: &std::path::Path, ranks: Ranks, unrolls: &[Vec<Experience>]) -> (Vec<f32>, u64, u64) {
    let mut config = config(&dir.join(format!("{}-{}", ranks.count(), ranks.rank())));
    let own = SLOTS as usize / ranks.count();
    config.ppg = PpgConfig {
        batch_unrolls: own,
        minibatch_unrolls: own,
        epochs: 4,
        policy_phases_per_aux: 1,
        kl_coef: 0.2,
        entropy_coef: 0.01,
        ..PpgConfig::default()
    };
    let mut bench = bench(config, &tiny());
    let (mut trainer, _) = bench.trainer();
    let frozen = FrozenPolicy::new(Compute::cpu(), &weights(&tiny(), 5), &tiny(), 1 << 20).unwrap();
    let share = ranks.rank() * own..(ranks.rank() + 1) * own;
    (bench.session.ranks, trainer.ranks) = (ranks.clone(), ranks);
    let mut ppg = loop_over(&mut bench, &mut trainer, Some(frozen));
    for phase in unrolls {
        let mut batch = phase[share.clone()].to_vec();
        ppg.summarise(&mut batch, 0.0).unwrap();
        ppg.policy_phase(&batch).unwrap();
        ppg.keep(batch);
        ppg.aux_phase().unwrap();
    }
    let masked = ppg.frozen.as_ref().unwrap().masked_steps;
    (numbers(&trainer.parameters), trainer.counters.env_steps_trained, masked)
}

#[test]
fn fifty_steps_end_with_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let unrolls = unrolls();
    let (whole, steps, _) = train(dir.path(), Ranks::alone(), &unrolls);
    let shared = ranks(2, |ranks| train(dir.path(), ranks, &unrolls));
    assert!(shared[0].0 == shared[1].0, "ranks differ");
    assert!(shared[1].2 > shared[0].2, "the masks of the KL should differ between ranks");
    let difference = largest_difference(&whole, &shared[0].0);
    println!("2 ranks: weights off by {difference:.2e} after 50 steps");
    assert!(difference <= 1e-4, "{difference}");
    assert_eq!((shared[0].1, shared[1].1), (steps, steps));
}

#[test]
fn ranks_stop_together_when_one_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let phases = ranks(2, |ranks| {
        let mut config = config(&dir.path().join(ranks.rank().to_string()));
        config.ppg.batch_unrolls = 4;
        config.ppg.total_env_steps = 1_000_000;
        let mut bench = bench(config, &tiny());
        let (mut trainer, _) = bench.trainer();
        if !ranks.is_first() {
            bench.session.checkpoints = None;
        }
        (bench.session.ranks, trainer.ranks) = (ranks.clone(), ranks.clone());
        let (queue, shutdown) = (bench.queue.clone(), bench.session.shutdown.clone());
        let parameters = trainer.parameters.frozen_copy().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Both get as much as two phases take; then rank 1 is told to stop while rank 0 waits for more.
                let mut slots = slots(4);
                for _ in 0..2 {
                    for slot in &mut slots {
                        queue.push(slot.play(&parameters, STEPS, Version::new(1, 1))).unwrap();
                    }
                }
                while queue.taken() < 8 {
                    std::thread::yield_now();
                }
                if !ranks.is_first() {
                    shutdown.cancel();
                }
            });
            run(&mut bench.session, &mut trainer, None).unwrap();
        });
        trainer.counters.policy_phases
    });
    assert_eq!(phases[0], phases[1]);
    assert!((1..=2).contains(&phases[0]), "{phases:?}");
    let latest = std::fs::read_dir(dir.path().join("0/checkpoints")).unwrap().count();
    assert!(latest > 1, "rank 0 leaves a checkpoint");
}

#[test]
fn a_lost_rank_leaves_a_checkpoint_to_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let config_of = |rank: usize| {
        let mut config = config(&dir.path().join(rank.to_string()));
        config.ppg.batch_unrolls = 4;
        config.ppg.total_env_steps = 1_000_000;
        config
    };
    let play = |queue: &UnrollQueue, parameters: &Parameters, phases: usize| {
        let mut slots = slots(4);
        for _ in 0..phases {
            for slot in &mut slots {
                queue.push(slot.play(parameters, STEPS, Version::new(1, 1))).unwrap();
            }
        }
    };
    // Two steps a phase and two more after every second: rank 1 dies in the first step of the third phase.
    let results = connected(2, PATIENCE, |rank, tcp| {
        let tcp = tcp.unwrap();
        let ranks = if rank == 0 { Ranks::new(0, 2, tcp) } else { Ranks::new(1, 2, Mortal::new(tcp, 6)) };
        let mut bench = bench(config_of(rank), &tiny());
        let (mut trainer, _) = bench.trainer();
        if rank == 1 {
            bench.session.checkpoints = None;
        }
        (bench.session.ranks, trainer.ranks) = (ranks.clone(), ranks);
        let queue = bench.queue.clone();
        let parameters = trainer.parameters.frozen_copy().unwrap();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| play(&queue, &parameters, 3));
            run(&mut bench.session, &mut trainer, None).unwrap_err().to_string()
        });
        (error, trainer.counters.policy_phases, numbers(&trainer.parameters))
    });
    let (error, phases, weights) = &results[0];
    assert!(error.starts_with("rank 1 at 127.0.0.1:") && error.contains("is lost"), "{error}");
    assert_eq!(*phases, 2, "as many as both finished");
    // One rank goes on alone from it.
    let mut config = config_of(0);
    config.ppg.batch_unrolls = 8;
    let mut bench = bench(config, &tiny());
    let (mut trainer, _) = bench.trainer();
    assert!(numbers(&trainer.parameters) == *weights, "the checkpoint has other weights");
    assert_eq!(trainer.counters.policy_phases, 2);
    trainer.counters.env_steps_trained = 1_000_000 - 1;
    play(&bench.queue, &trainer.parameters, 2);
    run(&mut bench.session, &mut trainer, None).unwrap();
    assert_eq!(trainer.counters.policy_phases, 3);
}
