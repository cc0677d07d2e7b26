//! Actors come and go while the learner trains, learners come back, and processes that are told to stop do.

use std::net::TcpStream;
use std::time::Instant;

use nix::sys::signal::Signal;
use vpt_tests::cluster::{Cluster, PATIENCE, Role, free_address, metric};
use vpt_tests::process::{Process, outcome, vpt};
use vpt_tests::wait::wait_until;

const ONWARD: u64 = 2000;
/// Where no wait may be for this: longer than all patience here.
const FOREVER: &str = "600";

fn connected(cluster: &mut Cluster, actors: u32) {
    wait_until(&format!("{actors} actors"), PATIENCE, || {
        cluster.check_alive();
        (cluster.status()?.connected_actors == actors).then_some(())
    });
}

#[test]
fn four_actors_become_twelve_and_then_two() {
    let dir = tempfile::tempdir().expect("tempdir");
    let settings =
        ["learner.unroll_length=32", "policy.image_size=128", "learner.admission.queue_unrolls=64"];
    let mut cluster = Cluster::start(dir.path(), 1, &settings);
    for index in 0..4 {
        cluster.add_actor(&format!("actor-{index:02}"));
    }
    cluster.train_on(ONWARD);
    connected(&mut cluster, 4);
    let mut joined = Vec::new();
    for index in 4..12 {
        let began = Instant::now();
        let ops = cluster.add_actor(&format!("actor-{index:02}"));
        wait_until("the newcomer's first accepted unroll", PATIENCE, || {
            let accepted = metric(&ops, "vpt_actor_unrolls_total{outcome=\"accepted\"}")?;
            (accepted > 0.0).then_some(())
        });
        joined.push(began.elapsed());
    }
    joined.sort();
    println!(
        "elastic: process start to first accepted unroll, median of 8: {:.2?}, most {:.2?}",
        joined[4], joined[7]
    );
    connected(&mut cluster, 12);
    cluster.train_on(ONWARD);
    let leaving = cluster.names(Role::Actor)[2..].to_vec();
    assert_eq!(cluster.drain(&leaving), [0; 10]);
    connected(&mut cluster, 2);
    cluster.train_on(ONWARD);
    let status = cluster.status().expect("the learner answers");
    let ledger = status.ledger.expect("a ledger");
    assert_eq!(status.version.expect("a version").epoch, 1, "the learner was not restarted");
    assert!(ledger.dropped.keys().all(|why| why == "shutdown" || why == "stale"), "{:?}", ledger.dropped);
    assert_eq!(cluster.learner_metric("vpt_learner_ledger_imbalance_env_steps"), Some(0.0));
}

#[test]
fn a_killed_learner_takes_a_gradient_step_soon_after_its_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let tiny = [
        "policy.kind=transformer",
        "policy.image_size=64",
        "policy.hidsize=64",
        "policy.impala_chans=[16, 16, 16]",
        "policy.attention_heads=2",
        "policy.attention_memory_size=32",
        "policy.timesteps=16",
        "policy.n_recurrence_layers=1",
    ];
    let mut cluster = Cluster::start(dir.path(), 1, &tiny);
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    cluster.train_on(ONWARD);
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        cluster.restart("learner");
        wait_until("the first gradient step", PATIENCE, || {
            cluster.check_alive();
            let page = cluster
                .learner_metric("vpt_learner_step_phase_duration_seconds_count{phase=\"optimizer\"}")?;
            (page > 0.0).then_some(())
        });
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "restart: kill -9 to the first gradient step, median of 3: {:.2?}, most {:.2?}",
        took[1], took[2]
    );
    let epochs = cluster.status().expect("the learner answers").version.expect("a version").epoch;
    assert_eq!(epochs, 4);
}

