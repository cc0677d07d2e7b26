//! `vpt up` as a user runs it, with a run of seconds: to its end, interrupted, and with its processes killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use vpt_tests::learner::{status_blocking, version};
use vpt_tests::process::{Process, outcome, signal_pid, vpt};
use vpt_tests::tiny;
use vpt_tests::wait::wait_until;

/// Longest wait for anything, in seconds; a loaded machine is slow.
const PATIENCE: u64 = 240;

/// One run folder and the command line for it.
struct Up {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Up {
    fn new(sets: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let run_file = tiny::run_file(dir.path());
        let out = dir.path().join("run").display().to_string();
        let mut arguments: Vec<String> =
            ["up", "--config", &run_file, "--out", &out].map(str::to_owned).to_vec();
        for set in sets {
            arguments.extend(["--set".to_owned(), (*set).to_owned()]);
        }
        Self { dir, arguments }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("run").join(below)
    }

    fn start(&self) -> Process {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Process::start(&arguments, &self.dir.path().join("terminal.log"))
    }

    fn learner(&self) -> String {
        json(&self.path("endpoints.json"))["learner"].as_str().expect("learner address").to_owned()
    }

    fn pid(&self, process: &str) -> Option<u32> {
        std::fs::read_to_string(self.path(&format!("logs/{process}.pid"))).ok()?.parse().ok()
    }

