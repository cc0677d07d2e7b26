//! The world `minerl` from end to end: against a stand-in for MineRL's Minecraft, which is launched, spoken to, killed and
//! broken as the game itself would be.

#[path = "minerl/installation.rs"]
mod installation;
#[path = "minerl/session.rs"]
mod session;

use std::path::Path;

use installation::{Installation, processes_of};
use nix::sys::signal::Signal;
use session::Session;
use vpt_envserver::episode::{Episode, StepOutcome};
use vpt_envserver::minerl::MineRlWorld;
use vpt_envserver::minerl::config::MineRlConfig;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::{Action, World};
use vpt_proto::frame_resize::Resizer;
use vpt_proto::keys;
use vpt_tests::cluster::{free_address, metric};
use vpt_tests::process::{Process, outcome, signal_pid, vpt};
use vpt_tests::tiny;
use vpt_tests::wait::wait_until;

/// Longest wait for anything, in seconds; a loaded machine is slow.
const PATIENCE: u64 = 240;
/// Ticks that a mission plays before it counts as loaded.
const WARM_UP: usize = 20;

fn chop() -> Task {
    Task::resolve("chop").expect("built in")
}

/// What came of a step, whatever the order within it.
fn told(outcome: &StepOutcome) -> Vec<String> {
    let mut events: Vec<String> = outcome.events.iter().map(|paid| format!("{:?}", paid.event)).collect();
    events.sort();
    events
}

/// A frame of the embedded world as MineRL's would come: drawn at 640x360 and scaled.
fn scaled(world: &mut NativeWorld) -> Vec<u8> {
    let (mut picture, mut frame) = (Vec::new(), vec![0; 128 * 128 * 3]);
    world.render(360, 640, &mut picture);
    let resizer = Resizer::new((640, 360), (128, 128)).expect("sizes");
    resizer.resize(&picture, &mut frame).expect("lengths");
    frame
}

/// The stand-in plays the embedded world: what is played through the protocol must be the same game to the last pixel.
#[test]
fn a_game_through_the_protocol_is_the_game_behind_it() {
    let installation = Installation::new("chop", "");
    let mut world = MineRlWorld::new(installation.config());
    let mut mirror = NativeWorld::new();
    let mirrored = Task { survival: true, ..chop() };
    let mut through = Episode::new(chop().in_world(MineRlWorld::NAME), 0);
    let mut behind = Episode::new(mirrored.clone(), 0);
    let mut reward = 0.0;
    for seed in [3, u64::MAX - 5] {
        through.start(&mut world, seed).expect("a game");
        behind.start(&mut mirror, seed).expect("a world");
        for _ in 0..WARM_UP {
            mirror.step(&Action::NOOP);
        }
        let mut screens = 0;
        for step in 0..180 {
            // A look into the inventory on the way, with the mouse moved there.
            let action = match step {
                20 | 26 => Action { keys: keys::INVENTORY, ..Action::NOOP },
                21..26 => Action { keys: 0, pitch_delta: 3.5, yaw_delta: -7.25 },
                _ => mirror.advise(),
            };
            let (one, other) = (through.step(&mut world, &action), behind.step(&mut mirror, &action));
            if let Some(error) = world.take_fault() {
                panic!("step {step}: {error}");
            }
            assert_eq!(told(&one), told(&other), "step {step}");
            assert_eq!((one.reward, one.gui_open), (other.reward, other.gui_open), "step {step}");
            reward += one.reward;
            screens += u32::from(one.gui_open);
            if step % 30 < 2 {
                let mut frame = Vec::new();
                world.render(128, 128, &mut frame);
                assert!(frame == scaled(&mut mirror), "step {step}: another picture");
            }
        }
        assert!(screens >= 5, "seed {seed}: the inventory was open for {screens} steps");
    }
    assert!(reward >= 1.0, "the logs that were chopped paid {reward}");
}

#[test]
fn a_task_gives_what_it_says_and_a_missing_display_is_made() {
    let installation = Installation::new("free", "");
    let shown = vpt_envserver::games::which("Xvfb").is_some();
    // Where there is no X server to start, the display is one that is never looked at.
    let display = if shown { String::new() } else { ":0".to_owned() };
    let mut world = MineRlWorld::new(MineRlConfig { display, ..installation.config() });
    let text = "name='x'\nworld='minerl'\nepisode_steps=50\n[[inventory]]\nitem='log'\ncount=2";
    world.reset(3, &Task::parse(text).expect("a task")).expect("a game");
    let started = processes_of(&installation.folder()).len();
    assert_eq!(started, if shown { 2 } else { 1 }, "a game, and its X server");
    let mut given = Vec::new();
    world.render(360, 640, &mut given);
    world.reset(3, &Task::resolve("free").expect("a task").in_world(MineRlWorld::NAME)).expect("a game");
    let mut empty = Vec::new();
    world.render(360, 640, &mut empty);
    let differing = given.iter().zip(&empty).filter(|(a, b)| a != b).count();
    assert!(
        differing > 30 && differing < given.len() / 5,
        "two logs change {differing} bytes of the picture"
    );
    drop(world);
    assert_eq!(processes_of(&installation.folder()).len(), 0, "something outlives the world");
}

