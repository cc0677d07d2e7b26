//! Training that is the same to the last bit: run twice, killed and resumed, run again from its journal.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use vpt_tests::process::{Process, outcome, vpt};
use vpt_tests::tiny;
use vpt_tests::wait::wait_until;

/// Longest wait for anything, in seconds; a loaded machine is slow.
const PATIENCE: u64 = 300;
/// How often a learner is killed.
const KILLS: usize = 20;
/// Optimiser steps of a run.
const UPDATES: u64 = 500;
const ACTORS: usize = 2;

/// Two policy phases of two updates and an auxiliary one of two make six updates of 128 env steps: 84 times.
const PPG_RUN: &str = r#"
config_version = 1

[run]
name = "exact"
seed = 5

[world]
name = "native"
task = "chop"
episode_steps = 40

[policy]
image_size = 16
impala_chans = [16, 16, 16]
hidsize = 32
attention_heads = 2
attention_memory_size = 16
timesteps = 8
n_recurrence_layers = 1

[actor]
groups = 2
slots_per_group = 2
reconnect_first_seconds = 0.05
reconnect_cap_seconds = 0.2

[learner]
stage = "ppg"
threads = 1
unroll_length = 8
deterministic = true

[learner.schedule]
actors = 2

[learner.journal]
mode = "payload"

[learner.ppg]
total_env_steps = 10752
batch_unrolls = 8
minibatch_unrolls = 4
policy_phases_per_aux = 2
lr = 1e-3
aux_lr = 1e-3

[learner.optimizer]
eps = 1e-6

[learner.checkpoint]
every_phases = 8
"#;

/// Moments to kill at, the same every time.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(100 + (self.0 >> 33) % 900)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A learner's command line, and the processes beside it.
struct Cluster {
    dir: PathBuf,
    arguments: Vec<String>,
    _beside: Vec<Process>,
}

impl Cluster {
    fn start(dir: &Path, name: &str, pretrained: &str) -> Self {
        let dir = dir.join(name);
        std::fs::create_dir(&dir).expect("a folder");
        let run_file = dir.join("run.toml").display().to_string();
        std::fs::write(&run_file, PPG_RUN).expect("run file");
        let (worlds, learner) = (free_port(), free_port());
        let role = |role: &str, sets: &[String]| {
            let mut arguments = vec![role.to_owned(), "--config".to_owned(), run_file.clone()];
            for set in sets {
                arguments.extend(["--set".to_owned(), set.clone()]);
            }
            arguments
        };
        let start = |arguments: &[String], log: String| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Process::start(&arguments, &dir.join(log))
        };
        let envserver = role(
            "envserver",
            &[format!("envserver.listen=127.0.0.1:{worlds}"), "envserver.ops_listen=127.0.0.1:0".to_owned()],
        );
        let mut beside = vec![start(&envserver, "envserver.log".to_owned())];
        for index in 0..ACTORS {
            let actor = role(
                "actor",
                &[
                    format!("actor.id=actor-{index}"),
                    format!("actor.envserver=http://127.0.0.1:{worlds}"),
                    format!("actor.learner=http://127.0.0.1:{learner}"),
                    "actor.ops_listen=127.0.0.1:0".to_owned(),
                ],
            );
            beside.push(start(&actor, format!("actor-{index}.log")));
        }
        let arguments = role(
            "learner",
            &[
                format!("learner.listen=127.0.0.1:{learner}"),
                "learner.ops_listen=127.0.0.1:0".to_owned(),
                format!("learner.out={}", dir.join("out").display()),
                format!("learner.init={pretrained}"),
                format!("learner.pretrained={pretrained}"),
            ],
        );
        Self { dir, arguments, _beside: beside }
    }

    fn learner(&self) -> Process {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Process::start(&arguments, &self.dir.join("learner.log"))
    }

    fn out(&self) -> PathBuf {
        self.dir.join("out")
    }
}

/// Weights and moments of the newest checkpoint.
fn newest(out: &Path) -> (Vec<u8>, Vec<u8>) {
    let checkpoints = out.join("checkpoints");
    let name = std::fs::read_to_string(checkpoints.join("latest")).expect("a checkpoint");
    let read = |file: &str| std::fs::read(checkpoints.join(name.trim()).join(file)).expect(file);
    (read("policy.safetensors"), read("optimizer.safetensors"))
}

/// The updates that the newest checkpoint has behind it.
fn updates(out: &Path) -> u64 {
    let checkpoints = out.join("checkpoints");
    let name = std::fs::read_to_string(checkpoints.join("latest")).expect("a checkpoint");
    let state = std::fs::read_to_string(checkpoints.join(name.trim()).join("state.json")).expect("state");
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    state["counters"]["optimizer_steps"].as_u64().expect("a count")
}

