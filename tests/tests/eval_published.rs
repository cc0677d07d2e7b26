//! `vpt eval` with a policy as OpenAI publishes them: it plays by its own sizes, and the report says whose it is.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::Value;
use vpt_policy::Parameters;
use vpt_policy::openai::{self, ModelFile, NamedTensors};
use vpt_tests::process::{outcome, vpt};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/fixtures/openai").join(name)
}

/// Writes random weights for the fixture's network and returns the file's name.
fn weights(dir: &Path) -> String {
    let ModelFile::Policy(config) = openai::read_model(&fixture("policy_tiny.model")).expect("model file")
    else {
        panic!("a policy's model file")
    };
    let parameters = Parameters::init(&config, 3, &Device::Cpu).expect("weights");
    let published = parameters.names().filter(|name| !name.starts_with("aux_value_head"));
    let tensors: NamedTensors =
        published.map(|name| (name.to_owned(), parameters.get(name).expect("listed").clone())).collect();
    let path = dir.join("tiny.weights");
    openai::write_weights(&path, &tensors).expect("weights file");
    path.display().to_string()
}

#[test]
fn a_published_policy_plays_held_out_episodes() {
    let dir = tempfile::tempdir().expect("tempdir");
    let weights = weights(dir.path());
    let model = fixture("policy_tiny.model").display().to_string();
    let run = |out: &str, more: &[&str]| {
        let out = dir.path().join(out).display().to_string();
        let mut arguments = vec!["eval", "--model", &model, "--weights", &weights, "--out", &out];
        arguments.extend(["--set", "world.episode_steps=20", "--set", "evaluation.slots=2"]);
        arguments.extend(more);
        let (code, text) = outcome(&vpt(&arguments));
        assert_eq!(code, 0, "{text}");
        let report = std::fs::read(Path::new(&out).join("eval.json")).expect("a report");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        (text, report)
    };
    let (text, report) = run("wood", &["--task", "wood", "--episodes", "3"]);
    assert!(text.contains("task wood: mean return") && text.contains("over 3 episodes"), "{text}");
    assert_eq!(
        (&report["task"], &report["world"], &report["episodes"]),
        (&"wood".into(), &"native".into(), &3.into())
    );
    assert_eq!((&report["model"], &report["weights"]), (&model.as_str().into(), &weights.as_str().into()));
    assert_eq!(report["returns"].as_array().map(Vec::len), Some(3));
    assert!(report["item_shares"].is_object() && report["checkpoint"].is_null(), "{report}");

    // In another world, and by a run file.
    let file = dir.path().join("run.toml");
    std::fs::write(
        &file,
        "config_version = 1\n[world]\nname = \"null\"\ntask = \"\"\n[evaluation]\nepisodes = 2\n",
    )
    .expect("run file");
    let (_, report) = run("null", &["--config", file.to_str().expect("a name")]);
    assert_eq!(
        (&report["world"], &report["episodes"], &report["mean"]),
        (&"null".into(), &2.into(), &0.0.into())
    );
}

#[test]
fn what_cannot_play_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let weights = weights(dir.path());
    let out = dir.path().join("out").display().to_string();
    let model = fixture("policy_tiny.model").display().to_string();
    let labels = fixture("inverse_dynamics_tiny.model").display().to_string();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--model", &labels, "--weights", &weights], 64, "inverse dynamics"),
        (&["--model", &model], 64, "--weights"),
        (&["--model", &model, "--weights", &weights, "--checkpoint", "x"], 64, "--checkpoint"),
        (&[], 64, "--checkpoint"),
        (&["--model", &model, "--weights", &model], 1, "policy_tiny.model"),
    ];
    for (arguments, expected, named) in cases {
        let mut all = vec!["eval", "--out", &out];
        all.extend(arguments);
        let (code, text) = outcome(&vpt(&all));
        assert!(code == expected && text.contains(named), "{arguments:?}: {code}: {text}");
    }
    assert!(!Path::new(&out).exists());
}
