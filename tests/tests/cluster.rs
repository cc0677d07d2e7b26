//! Envserver, learner and actor in one process, each through its `run`, over real sockets: what flows between them and
//! what can be seen of it.

use std::time::Duration;

use vpt_actor::ActorConfig;
use vpt_learner::config::{LearnerConfig, Stage};
use vpt_proto::learner::v1::GetStatusResponse;
use vpt_runtime::metrics::MetricSpec;
use vpt_tests::learner::{status, version};
use vpt_tests::roles::{self, PATIENCE};
use vpt_tests::{http, tiny};

const POLL: Duration = Duration::from_millis(20);

fn learner_config(out: &std::path::Path) -> LearnerConfig {
    let mut config = LearnerConfig {
        stage: Stage::Ppg,
        out: out.to_owned(),
        threads: 1,
        unroll_length: 8,
        ..LearnerConfig::default()
    };
    config.ppg.batch_unrolls = 8;
    config.ppg.minibatch_unrolls = 8;
    config.ppg.policy_phases_per_aux = 2;
    config
}

fn actor_config(envserver: &str, learner: &str) -> ActorConfig {
    ActorConfig {
        id: "actor-7".into(),
        envserver: envserver.to_owned(),
        learner: format!("http://{learner}"),
        groups: 2,
        slots_per_group: 2,
        report_seconds: 0.1,
        ..ActorConfig::default()
    }
}

/// Every env step has one fate, at every moment.
#[track_caller]
fn assert_balanced(status: &GetStatusResponse) {
    let ledger = status.ledger.as_ref().expect("a ledger");
    let dropped: u64 = ledger.dropped.values().sum();
    assert_eq!(ledger.produced, ledger.trained + dropped + ledger.in_flight, "{ledger:?}");
}

/// Polls the learner until `done`; the ledger balances and versions never fall at every poll.
async fn watch(address: &str, what: &str, done: impl Fn(&GetStatusResponse) -> bool) -> GetStatusResponse {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut newest = (0, 0);
    loop {
        if let Some(status) = status(address).await {
            assert_balanced(&status);
            assert!(version(&status) >= newest, "version {:?} after {newest:?}", version(&status));
            newest = version(&status);
            if done(&status) {
                return status;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}; version {newest:?}");
        tokio::time::sleep(POLL).await;
    }
}

async fn get(address: &str, path: &'static str) -> (u16, String) {
    let owned = address.to_owned();
    let reply = tokio::task::spawn_blocking(move || http::get(&owned, path)).await.expect("no panic");
    reply.unwrap_or_else(|| panic!("{address}{path} does not answer"))
}

/// Metrics whose series exist from the start; the others appear with their first label value.
fn closed(specs: &[MetricSpec]) -> impl Iterator<Item = &'static str> {
    specs.iter().filter(|spec| spec.labels.iter().all(|(_, values)| !values.is_empty())).map(|spec| spec.name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrolls_go_up_and_weights_come_down_and_all_of_it_can_be_seen() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (worlds, envserver_url) = roles::envserver();
    let (trainer, learner_address) = roles::learner(learner_config(dir.path()));
    let player = roles::actor(actor_config(&envserver_url, &learner_address), 20);

    let first = watch(&learner_address, "the first policy phase", |status| version(status).1 >= 2).await;
    assert_eq!((first.stage.as_str(), first.connected_actors), ("ppg", 1));
    let later = watch(&learner_address, "more versions and episodes", |status| {
        version(status).1 >= version(&first).1 + 4 && status.episodes >= 8
    })
    .await;
    assert!(later.env_steps_trained > first.env_steps_trained);
    assert!(later.optimizer_steps > first.optimizer_steps);
    let ledger = later.ledger.as_ref().expect("a ledger");
    assert_eq!(ledger.trained, later.env_steps_trained);
    assert!(ledger.produced > ledger.trained, "unrolls are on their way while others are trained on");
    let acting = &later.actors[0];
    assert_eq!((acting.actor_id.as_str(), acting.connected, acting.reconnects), ("actor-7", true, 0));
    assert!(acting.env_steps_produced > 0);

    let declared = [
        (&worlds, vpt_envserver::metrics::METRICS),
        (&trainer, vpt_learner::metrics::SPECS),
        (&player, vpt_actor::metrics::METRICS),
    ];
    for (role, specs) in declared {
        assert_eq!(get(&role.ops, "/livez").await.0, 200, "{}", role.name);
        assert_eq!(get(&role.ops, "/readyz").await, (200, "ready\n".to_owned()), "{}", role.name);
        let (code, text) = get(&role.ops, "/metrics").await;
        assert_eq!(code, 200);
        for name in closed(specs).chain(["vpt_build_info"]) {
            assert!(text.contains(&format!("# HELP {name} ")), "{} does not serve {name}", role.name);
        }
        assert!(text.contains("vpt_runtime_undeclared_metrics_total 0"), "a metric is used but not declared");
        assert!(text.contains("vpt_actor_env_steps_total{task=\"null\"}"), "env steps are counted by task");
    }

    player.end().await;
    let drained = watch(&learner_address, "the actor to leave", |status| status.connected_actors == 0).await;
    assert_balanced(&drained);
    trainer.end().await;
    worlds.end().await;
    let kept = vpt_learner::checkpoint::load_policy(&dir.path().join("checkpoints/latest"))
        .expect("last checkpoint");
    assert_eq!(kept.config.fingerprint(), tiny::policy().fingerprint());
    assert!((kept.version.epoch, kept.version.sequence) >= version(&later));
}
