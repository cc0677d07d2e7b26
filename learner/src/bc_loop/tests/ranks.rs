//! Two ranks with half the lanes each clone as one with all of them.

use std::path::Path;

use super::*;
use crate::ranks::Ranks;
use crate::ranks::testing::{Mortal, PATIENCE, connected, largest_difference, ranks, relative_distance};
use crate::synthetic::numbers;

/// Lanes of the whole batch.
const LANES: usize = 4;

/// As [`config`], but with the paper's learning rate and a folder for each rank.
fn config_of(dir: &Path, ranks: &Ranks, max_updates: u64) -> LearnerConfig {
    let mut config = config(dir, max_updates);
    config.bc.lr = BcConfig::default().lr;
    config.bc.null_actions = NullActions::Mask;
    config.bc.validation_every_updates = 20;
    config.checkpoint.every_updates = 10;
    config.out = dir.join(format!("out-{}-{}", ranks.count(), ranks.rank()));
    config
}

fn train_on(dir: &Path, ranks: Ranks, max_updates: u64) -> Result<(Bench, Trainer), LearnerError> {
    let mut bench = bench(config_of(dir, &ranks, max_updates), &tiny());
    let (mut trainer, stored) = bench.trainer();
    if !ranks.is_first() {
        bench.session.checkpoints = None;
    }
    bench.session.ranks = ranks.clone();
    trainer.ranks = ranks;
    run(&mut bench.session, &mut trainer, stored.as_ref()).map(|()| (bench, trainer))
}

/// Gradients of the first batch, averaged over ranks.
fn first_gradients(dir: &Path, ranks: Ranks) -> Vec<f32> {
    let config = config_of(dir, &ranks, 1);
    let mut bench = bench(config.clone(), &tiny());
    let (mut trainer, _) = bench.trainer();
    let data = Demonstrations::open(&config.bc, &tiny(), 1).unwrap();
    let mut plan = plan_over(&data, &data.training, LANES, &config.bc, 1);
    let count = LANES / ranks.count();
    let own = ranks.rank() * count..(ranks.rank() + 1) * count;
    let batch = data.read(&plan.next_batch()[own]).unwrap();
    let batch = LoadedBatch::new(batch, count, &data, &trainer.compute.device).unwrap();
    trainer.ranks = ranks;
    let state = RecurrentState::initial(&tiny(), count, &trainer.compute.device).unwrap();
    let (loss, _) = share_of_loss(&trainer, &batch.sequences, &state, &batch.mask).unwrap();
    let gradients = trainer.gradients(&loss).unwrap().1.unwrap();
    gradients.flatten().unwrap().to_vec1().unwrap()
}

#[test]
fn one_step_has_the_gradient_of_the_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 20, 30);
    // Null actions are masked, of which no two ranks have equally many.
    let whole = first_gradients(dir.path(), Ranks::alone());
    for count in [2, 4] {
        let shared = ranks(count, |ranks| first_gradients(dir.path(), ranks));
        assert!(shared.iter().all(|gradients| *gradients == shared[0]), "ranks differ");
        let distance = relative_distance(&whole, &shared[0]);
        println!("{count} ranks: gradient off by {distance:.2e}");
        assert!(distance <= 1e-5, "{distance}");
    }
}

#[test]
fn fifty_updates_end_with_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 20, 30);
    let (whole_bench, whole) = train_on(dir.path(), Ranks::alone(), 50).unwrap();
    let shared = ranks(2, |ranks| {
        let (bench, trainer) = train_on(dir.path(), ranks, 50).unwrap();
        (numbers(&trainer.parameters), trainer.counters, bench.session.status.snapshot().loss)
    });
    assert!(shared[0].0 == shared[1].0, "ranks differ");
    let difference = largest_difference(&numbers(&whole.parameters), &shared[0].0);
    println!("2 ranks: weights off by {difference:.2e} after 50 updates");
    assert!(difference <= 1e-4, "{difference}");
    assert_eq!(shared[1].1.env_steps_trained, whole.counters.env_steps_trained);
    assert_eq!(shared[1].1.optimizer_steps, 50);
    assert!((shared[0].2 / whole_bench.session.status.snapshot().loss - 1.0).abs() < 1e-3);
}

#[test]
fn a_checkpoint_of_two_ranks_holds_all_lanes() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 20, 30);
    let straight = ranks(2, |ranks| bits(&train_on(dir.path(), ranks, 24).unwrap().1.parameters));
    let other = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path().join("data"), other.path().join("data")).unwrap();
    drop(ranks(2, |ranks| drop(train_on(other.path(), ranks, 11).unwrap())));
    // Rank 1 has no checkpoint of its own: it gets rank 0's, as at a start of the role.
    let folder = |rank: usize| other.path().join(format!("out-2-{rank}/checkpoints"));
    std::fs::remove_dir_all(folder(1)).unwrap();
    let status = std::process::Command::new("cp").arg("-r").args([folder(0), folder(1)]).status().unwrap();
    assert!(status.success());
    let resumed = ranks(2, |ranks| bits(&train_on(other.path(), ranks, 24).unwrap().1.parameters));
    assert!(resumed[0] == straight[0] && resumed[1] == straight[1], "the weights differ");
}

#[test]
fn a_lost_rank_leaves_a_checkpoint_to_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 20, 30);
    let errors = connected(2, PATIENCE, |rank, tcp| {
        let tcp = tcp.unwrap();
        let ranks = if rank == 0 { Ranks::new(0, 2, tcp) } else { Ranks::new(1, 2, Mortal::new(tcp, 7)) };
        train_on(dir.path(), ranks, 50).err().unwrap().to_string()
    });
    let error = &errors[0];
    assert!(error.starts_with("rank 1 at 127.0.0.1:") && error.contains("is lost"), "{error}");
    // It has all lanes, so that one rank can go on alone.
    let mut config = config_of(dir.path(), &Ranks::alone(), 9);
    config.out = dir.path().join("out-2-0");
    let mut bench = bench(config, &tiny());
    let (mut trainer, stored) = bench.trainer();
    assert_eq!(trainer.counters.bc_updates, 7, "as many as both took part in");
    run(&mut bench.session, &mut trainer, stored.as_ref()).unwrap();
    assert_eq!(trainer.counters.bc_updates, 9);
}
