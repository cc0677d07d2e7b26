//! What is kept of a minibatch that no step can be taken on, how much of it, and when training ends.

use std::collections::HashMap;

use candle_core::Device;
use serde_json::Value;

use super::*;
use crate::training::Counters;

fn evidence() -> Result<Evidence, LearnerError> {
    let tensors = vec![
        ("rewards".to_owned(), Tensor::new(&[1.0f32, f32::INFINITY], &Device::Cpu)?),
        ("values".to_owned(), Tensor::new(&[1.0f32, 2.0], &Device::Cpu)?),
    ];
    let losses = vec![("policy", 0.5), ("value", f64::NAN)];
    Ok(Evidence { phase: "policy", counters: Counters::default(), losses, tensors, unrolls: Vec::new() })
}

fn fault() -> Fault {
    Fault { loss: f64::NAN, gradients: vec!["value_head.linear.bias".to_owned()] }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_dump_says_what_was_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let mut guard = NonFiniteGuard::new(&NonFiniteConfig::default(), dir.path());
    guard.note(fault());
    guard.examine(evidence).unwrap();
    drop(guard);
    let text = std::fs::read_to_string(dir.path().join("nonfinite/1.json")).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let expected = ["loss.total", "loss.value", "input.rewards", "gradient.value_head.linear.bias"];
    assert_eq!(description["not_finite"], serde_json::json!(expected));
    assert_eq!(description["losses"]["policy"], 0.5);
    assert_eq!(description["losses"]["value"], "NaN");
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(dir.path().join("nonfinite/1.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(tensors["rewards"].to_vec1::<f32>().unwrap(), [1.0, f32::INFINITY]);
}

#[test]
fn dumps_are_bounded_over_all_starts() {
    let dir = tempfile::tempdir().unwrap();
    let config = NonFiniteConfig { dump_limit: 2, stop_after: 0 };
    for _ in 0..2 {
        let mut guard = NonFiniteGuard::new(&config, dir.path());
        for _ in 0..3 {
            guard.note(fault());
            guard.examine(evidence).unwrap();
        }
    }
    let expected = ["1.json", "1.safetensors", "2.json", "2.safetensors"];
    assert_eq!(files(&dir.path().join("nonfinite")), expected);
}

#[test]
fn too_many_end_training_and_the_error_says_where_to_look() {
    let dir = tempfile::tempdir().unwrap();
    let config = NonFiniteConfig { dump_limit: 1, stop_after: 2 };
    let mut guard = NonFiniteGuard::new(&config, dir.path());
    guard.note(fault());
    guard.examine(evidence).unwrap();
    guard.note(fault());
    let error = guard.examine(evidence).unwrap_err();
    assert!(matches!(error, LearnerError::NonFinite { skipped: 2, .. }));
    let message = error.to_string();
    for hint in ["nonfinite", "checkpoints", "learner.nonfinite.stop_after", "learning rate"] {
        assert!(message.contains(hint), "{hint} is missing from: {message}");
    }
    assert!(dir.path().join("nonfinite/1.json").exists(), "written before training ends");
}

#[test]
fn a_folder_that_cannot_be_written_costs_the_dump_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nonfinite"), b"taken").unwrap();
    let mut guard = NonFiniteGuard::new(&NonFiniteConfig::default(), dir.path());
    guard.note(fault());
    guard.examine(evidence).unwrap();
}