/// Each of the faults that MineRL's users meet: found, told, and gone with the next game.
#[test]
fn every_fault_of_a_game_is_found_and_the_next_game_plays() {
    for (fault, words) in [
        ("hang_after=3", "step_timeout_seconds"),
        ("die_after=3", "ended"),
        ("cut_after=3", "closed the connection"),
        ("lie_after=3", "a picture of"),
        ("never_loads", "made no world"),
    ] {
        let installation = Installation::with_first_fault("chop", fault);
        let task = chop().in_world(MineRlWorld::NAME);
        let impatient = MineRlConfig {
            step_timeout_seconds: 3.0,
            mission_timeout_seconds: if fault == "never_loads" { 2.0 } else { 60.0 },
            ..installation.config()
        };
        let mut world = MineRlWorld::new(impatient);
        let error = match world.reset(3, &task) {
            Err(error) => error,
            Ok(()) => (0..20)
                .find_map(|_| {
                    world.step(&Action::NOOP);
                    world.take_fault()
                })
                .unwrap_or_else(|| panic!("{fault}: nothing was found")),
        };
        assert!(error.is_passing() && error.to_string().contains(words), "{fault}: {error}");
        assert_eq!(processes_of(&installation.folder()).len(), 0, "{fault}: its game is left");
        let mut world = MineRlWorld::new(installation.config());
        world.reset(3, &task).unwrap_or_else(|error| panic!("{fault}: {error}"));
        world.step(&Action::NOOP);
        assert!(world.take_fault().is_none(), "{fault}");
    }
}

#[test]
fn empty_pictures_death_and_a_port_that_is_taken_are_borne() {
    let task = chop().in_world(MineRlWorld::NAME);
    let installation =
        Installation::new("chop", "port_taken,empty_frames_after=2,death_after=4,load_seconds=1.5");
    let mut world = MineRlWorld::new(installation.config());
    world.reset(3, &task).expect("a game at another port");
    let seen: Vec<(bool, bool)> = (0..5)
        .map(|_| {
            let tick = world.step(&Action::NOOP);
            assert!(world.take_fault().is_none());
            let mut frame = Vec::new();
            world.render(64, 64, &mut frame);
            (frame.iter().all(|byte| *byte == 0), tick.died)
        })
        .collect();
    assert_eq!(seen, [(false, false), (false, false), (true, false), (true, false), (true, true)]);
}

#[test]
fn a_game_that_is_killed_is_found_and_replaced() {
    let installation = Installation::new("chop", "");
    let task = chop().in_world(MineRlWorld::NAME);
    let mut world = MineRlWorld::new(installation.config());
    world.reset(3, &task).expect("a game");
    let first = world.process().expect("a game");
    signal_pid(first, Signal::SIGKILL);
    world.step(&Action::NOOP);
    let error = world.take_fault().expect("it ended");
    assert!(error.is_passing() && error.to_string().contains("signal: 9"), "{error}");
    world.reset(3, &task).expect("another game");
    assert_ne!(world.process(), Some(first));
    // And between two episodes, where nobody notices.
    signal_pid(world.process().expect("a game"), Signal::SIGKILL);
    world.reset(4, &task).expect("a third game");
}

/// An envserver of that installation.
fn envserver(installation: &Installation, dir: &Path, number: u32) -> (Process, String, String) {
    let (grpc, ops) = (free_address(), free_address());
    let sets = [
        format!("envserver.listen={grpc}"),
        format!("envserver.ops_listen={ops}"),
        "envserver.spare_threads=1".to_owned(),
    ];
    let all = installation.sets().into_iter().chain(sets);
    let arguments: Vec<String> = std::iter::once("envserver".to_owned())
        .chain(all.flat_map(|set| ["--set".to_owned(), set]))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::start(&arguments, &dir.join(format!("envserver-{number}.log")));
    wait_until("the envserver", PATIENCE, || metric(&ops, "vpt_envserver_sessions"));
    (process, grpc, ops)
}

