//! The binary from outside: help, and configuration that is shown, checked and read back.
//!
//! (That this file exists also makes `cargo test` build the binary for the tests that cross crates.)

use std::path::Path;
use std::process::Command;

fn vpt(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vpt")).args(arguments).output().expect("vpt starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("utf-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

#[test]
fn every_command_has_help() {
    let commands = [
        "up",
        "learner",
        "actor",
        "relay",
        "envserver",
        "record",
        "replay",
        "eval",
        "status",
        "healthcheck",
        "doctor",
        "bench",
        "dev",
    ];
    let (code, overview, _) = vpt(&["--help"]);
    assert_eq!(code, 0);
    for command in commands {
        assert!(overview.contains(command), "{command} is missing from the overview:\n{overview}");
        let (code, help, _) = vpt(&[command, "--help"]);
        assert_eq!(code, 0, "{command} --help");
        assert!(help.contains("Usage: vpt"), "{command}:\n{help}");
    }
}

#[test]
fn shipped_run_files_are_usable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).expect("runs") {
        let path = entry.expect("entry").path();
        let (code, text, errors) = vpt(&["up", "--config", path.to_str().expect("utf-8"), "--check-config"]);
        assert_eq!(code, 0, "{}: {text}{errors}", path.display());
        checked += 1;
    }
    assert!(checked > 0, "no run file is shipped");
}

#[test]
fn dumped_configuration_reads_back_as_itself() {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("run.toml");
    let (code, first, errors) = vpt(&["up", "--set", "learner.ppg.lr=0.0125", "--dump-config"]);
    assert_eq!(code, 0, "{errors}");
    assert!(first.contains("lr = 0.0125"), "{first}");
    std::fs::write(&file, &first).expect("write");
    let (code, second, errors) = vpt(&["up", "--config", file.to_str().expect("utf-8"), "--dump-config"]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(first, second);
}

#[test]
fn every_role_checks_its_configuration() {
    for role in ["up", "learner", "actor", "envserver"] {
        let (code, text, errors) = vpt(&[role, "--check-config"]);
        assert_eq!(code, 0, "{role}: {text}{errors}");
        let (code, _, errors) = vpt(&[role, "--check-config", "--set", "learner.nothing=1"]);
        assert_eq!(code, 64, "{role}: {errors}");
        assert!(errors.contains("nothing"), "{role}: {errors}");
    }
}

#[test]
fn a_role_refuses_what_it_could_not_run_with() {
    for (role, set) in [
        ("learner", "learner.unroll_length=0"),
        ("actor", "actor.groups=0"),
        ("relay", "relay.keep_versions=0"),
        ("envserver", "envserver.max_sessions=0"),
    ] {
        let (code, _, errors) = vpt(&[role, "--check-config", "--set", set]);
        assert_eq!(code, 64, "{role}: {errors}");
        let (key, _) = set.split_once('=').expect("a setting");
        assert!(errors.contains(key), "{role}: {errors}");
    }
}

#[test]
fn a_role_says_how_long_it_takes_to_end() {
    for (role, set) in [
        ("learner", "learner.drain_seconds=1000.0"),
        ("actor", "actor.drain_seconds=1000.0"),
        ("relay", "relay.drain_seconds=1000.0"),
        ("envserver", "envserver.drain_timeout_seconds=1000.0"),
    ] {
        let (code, text, errors) = vpt(&[role, "--check-config", "--set", set]);
        assert_eq!(code, 0, "{role}: {errors}");
        let words: Vec<&str> = text.split_whitespace().collect();
        let seconds = words.iter().rev().nth(1).and_then(|word| word.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 1000), "{role}: {text}");
    }
}

#[test]
fn a_healthcheck_names_the_address_that_does_not_answer() {
    let (code, _, errors) = vpt(&["healthcheck", "--ops", "127.0.0.1:1"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("127.0.0.1:1"), "{errors}");
    let (code, _, errors) = vpt(&["healthcheck", "--ops", "nonsense"]);
    assert_eq!(code, 64, "{errors}");
}
