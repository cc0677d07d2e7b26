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
    let commands = ["up", "learner", "actor", "envserver", "record", "replay", "eval", "status", "bench"];
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
