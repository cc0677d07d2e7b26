//! The actor's end: sends the frames over the uplink, or floods a plain connection.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vpt_actor::bench::{Sent, Source};
use vpt_actor::{ActorConfig, ActorError};
use vpt_proto::common::v1::PolicyVersion;
use vpt_runtime::security::Role;

use super::{ARCHITECTURE, SIDE, cpu_seconds, number, security};
use crate::cli::bench::BenchIngestWorkerArgs;

/// Bytes of a write to a plain connection.
const WRITE: usize = 1 << 20;
/// Groups and slots of the actor.
pub(super) const GROUPS: usize = 2;
pub(super) const SLOTS_PER_GROUP: usize = 4;

pub(super) struct ActorEnd {
    frames: Bytes,
    runtime: Runtime,
    sent: Arc<Sent>,
    stop: CancellationToken,
    pushing: Option<JoinHandle<Result<(), ActorError>>>,
}

impl ActorEnd {
    pub(super) fn new(args: &BenchIngestWorkerArgs) -> anyhow::Result<Self> {
        let path = args.folder.join("frames.bin");
        let frames = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            frames: frames.into(),
            runtime: crate::commands::runtime()?,
            sent: Arc::default(),
            stop: CancellationToken::new(),
            pushing: None,
        })
    }

    pub(super) fn answer(&mut self, request: &Value) -> anyhow::Result<Value> {
        match request["do"].as_str() {
            Some("push") => self.push(request),
            Some("usage") => Ok(json!({ "cpu_seconds": cpu_seconds()? })),
            Some("stop") => self.stop(),
            Some("flood") => flood(request),
            _ => bail!("unknown request {request}"),
        }
    }

    fn push(&mut self, request: &Value) -> anyhow::Result<Value> {
        let url = request["url"].as_str().context("no url")?.to_owned();
        let word = |n: usize| request["version"][n].as_u64().context("no version");
        let source = Source {
            config: ActorConfig {
                learner: url,
                groups: GROUPS,
                slots_per_group: SLOTS_PER_GROUP,
                ..ActorConfig::default()
            },
            architecture: ARCHITECTURE.to_owned(),
            security: security(request, Role::Actor)?,
            frames_per_second: Some(number(request, "rate")?).filter(|rate| *rate > 0.0),
            version: PolicyVersion { epoch: u32::try_from(word(0)?)?, sequence: word(1)? },
            frames: self.frames.clone(),
            frame_side: SIDE,
        };
        self.pushing = Some(self.runtime.spawn(source.push(self.sent.clone(), self.stop.clone())));
        Ok(json!({}))
    }

    fn stop(&mut self) -> anyhow::Result<Value> {
        self.stop.cancel();
        if let Some(pushing) = self.pushing.take() {
            self.runtime.block_on(pushing)??;
        }
        let total = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
        Ok(json!({ "bytes_per_frame": total(&self.sent.bytes) / total(&self.sent.frames) }))
    }
}

fn flood(request: &Value) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(request["address"].as_str().context("no address")?)?;
    let (block, seconds) = (vec![0x5a; WRITE], Duration::from_secs_f64(number(request, "seconds")?));
    let (began, mut bytes) = (Instant::now(), 0.0);
    while began.elapsed() < seconds {
        stream.write_all(&block)?;
        bytes += WRITE as f64;
    }
    Ok(json!({ "bytes_per_second": bytes / began.elapsed().as_secs_f64() }))
}
