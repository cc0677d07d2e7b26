//! `vpt bench swarm`: thousands of simulated actors, each with a connection of its own, on one learner process: how long
//! control calls take, what an idle actor costs, and how soon all are back when all reconnect at once.

mod actor;
mod learner;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use vpt_runtime::security::{Authority, Mode, Role, SecurityConfig};
use vpt_runtime::{Security, open_files};

use crate::cli::bench::BenchSwarmArgs;
use actor::Swarm;
use learner::Learner;

/// Actors that come and go before anything is measured, so that pools and code are warm.
const WARM_UP: usize = 64;
/// How long actors are idle before memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// How long actors may take to connect.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// What is aimed at: seconds, bytes, seconds.
const GOALS: (f64, f64, f64) = (0.05, 65_536.0, 5.0);

pub(crate) fn run(args: &BenchSwarmArgs) -> anyhow::Result<()> {
    // A connection has two ends here, and the learner inherits the limit.
    let needed = args.actors as u64 + 256;
    let limit = open_files::raise().context("cannot raise the limit of open files")?;
    if limit < needed {
        bail!(
            "{} actors need {needed} open files, the hard limit is {limit}: raise it with ulimit -Hn",
            args.actors
        );
    }
    let folder = std::env::temp_dir().join(format!("vpt-bench-swarm-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = crate::commands::runtime()?.block_on(measure(args, &folder));
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

async fn measure(args: &BenchSwarmArgs, folder: &Path) -> anyhow::Result<Value> {
    let plain = one(args, &folder.join("plain"), SecurityConfig::default()).await?;
    eprintln!("plain: {}", plain.line());
    let certs = folder.join("certs");
    Authority::create(&certs, 1)?;
    let mtls = SecurityConfig { mode: Mode::Mtls, certs, ..SecurityConfig::default() };
    let tls = one(args, &folder.join("mtls"), mtls).await?;
    eprintln!("mtls:  {}", tls.line());
    let (p99, bytes, settle) = GOALS;
    Ok(json!({
        "bench": "swarm", "value": plain.p99 * 1e3, "unit": "ms (control call, p99, plain)",
        "ratios": {
            "p99_plain.goal": p99 / plain.p99, "p99_mtls.goal": p99 / tls.p99,
            "memory_plain.goal": bytes / plain.bytes, "memory_mtls.goal": bytes / tls.bytes,
            "settle_plain.goal": settle / plain.settle, "settle_mtls.goal": settle / tls.settle,
        },
        "about": {"actors": args.actors, "seconds": args.seconds, "call_seconds": args.call_seconds},
        "plain": plain.json(), "mtls": tls.json(),
    }))
}

/// What was found in one mode.
struct Found {
    calls: usize,
    p50: f64,
    p99: f64,
    max: f64,
    /// A status call while all actors are connected.
    status: f64,
    /// Learner memory an idle actor.
    bytes: f64,
    /// Seconds until all actors that reconnect at once are back.
    settle: f64,
    /// Cores that the learner used while actors reported and called.
    cores: f64,
    errors: u64,
}

impl Found {
    fn line(&self) -> String {
        format!(
            "control p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms over {} calls; status {:.1} ms; {:.1} KiB an idle actor; all \
             back in {:.2} s; learner {:.2} cores; {} errors",
            self.p50 * 1e3,
            self.p99 * 1e3,
            self.max * 1e3,
            self.calls,
            self.status * 1e3,
            self.bytes / 1024.0,
            self.settle,
            self.cores,
            self.errors
        )
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls, "p50_ms": self.p50 * 1e3, "p99_ms": self.p99 * 1e3, "max_ms": self.max * 1e3,
            "status_ms": self.status * 1e3, "bytes_per_actor": self.bytes, "settle_seconds": self.settle,
            "learner_cores": self.cores, "errors": self.errors,
        })
    }
}

async fn one(args: &BenchSwarmArgs, dir: &Path, config: SecurityConfig) -> anyhow::Result<Found> {
    let config = SecurityConfig { max_connections: args.actors * 2 + 64, ..config };
    let learner = Learner::start(dir, args.actors, &config)?;
    let as_actor = Security::load_with(&config, Role::Actor, None)?;
    let as_operator = Security::load_with(&config, Role::Operator, None)?;
    learner.ready(&as_operator).await?;
    let warm = Swarm::start(WARM_UP, &learner.address, &as_actor, args.call_seconds);
    connected(&warm, WARM_UP).await?;
    warm.call(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    warm.end().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let empty = learner.memory()?;

    let swarm = Swarm::start(args.actors, &learner.address, &as_actor, args.call_seconds);
    connected(&swarm, args.actors).await?;
    tokio::time::sleep(IDLE).await;
    let bytes = (learner.memory()? - empty) / args.actors as f64;

    swarm.call(true);
    let (cpu, began) = (learner.cpu_seconds()?, Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(args.seconds / 2.0)).await;
    let status = learner.status_seconds(&as_operator).await?;
    tokio::time::sleep(Duration::from_secs_f64(args.seconds / 2.0)).await;
    let cores = (learner.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    swarm.call(false);
    let mut latencies = swarm.latencies();
    if latencies.is_empty() {
        bail!("no control call was answered; see {}", learner.log.display());
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];

    let began = Instant::now();
    swarm.reconnect();
    connected(&swarm, args.actors).await?;
    let settle = began.elapsed().as_secs_f64();
    let errors = swarm.errors();
    swarm.end().await;
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    Ok(Found { calls: latencies.len(), p50, p99, max, status, bytes, settle, cores, errors })
}

async fn connected(swarm: &Arc<Swarm>, actors: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    while swarm.connected() < actors {
        if began.elapsed() > CONNECT_DEADLINE {
            let (now, why) = (swarm.connected(), swarm.last_error());
            bail!("{now} of {actors} actors connected within {} s; {why}", CONNECT_DEADLINE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
