//! What holds a run back is named, whichever part is slowed down; and every part's account of its time closes.

use std::time::{Duration, Instant};

use vpt_actor::ActorConfig;
use vpt_learner::config::{LearnerConfig, Stage};
use vpt_proto::learner::v1::GetStatusResponse;
use vpt_runtime::faults::Delays;
use vpt_tests::learner::{status, version};
use vpt_tests::roles::{self, PATIENCE};

const POLL: Duration = Duration::from_millis(50);
const SLOTS: usize = 8;

fn learner_config(out: &std::path::Path) -> LearnerConfig {
    let mut config = LearnerConfig {
        stage: Stage::Ppg,
        out: out.to_owned(),
        threads: 1,
        unroll_length: 8,
        ..LearnerConfig::default()
    };
    (config.ppg.batch_unrolls, config.ppg.minibatch_unrolls) = (8, 8);
    config.ppg.aux_epochs = 0;
    config.admission.queue_unrolls = 16;
    config
}

fn actor_config(envserver: &str, learner: &str) -> ActorConfig {
    ActorConfig {
        envserver: envserver.to_owned(),
        learner: format!("http://{learner}"),
        groups: 2,
        slots_per_group: SLOTS / 2,
        pending_unrolls: SLOTS,
        report_seconds: 0.25,
        ..ActorConfig::default()
    }
}

/// Asks the learner until `done`.
async fn wait(address: &str, what: &str, done: impl Fn(&GetStatusResponse) -> bool) -> GetStatusResponse {
    let deadline = Instant::now() + PATIENCE;
    let mut said = String::new();
    loop {
        if let Some(status) = status(address).await {
            if done(&status) {
                return status;
            }
            said = format!("{:?}", status.verdict);
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}; {said}");
        tokio::time::sleep(POLL).await;
    }
}

/// The sum of a gauge's series in this process.
fn sum_of(metric: &str) -> f64 {
    let text = vpt_runtime::metrics::install(&[]).expect("a recorder").render();
    let series = format!("{metric}{{");
    let values = text.lines().filter(|line| line.starts_with(&series));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[track_caller]
fn assert_closes(what: &str, sum: f64, wall_clock: f64) {
    assert!((sum - wall_clock).abs() <= 0.01 * wall_clock, "{what}: {sum} s of {wall_clock} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_part_that_is_slowed_down_is_named_and_all_time_is_accounted_for() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (worlds, envserver) = roles::envserver();
    let (trainer, address) = roles::learner(learner_config(dir.path()));
    let born = Instant::now();
    let player = roles::actor(actor_config(&envserver, &address), 50);
    wait(&address, "a policy phase", |status| version(status).1 >= 2).await;
    let played_from = Instant::now();

    let none = Delays::default();
    for (part, delays) in [
        ("env", Delays { env_step_ms: 50, ..none }),
        ("inference", Delays { inference_ms: 50, ..none }),
        ("network", Delays { uplink_ms: 500, ..none }),
        ("decode", Delays { decode_ms: 500, ..none }),
        ("train", Delays { train_step_ms: 2000, ..none }),
        ("publish", Delays { publish_ms: 2000, ..none }),
    ] {
        delays.inject();
        let named = |status: &GetStatusResponse| {
            status.verdict.as_ref().is_some_and(|verdict| verdict.held_back_by == part)
        };
        let status = wait(&address, &format!("the verdict {part}"), named).await;
        let recent = status.recent.expect("accounts");
        assert_closes("the learner lately", recent.training.values().sum(), recent.seconds);
        assert_closes("the learner", status.time_seconds.values().sum(), status.uptime_seconds);
        none.inject();
    }
    let page = vpt_runtime::metrics::install(&[]).expect("a recorder").render();
    let set = page.lines().filter(|line| line.starts_with("vpt_learner_verdict{") && line.ends_with(" 1"));
    assert_eq!(set.count(), 1, "one cause at a time");

    let played = played_from.elapsed().as_secs_f64();
    player.end().await;
    let life = born.elapsed().as_secs_f64();
    assert_closes("the actor's groups", sum_of("vpt_actor_time_seconds"), life);
    assert_closes("the actor's uplink", sum_of("vpt_actor_uplink_time_seconds"), life);
    trainer.end().await;
    worlds.end().await;
    // Each slot's session lives from before the first step that is trained on until after the last one.
    let sessions = sum_of("vpt_envserver_session_time_seconds") / SLOTS as f64;
    assert!((0.99 * played..=1.01 * life).contains(&sessions), "{sessions} s, {played} s, {life} s");
}
