//! The learner's end: services, admission and queue of a learner; in the trainer's place a consumer that hashes every
//! frame and compares it with the one that was sent. Or the reader of a plain connection.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use vpt_actor::bench::Source;
use vpt_learner::admission::{AdmissionConfig, UnrollSpec};
use vpt_learner::bench::Sink;
use vpt_learner::queue::ReceivedUnroll;
use vpt_policy::action::{BUTTONS, CAMERA};
use vpt_runtime::Security;
use vpt_runtime::security::Role;
use xxhash_rust::xxh3::xxh3_64;

use super::actor_end::{GROUPS, SLOTS_PER_GROUP};
use super::{ARCHITECTURE, FRAME, SIDE, cpu_seconds, number, security};
use crate::cli::bench::BenchIngestWorkerArgs;

/// Bytes of a read from a plain connection.
const READ: usize = 1 << 20;
/// How long an unroll may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct LearnerEnd {
    /// Of every frame that is sent.
    hashes: Vec<u64>,
    sink: Arc<Sink>,
    runtime: Runtime,
    unroll_length: usize,
}

impl LearnerEnd {
    pub(super) fn new(args: &BenchIngestWorkerArgs) -> anyhow::Result<Self> {
        let path = args.folder.join("frames.bin");
        let frames = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let spec = UnrollSpec {
            unroll_length: args.unroll_length,
            frame_height: SIDE,
            frame_width: SIDE,
            buttons: BUTTONS as u32,
            camera: CAMERA as u32,
            state: None,
        };
        let out = args.folder.join(format!("learner-{}", std::process::id()));
        let sink = Sink::new(spec, ARCHITECTURE, AdmissionConfig::default(), &out)?;
        Ok(Self {
            hashes: frames.chunks_exact(FRAME).map(xxh3_64).collect(),
            sink: Arc::new(sink),
            runtime: crate::commands::runtime()?,
            unroll_length: args.unroll_length,
        })
    }

    pub(super) fn answer(&mut self, request: &Value) -> anyhow::Result<Value> {
        match request["do"].as_str() {
            Some("serve") => self.serve(&security(request, Role::Learner)?),
            Some("consume") => self.consume(number(request, "seconds")?),
            Some("drain") => drain(),
            _ => bail!("unknown request {request}"),
        }
    }

    fn serve(&self, security: &Security) -> anyhow::Result<Value> {
        let (sink, _guard) = (self.sink.clone(), self.runtime.enter());
        let listener = vpt_runtime::net::bind("127.0.0.1:0", "learner")?;
        let url = format!("http://{}", listener.local_addr()?);
        let security = security.clone();
        self.runtime.spawn(async move { sink.serve(listener, &security, CancellationToken::new()).await });
        let version = self.sink.version();
        Ok(json!({ "url": url, "version": [version.epoch, version.sequence] }))
    }

    /// Consumes for `seconds` from the first unroll on.
    fn consume(&self, seconds: f64) -> anyhow::Result<Value> {
        self.check(&self.next()?)?;
        let (began, cpu, mut frames) = (Instant::now(), cpu_seconds()?, 0);
        while began.elapsed().as_secs_f64() < seconds {
            let received = self.next()?;
            self.check(&received)?;
            frames += received.steps();
        }
        let cpu = cpu_seconds()? - cpu;
        Ok(json!({ "frames": frames, "seconds": began.elapsed().as_secs_f64(), "cpu_seconds": cpu }))
    }

    fn next(&self) -> anyhow::Result<ReceivedUnroll> {
        self.sink.receive(PATIENCE)?.context("no unroll came in time")
    }

    /// Hashes every frame; an error when one is not, bit for bit, what its slot sent.
    fn check(&self, received: &ReceivedUnroll) -> anyhow::Result<()> {
        let (slot, sequence) = (received.unroll.slot, received.unroll.sequence);
        let slots = (GROUPS * SLOTS_PER_GROUP) as u32;
        let first = Source::first_frame(slot, sequence, slots, self.unroll_length, self.hashes.len());
        let sent = &self.hashes[first..first + self.unroll_length];
        let equal = received.frames_raw.chunks_exact(FRAME).map(xxh3_64).eq(sent.iter().copied());
        ensure!(equal, "slot {slot} sequence {sequence}: the frames that came are not those that were sent");
        Ok(())
    }
}

/// Reads a plain connection to its end, in a thread.
fn drain() -> anyhow::Result<Value> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut buffer = vec![0; READ];
        while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    });
    Ok(json!({ "address": address }))
}
