//! Learning is real: cloning finds, from pixels, what the scripted player does.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use vpt_policy::action::{self, EnvAction};
use vpt_proto::shard::Dataset;
use vpt_tests::process::{outcome, vpt};
use vpt_tests::tiny;

/// Nats by which the clone must beat every policy that does not look at the frame.
const MARGIN: f64 = 0.5;

/// Mean negative log-likelihood, over the steps that count, of the best policy that ignores what it sees.
fn blind_loss(dir: &Path) -> f64 {
    let dataset = Dataset::open(dir).expect("dataset");
    let (mut buttons, mut camera) = (HashMap::<u32, u64>::new(), HashMap::<u32, u64>::new());
    for index in 0..dataset.episodes().len() {
        for step in dataset.read(index).expect("episode").steps {
            let taken = &step.action;
            let chosen = action::to_agent(&EnvAction {
                keys: taken.keys,
                pitch: taken.pitch_delta,
                yaw: taken.yaw_delta,
            });
            if !action::is_null(chosen) {
                *buttons.entry(chosen.buttons).or_default() += 1;
                *camera.entry(chosen.camera).or_default() += 1;
            }
        }
    }
    entropy(&buttons) + entropy(&camera)
}

fn entropy(counts: &HashMap<u32, u64>) -> f64 {
    let total = counts.values().sum::<u64>() as f64;
    counts.values().map(|&count| count as f64 / total).map(|share| -share * share.ln()).sum()
}

fn values(metrics: &[Value], tag: &str) -> Vec<f64> {
    metrics.iter().filter_map(|line| line.get(tag)?.as_f64()).collect()
}

#[test]
fn cloning_beats_every_policy_that_does_not_look() {
    let dir = tempfile::tempdir().expect("tempdir");
    let run_file = tiny::run_file(dir.path());
    let data = tiny::demonstrations(dir.path(), &run_file, 24);
    let out = dir.path().join("clone");
    let mut sets = tiny::bc_sets(&data, &out);
    sets.extend(
        [
            "learner.bc.max_updates=300",
            "learner.bc.batch_sequences=8",
            "learner.bc.lr=2e-3",
            "learner.threads=2",
        ]
        .map(str::to_owned),
    );
    sets.push("learner.bc.validation_fraction=0.2".into());
    let arguments = tiny::learner_arguments(&run_file, &sets);
    let (code, text) = outcome(&vpt(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(code, 0, "{text}");

    let lines = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let metrics: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let losses = values(&metrics, "losses/bc_loss");
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    let validation = values(&metrics, "losses/validation_nll");
    let unseen = *validation.last().expect("a validation");
    let blind = blind_loss(Path::new(&data));
    let report =
        format!("first {first:.3}, last {last:.3}, unseen episodes {unseen:.3}, blind {blind:.3} nats");
    println!("{report}");
    assert!(last < blind - MARGIN, "{report}");
    assert!(unseen < blind, "{report}");
    assert!(last < 0.5 * first, "{report}");
}
