//! Checkpoints are whole or absent, and say why when they cannot be used.

use candle_core::Device;
use vpt_policy::{ExportDType, Parameters};

use super::*;

fn snapshot(epoch: u32, sequence: u64) -> Snapshot {
    Snapshot {
        version: Version::new(epoch, sequence),
        stage: "ppg",
        policy: PolicyConfig::tiny(),
        files: vec![
            (POLICY_FILE, vec![sequence as u8; 100]),
            (STATE_FILE, b"{}".to_vec()),
            (RUN_CONFIG_FILE, b"config_version = 1\n".to_vec()),
        ],
    }
}

fn architecture() -> String {
    PolicyConfig::tiny().fingerprint()
}

#[test]
fn what_was_written_is_found_by_every_name() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 3).unwrap();
    assert!(folder.newest(&architecture()).unwrap().is_none());
    let path = folder.write(&snapshot(1, 4)).unwrap();
    for name in [path, folder.dir().join(LATEST), folder.dir().to_owned()] {
        let loaded = load_policy(&name).unwrap();
        assert_eq!(loaded.parameters, vec![4; 100]);
        assert_eq!(loaded.config, PolicyConfig::tiny());
        assert_eq!(loaded.version, Version::new(1, 4));
        assert_eq!(loaded.run_config_toml, "config_version = 1\n");
    }
    let stored = folder.newest(&architecture()).unwrap().unwrap();
    assert_eq!(stored.file(STATE_FILE).unwrap(), b"{}");
    assert!(stored.file("other").is_err());
}

#[test]
fn only_the_newest_are_kept() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 2).unwrap();
    for sequence in [8, 9, 10, 11] {
        folder.write(&snapshot(1, sequence)).unwrap();
    }
    assert_eq!(folder.names().unwrap(), ["00000001-000000000010", "00000001-000000000011"]);
}

#[test]
fn a_tampered_or_torn_checkpoint_gives_way_to_the_one_before() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    folder.write(&snapshot(1, 1)).unwrap();
    let second = folder.write(&snapshot(1, 2)).unwrap();
    let third = folder.write(&snapshot(1, 3)).unwrap();
    std::fs::write(third.join(POLICY_FILE), vec![9; 100]).unwrap();
    std::fs::write(second.join(POLICY_FILE), vec![2; 50]).unwrap();
    let message = load_policy(&third).unwrap_err().to_string();
    assert!(message.contains("policy.safetensors") && message.contains("hash"), "{message}");
    let message = load_policy(&second).unwrap_err().to_string();
    assert!(message.contains("50 bytes instead of 100"), "{message}");
    let stored = folder.newest(&architecture()).unwrap().unwrap();
    assert_eq!(stored.manifest.version, Version::new(1, 1));
}

#[test]
fn another_architecture_is_refused_naming_both() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    folder.write(&snapshot(1, 1)).unwrap();
    let other = PolicyConfig { hidsize: 64, ..PolicyConfig::tiny() }.fingerprint();
    let message = folder.newest(&other).unwrap_err().to_string();
    assert!(message.contains(&other) && message.contains(&architecture()), "{message}");
}

#[test]
fn another_format_is_refused_by_number() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    let path = folder.write(&snapshot(1, 1)).unwrap();
    let manifest = std::fs::read_to_string(path.join(MANIFEST_FILE)).unwrap();
    let later = manifest.replace("\"format_version\": 1", "\"format_version\": 7");
    std::fs::write(path.join(MANIFEST_FILE), later).unwrap();
    let message = folder.newest(&architecture()).unwrap_err().to_string();
    assert!(message.contains("format version 7"), "{message}");
}

#[test]
fn a_failed_write_leaves_earlier_checkpoints_alone() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    folder.write(&snapshot(1, 1)).unwrap();
    let mut bad = snapshot(1, 2);
    bad.files.push(("no/such/folder", vec![1]));
    let message = folder.write(&bad).unwrap_err().to_string();
    assert!(message.contains("no/such/folder"), "{message}");
    assert_eq!(load_policy(folder.dir()).unwrap().version, Version::new(1, 1));
    assert_eq!(folder.entries().unwrap().len(), 2, "only the checkpoint and `latest`");
}

/// `/dev/full` is a device that has no space left.
#[test]
fn a_full_disk_is_named_as_such() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    let error = CheckpointError::io("write", folder.dir())(
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"))
            .unwrap_err(),
    );
    assert!(error.is_disk_full());
    assert!(error.to_string().contains("earlier checkpoints are untouched"), "{error}");
}

#[test]
fn an_interrupted_write_is_cleared_and_never_read() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    let torn = folder.dir().join(".writing-00000001-000000000001");
    std::fs::create_dir(&torn).unwrap();
    assert!(folder.newest(&architecture()).unwrap().is_none());
    CheckpointFolder::open(out.path(), 4).unwrap();
    assert!(!torn.exists());
}

#[test]
fn epochs_only_rise() {
    let out = tempfile::tempdir().unwrap();
    let folder = CheckpointFolder::open(out.path(), 4).unwrap();
    assert_eq!(folder.raise_epoch().unwrap(), 1);
    assert_eq!(folder.raise_epoch().unwrap(), 2);
    folder.write(&snapshot(7, 1)).unwrap();
    assert_eq!(folder.raise_epoch().unwrap(), 8);
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let out = tempfile::tempdir().unwrap();
    for path in [out.path().to_owned(), out.path().join("nowhere")] {
        let message = load_policy(&path).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn openais_weights_are_read_as_they_are() {
    let parameters = Parameters::init(&PolicyConfig::tiny(), 3, &Device::Cpu).unwrap();
    let bytes = parameters.to_safetensors(ExportDType::F32, false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.weights");
    openai::write_weights(&path, &openai::parse_weights(&bytes).unwrap()).unwrap();
    let weights = load_weights(&path).unwrap();
    assert!(weights.config.is_none());
    let again = Parameters::from_safetensors(&weights.parameters, &PolicyConfig::tiny(), false, &Device::Cpu)
        .unwrap();
    assert_eq!(again.to_safetensors(ExportDType::F32, false).unwrap(), bytes);
    std::fs::write(&path, "no archive").unwrap();
    assert!(matches!(load_weights(&path), Err(CheckpointError::Damaged { .. })));
}
