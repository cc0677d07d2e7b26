//! The role from outside: it trains, leaves a checkpoint, drains, and refuses what cannot work.

use super::*;
use crate::checkpoint::load_policy;
use crate::synthetic::{record, tiny};
use vpt_policy::PolicyConfig;
use vpt_runtime::Security;

fn setup(dir: &Path, stage: Stage) -> LearnerSetup {
    let mut learner = LearnerConfig { stage, out: dir.join("out"), ..LearnerConfig::default() };
    learner.bc.data_dir = dir.join("data");
    learner.bc.batch_sequences = 2;
    learner.bc.sequence_length = 4;
    learner.bc.max_updates = 3;
    LearnerSetup { learner, policy: tiny(), run_seed: 1, run_config_toml: "config_version = 1\n".into() }
}

async fn listeners() -> Listeners {
    let bind = || async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() };
    Listeners { grpc: Some(bind().await), ops: bind().await, security: Security::loopback() }
}

async fn start(setup: LearnerSetup) -> Result<(), LearnerError> {
    run(setup, listeners().await, CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cloning_ends_by_itself_and_the_next_stage_starts_from_it() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("data"), &tiny(), 3, 12);
    start(setup(dir.path(), Stage::Bc)).await.unwrap();
    let clone = dir.path().join("out/checkpoints/latest");
    let loaded = load_policy(&clone).unwrap();
    assert_eq!((loaded.config, loaded.run_config_toml.as_str()), (tiny(), "config_version = 1\n"));

    // The same folder belongs to the other stage now.
    let message = start(setup(dir.path(), Stage::Ppg)).await.unwrap_err().to_string();
    assert!(message.contains("learner.out") && message.contains("\"bc\""), "{message}");

    let mut ppg = setup(dir.path(), Stage::Ppg);
    ppg.learner.out = dir.path().join("ppg");
    ppg.learner.init = clone.display().to_string();
    ppg.learner.pretrained = clone.display().to_string();
    // A learner without actors waits until it is told to stop, then leaves its start as a checkpoint.
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(ppg.clone(), listeners().await, shutdown.clone()));
    let published = dir.path().join("ppg/metrics.jsonl");
    while !published.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(load_policy(&dir.path().join("ppg/checkpoints")).unwrap().parameters, loaded.parameters);

    ppg.policy = PolicyConfig { hidsize: 32, ..tiny() };
    let message = start(ppg).await.unwrap_err().to_string();
    assert!(message.contains("architecture"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let message = start(setup(dir.path(), Stage::Bc)).await.unwrap_err().to_string();
    assert!(message.contains("data"), "{message}");
    let mut missing = setup(dir.path(), Stage::Ppg);
    missing.learner.init = dir.path().join("nowhere").display().to_string();
    let message = start(missing).await.unwrap_err().to_string();
    assert!(message.contains("nowhere"), "{message}");
    let mut senseless = setup(dir.path(), Stage::Ppg);
    senseless.learner.ppg.epochs = 0;
    let message = start(senseless).await.unwrap_err().to_string();
    assert_eq!(message, "learner.ppg.epochs: must be at least 1");
}
