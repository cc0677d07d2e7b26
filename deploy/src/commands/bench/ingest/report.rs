//! What `vpt bench ingest` found: a line for each round, one JSON object at the end.

use serde_json::{Map, Value, json};

use super::frames::Made;
use super::{FRAME, Rate};
use crate::cli::bench::{BenchIngestArgs, FrameKind};
use crate::commands::bench::median;

/// One round of every kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Bytes per second of a plain connection.
    pub(super) tcp: f64,
    pub(super) ours: Rate,
    /// Ours with TLS.
    pub(super) tls: Option<Rate>,
    /// Reverb with the consumer in a third process.
    pub(super) third: Option<Rate>,
    /// Reverb with the consumer inside the server.
    pub(super) inside: Option<Rate>,
}

impl Round {
    pub(super) fn line(&self) -> String {
        let rate = |name: &str, rate: Rate| {
            format!(
                "{name} {:.0} frames/s, {:.0} B/frame, {:.2} core-s/GB",
                rate.frames_per_second, rate.bytes_per_frame, rate.core_seconds_per_gb
            )
        };
        let mut line = format!("TCP {:.2} GB/s   {}", self.tcp / 1e9, rate("ours", self.ours));
        let others = [("with TLS", self.tls), ("Reverb", self.third), ("Reverb inside", self.inside)];
        for (name, other) in others {
            line += &other.map_or(String::new(), |other| format!("   {}", rate(name, other)));
        }
        line
    }

    /// What TLS costs: core-seconds per 10^9 bytes on the wire, both ends together, and as a share of what all takes without.
    fn tls_cost(&self) -> Option<[f64; 2]> {
        let (plain, tls) = (self.ours, self.tls?);
        // Of decoded frames, hence for an equal number of them.
        let more = tls.core_seconds_per_gb - plain.core_seconds_per_gb;
        Some([more * FRAME as f64 / plain.bytes_per_frame, more / plain.core_seconds_per_gb])
    }
}

/// All rounds.
pub(super) struct Report {
    about: Value,
    kind: &'static str,
    codecs: Value,
    /// Names and versions.
    pub(super) peer: Option<String>,
    pub(super) rounds: Vec<Round>,
}

impl Report {
    pub(super) fn new(args: &BenchIngestArgs, made: &Made, codecs: Value) -> Self {
        let kind = match made.kind {
            FrameKind::Random => "random",
            FrameKind::Video => "video",
        };
        let about = json!({
            "frames": kind, "count": made.count, "frame_bytes": FRAME, "unroll_length": args.unroll_length,
            "cores": args.cores, "seconds": args.seconds, "rate": args.rate,
        });
        Self { about, kind, codecs, peer: None, rounds: vec![] }
    }

    pub(super) fn json(&self) -> anyhow::Result<Value> {
        let middle = |pick: &dyn Fn(&Round) -> Option<f64>| {
            let values: Vec<f64> = self.rounds.iter().filter_map(pick).collect();
            (!values.is_empty()).then(|| median(&values))
        };
        let told = |pick: fn(&Round) -> Option<Rate>| {
            let of = |value: fn(Rate) -> f64| middle(&move |round: &Round| pick(round).map(value));
            json!({
                "frames_per_second": of(|rate| rate.frames_per_second),
                "bytes_per_frame": of(|rate| rate.bytes_per_frame),
                "core_seconds_per_gb": of(|rate| rate.core_seconds_per_gb),
            })
        };
        let (ours, tls) = (told(|round| Some(round.ours)), told(|round| round.tls));
        let (third, inside) = (told(|round| round.third), told(|round| round.inside));
        let speed = |rate: &Value| rate["frames_per_second"].as_f64();
        let tcp = middle(&|round| Some(round.tcp));
        let mut ratios = Map::new();
        let mut ratio = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                ratios.insert(format!("{}.{name}", self.kind), json!(value));
            }
        };
        let divide = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
        let wire = |rate: &Value| rate["bytes_per_frame"].as_f64();
        let best = [&third, &inside].into_iter().filter_map(speed).reduce(f64::max);
        ratio("reverb", divide(speed(&ours), best));
        ratio("reverb_bytes", divide(wire(&third), wire(&ours)));
        ratio("tls", divide(speed(&tls), speed(&ours)));
        ratio("tcp", divide(speed(&ours).map(|rate| rate * FRAME as f64), tcp));
        ratio("tcp_wire", divide(speed(&ours).zip(wire(&ours)).map(|(rate, bytes)| rate * bytes), tcp));
        let cost = json!({
            "core_seconds_per_wire_gb": middle(&|round| Some(round.tls_cost()?[0])),
            "share_of_plain": middle(&|round| Some(round.tls_cost()?[1])),
        });
        Ok(json!({
            "bench": "ingest", "value": speed(&ours), "unit": "frames/s", "ratios": ratios, "about": self.about,
            "tcp_bytes_per_second": tcp, "ours": ours, "tls": tls, "tls_cost": cost, "reverb": third, "reverb_inside": inside, "peer": self.peer,
            "codecs": self.codecs,
            "rounds": self.rounds.iter().map(Round::line).collect::<Vec<_>>(),
        }))
    }
}