    /// Waits until PPG has trained for `phases` policy phases and returns the version it published.
    fn wait_for_ppg(&self, launcher: &Process, phases: u64) -> (u32, u64) {
        launcher.wait_for("PPG with KL ...", PATIENCE);
        let address = self.learner();
        wait_until("PPG to publish versions", PATIENCE, || {
            let status = status_blocking(&address)?;
            (status.stage == "ppg" && version(&status).1 >= phases).then(|| version(&status))
        })
    }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether process `pid` still runs; one that nobody has waited for does not.
fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Every line of `metrics.jsonl`.
fn metrics(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("metrics.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// A trunk a step away: easy enough for a clone of seconds to get logs.
const NEAR: &str = r#"world.task=name = "near"
episode_steps = 120

[spawn]
random_yaw = true
trunk_distance = [2.5, 4.0]

[[rewards]]
item = "log"
reward = 1.0
"#;

#[test]
fn a_run_ends_by_itself_and_leaves_what_it_promises() {
    let clone_well = [
        "evaluation.episodes=16",
        "learner.bc.max_updates=800",
        "learner.bc.batch_sequences=8",
        "learner.bc.lr=2e-3",
    ];
    let mut sets =
        vec![NEAR, "evaluation.temperature=0.5", "demonstrations.episodes=32", "learner.threads=2"];
    sets.extend(clone_well);
    let up = Up::new(&sets);
    let mut launcher = up.start();
    assert_eq!(launcher.wait(PATIENCE), 0, "{}", launcher.output());
    let terminal = launcher.output();
    for words in ["mean return on", "BC + PPG", "standard errors of the difference", "report.html"] {
        assert!(terminal.contains(words), "the last words lack `{words}`:\n{terminal}");
    }

    let summary = json(&up.path("summary.json"));
    assert!(summary["task"].as_str().is_some_and(|task| task.contains("near")), "{summary}");
    assert!(summary["run_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{summary}");
    for arm in ["scripted", "untrained", "bc", "bc_continued", "ppg"] {
        let result = &summary[arm];
        assert!(result["mean"].is_f64() && result["stderr"].is_f64(), "{arm}: {summary}");
        assert_eq!(result["episodes"], 16, "{arm}");
    }
    assert!(summary["scripted"]["mean"].as_f64() > Some(0.5), "the scripted player gets its log: {summary}");
    assert_eq!(summary["restarts"], serde_json::json!({}), "nothing was restarted");

    for file in ["report.html", "arms.png", "return.png", "metrics.jsonl", "run.toml", "checkpoints/latest"] {
        let bytes = std::fs::read(up.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(!bytes.is_empty(), "{file} is empty");
        assert!(!file.ends_with(".png") || bytes.starts_with(b"\x89PNG"), "{file} is no PNG");
    }
    let events = std::fs::read_dir(up.path("")).expect("run folder").filter_map(Result::ok);
    assert!(events.map(|e| e.file_name()).any(|n| n.to_string_lossy().starts_with("events.out.tfevents.")));
    let last_step = metrics(&up.path("metrics.jsonl")).last().and_then(|line| line["step"].as_u64());
    assert!(last_step >= Some(3000), "all env steps are in the metrics: {last_step:?}");
    for process in ["envserver", "learner", "actor-0", "actor-1"] {
        assert!(up.pid(process).is_none_or(|pid| !runs(pid)), "{process} outlives the run");
    }

    // The checkpoint alone gives the number again.
    let out = up.path("again").display().to_string();
    let latest = up.path("checkpoints/latest").display().to_string();
    let (code, text) = outcome(&vpt(&["eval", "--checkpoint", &latest, "--episodes", "16", "--out", &out]));
    assert_eq!(code, 0, "{text}");
    let again = json(&up.path("again/eval.json"));
    assert!(again["mean"].as_f64() > Some(0.0), "nothing to compare: {again}");
    assert_eq!(again["mean"], summary["ppg"]["mean"]);
    assert_eq!(again["stderr"], summary["ppg"]["stderr"]);
    let shares = again["item_shares"].as_object().expect("shares");
    let before = summary["ppg"]["item_shares"].as_object().expect("shares");
    let of = |value: &Value| value["share"].as_f64().or_else(|| value[0].as_f64());
    let table = |map: &serde_json::Map<String, Value>| -> BTreeMap<String, Option<f64>> {
        map.iter().map(|(item, value)| (item.clone(), of(value))).collect()
    };
    assert_eq!(table(shares), table(before));

    // A finished run says so and does nothing.
    let (code, text) = outcome(&vpt(&up.arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(code == 0 && text.contains("is finished") && text.contains("BC + PPG"), "{text}");
}

#[test]
fn an_interrupted_run_resumes_where_it_stopped() {
    let up = Up::new(&["up.bc_continued=false", "learner.ppg.total_env_steps=6000"]);
    let mut launcher = up.start();
    let before = up.wait_for_ppg(&launcher, 4);
    launcher.signal(Signal::SIGINT);
    assert_eq!(launcher.wait(PATIENCE), 0, "{}", launcher.output());
    assert!(launcher.output().contains("resumes"), "{}", launcher.output());
    let trained =
        metrics(&up.path("metrics.jsonl")).last().and_then(|line| line["step"].as_u64()).expect("a step");
    assert!(trained > 0 && trained < 6000, "interrupted in the middle: {trained}");
    assert!(!up.path("summary.json").exists());
    for process in ["envserver", "learner", "actor-0", "actor-1"] {
        assert!(up.pid(process).is_none_or(|pid| !runs(pid)), "{process} outlives the launcher");
    }

    let mut launcher = up.start();
    let recorded = launcher.output().matches("record demonstrations").count();
    let address = wait_until("the learner's address", PATIENCE, || {
        let address = up.learner();
        status_blocking(&address).map(|_| address)
    });
    let after = wait_until("the resumed learner to publish", PATIENCE, || {
        let status = status_blocking(&address)?;
        (version(&status).1 > 0 && status.env_steps_trained > 0).then_some(status)
    });
    assert!(
        version(&after).0 > before.0,
        "the epoch rises at a start: {before:?} then {:?}",
        version(&after)
    );
    assert!(version(&after) > before);
    assert!(after.env_steps_trained >= trained, "{} env steps after {trained}", after.env_steps_trained);
    assert_eq!(launcher.wait(PATIENCE), 0, "{}", launcher.output());
    assert_eq!(
        launcher.output().matches("record demonstrations").count(),
        recorded,
        "stages that were done are not done again"
    );
    assert_eq!(json(&up.path("summary.json"))["ppg"]["episodes"], 8);
    let steps: Vec<u64> = metrics(&up.path("metrics.jsonl"))
        .iter()
        .filter(|line| line.get("losses/policy_loss").is_some())
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "env steps did not go on: {steps:?}");
}

#[test]
fn killed_processes_are_restarted_and_counted_and_training_ends() {
    let up = Up::new(&["up.bc_continued=false", "learner.ppg.total_env_steps=12000"]);
    let mut launcher = up.start();
    let mut newest = up.wait_for_ppg(&launcher, 4);
    let address = up.learner();
    for process in ["actor-0", "envserver", "learner"] {
        let pid = up.pid(process).unwrap_or_else(|| panic!("{process} has no pid file"));
        signal_pid(pid, Signal::SIGKILL);
        wait_until(&format!("{process} to be restarted"), PATIENCE, || {
            up.pid(process).filter(|&new| new != pid)
        });
        // Training goes on: versions rise again, and never fall on the way.
        let (epoch, goal) = (newest.0, newest.1 + 2);
        wait_until(&format!("versions to rise after {process} was killed"), PATIENCE, || {
            let status = status_blocking(&address)?;
            let now = version(&status);
            // A learner that has just started has published nothing.
            if now.1 == 0 {
                return None;
            }
            assert!(now >= newest, "version {now:?} after {newest:?}");
            newest = now;
            let epoch_is_right = (now.0 > epoch) == (process == "learner");
            (epoch_is_right && now.1 >= goal && status.connected_actors == 2).then_some(())
        });
    }
    assert_eq!(launcher.wait(PATIENCE), 0, "{}", launcher.output());
    let summary = json(&up.path("summary.json"));
    for process in ["actor-0", "envserver", "learner"] {
        assert_eq!(summary["restarts"][process], 1, "{summary}");
        assert!(launcher.output().contains(&format!("{process} ended")), "{}", launcher.output());
    }
    let lines = metrics(&up.path("metrics.jsonl"));
    let last = lines.last().and_then(|line| line["step"].as_u64());
    assert!(last >= Some(12000), "training ended early: {last:?}");
}

#[test]
fn nothing_outlives_a_killed_launcher() {
    let up = Up::new(&["learner.ppg.total_env_steps=1000000"]);
    let mut launcher = up.start();
    up.wait_for_ppg(&launcher, 1);
    let children: Vec<(&str, u32)> = ["envserver", "learner", "actor-0", "actor-1"]
        .map(|name| (name, up.pid(name).unwrap_or_else(|| panic!("{name} has no pid file"))))
        .to_vec();
    assert!(children.iter().all(|&(_, pid)| runs(pid)), "{children:?}");
    launcher.signal(Signal::SIGKILL);
    launcher.wait(PATIENCE);
    for (name, pid) in children {
        wait_until(&format!("{name} to end after its launcher"), PATIENCE, || (!runs(pid)).then_some(()));
    }
}
