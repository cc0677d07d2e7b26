//! The cluster under fire: processes are killed and stopped and links broken at random, and not one env step is lost from
//! the books or trained on twice.
//!
//! `VPT_CHAOS_FAULTS=200 cargo test -p vpt-tests --test chaos -- --nocapture` is the long run, once for each kind of
//! journal; `VPT_CHAOS_SEED` draws other faults.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use vpt_learner::journal;
use vpt_proto::learner::v1::Ledger;
use vpt_tests::cluster::{BATCH_UNROLLS, Cluster, PATIENCE, Role, UNROLL_LENGTH};
use vpt_tests::faults::Storm;
use vpt_tests::wait::wait_until;

/// Faults of a run when nothing else is asked for.
const FAULTS: u64 = 15;
/// Faults after which training must go on before the next ones.
const BATCH: u64 = 5;
const ACTORS: usize = 4;
const ENVSERVERS: usize = 2;
/// Env steps that show that training goes on.
const ONWARD: u64 = 20 * BATCH_UNROLLS * UNROLL_LENGTH;

const IMBALANCE: &str = "vpt_learner_ledger_imbalance_env_steps";

/// One cluster at a time: two would be slow, not wrong.
static MACHINE: Mutex<()> = Mutex::new(());

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

#[track_caller]
fn assert_balanced(ledger: &Ledger) {
    let dropped: u64 = ledger.dropped.values().sum();
    assert_eq!(ledger.produced, ledger.trained + dropped + ledger.in_flight, "{ledger:?}");
}

/// The learner answers, and its books agree with everybody else's.
fn assert_nothing_missing(cluster: &mut Cluster) {
    assert_balanced(&cluster.ledger());
    let imbalance = wait_until("the metrics page", PATIENCE, || {
        cluster.check_alive();
        cluster.learner_metric(IMBALANCE)
    });
    assert_eq!(imbalance, 0.0, "env steps vanished or were counted twice");
}

/// Hard links to every file of the journal, so that what checkpoints make dispensable can still be read.
fn keep_journal(out: &Path, kept: &Path) {
    let Ok(listing) = std::fs::read_dir(out.join("journal")) else { return };
    for file in listing.flatten() {
        // It may be deleted under our eyes, and it may be kept already.
        let Ok(metadata) = file.metadata() else { continue };
        let name = file.file_name().into_string().expect("our names are text");
        let stem = name.trim_end_matches(".log");
        let _ = std::fs::hard_link(file.path(), kept.join(format!("{stem}-{}.log", metadata.ino())));
    }
}

/// Every unroll that was let in, each once.
fn assert_no_duplicates(kept: &Path) -> usize {
    let mut seen = BTreeSet::new();
    for entry in journal::entries(kept).expect("readable journals") {
        let name = (entry.actor, entry.slot, entry.sequence);
        assert!(!seen.contains(&name), "let in twice: {name:?}");
        seen.insert(name);
    }
    seen.len()
}

fn under_fire(journal_mode: &str) {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let (faults, seed) = (setting("VPT_CHAOS_FAULTS", FAULTS), setting("VPT_CHAOS_SEED", 1));
    let dir = tempfile::tempdir().expect("tempdir");
    let kept = dir.path().join("kept");
    std::fs::create_dir(&kept).expect("folder");
    let began = Instant::now();
    let mut cluster =
        Cluster::start(dir.path(), ENVSERVERS, &[&format!("learner.journal.mode={journal_mode}")]);
    for index in 0..ACTORS {
        cluster.add_actor(&format!("actor-{index}"));
    }
    cluster.train_on(ONWARD);
    let mut storm = Storm::default();
    let out = cluster.out();
    for first in (0..faults).step_by(BATCH as usize) {
        let batch = first..faults.min(first + BATCH);
        storm.strike(seed, batch, &mut cluster, || keep_journal(&out, &kept));
        cluster.train_on(ONWARD);
        assert_nothing_missing(&mut cluster);
    }
    let actors = cluster.names(Role::Actor);
    assert_eq!(cluster.drain(&actors), vec![0; ACTORS]);
    // What is left is what the learner has and cannot fill a batch with.
    let left = wait_until("the last batches", PATIENCE, || {
        let ledger = cluster.ledger();
        (ledger.in_flight < BATCH_UNROLLS * UNROLL_LENGTH).then_some(ledger)
    });
    assert_nothing_missing(&mut cluster);
    keep_journal(&out, &kept);
    assert_eq!(cluster.drain(&["learner".to_owned()]), [0]);
    let let_in = if journal_mode == "payload" { assert_no_duplicates(&kept) } else { 0 };
    let dropped: BTreeMap<_, _> = left.dropped.iter().collect();
    println!(
        "chaos: journal {journal_mode}, seed {seed}, {faults} faults in {:.0} s {:?}; env steps produced {}, trained {}, \
         dropped {dropped:?}, in flight {}; imbalance 0; unrolls in the journals {let_in}, twice 0",
        began.elapsed().as_secs_f64(),
        storm.counts,
        left.produced,
        left.trained,
        left.in_flight,
    );
}

#[test]
fn no_step_is_lost_from_the_books_or_trained_twice() {
    under_fire("metadata");
}

#[test]
fn no_step_is_lost_from_the_books_or_trained_twice_with_the_payload_in_the_journal() {
    under_fire("payload");
}
