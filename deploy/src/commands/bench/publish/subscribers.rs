//! Processes that take weights: subscribers that answer when a version has arrived, and relays between them and the origin.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vpt_policy::PolicyConfig;
use vpt_proto::weights::{Store, WeightSet};
use vpt_runtime::{Security, net};

use super::super::{policy, worker};
use super::Origin;
use crate::cli::bench::BenchSubscriberArgs;
use worker::Worker;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A subscriber's process, seen from the bench.
pub(super) struct Subscriber(Worker);

impl Subscriber {
    pub(super) fn start(model: &str, parents: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "subscriber", "--model", model]);
        for parent in parents {
            command.args(["--parent", parent]);
        }
        Ok(Self(Worker::start(command)?))
    }

    /// Waits until version `sequence` has arrived; returns the hash that was found.
    pub(super) fn wait(&mut self, sequence: u64) -> anyhow::Result<String> {
        let answer = self.0.ask(&json!({ "sequence": sequence }))?;
        Ok(answer["blake3"].as_str().context("a subscriber's answer has no hash")?.to_owned())
    }
}

#[derive(Default)]
struct Arrived {
    newest: Mutex<(u64, String)>,
    changed: Condvar,
}

/// Follows in the background and answers requests for a version when it has arrived.
pub(super) fn serve(args: &BenchSubscriberArgs) -> anyhow::Result<()> {
    let config = policy::config(&args.model)?;
    let arrived = Arc::new(Arrived::default());
    let told = arrived.clone();
    let subscriber = vpt_actor::subscriber::Subscriber {
        name: format!("subscriber-{}", std::process::id()),
        architecture: config.fingerprint(),
        limit: 8 * config.parameter_count() as u64,
        security: Security::loopback(),
        parents: args.parents.clone(),
        wait: PATIENCE,
        reconnect: (Duration::from_millis(20), Duration::from_secs(1)),
        return_after: PATIENCE,
        store: Arc::new(Store::keeping(1)),
        whole: Arc::new(move |set: &WeightSet| {
            let newest = (set.version.sequence, set.payload.hashes().root().to_string());
            *told.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
            told.changed.notify_all();
        }),
    };
    let runtime = crate::commands::runtime()?;
    let following = runtime.spawn(subscriber.run(CancellationToken::new()));
    worker::serve("subscriber", |request| {
        let wanted = request["sequence"].as_u64().context("which sequence?")?;
        if following.is_finished() {
            bail!("it no longer follows");
        }
        let newest = arrived.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = arrived.changed.wait_timeout_while(newest, PATIENCE, |newest| newest.0 < wanted);
        let (newest, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            bail!("version {wanted} did not arrive");
        }
        Ok(json!({ "blake3": newest.1 }))
    })
}

/// `vpt relay` processes below the origin.
pub(super) struct Relays {
    children: Vec<(Child, String, String)>,
}

impl Relays {
    pub(super) fn start(count: usize, upstream: &str, config: &PolicyConfig) -> anyhow::Result<Self> {
        let mut relays = Self { children: Vec::new() };
        for index in 0..count {
            let (listen, ops) = (free_address()?, free_address()?);
            let policy = serde_json::to_value(config)?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("relay").args(["--set", &format!("relay.id=relay-{index}")]);
            command.args(["--set", &format!("relay.listen={listen}")]);
            command.args(["--set", &format!("relay.ops_listen={ops}")]);
            command.args(["--set", &format!("relay.upstream=[\"{upstream}\"]")]);
            command.args(["--set", "relay.keep_versions=1"]);
            for (key, value) in policy.as_object().context("a policy section")? {
                command.args(["--set", &format!("policy.{key}={value}")]);
            }
            command.env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().context("cannot start a relay")?;
            relays.children.push((child, format!("http://{listen}"), ops));
        }
        Ok(relays)
    }

    pub(super) fn url(&self, index: usize) -> String {
        self.children[index].1.clone()
    }

    /// Waits until every relay follows the origin and `subscribers` follow the relays.
    pub(super) fn wait_ready(&self, subscribers: usize, origin: &Origin) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let behind: u64 = self.children.iter().map(|(_, _, ops)| followers(ops).unwrap_or(0)).sum();
            if origin.followers() == self.children.len() && behind == subscribers as u64 {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{behind} of {subscribers} subscribers follow relays, {} relays the origin",
                    origin.followers()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        for (child, ..) in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_address() -> anyhow::Result<String> {
    Ok(net::bind("127.0.0.1:0", "the bench's port")?.local_addr()?.to_string())
}

/// What a relay's metrics say of its followers.
fn followers(ops: &str) -> Option<u64> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(ops).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.starts_with("vpt_relay_followers "))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