#[test]
fn sessions_have_spare_games_lose_killed_ones_and_leave_nothing() {
    let installation = Installation::new("chop", "");
    let dir = tempfile::tempdir().expect("tempdir");
    let (server, address, ops) = envserver(&installation, dir.path(), 0);
    let games = || processes_of(&installation.folder()).len();
    let mut session = Session::open(&address, vec![11, 12, 13], 8);
    for seed in [11, 12] {
        // The next episode's world is made in a second game while this one is played.
        wait_until("a spare game", PATIENCE, || (games() == 2).then_some(()));
        let first = session.observe().expect("a first frame");
        assert!(first.is_first && first.episode_seed == seed && first.frame.len() == 64 * 64 * 3);
        let last = (0..8).map(|_| session.step(keys::FORWARD).expect("a step")).last().expect("eight steps");
        assert!(last.truncated && !last.terminated);
    }
    assert!(session.observe().expect("the third episode").is_first);
    let spares: f64 = ["ready", "late"]
        .iter()
        .filter_map(|spare| metric(&ops, &format!("vpt_envserver_spares_total{{spare=\"{spare}\"}}")))
        .sum();
    assert_eq!(spares, 2.0, "resets were not made ahead");
    for process in processes_of(&installation.folder()) {
        signal_pid(process, Signal::SIGKILL);
    }
    let error = (0..3).find_map(|_| session.step(0).err()).expect("its game was killed");
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    assert!(error.message().contains("ended"), "{error}");
    assert_eq!(metric(&ops, "vpt_envserver_minerl_games_total{outcome=\"ended\"}"), Some(1.0));
    drop(session);
    let mut session = Session::open(&address, vec![14], 8);
    assert!(session.observe().expect("another game").is_first);
    session.step(0).expect("a step");
    server.signal(Signal::SIGKILL);
    drop((session, server));
    wait_until("the end of its games", PATIENCE, || (games() == 0).then_some(()));
    let folders = || std::fs::read_dir(installation.folder()).expect("games").flatten();
    let folders = || folders().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(folders(), 1, "nobody was there to remove it");
    let (_server, address, ops) = envserver(&installation, dir.path(), 1);
    let mut session = Session::open(&address, vec![15], 8);
    assert!(session.observe().expect("a game").is_first);
    assert_eq!((games(), folders()), (1, 1), "what the killed envserver left is still there");
    assert!(metric(&ops, "vpt_envserver_minerl_reaped_total") >= Some(1.0));
}

/// The whole loop: games, actors, learner, over the real protocol.
#[test]
fn a_run_trains_in_it() {
    let installation = Installation::new("chop", "");
    let dir = tempfile::tempdir().expect("tempdir");
    let (run_file, out) = (tiny::run_file(dir.path()), dir.path().join("run").display().to_string());
    let sets = [
        "world.name=minerl",
        "world.task=chop",
        "world.episode_steps=60",
        "up.actors=1",
        "actor.groups=2",
        "actor.slots_per_group=1",
        "evaluation.episodes=2",
        "evaluation.slots=2",
        "learner.ppg.total_env_steps=1024",
        "learner.ppg.batch_unrolls=8",
    ];
    let sets = installation.sets().into_iter().chain(sets.map(str::to_owned));
    let mut arguments: Vec<String> = ["up", "--config", &run_file, "--out", &out].map(str::to_owned).to_vec();
    arguments.extend(sets.flat_map(|set| ["--set".to_owned(), set]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut launcher = Process::start(&arguments, &dir.path().join("terminal.log"));
    assert_eq!(launcher.wait(PATIENCE), 0, "{}", launcher.output());
    assert!(launcher.output().contains("minerl has no scripted player"), "{}", launcher.output());
    let text = std::fs::read_to_string(Path::new(&out).join("summary.json")).expect("summary.json");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for arm in ["untrained", "ppg"] {
        assert_eq!(summary[arm]["episodes"], 2, "{summary}");
    }
    assert_eq!(summary["restarts"], serde_json::json!({}), "nothing was restarted");
    let metrics = std::fs::read_to_string(Path::new(&out).join("metrics.jsonl")).expect("metrics");
    let last: serde_json::Value =
        metrics.lines().last().map(|line| serde_json::from_str(line).expect("JSON")).expect("a line");
    assert!(last["step"].as_u64() >= Some(1024), "{last}");
    assert_eq!(processes_of(&installation.folder()).len(), 0, "games outlive the run");
}

#[test]
fn doctor_says_what_is_missing_and_starts_a_game_when_nothing_is() {
    let (code, text) = outcome(&vpt(&["doctor", "--set", "world.name=minerl"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("NO  minerl") && text.contains("envserver.minerl.path"), "{text}");
    let installation = Installation::new("free", "");
    installation.pretend_to_be_built();
    let sets = [
        "world.name=minerl",
        "evaluation.slots=1",
        "actor.groups=1",
        "demonstrations.slots=1",
        "envserver.spare_threads=0",
        "envserver.minerl.max_memory=64M",
        // Of another machine's display nothing can be said, and nothing is shown.
        "envserver.minerl.display=elsewhere:0",
    ];
    let sets = installation.sets().into_iter().chain(sets.map(str::to_owned));
    let arguments: Vec<String> =
        std::iter::once("doctor".to_owned()).chain(sets.flat_map(|set| ["--set".to_owned(), set])).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, text) = outcome(&vpt(&arguments));
    assert_eq!(code, 0, "{text}");
    for words in ["can be launched", "game.jar", "1.8.0", "starts and makes a world"] {
        assert!(text.contains(words), "no {words}: {text}");
    }
    assert_eq!(processes_of(&installation.folder()).len(), 0);
}

#[test]
fn demonstrations_are_refused_with_what_to_do_instead() {
    let arguments = ["record", "--out", "/nowhere/at/all", "--set", "world.name=minerl"];
    let (code, text) = outcome(&vpt(&arguments));
    assert!(code == 64 && text.contains("no scripted player") && text.contains("--player policy"), "{text}");
}
