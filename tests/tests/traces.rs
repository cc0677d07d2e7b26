//! A traced unroll leaves one trace from env step to gradient, across processes; and a collector that is away, or silent,
//! costs nothing but the traces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use vpt_runtime::traces::{self, TracesConfig};
use vpt_tests::cluster::{BATCH_UNROLLS, Cluster, Role, UNROLL_LENGTH, free_address};
use vpt_tests::collector::{Collector, Kept};
use vpt_tests::wait::wait_until;

/// What an actor does with an unroll, in order.
const ACTOR: [&str; 7] = ["env_steps", "bootstrap", "pack", "wait_outbox", "wait_credit", "send", "wait_ack"];
/// What a learner does with it.
const LEARNER: [&str; 9] =
    ["receive", "decode", "place", "queue", "prepare", "ready", "batch", "policy_phase", "publish"];
/// How far two processes' readings of the same clock may lie apart, in nanoseconds: somebody may correct it meanwhile.
const SKEW: u64 = 200_000_000;

/// All unrolls traced.
fn settings(endpoint: &str) -> Vec<String> {
    vec!["traces.share=1.0".to_owned(), format!("traces.endpoint={endpoint}")]
}

fn start(dir: &std::path::Path, settings: &[String]) -> Cluster {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut cluster = Cluster::start(dir, 1, &settings);
    cluster.add_actor("actor");
    cluster
}

/// The actor first, then the learner once it holds less than a batch. Returns the steps trained on.
fn drain(cluster: &mut Cluster) -> u64 {
    assert_eq!(cluster.drain(&cluster.names(Role::Actor)), [0]);
    let trained = wait_until("the rest to be trained on", 30, || {
        let ledger = cluster.status()?.ledger?;
        (ledger.in_flight < BATCH_UNROLLS * UNROLL_LENGTH).then_some(ledger.trained)
    });
    assert_eq!(cluster.drain(&cluster.names(Role::Learner)), [0]);
    trained
}

#[test]
fn an_unroll_is_one_trace_from_env_step_to_gradient() {
    let dir = tempfile::tempdir().expect("tempdir");
    let collector = Collector::start();
    let mut settings = settings(&collector.url());
    // A slow world, so that the spans of all unrolls are few enough to be sent.
    settings.extend(["faults.enabled=true", "faults.delays.env_step_ms=2"].map(str::to_owned));
    let mut cluster = start(dir.path(), &settings);
    cluster.train_on(UNROLL_LENGTH * BATCH_UNROLLS * 6);
    let trained = drain(&mut cluster) / UNROLL_LENGTH;
    let traces = collector.traces();
    let mut sequences = BTreeMap::<i64, BTreeSet<i64>>::new();
    let mut to_the_gradient = 0;
    for trace in traces.values() {
        let root = check_connected(trace);
        let number = |key| root.count(key).unwrap_or(-1);
        if let Some(reason) = root.lost() {
            // Of a slot that had not finished it.
            assert_eq!(reason, "shutdown");
            continue;
        }
        assert_eq!(
            (root.service.as_str(), root.text("vpt.actor_id").as_deref()),
            ("vpt-actor", Some("actor"))
        );
        assert!(sequences.entry(number("vpt.slot")).or_default().insert(number("vpt.sequence")), "twice");
        let sum = inside(trace, child(trace, root, "env_steps"), "inference_sum").count("vpt.batches");
        assert!(sum.is_some_and(|batches| batches > 0), "{sum:?}");
        let acted = check_laps(trace, root, &ACTOR);
        let learn = child(trace, root, "learn");
        assert_eq!(learn.service, "vpt-learner");
        assert!(learn.span.start_time_unix_nano + SKEW >= acted, "received before it was played");
        match learn.lost() {
            Some(reason) => assert_eq!(reason, "dropped", "what is left when the learner stops"),
            None => {
                check_gradient(trace, learn, root);
                to_the_gradient += 1;
            }
        }
    }
    assert_eq!(to_the_gradient, trained, "every unroll that was trained on, and no other");
    // None is missing: the sequences of a slot have no gap.
    assert_eq!(sequences.keys().copied().collect::<Vec<_>>(), [0, 1]);
    for sequences in sequences.values() {
        assert_eq!(sequences.last().copied(), Some(sequences.len() as i64 - 1), "a trace is missing");
    }
}

/// Every span has its place below the one root, within its own process inside the one above it; returns the root.
fn check_connected(trace: &[Kept]) -> &Kept {
    let by_id: BTreeMap<&[u8], &Kept> = trace.iter().map(|kept| (&kept.span.span_id[..], kept)).collect();
    assert_eq!(by_id.len(), trace.len(), "two spans of one identity");
    let mut roots = trace.iter().filter(|kept| kept.span.parent_span_id.is_empty());
    let root = roots.next().expect("a root");
    assert!(roots.next().is_none() && root.span.name == "unroll", "{trace:?}");
    for kept in trace {
        let span = &kept.span;
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        let Some(above) = by_id.get(&span.parent_span_id[..]) else {
            assert_eq!(span.name, "unroll", "not connected: {span:?}");
            continue;
        };
        if above.service == kept.service {
            assert!(above.span.start_time_unix_nano <= span.start_time_unix_nano, "{span:?} in {above:?}");
            assert!(span.end_time_unix_nano <= above.span.end_time_unix_nano, "{span:?} in {above:?}");
        }
    }
    root
}