/// Actors stopped one after the other: what the later ones sent waits for a turn that never comes.
#[test]
fn actors_of_a_deterministic_run_drain_one_by_one() {
    let dir = tempfile::tempdir().expect("tempdir");
    let drain = format!("actor.drain_seconds={FOREVER}");
    let settings = ["learner.deterministic=true", "learner.schedule.actors=3", &drain];
    let mut cluster = Cluster::start(dir.path(), 1, &settings);
    for index in 0..3 {
        cluster.add_actor(&format!("actor-{index}"));
    }
    cluster.train_on(ONWARD);
    for name in cluster.names(Role::Actor) {
        assert_eq!(cluster.drain(&[name]), [0]);
    }
    assert_eq!(cluster.drain(&["learner".to_owned(), "envserver-0".to_owned()]), [0, 0]);
}

#[test]
fn clients_that_connect_and_never_speak_hold_no_drain_up() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = Cluster::start(dir.path(), 1, &[]);
    cluster.add_actor("actor-0");
    cluster.train_on(ONWARD);
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(cluster.learner_address()).expect("the learner listens"))
        .collect();
    // Told to stop while its actors go on, which then wait for it.
    cluster.process("learner").signal(Signal::SIGTERM);
    assert_eq!(cluster.process("learner").wait(20), 0);
    drop(silent);
    cluster.restart("learner");
    cluster.train_on(ONWARD);
}

/// A peer that vanished without a word: its credits come back, its steps are settled, and a replacement is served at once.
#[test]
fn half_open_actors_are_given_up_and_replaced() {
    let dir = tempfile::tempdir().expect("tempdir");
    let settings = [
        "learner.admission.idle_timeout_seconds=2.0",
        "learner.admission.lease_seconds=3.0",
        "learner.admission.queue_unrolls=4",
    ];
    let mut cluster = Cluster::start(dir.path(), 1, &settings);
    cluster.add_actor("actor-0");
    cluster.add_actor("actor-1");
    cluster.train_on(ONWARD);
    cluster.process("actor-0").signal(Signal::SIGSTOP);
    connected(&mut cluster, 1);
    cluster.train_on(ONWARD);
    wait_until("the lease to end", PATIENCE, || {
        cluster.check_alive();
        cluster.learner_metric("vpt_learner_actor_leases_expired_total").filter(|&expired| expired == 1.0)
    });
    cluster.restart("actor-0");
    connected(&mut cluster, 2);
    // Of what it had not reported yet its successor tells.
    wait_until("what it held to be booked", PATIENCE, || {
        cluster.ledger().dropped.contains_key("actor_lost").then_some(())
    });
    cluster.process("actor-1").signal(Signal::SIGSTOP);
    cluster.train_on(ONWARD);
    assert_eq!(cluster.learner_metric("vpt_learner_ledger_imbalance_env_steps"), Some(0.0));
}

#[test]
fn an_actor_serves_its_own_worlds_and_a_healthcheck_asks_it() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut cluster = Cluster::start(dir.path(), 1, &[]);
    // The worlds of the run are away: only its own are left to the actor.
    let envserver = cluster.names(Role::Envserver).remove(0);
    cluster.kill(&envserver);
    let ops = free_address();
    let run = dir.path().join("run.toml").display().to_string();
    let sets = [
        "actor.id=alone-{host}".to_owned(),
        format!("actor.ops_listen={ops}"),
        format!("actor.learner=http://{}", cluster.learner_address()),
    ];
    let mut arguments = vec!["actor", "--with-envserver", "--config", &run];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let mut actor = Process::start(&arguments, &dir.path().join("alone.log"));
    cluster.train_on(ONWARD);
    let name = cluster.status().expect("the learner answers").actors.remove(0).actor_id;
    assert!(name.starts_with("alone-") && !name.contains('{'), "{name}");
    let asked = |probe| outcome(&vpt(&["healthcheck", "--ops", &ops, "--probe", probe]));
    assert_eq!(asked("ready"), (0, "ready\n".to_owned()));
    assert_eq!(asked("live"), (0, "live\n".to_owned()));
    actor.signal(Signal::SIGTERM);
    assert_eq!(actor.wait(PATIENCE), 0, "{}", actor.output());
    let (code, text) = asked("live");
    assert_eq!(code, 1, "{text}");
}
