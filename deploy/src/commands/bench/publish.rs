//! `vpt bench publish`: one version from a learner's weight store to a subscriber in another process over loopback, its
//! hash verified there; the same bytes through shardcast where a Python that has it is given, rounds interleaved; then to
//! many subscribers through relays, counting what the origin sends.

mod origin;
mod peer;
mod subscribers;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use candle_core::Device;
use serde_json::{Map, Value, json};
use vpt_policy::{ExportDType, Parameters, PolicyConfig};

use super::{median, policy};
use crate::cli::bench::{BenchPublishArgs, BenchSubscriberArgs};
use origin::Origin;
use peer::Shardcast;
use subscribers::{Relays, Subscriber};

pub(crate) fn run(args: &BenchPublishArgs) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("vpt-bench-publish-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let runtime = crate::commands::runtime()?;
    let result = {
        let _inside = runtime.enter();
        measure(args, &folder)
    };
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

/// The process of one subscriber.
pub(crate) fn subscriber(args: &BenchSubscriberArgs) -> anyhow::Result<()> {
    subscribers::serve(args)
}

fn measure(args: &BenchPublishArgs, folder: &Path) -> anyhow::Result<Value> {
    let config = policy::config(&args.model)?;
    let payload = payload(&config)?;
    eprintln!("{} as bf16: {:.1} MB", args.model, payload.len() as f64 / 1e6);
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    {
        let mut origin = Origin::start(&config)?;
        let urls = [origin.url()];
        let mut subscriber = Subscriber::start(&args.model, &urls)?;
        let mut shardcast = args.peers.as_ref().map(|python| Shardcast::start(python, folder)).transpose()?;
        for round in 0..=args.rounds {
            let bytes = numbered(&payload, round);
            let seconds = one(&mut origin, &mut subscriber, bytes.clone())?;
            let peer = shardcast.as_mut().map(|shardcast| shardcast.send(&bytes)).transpose()?;
            // The first one opens connections and takes memory.
            if round == 0 {
                continue;
            }
            ours.push(seconds);
            peers.extend(peer);
            let peer = peer.map(|seconds| format!("   shardcast {seconds:7.3} s")).unwrap_or_default();
            eprintln!("round {round}: {seconds:7.3} s{peer}");
        }
    }
    let fan_out = if args.subscribers > 0 { fan_out(args, &config, &payload)? } else { Value::Null };
    let seconds = median(&ours);
    let mut ratios = Map::new();
    if !peers.is_empty() {
        ratios.insert("publish.shardcast".into(), json!(median(&peers) / seconds));
    }
    Ok(json!({
        "bench": "publish", "value": seconds, "unit": "s", "ratios": ratios,
        "about": {"model": args.model, "bytes": payload.len(), "megabytes_per_second": payload.len() as f64 / 1e6 / seconds},
        "rounds": {"ours": ours, "shardcast": peers}, "fan_out": fan_out,
    }))
}

/// Seconds from the call that publishes to the subscriber's word that the version is there and its hash right.
fn one(origin: &mut Origin, subscriber: &mut Subscriber, bytes: Bytes) -> anyhow::Result<f64> {
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let began = Instant::now();
    let sequence = origin.publish(bytes)?;
    let found = subscriber.wait(sequence)?;
    let seconds = began.elapsed().as_secs_f64();
    if found != hash {
        bail!("the subscriber has {found}, published was {hash}");
    }
    Ok(seconds)
}

/// One version to many subscribers over relays: time until the last has it, and bytes the origin sent.
fn fan_out(args: &BenchPublishArgs, config: &PolicyConfig, payload: &Bytes) -> anyhow::Result<Value> {
    let mut origin = Origin::start(config)?;
    let relays = Relays::start(args.relays, &origin.url(), config)?;
    let mut subscribers = Vec::new();
    for index in 0..args.subscribers {
        let parents = [relays.url(index % args.relays), origin.url()];
        subscribers.push(Subscriber::start(&args.model, &parents)?);
    }
    relays.wait_ready(args.subscribers, &origin)?;
    let hash = blake3::hash(payload).to_hex().to_string();
    let began = Instant::now();
    let sequence = origin.publish(payload.clone())?;
    for subscriber in &mut subscribers {
        if subscriber.wait(sequence)? != hash {
            bail!("a subscriber has other bytes than were published");
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let snapshots = origin.sent() as f64 / payload.len() as f64;
    let (subscribers, relays) = (args.subscribers, args.relays);
    eprintln!(
        "{subscribers} subscribers behind {relays} relays: {seconds:.3} s, the origin sent {snapshots:.2} snapshots"
    );
    Ok(json!({
        "subscribers": subscribers, "relays": relays, "seconds": seconds, "origin_snapshots": snapshots,
    }))
}

/// Fresh weights of the network as they are published.
fn payload(config: &PolicyConfig) -> anyhow::Result<Bytes> {
    let parameters = Parameters::init(config, 1, &Device::Cpu)?;
    Ok(parameters.to_safetensors(ExportDType::Bf16, false)?.into())
}

/// The payload with another last number, so that every round's bytes are new.
fn numbered(payload: &Bytes, round: usize) -> Bytes {
    let mut bytes = payload.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = round as u8;
    }
    bytes.into()
}
