//! A learner on a slow disk trains on at the disk's pace, with no more memory than before; on one that hardly answers it
//! still ends in time, and says why it could not end well.

use std::path::Path;

use nix::sys::signal::Signal;
use vpt_tests::cluster::{BATCH_UNROLLS, Cluster, PATIENCE, Role, UNROLL_LENGTH};
use vpt_tests::memory::resident_bytes;
use vpt_tests::wait::wait_until;

const ONWARD: u64 = 2000;
/// Batches that must be trained on while every record takes [`SLOW`].
const BATCHES: u64 = 6;
const SLOW: &str = "disk_ms = 100";
/// Longer than the learner may take to end.
const STUCK: &str = "disk_ms = 10000";
const IMBALANCE: &str = "vpt_learner_ledger_imbalance_env_steps";
const RECONNECTS: &str = "vpt_learner_actor_reconnects_total";
const REFUSED: &str = "vpt_learner_push_refused_total{reason=\"journal\"}";

/// Brings delays in force in all processes, and waits until the learner has noticed.
fn slow_down(cluster: &mut Cluster, file: &Path, delays: &str) {
    let told = || "delays on purpose";
    let before = cluster.process("learner").output().matches(told()).count();
    std::fs::write(file, delays).expect("file of delays");
    wait_until("the learner to be slowed down", PATIENCE, || {
        (cluster.process("learner").output().matches(told()).count() > before).then_some(())
    });
}

#[test]
fn a_slow_disk_slows_training_down_and_does_nothing_else() {
    let dir = tempfile::tempdir().expect("tempdir");
    let delays = dir.path().join("faults.toml");
    let file = format!("faults.file={}", delays.display());
    // With the payload, every unroll that is let in is written first.
    let settings = [
        "learner.journal.mode=payload",
        "learner.checkpoint.every_phases=4",
        "learner.drain_seconds=4.0",
        "faults.enabled=true",
        &file,
    ];
    let mut cluster = Cluster::start(dir.path(), 1, &settings);
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    cluster.train_on(ONWARD);
    let names = [vec!["learner".to_owned()], cluster.names(Role::Actor)].concat();
    let memory = |cluster: &mut Cluster| -> Vec<u64> {
        names.iter().map(|name| resident_bytes(cluster.process(name).id()).expect("it runs")).collect()
    };
    let before = memory(&mut cluster);

    slow_down(&mut cluster, &delays, SLOW);
    cluster.train_on(BATCHES * BATCH_UNROLLS * UNROLL_LENGTH);
    for ((name, before), after) in names.iter().zip(before).zip(memory(&mut cluster)) {
        assert!(after < before + (16 << 20), "{name}: {before} bytes became {after}");
    }
    assert_eq!(cluster.learner_metric(RECONNECTS), Some(0.0), "a stream broke");
    assert_eq!(cluster.learner_metric(REFUSED), Some(0.0), "a slow disk is not a full one");
    let dropped = cluster.ledger().dropped;
    assert!(dropped.keys().all(|reason| reason == "stale"), "{dropped:?}");

    slow_down(&mut cluster, &delays, STUCK);
    cluster.process("learner").signal(Signal::SIGTERM);
    let code = cluster.process("learner").wait(PATIENCE);
    let said = cluster.process("learner").output();
    assert!(code == 1 && said.contains("training did not end within 4 s"), "code {code}: {said}");

    std::fs::write(&delays, "").expect("file of delays");
    cluster.restart("learner");
    cluster.train_on(ONWARD);
    wait_until("the books to agree", PATIENCE, || {
        cluster.learner_metric(IMBALANCE).filter(|&imbalance| imbalance == 0.0)
    });
    let actors = cluster.names(Role::Actor);
    assert_eq!(cluster.drain(&actors), [0, 0]);
    assert_eq!(cluster.drain(&["learner".to_owned()]), [0]);
}
