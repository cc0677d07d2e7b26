//! Envservers, networks and actors for the tests.

use crate::fake_learner::{FakeLearner, Weights};
use candle_core::{Device, Tensor};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vpt_actor::{ActorConfig, ActorError, ActorSetup, WorldConfig};
use vpt_envserver::config::EnvserverConfig;
use vpt_policy::{CounterRng, ExportDType, Parameters, PolicyConfig};
use vpt_proto::common::v1::PolicyVersion;
use vpt_runtime::{Listeners, Security};

/// A network small enough to run hundreds of steps a second.
pub(crate) fn policy() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        impala_chans: vec![4, 4, 4],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        n_recurrence_layers: 2,
        ..PolicyConfig::tiny()
    }
}

/// Fresh weights, but for the true value head, which would be zero.
pub(crate) fn parameters(seed: u64) -> Parameters {
    let parameters = Parameters::init(&policy(), seed, &Device::Cpu).unwrap();
    let vars = parameters.vars();
    let (_, head) = vars.iter().find(|(name, _)| name == "value_head.linear.weight").unwrap();
    let (rows, columns) = head.dims2().unwrap();
    let mut rng = CounterRng::new(&[seed]);
    let values = (0..rows * columns).map(|_| rng.normal_f32()).collect::<Vec<_>>();
    head.set(&Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()).unwrap();
    parameters
}

/// Weights of `seed`, published as (1, sequence).
pub(crate) fn weights(seed: u64, sequence: u64) -> Weights {
    let payload = parameters(seed).to_safetensors(ExportDType::F32, false).unwrap();
    Weights {
        version: PolicyVersion { epoch: 1, sequence },
        payload: payload.into(),
        architecture: policy().fingerprint(),
    }
}

pub(crate) fn world(name: &str, steps: u32) -> WorldConfig {
    let task = if name == "null" { "null" } else { "chop" };
    WorldConfig { name: name.into(), task: task.into(), episode_steps: steps }
}

/// Something that runs until stopped.
pub(crate) struct Running<T> {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<T>,
}

impl<T> Running<T> {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stopped(self) -> T {
        self.stop.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(60), self.task).await.expect("it stops").unwrap()
    }
}

/// A listener on `address`; a port that was just given up may take a moment.
async fn bind(address: &str) -> TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{address} stays taken");
}

pub(crate) async fn envserver(address: &str) -> Running<()> {
    let listener = bind(address).await;
    let address = listener.local_addr().unwrap();
    let listeners =
        Listeners { grpc: Some(listener), ops: bind("127.0.0.1:0").await, security: Security::loopback() };
    let stop = CancellationToken::new();
    let config = EnvserverConfig { drain_timeout_seconds: 0.2, ..EnvserverConfig::default() };
    let serving = vpt_envserver::run(config, listeners, stop.clone());
    Running { address, stop, task: tokio::spawn(async move { serving.await.unwrap() }) }
}

pub(crate) async fn learner(fake: &FakeLearner, address: &str) -> Running<()> {
    let listener = bind(address).await;
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (fake, token) = (fake.clone(), stop.clone());
    Running { address, stop, task: tokio::spawn(async move { fake.serve(listener, token).await }) }
}

pub(crate) async fn actor(config: ActorConfig, world: WorldConfig) -> Running<Result<(), ActorError>> {
    let ops = bind("127.0.0.1:0").await;
    let address = ops.local_addr().unwrap();
    let stop = CancellationToken::new();
    let setup = ActorSetup { actor: config, policy: policy(), world, run_seed: 5 };
    let running =
        vpt_actor::run(setup, Listeners { grpc: None, ops, security: Security::loopback() }, stop.clone());
    Running { address, stop, task: tokio::spawn(running) }
}

/// Two groups of two slots that reconnect quickly.
pub(crate) fn actor_config(envserver: String, learner: String) -> ActorConfig {
    ActorConfig {
        id: "actor-test".into(),
        envserver,
        learner,
        slots_per_group: 2,
        pending_unrolls: 6,
        reconnect_first_seconds: 0.02,
        reconnect_cap_seconds: 0.1,
        report_seconds: 0.05,
        drain_seconds: 5.0,
        ..ActorConfig::default()
    }
}
