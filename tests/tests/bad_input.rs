//! What a user gets for bad input: a message that names the thing, and the right exit code.

use std::net::TcpListener;

use vpt_tests::process::{outcome, vpt};

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
    refused(&["eval", "--checkpoint", "/nowhere/checkpoints/latest", "--out", &out], 1, &["/nowhere/checkpoints"]);
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
