//! A run so small that all of it fits into a test.

use std::path::Path;

use vpt_policy::PolicyConfig;

use crate::process::{outcome, vpt};

/// Steps of an episode: a scripted player gets a log in it.
pub const EPISODE_STEPS: u32 = 120;

/// The run file: every stage of `vpt up`, seconds each.
pub const RUN: &str = r#"
config_version = 1

[run]
name = "tiny"
seed = 5

[world]
episode_steps = 120

[policy]
image_size = 32
impala_chans = [16, 16, 16]
hidsize = 64
attention_heads = 2
attention_memory_size = 32
timesteps = 16
n_recurrence_layers = 1

[demonstrations]
episodes = 8
slots = 4

[evaluation]
episodes = 8
slots = 8

[actor]
groups = 2
slots_per_group = 4
reconnect_cap_seconds = 0.5

[learner]
threads = 1
unroll_length = 16

[learner.bc]
batch_sequences = 4
sequence_length = 16
max_updates = 8
lr = 1e-3
weight_decay = 0.0

[learner.ppg]
total_env_steps = 3000
batch_unrolls = 16
minibatch_unrolls = 8
policy_phases_per_aux = 2
lr = 1e-4

[learner.checkpoint]
every_phases = 2
every_updates = 2

[up]
drain_seconds = 10
"#;

/// The network of [`RUN`].
pub fn policy() -> PolicyConfig {
    PolicyConfig {
        image_size: 32,
        impala_chans: vec![16, 16, 16],
        hidsize: 64,
        attention_heads: 2,
        attention_memory_size: 32,
        timesteps: 16,
        n_recurrence_layers: 1,
        ..PolicyConfig::tiny()
    }
}

/// Writes [`RUN`] into `dir` and returns its path.
///
/// # Panics
/// When it cannot be written.
pub fn run_file(dir: &Path) -> String {
    let file = dir.join("tiny.toml");
    std::fs::write(&file, RUN).expect("run file");
    file.display().to_string()
}

/// Records demonstrations of the scripted player into `dir/demonstrations` and returns its path.
///
/// # Panics
/// When recording fails.
pub fn demonstrations(dir: &Path, run_file: &str, episodes: usize) -> String {
    let out = dir.join("demonstrations").display().to_string();
    let (code, text) =
        outcome(&vpt(&["record", "--config", run_file, "--episodes", &episodes.to_string(), "--out", &out]));
    assert_eq!(code, 0, "{text}");
    out
}

/// `--set` arguments of a cloning learner on free ports, with checkpoints in `out`.
pub fn bc_sets(demonstrations: &str, out: &Path) -> Vec<String> {
    vec![
        "learner.stage=bc".into(),
        "learner.listen=127.0.0.1:0".into(),
        "learner.ops_listen=127.0.0.1:0".into(),
        format!("learner.bc.data_dir={demonstrations}"),
        format!("learner.out={}", out.display()),
    ]
}

/// Command line of `vpt learner` with `sets`.
pub fn learner_arguments(run_file: &str, sets: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = ["learner", "--config", run_file].map(str::to_owned).to_vec();
    for set in sets {
        arguments.extend(["--set".to_owned(), set.clone()]);
    }
    arguments
}