/// Starts the learner and kills it at random moments, then lets it end; how many kills met it alive.
fn train_under_fire(mut start: impl FnMut() -> Process, mut moments: Moments) -> usize {
    let mut met = 0;
    for _ in 0..KILLS {
        let mut learner = start();
        let until = Instant::now() + moments.next();
        let alive = loop {
            if Instant::now() >= until {
                break true;
            }
            if learner.try_wait().is_some() {
                break false;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if !alive {
            break;
        }
        learner.signal(Signal::SIGKILL);
        learner.wait(PATIENCE);
        met += 1;
    }
    let mut learner = start();
    assert_eq!(learner.wait(PATIENCE), 0, "{}", learner.output());
    met
}

/// Weights to start from and to be held to.
fn pretrained(dir: &Path) -> String {
    let run_file = dir.join("bc.toml");
    let text = PPG_RUN.replace("deterministic = true", "").replace("stage = \"ppg\"", "stage = \"bc\"");
    std::fs::write(&run_file, text).expect("run file");
    let run_file = run_file.display().to_string();
    let data = dir.join("demonstrations").display().to_string();
    let (code, text) = outcome(&vpt(&["record", "--config", &run_file, "--episodes", "4", "--out", &data]));
    assert_eq!(code, 0, "{text}");
    let out = dir.join("bc");
    let sets = [tiny::bc_sets(&data, &out), vec!["learner.bc.max_updates=4".into()]].concat();
    let arguments = tiny::learner_arguments(&run_file, &sets);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, text) = outcome(&vpt(&arguments));
    assert_eq!(code, 0, "{text}");
    out.join("checkpoints/latest").display().to_string()
}

#[test]
fn ppg_with_actors_is_the_same_every_time_also_killed_and_replayed() {
    let dir = tempfile::tempdir().expect("tempdir");
    let pretrained = pretrained(dir.path());
    let undisturbed = Cluster::start(dir.path(), "undisturbed", &pretrained);
    let mut learner = undisturbed.learner();
    assert_eq!(learner.wait(PATIENCE), 0, "{}", learner.output());
    assert!(updates(&undisturbed.out()) >= UPDATES, "{}", updates(&undisturbed.out()));

    let fired_at = Cluster::start(dir.path(), "fired_at", &pretrained);
    let met = train_under_fire(|| fired_at.learner(), Moments(1));
    assert!(met >= 3, "the learner was done after {met} kills");
    let log = std::fs::read_to_string(fired_at.dir.join("learner.log")).expect("log");
    assert!(log.contains("what the journal holds first"), "no kill left anything to replay");
    assert_eq!(updates(&fired_at.out()), updates(&undisturbed.out()));
    assert!(newest(&fired_at.out()) == newest(&undisturbed.out()), "other weights or moments");

    let (code, text) = outcome(&vpt(&["replay", "training", &fired_at.out().display().to_string()]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("versions the same"), "{text}");

    // A record that says something else gives other weights, and is found out.
    tamper_with_weights(&fired_at.out());
    let (code, text) = outcome(&vpt(&["replay", "training", &fired_at.out().display().to_string()]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("came out differently"), "{text}");
}

/// Changes the seed in the newest checkpoint's run file, which orders minibatches, and its hash in the manifest.
fn tamper_with_weights(out: &Path) {
    let checkpoints = out.join("checkpoints");
    let name = std::fs::read_to_string(checkpoints.join("latest")).expect("a checkpoint");
    let folder = checkpoints.join(name.trim());
    let file = folder.join("run.toml");
    let text = std::fs::read_to_string(&file).expect("run file");
    let changed = text.replacen("seed = 5", "seed = 6", 1);
    assert_ne!(text, changed);
    std::fs::write(&file, &changed).expect("run file");
    let manifest = folder.join("manifest.json");
    let mut value: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).expect("manifest")).expect("JSON");
    value["files"]["run.toml"]["blake3"] = blake3::hash(changed.as_bytes()).to_hex().to_string().into();
    std::fs::write(&manifest, value.to_string()).expect("manifest");
}

#[test]
fn cloning_killed_at_any_moment_ends_with_the_same_weights() {
    let dir = tempfile::tempdir().expect("tempdir");
    let run_file = tiny::run_file(dir.path());
    let data = tiny::demonstrations(dir.path(), &run_file, 6);
    let start = |name: &str| {
        let sets = [
            tiny::bc_sets(&data, &dir.path().join(name)),
            vec![
                format!("learner.bc.max_updates={UPDATES}"),
                "learner.checkpoint.every_updates=10".to_owned(),
                "learner.bc.validation_every_updates=0".to_owned(),
            ],
        ];
        let arguments = tiny::learner_arguments(&run_file, &sets.concat());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::start(&arguments, &dir.path().join(format!("{name}.log")))
    };
    let mut learner = start("undisturbed");
    assert_eq!(learner.wait(PATIENCE), 0, "{}", learner.output());
    let met = train_under_fire(|| start("fired_at"), Moments(2));
    assert!(met >= 3, "the learner was done after {met} kills");
    let [undisturbed, fired_at] = ["undisturbed", "fired_at"].map(|name| dir.path().join(name));
    assert_eq!(updates(&fired_at), UPDATES);
    assert!(newest(&fired_at) == newest(&undisturbed), "other weights or moments");
}

#[test]
fn a_deterministic_run_without_a_journal_is_not_resumed_silently() {
    let dir = tempfile::tempdir().expect("tempdir");
    let pretrained = pretrained(dir.path());
    let mut cluster = Cluster::start(dir.path(), "metadata", &pretrained);
    cluster.arguments.extend(["--set".to_owned(), "learner.journal.mode=metadata".to_owned()]);
    let learner = cluster.learner();
    wait_until("a checkpoint", PATIENCE, || cluster.out().join("checkpoints/latest").exists().then_some(()));
    learner.signal(Signal::SIGKILL);
    drop(learner);
    let mut again = cluster.learner();
    assert_eq!(again.wait(PATIENCE), 1);
    assert!(again.output().contains("learner.journal.mode = \"payload\""), "{}", again.output());
}
