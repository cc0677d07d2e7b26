//! A training run of real processes on the real game: in real time, over two lands, through the end of every game.

use nix::sys::signal::Signal;
use vpt_tests::cluster::{Cluster, PATIENCE, Role, metric};
use vpt_tests::process::signal_pid;
use vpt_tests::wait::wait_until;

use super::{is_there, processes_of};

/// Env steps that show that training goes on: four unrolls.
const ONWARD: u64 = 32;
const SETTINGS: [&str; 14] = [
    "world.name=luanti",
    "world.task=chop",
    "world.episode_steps=40",
    "envserver.spare_threads=1",
    "envserver.luanti.realtime=true",
    "envserver.luanti.maps=2",
    "envserver.luanti.places=1",
    "envserver.luanti.start_timeout_seconds=100.0",
    "envserver.reset_timeout_seconds=110.0",
    "actor.groups=1",
    "actor.open_timeout_seconds=110.0",
    "learner.ppg.batch_unrolls=4",
    "learner.ppg.minibatch_unrolls=4",
    "learner.ppg.value_warmup_phases=0",
];

fn games(cluster: &Cluster, outcome: &str) -> f64 {
    let series = format!("vpt_envserver_luanti_games_total{{outcome=\"{outcome}\"}}");
    metric(cluster.ops("envserver-0"), &series).unwrap_or_default()
}

fn missed(cluster: &Cluster) -> f64 {
    metric(cluster.ops("envserver-0"), "vpt_envserver_luanti_missed_deadlines_total").unwrap_or_default()
}

#[test]
fn a_run_trains_in_real_time_on_two_lands_and_outlives_its_games() {
    if !is_there() {
        return;
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let folder = dir.path().join("games").display().to_string();
    let own = format!("envserver.luanti.folder={folder}");
    let mut cluster = Cluster::start(dir.path(), 1, &[&SETTINGS[..], &[&own]].concat());
    cluster.add_actor("actor-0");
    cluster.train_on(ONWARD);
    wait_until("the spare of the other land", PATIENCE, || (games(&cluster, "started") >= 2.0).then_some(()));
    cluster.train_on(ONWARD);

    // Nobody acts: the game goes on, and what went by is counted.
    let before = missed(&cluster);
    cluster.process("actor-0").signal(Signal::SIGSTOP);
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.process("actor-0").signal(Signal::SIGCONT);
    wait_until("missed deadlines", PATIENCE, || (missed(&cluster) >= before + 20.0).then_some(()));

    // Games and their displays all at once, the spare's as well.
    for path in processes_of(&folder) {
        let process = path.trim_start_matches("/proc/").parse().expect("a number");
        signal_pid(process, Signal::SIGKILL);
    }
    wait_until("the end of a game to be seen", PATIENCE, || {
        (games(&cluster, "crashed") + games(&cluster, "display") >= 1.0).then_some(())
    });
    cluster.train_on(ONWARD);
    assert_eq!(cluster.learner_metric("vpt_learner_ledger_imbalance_env_steps"), Some(0.0));
    let actors = cluster.names(Role::Actor);
    assert!(cluster.drain(&actors).iter().all(|code| *code == 0));
    cluster.kill("envserver-0");
    wait_until("the end of all games", PATIENCE, || processes_of(&folder).is_empty().then_some(()));
}
