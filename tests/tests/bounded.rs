//! Memory and disks have limits: a learner that stands still costs its actors nothing but time, long runs do not grow, and
//! a full disk stops what it must and nothing else.
//!
//! `VPT_SOAK_MINUTES=60 cargo test -p vpt-tests --test bounded soak -- --nocapture` is the long soak.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use vpt_tests::cluster::{Cluster, PATIENCE, Role, metric};
use vpt_tests::memory::{Growth, resident_bytes};
use vpt_tests::wait::wait_until;

const ONWARD: u64 = 2000;
const IMBALANCE: &str = "vpt_learner_ledger_imbalance_env_steps";
/// Minutes of the soak when nothing else is asked for: it only shows that the measurement works.
const SOAK_MINUTES: f64 = 0.2;
/// From so many minutes on the slope says something.
const TELLING_MINUTES: f64 = 8.0;
/// What a soak may grow by, in megabytes a minute.
const MAX_SLOPE: f64 = 0.5;

#[test]
fn a_stalled_learner_costs_its_actors_nothing_but_time() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = Cluster::start(dir.path(), 1, &["policy.image_size=128"]);
    let ops = cluster.add_actor("actor-0");
    cluster.train_on(ONWARD);
    cluster.process("learner").signal(Signal::SIGSTOP);
    let taken = || metric(&ops, "vpt_actor_env_steps_total{task=\"null\"}");
    let full = wait_until("the actor to run out of credits", PATIENCE, || {
        let before = taken()?;
        std::thread::sleep(Duration::from_millis(500));
        (taken()? == before).then_some(before)
    });
    let pid = cluster.process("actor-0").id();
    let before = resident_bytes(pid).expect("it runs");
    std::thread::sleep(Duration::from_secs(3));
    let after = resident_bytes(pid).expect("it runs");
    assert!(after < before + (8 << 20), "{before} bytes became {after}");
    assert_eq!(taken(), Some(full), "it goes on without credits");
    cluster.process("learner").signal(Signal::SIGCONT);
    cluster.train_on(ONWARD);
    let dropped = cluster.ledger().dropped;
    assert!(dropped.keys().all(|reason| reason == "stale"), "{dropped:?}");
    assert_eq!(cluster.learner_metric(IMBALANCE), Some(0.0));
}

#[test]
fn soak() {
    let minutes =
        std::env::var("VPT_SOAK_MINUTES").ok().map_or(SOAK_MINUTES, |text| text.parse().expect("minutes"));
    let dir = tempfile::tempdir().expect("tempdir");
    let settings = ["policy.image_size=128", "learner.unroll_length=32", "learner.journal.mode=payload"];
    let mut cluster = Cluster::start(dir.path(), 1, &settings);
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    cluster.train_on(ONWARD);
    let names: Vec<String> =
        [Role::Envserver, Role::Learner, Role::Actor].map(|role| cluster.names(role)).concat();
    let (began, trained) = (Instant::now(), cluster.trained());
    // Buffers and the allocator's pools fill first.
    let warm_up = began + Duration::from_secs_f64(minutes * 60.0 / 4.0);
    let mut growth: BTreeMap<String, Growth> = BTreeMap::new();
    while began.elapsed().as_secs_f64() < minutes * 60.0 {
        std::thread::sleep(Duration::from_millis(500));
        cluster.check_alive();
        for name in names.iter().filter(|_| Instant::now() >= warm_up) {
            let pid = cluster.process(name).id();
            growth.entry(name.clone()).or_default().sample(pid);
        }
    }
    let rate = (cluster.trained() - trained) as f64 / began.elapsed().as_secs_f64();
    println!("soak: {minutes} minutes at {rate:.0} env steps/s trained");
    for (name, growth) in &growth {
        let (first, last) = growth.ends();
        println!("soak: {name}: {first:.1} MB to {last:.1} MB, {:+.3} MB/min", growth.slope());
        assert!(minutes < TELLING_MINUTES || growth.slope() <= MAX_SLOPE, "{name} grows");
    }
    assert_eq!(cluster.learner_metric(IMBALANCE), Some(0.0));
    assert_eq!(cluster.learner_metric("vpt_learner_actor_reconnects_total"), Some(0.0), "a stream broke");
    for name in cluster.names(Role::Actor) {
        let log = cluster.process(&name).output();
        assert!(!log.contains("env session broke"), "a world was given up: {log}");
    }
}

/// A file system of its own size; taken away when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir(path).expect("folder");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Processes that are ending may hold it for a moment.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn training_waits_for_room_on_a_full_disk_and_says_so() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("disk");
    let Some(disk) = SmallDisk::mount(&path, 64) else {
        println!("SKIP: mounting a small file system is not permitted here");
        return;
    };
    // With the payload, an unroll that cannot be recorded cannot be let in.
    let settings = ["learner.journal.mode=payload", "learner.checkpoint.every_phases=10"];
    let mut cluster = Cluster::start(disk.0, 1, &settings);
    cluster.add_actor("actor-0");
    cluster.train_on(ONWARD);
    let ballast = disk.0.join("ballast");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096", &format!("of={}", ballast.display())])
        .stderr(std::process::Stdio::null())
        .status();
    assert!(filled.is_ok_and(|status| !status.success()), "the disk is full");
    wait_until("the learner to say that its disk is full", PATIENCE, || {
        cluster.check_alive();
        let refused = cluster.learner_metric("vpt_learner_push_refused_total{reason=\"journal\"}")?;
        (refused > 0.0).then_some(())
    });
    std::fs::remove_file(ballast).expect("it is there");
    cluster.train_on(ONWARD);
    wait_until("the books to agree", PATIENCE, || {
        cluster.learner_metric(IMBALANCE).filter(|&imbalance| imbalance == 0.0)
    });
    let files = std::fs::read_dir(cluster.out().join("journal")).expect("a journal").count();
    assert!(files < 100, "{files} files of tries that failed");
    let names: Vec<String> = [Role::Actor, Role::Learner].map(|role| cluster.names(role)).concat();
    assert_eq!(cluster.drain(&names[..1]), [0]);
    assert_eq!(cluster.drain(&names[1..]), [0]);
}
