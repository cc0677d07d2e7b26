//! What a user gets for bad input: a message that names the thing, and the right exit code.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vpt_tests::process::{binary, outcome, vpt};
use vpt_tests::tiny;

#[track_caller]
fn refused(arguments: &[&str], code: i32, named: &[&str]) {
    let (got, text) = outcome(&vpt(arguments));
    assert_eq!(got, code, "exit code of {arguments:?}:\n{text}");
    for name in named {
        assert!(text.contains(name), "{arguments:?} does not name {name}:\n{text}");
    }
}

#[test]
fn an_unknown_config_key_is_named_with_its_source() {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("typo.toml");
    std::fs::write(&file, "[learner.ppg]\nlearning_speed = 1.0\n").expect("write");
    let path = file.display().to_string();
    refused(&["up", "--config", &path], 64, &["learning_speed", "typo.toml"]);
    refused(&["up", "--set", "learner.ppg.learning_speed=1"], 64, &["learning_speed", "--set"]);
}

#[test]
fn a_missing_run_file_is_named() {
    refused(&["learner", "--config", "/nowhere/run.toml"], 64, &["/nowhere/run.toml"]);
}

#[test]
fn a_wrong_type_is_named() {
    refused(&["actor", "--set", "actor.threads=many"], 64, &["threads"]);
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = taken.local_addr().expect("address").to_string();
    let set = format!("envserver.listen={address}");
    refused(&["envserver", "--set", &set], 1, &[&address, "envserver.listen"]);
    let set = format!("learner.listen={address}");
    refused(&["learner", "--set", &set], 1, &[&address, "learner.listen"]);
}

#[test]
fn an_unreachable_learner_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").to_string();
    refused(&["status", "--learner", &free], 1, &[&free, "cannot reach a learner"]);
}

#[test]
fn a_missing_checkpoint_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let out = dir.path().join("out").display().to_string();
    refused(
        &["eval", "--checkpoint", "/nowhere/checkpoints/latest", "--out", &out],
        1,
        &["/nowhere/checkpoints"],
    );
}

#[test]
fn an_unknown_task_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let out = dir.path().join("out").display().to_string();
    refused(&["record", "--set", "world.task=fly", "--episodes", "1", "--out", &out], 1, &["fly"]);
}

#[test]
fn recording_into_a_dataset_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("dataset.json"), "{}").expect("write");
    let out = dir.path().display().to_string();
    refused(&["record", "--episodes", "1", "--out", &out], 64, &[&out, "already holds a dataset"]);
}

#[test]
fn no_arguments_print_help_and_bad_ones_exit_64() {
    refused(&["up", "--frobnicate"], 64, &["--frobnicate"]);
    refused(&["--help"], 0, &["up", "learner", "actor", "envserver", "record", "eval", "status", "bench"]);
}

/// Runs `vpt learner` with `sets` over the tiny run to its end.
fn learner(run_file: &str, sets: &[String]) -> (i32, String) {
    let arguments = tiny::learner_arguments(run_file, sets);
    outcome(&vpt(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(out.join("checkpoints")).expect("checkpoints");
    let mut folders: Vec<PathBuf> =
        listing.map(|entry| entry.expect("entry").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn a_checkpoint_of_another_architecture_is_refused_with_both_fingerprints() {
    let dir = tempfile::tempdir().expect("tempdir");
    let run_file = tiny::run_file(dir.path());
    let data = tiny::demonstrations(dir.path(), &run_file, 4);
    let clone = dir.path().join("clone");
    let mut sets = tiny::bc_sets(&data, &clone);
    sets.push("learner.bc.max_updates=1".into());
    let (code, text) = learner(&run_file, &sets);
    assert_eq!(code, 0, "{text}");

    let ours = tiny::policy().fingerprint();
    let theirs = vpt_policy::PolicyConfig { hidsize: 32, ..tiny::policy() }.fingerprint();
    let mut other = tiny::bc_sets(&data, &dir.path().join("other"));
    other.push("policy.hidsize=32".into());
    other.push(format!("learner.init={}", clone.join("checkpoints/latest").display()));
    let (code, text) = learner(&run_file, &other);
    assert_eq!(code, 1, "{text}");
    for named in [&ours, &theirs, &clone.display().to_string()] {
        assert!(text.contains(named.as_str()), "{named} is not named:\n{text}");
    }

    // The same when the checkpoint lies where this learner writes its own.
    let mut same_folder = tiny::bc_sets(&data, &clone);
    same_folder.push("policy.hidsize=32".into());
    let (code, text) = learner(&run_file, &same_folder);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&ours) && text.contains(&theirs), "{text}");
    assert_eq!(checkpoints(&clone).len(), 1, "the checkpoint is untouched");
}

#[test]
fn a_full_disk_while_checkpointing_is_named_and_costs_no_earlier_checkpoint() {
    let dir = tempfile::tempdir().expect("tempdir");
    let run_file = tiny::run_file(dir.path());
    let data = tiny::demonstrations(dir.path(), &run_file, 4);
    let out = dir.path().join("clone");
    let mut sets = tiny::bc_sets(&data, &out);
    sets.push("learner.bc.max_updates=2".into());
    let (code, text) = learner(&run_file, &sets);
    assert_eq!(code, 0, "{text}");
    let before = checkpoints(&out);

    // No file may grow past 512 KB: smaller than the weights, larger than everything else.
    let weights = before[0].join("policy.safetensors");
    assert!(
        std::fs::metadata(&weights).expect("weights").len() > 600_000,
        "the limit below would not be met"
    );
    sets.pop();
    sets.push("learner.bc.max_updates=4".into());
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(tiny::learner_arguments(&run_file, &sets))
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    let (code, text) = outcome(&output);
    assert_eq!(code, 1, "{text}");
    for words in ["policy.safetensors", "cannot write", "earlier checkpoints are untouched"] {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }

    assert_eq!(checkpoints(&out), before, "earlier checkpoints stay, nothing half-written remains");
    let report = dir.path().join("report");
    let latest = out.join("checkpoints/latest").display().to_string();
    let report = report.display().to_string();
    refused(&["eval", "--checkpoint", &latest, "--episodes", "1", "--out", &report], 0, &["mean return"]);
}

#[test]
fn up_in_the_folder_of_another_configuration_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    let run_file = tiny::run_file(dir.path());
    let (code, dumped) = outcome(&vpt(&["up", "--config", &run_file, "--dump-config"]));
    assert_eq!(code, 0, "{dumped}");
    let journal = serde_json::json!({
        "format_version": 1, "run_toml": dumped, "done": [], "current": null,
        "seconds": {}, "restarts": {}, "arms": {}, "finished": false,
    });
    let out = dir.path().join("run");
    std::fs::create_dir(&out).expect("folder");
    std::fs::write(out.join("up.json"), journal.to_string()).expect("journal");
    let out = out.display().to_string();
    let arguments = ["up", "--config", &run_file, "--set", "run.seed=6", "--out", &out];
    refused(&arguments, 64, &[&out, "another configuration", "seed = 5", "seed = 6"]);
}
