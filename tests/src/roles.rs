//! Envserver, learner and actor in one process, each through its `run`, over real sockets.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vpt_actor::{ActorConfig, ActorSetup, WorldConfig};
use vpt_envserver::EnvserverConfig;
use vpt_learner::LearnerSetup;
use vpt_learner::config::LearnerConfig;
use vpt_runtime::{Listeners, net};

use crate::tiny;

/// Longest wait for anything; a loaded machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A role that runs in this process.
pub struct Role {
    /// For messages.
    pub name: &'static str,
    /// `host:port` of its ops port.
    pub ops: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Role {
    /// Tells it to stop and waits until it has drained.
    ///
    /// # Panics
    /// When it fails or does not drain.
    pub async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        let ended = ended.unwrap_or_else(|_| panic!("{} does not drain", self.name));
        ended.expect("no panic").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}

/// An envserver and its URL.
///
/// # Panics
/// When no port is free.
pub fn envserver() -> (Role, String) {
    let (listeners, ops, address) = listeners(true);
    let stop = CancellationToken::new();
    let served = vpt_envserver::run(EnvserverConfig::default(), listeners, stop.clone());
    let task = tokio::spawn(async move { served.await.map_err(|error| error.to_string()) });
    (Role { name: "envserver", ops, stop, task }, format!("http://{address}"))
}

/// A learner of the tiny network and the `host:port` of its gRPC port.
///
/// # Panics
/// When no port is free.
pub fn learner(config: LearnerConfig) -> (Role, String) {
    let (listeners, ops, address) = listeners(true);
    let stop = CancellationToken::new();
    let setup =
        LearnerSetup { learner: config, policy: tiny::policy(), run_seed: 3, run_config_toml: String::new() };
    let trained = vpt_learner::run(setup, listeners, stop.clone());
    let task = tokio::spawn(async move { trained.await.map_err(|error| error.to_string()) });
    (Role { name: "learner", ops, stop, task }, address)
}

/// An actor in the null world whose episodes have `episode_steps`.
///
/// # Panics
/// When no port is free.
pub fn actor(config: ActorConfig, episode_steps: u32) -> Role {
    let world = WorldConfig { name: "null".into(), task: "null".into(), episode_steps };
    let setup = ActorSetup { actor: config, policy: tiny::policy(), world, run_seed: 3 };
    let (listeners, ops, _) = listeners(false);
    let stop = CancellationToken::new();
    let acted = vpt_actor::run(setup, listeners, stop.clone());
    let task = tokio::spawn(async move { acted.await.map_err(|error| error.to_string()) });
    Role { name: "actor", ops, stop, task }
}

/// Free ports: the listeners, the ops port's `host:port` and, if there is one, that of the gRPC port.
fn listeners(with_grpc: bool) -> (Listeners, String, String) {
    let listener = || {
        let listener = net::bind("127.0.0.1:0", "test").expect("port");
        let address = listener.local_addr().expect("address").to_string();
        (listener, address)
    };
    let (ops, ops_address) = listener();
    let (grpc, address) = if with_grpc {
        let (grpc, address) = listener();
        (Some(grpc), address)
    } else {
        (None, String::new())
    };
    (Listeners { grpc, ops, security: vpt_runtime::Security::loopback() }, ops_address, address)
}
