//! `vpt bench delta`: trains a network by cloning on recorded play, publishes as the learner does, and measures what changes
//! between consecutive versions: the delta's size, its coder's speed on one thread, and what lists of indices and values
//! would take. Each version is coded several times over: a virtual core that shares its hardware with a stranger's goes
//! at half its speed for a while, CPU time or not, so the median says what the machine gave and the fastest what it can.

mod training;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Map, Value, json};
use vpt_proto::weights::delta;

use super::{median, policy};
use crate::cli::bench::BenchDeltaArgs;
use training::Training;

/// How often each version is coded and decoded.
const REPEATS: usize = 9;

pub(crate) fn run(args: &BenchDeltaArgs) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("vpt-bench-delta-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let result = measure(args, &folder);
    // What is left in the folder for temporary files is the system's to clear.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", result?);
    Ok(())
}

fn measure(args: &BenchDeltaArgs, folder: &Path) -> anyhow::Result<Value> {
    let mut training = Training::start(policy::config(&args.model)?, args.time, folder)?;
    let (mut cases, mut ratios, mut speeds) = (Map::new(), Map::new(), Vec::new());
    for &rate in &args.rates {
        training.update(rate, args.warm_up)?;
        let mut pairs = Vec::new();
        let mut base = training.published()?;
        for _ in 0..args.versions.max(1) {
            let loss = training.update(rate, args.updates.max(1))?;
            let new = training.published()?;
            let pair = Pair::measure(&base, &new)?;
            eprintln!("lr {rate:e}: loss {loss:7.3}   {}", pair.line());
            pairs.push(pair);
            base = new;
        }
        let of = |value: fn(&Pair) -> f64| median(&pairs.iter().map(value).collect::<Vec<_>>());
        let percent = of(|pair| pair.share(pair.delta));
        let (encode, decode) = (of(|pair| pair.encode.median), of(|pair| pair.decode.median));
        let fastest = |of: fn(&Pair) -> f64| pairs.iter().map(of).fold(0.0, f64::max);
        let (coordinates, gaps) = (of(|pair| pair.share(pair.coordinates)), of(|pair| pair.share(pair.gaps)));
        speeds.extend([encode, decode]);
        ratios.insert(format!("lr_{rate:e}.index_value"), json!(coordinates / percent));
        ratios.insert(format!("lr_{rate:e}.gap_value"), json!(gaps / percent));
        cases.insert(
            format!("lr_{rate:e}"),
            json!({
                "delta_percent": percent, "changed_percent": of(|pair| pair.changed),
                "index_value_percent": coordinates, "gap_value_percent": gaps,
                "encode_mb_per_cpu_s": encode, "decode_mb_per_cpu_s": decode,
                "encode_fastest_mb_per_cpu_s": fastest(|pair| pair.encode.fastest),
                "decode_fastest_mb_per_cpu_s": fastest(|pair| pair.decode.fastest),
            }),
        );
    }
    let slowest = speeds.into_iter().fold(f64::INFINITY, f64::min);
    Ok(json!({
        "bench": "delta", "value": slowest, "unit": "MB per CPU second", "ratios": ratios, "cases": cases,
        "about": {"model": args.model, "updates": args.updates, "warm_up": args.warm_up, "time": args.time},
    }))
}

/// What is between two versions.
struct Pair {
    bytes: usize,
    delta: usize,
    /// Four bytes of index and two of value for each element that changed.
    coordinates: usize,
    /// The distance to the one before in as few bytes as it needs, and two of value.
    gaps: usize,
    /// Percent of the elements.
    changed: f64,
    encode: Speed,
    decode: Speed,
}

/// MB of weights per second of this thread's CPU time.
#[derive(Clone, Copy)]
struct Speed {
    median: f64,
    fastest: f64,
}

impl Speed {
    /// Runs `work` on `bytes` bytes of weights, [`REPEATS`] times.
    fn of<T>(bytes: usize, work: impl Fn() -> T) -> anyhow::Result<(Self, T)> {
        let mut speeds = Vec::with_capacity(REPEATS);
        let mut timed = || {
            let began = thread_cpu_seconds()?;
            let result = work();
            speeds.push(bytes as f64 / 1e6 / (thread_cpu_seconds()? - began).max(1e-9));
            anyhow::Ok(result)
        };
        let mut result = timed()?;
        for _ in 1..REPEATS {
            result = timed()?;
        }
        let fastest = speeds.iter().copied().fold(0.0, f64::max);
        Ok((Self { median: median(&speeds), fastest }, result))
    }
}

fn thread_cpu_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

impl Pair {
    fn measure(base: &[u8], new: &[u8]) -> anyhow::Result<Self> {
        let (encode, delta) = Speed::of(new.len(), || delta::encode(base, new))?;
        let delta = delta.context("a version that has no smaller delta")?;
        let (decode, back) = Speed::of(new.len(), || delta::apply(base, &delta))?;
        if back? != new {
            bail!("the delta does not lead to the version");
        }
        let elements = || base.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0);
        let (mut changed, mut gaps, mut last) = (0, 0, 0);
        for (index, _) in elements().enumerate().filter(|(_, (base, new))| base != new) {
            changed += 1;
            gaps += 2 + varint_bytes(index - last);
            last = index;
        }
        let share = 100.0 * changed as f64 / (new.len() / 2) as f64;
        let coordinates = 6 * changed;
        Ok(Self { bytes: new.len(), delta: delta.len(), coordinates, gaps, changed: share, encode, decode })
    }

    fn share(&self, bytes: usize) -> f64 {
        100.0 * bytes as f64 / self.bytes as f64
    }

    fn line(&self) -> String {
        format!(
            "{:5.2} % changed, delta {:5.2} %, index+value {:6.2} %, gap+value {:6.2} %, encode {:4.0} (fastest {:4.0}) \
             MB/s, decode {:4.0} (fastest {:4.0}) MB/s",
            self.changed,
            self.share(self.delta),
            self.share(self.coordinates),
            self.share(self.gaps),
            self.encode.median,
            self.encode.fastest,
            self.decode.median,
            self.decode.fastest
        )
    }
}

/// Bytes of a number in groups of seven bits.
fn varint_bytes(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}
