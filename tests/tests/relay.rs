//! Learner, two relays in a row and an actor in one process, each through its `run`, over real sockets: versions reach the
//! actor as deltas, and the learner sends each once.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vpt_actor::relay::{RelayConfig, RelaySetup};
use vpt_actor::{ActorConfig, ActorSetup, WorldConfig};
use vpt_envserver::EnvserverConfig;
use vpt_learner::LearnerSetup;
use vpt_learner::config::{LearnerConfig, Stage};
use vpt_runtime::{Listeners, net};
use vpt_tests::{http, tiny};

/// Longest wait for anything; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A role that runs in this process.
struct Role {
    url: String,
    ops: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Role {
    fn start<F, E>(run: impl FnOnce(Listeners, CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let grpc = net::bind("127.0.0.1:0", "grpc").expect("port");
        let ops = net::bind("127.0.0.1:0", "ops").expect("port");
        let url = format!("http://{}", grpc.local_addr().expect("address"));
        let ops_address = ops.local_addr().expect("address").to_string();
        let stop = CancellationToken::new();
        let running = run(
            Listeners { grpc: Some(grpc), ops, security: vpt_runtime::Security::loopback() },
            stop.clone(),
        );
        let task = tokio::spawn(async move { running.await.map_err(|error| error.to_string()) });
        Self { url, ops: ops_address, stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("it drains");
        ended.expect("no panic").expect("no error");
    }

    /// The sum of a metric's series, of all roles of its kind in this process.
    fn metric(&self, name: &str) -> f64 {
        let (_, text) = http::get(&self.ops, "/metrics").unwrap_or_default();
        let series = text.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn learner(out: &Path) -> Role {
    let mut config = LearnerConfig {
        stage: Stage::Ppg,
        out: out.to_owned(),
        threads: 1,
        unroll_length: 8,
        ..LearnerConfig::default()
    };
    config.ppg.batch_unrolls = 8;
    config.ppg.minibatch_unrolls = 8;
    let setup =
        LearnerSetup { learner: config, policy: tiny::policy(), run_seed: 3, run_config_toml: String::new() };
    Role::start(|listeners, stop| vpt_learner::run(setup, listeners, stop))
}

fn relay(id: &str, upstream: &[&str]) -> Role {
    let config = RelayConfig {
        id: id.to_owned(),
        upstream: upstream.iter().map(|&url| url.to_owned()).collect(),
        ..RelayConfig::default()
    };
    let setup = RelaySetup { relay: config, policy: tiny::policy() };
    Role::start(|listeners, stop| vpt_actor::relay::run(setup, listeners, stop))
}

fn actor(envserver: &str, learner: &str, relay: &str) -> Role {
    let config = ActorConfig {
        envserver: envserver.to_owned(),
        learner: learner.to_owned(),
        weights: vec![relay.to_owned()],
        slots_per_group: 2,
        ..ActorConfig::default()
    };
    let world = WorldConfig { name: "null".into(), task: "null".into(), episode_steps: 20 };
    let setup = ActorSetup { actor: config, policy: tiny::policy(), world, run_seed: 3 };
    Role::start(|listeners, stop| vpt_actor::run(setup, Listeners { grpc: None, ..listeners }, stop))
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !tokio::task::block_in_place(&condition) {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_reaches_an_actor_behind_two_relays_as_deltas() {
    let dir = tempfile::tempdir().expect("folder");
    let envserver =
        Role::start(|listeners, stop| vpt_envserver::run(EnvserverConfig::default(), listeners, stop));
    let learner = learner(dir.path());
    let first = relay("relay-0", &[&learner.url]);
    let second = relay("relay-1", &[&first.url, &learner.url]);
    let actor = actor(&envserver.url, &learner.url, &second.url);
    wait_until("five versions", || actor.metric("vpt_actor_policy_version") >= 5.0).await;
    assert!(actor.metric("vpt_actor_weights_received_bytes_total{kind=\"delta\"}") > 0.0);
    assert!(first.metric("vpt_relay_weights_received_bytes_total{kind=\"delta\"}") > 0.0);
    assert_eq!(actor.metric("vpt_actor_weights_parent_changes_total"), 0.0);
    assert_eq!(actor.metric("vpt_actor_weights_faults_total"), 0.0);
    assert!(actor.metric("vpt_actor_swap_pause_seconds_count") >= 1.0);

    // The relay between them dies: the actor goes on with the learner.
    second.end().await;
    let before = actor.metric("vpt_actor_policy_version");
    wait_until("versions from elsewhere", || actor.metric("vpt_actor_policy_version") >= before + 3.0).await;
    assert!(actor.metric("vpt_actor_weights_parent_changes_total{reason=\"lost\"}") >= 1.0);
    for role in [actor, first, learner, envserver] {
        role.end().await;
    }
}
