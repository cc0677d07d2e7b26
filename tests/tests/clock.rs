//! Nothing waits by the calendar: somebody sets the clock of a machine in the middle of a run, by a day back or forth, and
//! training, leases, deadlines and books do not notice.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use vpt_tests::cluster::{Cluster, PATIENCE, Role};
use vpt_tests::wait::wait_until;

const ONWARD: u64 = 2000;
const DAY: i64 = 86_400;
const IMBALANCE: &str = "vpt_learner_ledger_imbalance_env_steps";
const RECONNECTS: &str = "vpt_learner_actor_reconnects_total";
const CHECKPOINT: &str = "vpt_learner_checkpoint_last_success_timestamp_seconds";

/// A calendar that processes see, and that can be set.
struct Calendar {
    library: PathBuf,
    file: PathBuf,
    shift: File,
}

impl Calendar {
    /// Compiles the library that is preloaded; a C compiler is needed to build vpt too.
    fn build(dir: &Path) -> Self {
        let (library, file) = (dir.join("shift.so"), dir.join("shift"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock/shift.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        let built = command.status().expect("a C compiler (cc, or what CC names)");
        assert!(built.success(), "the library does not compile");
        fs::write(&file, 0i64.to_ne_bytes()).expect("shift file");
        let shift = File::options().write(true).open(&file).expect("shift file");
        Self { library, file, shift }
    }

    /// Sets the calendar of all processes that see it.
    fn set(&self, seconds: i64) {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0).expect("shift file");
    }
}

/// Waits until the learner has written a checkpoint on another day than that of `before`; returns when, by its calendar.
fn checkpoint(cluster: &mut Cluster, before: f64) -> f64 {
    wait_until("a checkpoint by the new date", PATIENCE, || {
        cluster.check_alive();
        let at = cluster.learner_metric(CHECKPOINT)?;
        (at != 0.0 && (at - before).abs() > 0.5 * DAY as f64).then_some(at)
    })
}

#[test]
fn a_clock_that_is_set_stops_nothing_and_expires_nobody() {
    let dir = tempfile::tempdir().expect("tempdir");
    let calendar = Calendar::build(dir.path());
    let environment = [
        ("LD_PRELOAD", calendar.library.to_str().expect("a plain path")),
        ("SHIFT_FILE", calendar.file.to_str().expect("a plain path")),
    ];
    let settings = ["learner.checkpoint.every_phases=10", "learner.journal.mode=payload"];
    let mut cluster = Cluster::start_with(dir.path(), 1, &settings, &environment);
    cluster.add_relay("relay-0");
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    cluster.train_on(ONWARD);
    let mut last = checkpoint(&mut cluster, 0.0);
    for shift in [DAY, -DAY, 400 * DAY, 0] {
        calendar.set(shift);
        last = checkpoint(&mut cluster, last);
        cluster.train_on(ONWARD);
    }
    assert_eq!(cluster.learner_metric(RECONNECTS), Some(0.0), "a stream broke");
    assert_eq!(cluster.learner_metric(IMBALANCE), Some(0.0));
    let dropped = cluster.ledger().dropped;
    assert!(dropped.keys().all(|reason| reason == "stale"), "{dropped:?}");
    for name in cluster.names(Role::Actor) {
        let log = cluster.process(&name).output();
        assert!(!log.contains("env session broke"), "a world was given up: {log}");
    }
    // A learner that comes back on an earlier day goes on where it was.
    let trained = cluster.trained();
    cluster.process("learner").signal(Signal::SIGKILL);
    calendar.set(-DAY);
    cluster.restart("learner");
    cluster.train_on(ONWARD);
    assert!(cluster.trained() > trained, "it began anew");
    wait_until("the books to agree", PATIENCE, || {
        cluster.learner_metric(IMBALANCE).filter(|&imbalance| imbalance == 0.0)
    });
    let names = cluster.names(Role::Actor);
    assert_eq!(cluster.drain(&names), [0, 0]);
}

/// All our source files below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of ours").map(|entry| entry.expect("an entry").path())
    {
        let name = entry.file_name().unwrap_or_default();
        if entry.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn the_calendar_is_read_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    sources(root, &mut files);
    assert!(files.len() > 300, "only {} source files in {}", files.len(), root.display());
    let calls = ["System".to_owned() + "Time::now", "UNIX_EPOCH".to_owned() + ".elapsed"];
    files.retain(|file| {
        let text = fs::read_to_string(file).expect("text");
        calls.iter().any(|call| text.contains(call))
    });
    assert_eq!(files, [root.join("runtime/src/clock.rs")]);
}
