//! Two learner processes train one model; when one is killed the other stops with a checkpoint, from which both go on.

use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;
use vpt_tests::process::{Process, outcome, vpt};
use vpt_tests::tiny;
use vpt_tests::wait::wait_until;

/// Longest wait for anything, in seconds; a loaded machine is slow.
const PATIENCE: u64 = 300;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// The command line of rank `rank`, with `more` settings.
fn arguments(dir: &Path, rank: usize, port: u16, more: &[&str]) -> Vec<String> {
    let mut sets = tiny::bc_sets(&dir.join("demonstrations").display().to_string(), &dir.join("out"));
    sets.extend([
        "learner.ranks.count=2".to_owned(),
        format!("learner.ranks.rank={rank}"),
        format!("learner.ranks.rendezvous=127.0.0.1:{port}"),
    ]);
    sets.extend(more.iter().map(|&set| set.to_owned()));
    tiny::learner_arguments(&dir.join("tiny.toml").display().to_string(), &sets)
}

fn start(dir: &Path, rank: usize, port: u16, more: &[&str]) -> Process {
    let arguments = arguments(dir, rank, port, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(&arguments, &dir.join(format!("rank-{rank}.log")))
}

/// The newest checkpoint's `state.json`.
fn state(dir: &Path) -> Option<serde_json::Value> {
    let checkpoints = dir.join("out/checkpoints");
    let latest = std::fs::read_to_string(checkpoints.join("latest")).ok()?;
    let text = std::fs::read(checkpoints.join(latest.trim()).join("state.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

fn updates(dir: &Path) -> u64 {
    state(dir).and_then(|state| state["counters"]["bc_updates"].as_u64()).unwrap_or(0)
}

#[test]
fn a_killed_rank_ends_the_job_and_a_restart_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_file = tiny::run_file(dir.path());
    tiny::demonstrations(dir.path(), &run_file, 4);
    let port = free_port();
    let endless = ["learner.bc.max_updates=1000000"];
    let mut first = start(dir.path(), 0, port, &endless);
    let mut second = start(dir.path(), 1, port, &endless);
    wait_until("checkpoints of both ranks' work", PATIENCE, || (updates(dir.path()) >= 4).then_some(()));
    assert!(!dir.path().join("out/rank-1/checkpoints").exists(), "rank 0 alone writes checkpoints");
    second.signal(Signal::SIGKILL);
    second.wait(PATIENCE);
    assert_eq!(first.wait(PATIENCE), 1, "{}", first.output());
    let text = first.output();
    assert!(text.contains("rank 1 at 127.0.0.1:") && text.contains("is lost"), "{text}");

    let reached = updates(dir.path());
    let until = format!("learner.bc.max_updates={}", reached + 6);
    let port = free_port();
    let mut both = [0, 1].map(|rank| start(dir.path(), rank, port, &[&until]));
    for process in &mut both {
        assert_eq!(process.wait(PATIENCE), 0, "{}", process.output());
    }
    assert!(both[0].output().contains("resuming"), "{}", both[0].output());
    assert_eq!(updates(dir.path()), reached + 6);
    let ranks = state(dir.path()).expect("a checkpoint");
    assert_eq!(ranks["ranks"].as_array().map(Vec::len), Some(1), "what rank 1 has of its own");
}

#[test]
fn a_signal_to_one_rank_stops_all_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_file = tiny::run_file(dir.path());
    tiny::demonstrations(dir.path(), &run_file, 4);
    let port = free_port();
    let mut both = [0, 1].map(|rank| start(dir.path(), rank, port, &["learner.bc.max_updates=1000000"]));
    wait_until("a checkpoint", PATIENCE, || (updates(dir.path()) >= 2).then_some(()));
    both[1].signal(Signal::SIGTERM);
    for process in &mut both {
        assert_eq!(process.wait(PATIENCE), 0, "{}", process.output());
    }
}

#[test]
fn ranks_of_different_runs_do_not_meet() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_file = tiny::run_file(dir.path());
    tiny::demonstrations(dir.path(), &run_file, 4);
    let port = free_port();
    let mut first = start(dir.path(), 0, port, &["learner.ranks.timeout_seconds=20"]);
    first.wait_for("waiting for the other ranks", PATIENCE);
    let other = arguments(dir.path(), 1, port, &["learner.bc.lr=0.5", "learner.ranks.timeout_seconds=20"]);
    let (code, text) = outcome(&vpt(&other.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(code == 1 && text.contains("same run file"), "{code}: {text}");
    assert_eq!(first.wait(PATIENCE), 1, "{}", first.output());
    assert!(first.output().contains("[1]"), "{}", first.output());
}

/// Both actors know rank 0 alone; it keeps one and sends the other on.
#[test]
fn rank_0_gives_each_rank_its_actors() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_file = tiny::run_file(dir.path());
    let (rendezvous, learner, worlds) = (free_port(), free_port(), free_port());
    let role = |role: &str, sets: &[String], log: &str| {
        let mut arguments = vec![role, "--config", run_file.as_str()];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        Process::start(&arguments, &dir.path().join(log))
    };
    let mut ranks = [0, 1].map(|rank| {
        let listen = if rank == 0 { learner } else { 0 };
        let sets = [
            "learner.stage=ppg".to_owned(),
            format!("learner.listen=127.0.0.1:{listen}"),
            "learner.ops_listen=127.0.0.1:0".to_owned(),
            format!("learner.out={}", dir.path().join("out").display()),
            "learner.ranks.count=2".to_owned(),
            format!("learner.ranks.rank={rank}"),
            format!("learner.ranks.rendezvous=127.0.0.1:{rendezvous}"),
        ];
        role("learner", &sets, &format!("rank-{rank}.log"))
    });
    let sets =
        [format!("envserver.listen=127.0.0.1:{worlds}"), "envserver.ops_listen=127.0.0.1:0".to_owned()];
    let _worlds = role("envserver", &sets, "envserver.log");
    let actors = [0, 1].map(|index| {
        let sets = [
            format!("actor.id=actor-{index}"),
            format!("actor.envserver=http://127.0.0.1:{worlds}"),
            format!("actor.learner=http://127.0.0.1:{learner}"),
            "actor.ops_listen=127.0.0.1:0".to_owned(),
        ];
        role("actor", &sets, &format!("actor-{index}.log"))
    });
    for rank in &mut ranks {
        assert_eq!(rank.wait(PATIENCE), 0, "{}", rank.output());
        assert_eq!(rank.output().matches("actor connected").count(), 1, "{}", rank.output());
    }
    let sent_on =
        actors.iter().filter(|actor| actor.output().contains("unrolls go to the rank there")).count();
    assert_eq!(sent_on, 1);
    let state = state(dir.path()).expect("a checkpoint");
    assert!(state["counters"]["env_steps_trained"].as_u64() >= Some(3000), "{state}");
    assert_eq!(state["places"].as_object().map(serde_json::Map::len), Some(2), "{state}");
    for ledger in [&state["ledger"], &state["ranks"][0]["ledger"]] {
        assert!(ledger.to_string().contains("trained"), "{ledger}");
    }
}