/// The laps below `whole` are `names`, each from where the one before ended; returns when the first one ended.
fn check_laps(trace: &[Kept], whole: &Kept, names: &[&str]) -> u64 {
    let laps: Vec<&Kept> = names.iter().map(|name| child(trace, whole, name)).collect();
    assert_eq!(laps[0].span.start_time_unix_nano, whole.span.start_time_unix_nano);
    for pair in laps.windows(2) {
        let [before, after] = [pair[0], pair[1]].map(|kept| &kept.span);
        assert_eq!(before.end_time_unix_nano, after.start_time_unix_nano, "{} {}", before.name, after.name);
    }
    laps[0].span.end_time_unix_nano
}

/// The learner trained on it and published what came of it.
fn check_gradient(trace: &[Kept], learn: &Kept, root: &Kept) {
    check_laps(trace, learn, &LEARNER);
    let minibatch = inside(trace, child(trace, learn, "policy_phase"), "minibatch");
    for part in ["forward", "backward", "optimizer"] {
        inside(trace, minibatch, part);
    }
    let version = |kept: &Kept, key: &str| {
        let text = kept.text(key).expect("a version");
        text.rsplit_once('-').and_then(|(_, sequence)| sequence.parse::<u64>().ok()).expect("a sequence")
    };
    assert!(version(learn, "vpt.published_version") > version(root, "vpt.policy_version"));
    assert!(learn.count("vpt.policy_phase").is_some() && learn.count("vpt.staleness_versions").is_some());
}

/// The one part of `whole` with this name.
fn child<'a>(trace: &'a [Kept], whole: &Kept, name: &str) -> &'a Kept {
    let mut found = parts(trace, whole, name);
    let only = found.next().unwrap_or_else(|| panic!("{name} is missing in {trace:?}"));
    assert!(found.next().is_none(), "{name} twice in {trace:?}");
    only
}

/// The first of its parts with this name.
fn inside<'a>(trace: &'a [Kept], whole: &Kept, name: &str) -> &'a Kept {
    parts(trace, whole, name).next().unwrap_or_else(|| panic!("{name} is missing in {trace:?}"))
}

fn parts<'a>(trace: &'a [Kept], whole: &Kept, name: &str) -> impl Iterator<Item = &'a Kept> {
    let id = whole.span.span_id.clone();
    trace.iter().filter(move |kept| kept.span.parent_span_id == id && kept.span.name == name)
}

#[test]
fn what_is_left_when_a_process_ends_still_goes_out() {
    let collector = Collector::start();
    let config = TracesConfig { endpoint: collector.url(), share: 1.0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let export = config.start("test", "here").expect("good settings");
        for key in 0..200 {
            let trace = traces::sample("unroll", || key);
            assert!(trace.is_on());
            trace.lap("pack");
        }
        // On the one thread of this test nothing has been sent yet.
        export.finish().await;
    });
    let sent = collector.traces();
    assert_eq!((sent.len(), sent.values().map(Vec::len).sum::<usize>()), (200, 400));
}

#[test]
fn unrolls_that_chance_passes_over_leave_no_trace() {
    let dir = tempfile::tempdir().expect("tempdir");
    let collector = Collector::start();
    let mut cluster =
        start(dir.path(), &[format!("traces.endpoint={}", collector.url()), "traces.share=0".into()]);
    cluster.train_on(500);
    drain(&mut cluster);
    assert!(collector.traces().is_empty());
}

#[test]
fn training_goes_on_without_a_collector_and_what_is_dropped_is_counted() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = start(dir.path(), &settings(&format!("http://{}", free_address())));
    cluster.train_on(500);
    for role in ["learner", "actor"] {
        wait_until("dropped spans to be counted", 10, || dropped(&cluster, role, "collector"));
    }
    cluster.train_on(500);
    drain(&mut cluster);
}

#[test]
fn a_collector_that_does_not_answer_holds_nothing_up() {
    let dir = tempfile::tempdir().expect("tempdir");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let mut cluster = start(dir.path(), &settings(&format!("http://{address}")));
    wait_until("the queue to be full", 60, || dropped(&cluster, "actor", "full"));
    cluster.train_on(500);
    drain(&mut cluster);
}

/// Spans that `role` has dropped because of `outcome`, once there are any.
fn dropped(cluster: &Cluster, role: &str, outcome: &str) -> Option<f64> {
    let series = format!("vpt_runtime_trace_spans_total{{outcome=\"{outcome}\"}}");
    vpt_tests::cluster::metric(cluster.ops(role), &series).filter(|spans| *spans > 0.0)
}
