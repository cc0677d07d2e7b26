//! `vpt record world` and `vpt replay world` from outside: what was recorded replays, and what was spoilt is told.

use std::path::{Path, PathBuf};
use std::process::Command;

fn vpt(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vpt")).args(arguments).output().expect("vpt starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("utf-8")).concat();
    (output.status.code().expect("no signal"), text)
}

/// A recorded episode of `ticks` ticks, and its bytes.
fn recorded(folder: &Path, ticks: &str) -> (String, Vec<u8>) {
    let file = folder.join("episode.log").display().to_string();
    let (code, text) =
        vpt(&["record", "world", &file, "--task", "wood", "--seed", "4", "--ticks", ticks, "--size", "48"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("{ticks} ticks of wood, seed 4")), "{text}");
    let bytes = std::fs::read(&file).expect("the log");
    (file, bytes)
}

#[test]
fn a_recorded_episode_replays() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (file, bytes) = recorded(folder.path(), "230");
    let (code, text) = vpt(&["replay", "world", &file]);
    assert!(code == 0 && text.contains("230 ticks of wood, seed 4") && text.contains("4 frames"), "{text}");
    // The same episode gives the same log, and no log is overwritten.
    let again = tempfile::tempdir().expect("tempdir");
    assert_eq!(recorded(again.path(), "230").1, bytes);
    let (code, text) = vpt(&["record", "world", &file]);
    assert!(code == 64 && text.contains("already exists"), "{text}");
}

#[test]
fn another_episode_under_the_same_actions_differs_at_the_start() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (file, bytes) = recorded(folder.path(), "100");
    // A log that is whole, and of another seed: rewritten with a checksum of its own.
    let text = String::from_utf8_lossy(&bytes[..bytes.iter().position(|b| *b == b'\n').expect("header")])
        .into_owned();
    let body = &bytes[text.len()..bytes.len() - 8];
    let mut forged = text.replace("\"seed\":4", "\"seed\":5").into_bytes();
    forged.extend_from_slice(body);
    let checksum = blake3::hash(&forged);
    forged.extend_from_slice(&checksum.as_bytes()[..8]);
    std::fs::write(&file, forged).expect("write");
    let (code, text) = vpt(&["replay", "world", &file]);
    assert_eq!(code, 1, "{text}");
    for part in ["tick 0", "the state differs", "expected ", "found "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn spoilt_logs_are_told_apart() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (_, bytes) = recorded(folder.path(), "100");
    let with = |name: &str, content: &[u8]| -> PathBuf {
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("write");
        file
    };
    let mut tampered = bytes.clone();
    let middle = bytes.len() - 100;
    tampered[middle] ^= 0x40;
    let version = String::from_utf8_lossy(&bytes[..300]).replace("\"version\":1", "\"version\":9");
    let header = bytes.iter().position(|byte| *byte == b'\n').expect("header");
    let later = [version.as_bytes(), &bytes[300..=header]].concat();
    let cases = [
        (with("tampered", &tampered), "damaged"),
        (with("truncated", &bytes[..bytes.len() / 2]), "cut short"),
        (with("later", &later), "format version 9"),
        (with("empty", b""), "it is empty"),
        (with("other", b"PNG"), "no action log"),
        (folder.path().join("missing"), "cannot open"),
    ];
    for (file, told) in cases {
        let file = file.display().to_string();
        let (code, text) = vpt(&["replay", "world", &file]);
        assert!(code == 1 && text.contains(told) && text.contains(&file), "{file}: {code} {text}");
    }
    let (code, text) = vpt(&["record", "world", "x.log", "--task", "fly"]);
    assert!(code == 1 && text.contains("fly"), "{text}");
    let (code, text) = vpt(&["record", "--episodes", "1"]);
    assert!(code == 64 && text.contains("--out"), "{text}");
}
