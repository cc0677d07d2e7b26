//! The world against games that are launched, answer and fail as MineRL's users meet them. The game is a thread of the
//! test; what is launched is a shell that says its port and sleeps.

mod game;

use std::path::Path;
use std::time::Instant;

use game::{FakeGame, Manner};

use super::*;
use crate::world::{Event, EventKind};

fn task() -> Task {
    Task::parse("name='x'\nworld='minerl'\nepisode_steps=50\n[[rewards]]\nitem='log'\nreward=1.0").unwrap()
}

fn is_running(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn episodes_are_played_frames_are_turned_and_scaled_and_statistics_become_events() {
    let game = FakeGame::start(Manner::Well);
    let mut world = MineRlWorld::new(game.config());
    world.reset(7, &task()).unwrap();
    assert!(!world.gui_open() && world.spare_wait().is_some());
    assert_eq!(world.advise(), Action::NOOP);
    let log = |kind, quantity| Event { kind, item: "log", quantity };
    for _ in 0..2 {
        let tick =
            world.step(&Action { keys: keys::ATTACK | keys::ESC, pitch_delta: f32::NAN, yaw_delta: 4.0 });
        // Every step of this game mines two logs and picks one up.
        assert_eq!(tick.events, [log(EventKind::MineBlock, 2), log(EventKind::Pickup, 1)]);
        assert!(!tick.died && world.take_fault().is_none());
    }
    let mut frame = Vec::new();
    world.render(SIZE.1, SIZE.0, &mut frame);
    assert_eq!((frame.len(), &frame[..3], &frame[frame.len() - 3..]), (691_200, &[200; 3][..], &[10; 3][..]));
    world.render(128, 128, &mut frame);
    assert_eq!((frame.len(), frame[0], frame[frame.len() - 1]), (128 * 128 * 3, 200, 10));
    let process = world.process().unwrap();
    world.reset(8, &task()).unwrap();
    assert_eq!(world.process(), Some(process), "the same game plays the next episode");
    let sent = game.sent();
    assert!(sent.iter().any(|message| message.starts_with("vpt-1:0:0:1:true:7")), "{sent:?}");
    assert!(sent.iter().any(|message| message.starts_with("vpt-2:0:0:1:true:8")), "{sent:?}");
    let step = sent.iter().find(|message| message.starts_with("<StepClient0>")).unwrap();
    assert!(
        step.contains("\nattack 1\n") && step.contains("\nESC 0\n") && step.contains("camera 0.0 4.0<"),
        "{step}"
    );
    drop(world);
    assert!(!is_running(process), "the game outlives its world");
}

#[test]
fn a_game_that_is_worn_is_asked_to_end_and_replaced() {
    let game = FakeGame::start(Manner::Well);
    let mut world = MineRlWorld::new(MineRlConfig { recycle_steps: 50, ..game.config() });
    world.reset(1, &task()).unwrap();
    let first = world.process().unwrap();
    world.reset(2, &task()).unwrap();
    assert_eq!(world.process(), Some(first), "nothing was played yet");
    world.step(&Action::NOOP);
    world.reset(3, &task()).unwrap();
    assert_ne!(world.process(), Some(first), "fifty more steps would be one too many");
    assert!(game.sent().iter().any(|message| message == "<Exit>NOW</Exit>"));
    let old = MineRlConfig { recycle_minutes: 1e-9, ..game.config() };
    let mut world = MineRlWorld::new(old);
    world.reset(1, &task()).unwrap();
    let first = world.process();
    world.reset(2, &task()).unwrap();
    assert_ne!(world.process(), first, "it is older than allowed");
}

#[test]
fn a_step_that_is_not_answered_or_cut_off_or_lied_to_is_a_fault_that_the_next_reset_repairs() {
    for (manner, words) in [
        (Manner::Silent, "step_timeout_seconds"),
        (Manner::Cut, "closed the connection"),
        (Manner::Lying, "a picture of 2147483647 bytes"),
        (Manner::Short, "a picture of 5 bytes instead of 691200"),
        (Manner::Garbled, "an observation that cannot be read"),
    ] {
        let game = FakeGame::start(manner);
        let mut world = MineRlWorld::new(MineRlConfig { step_timeout_seconds: 1.0, ..game.config() });
        world.reset(1, &task()).unwrap();
        let process = world.process().unwrap();
        assert_eq!(world.step(&Action::NOOP), Tick::default());
        let error = world.take_fault().expect("it failed");
        assert!(error.is_passing() && error.to_string().contains(words), "{manner:?}: {error}");
        assert!(world.process().is_none() && !is_running(process), "{manner:?}: its game is left");
        let mut frame = Vec::new();
        world.render(4, 4, &mut frame);
        assert_eq!(frame, [0; 48]);
        game.behave(Manner::Well);
        world.reset(1, &task()).unwrap();
        assert!(!world.step(&Action::NOOP).events.is_empty() && world.take_fault().is_none(), "{manner:?}");
    }
}

#[test]
fn death_ends_an_episode_and_an_empty_picture_is_black() {
    let game = FakeGame::start(Manner::Dying);
    let mut world = MineRlWorld::new(game.config());
    world.reset(1, &task()).unwrap();
    let tick = world.step(&Action::NOOP);
    assert!(tick.died && world.take_fault().is_none());
    let mut frame = Vec::new();
    world.render(2, 2, &mut frame);
    assert_eq!(frame, [0; 12]);
}

#[test]
fn a_game_that_makes_no_world_is_given_up_by_its_deadline() {
    let game = FakeGame::start(Manner::Busy);
    let config = MineRlConfig { mission_timeout_seconds: 0.5, ..game.config() };
    let mut world = MineRlWorld::new(config);
    let error = world.reset(1, &task()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("made no world within 0.5 s"), "{error}");
    assert!(world.process().is_none());
}

#[test]
fn a_game_that_ends_between_episodes_is_replaced_without_a_word() {
    let game = FakeGame::start(Manner::Well);
    let mut world = MineRlWorld::new(game.config());
    world.reset(1, &task()).unwrap();
    let first = world.process();
    game.hang_up();
    world.reset(2, &task()).unwrap();
    assert_ne!(world.process(), first);
}

#[test]
fn a_game_that_does_not_come_up_says_why() {
    let game = FakeGame::start(Manner::Well);
    let fail = |script: &str| {
        game.write_script(script);
        let config = MineRlConfig { start_timeout_seconds: 0.5, ..game.config() };
        let began = Instant::now();
        let error = MineRlWorld::new(config).reset(1, &task()).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20));
        error
    };
    let error = fail("echo Error: no OpenGL; exit 3");
    assert!(!error.is_passing() && error.to_string().contains("exit status: 3"), "{error}");
    assert!(error.to_string().contains("no OpenGL"), "{error}");
    let error = fail("echo loading; exec sleep 600");
    assert!(error.to_string().contains("start_timeout_seconds"), "{error}");
    // A port at which nobody listens: the thread that listened has ended.
    let port = game::port_of_nobody();
    let error = fail(&format!("echo '***** Start MalmoEnvServer on port {port}'; exec sleep 600"));
    assert!(error.is_passing() && error.to_string().contains("takes no connection"), "{error}");
}

#[test]
fn tasks_of_other_worlds_are_refused_and_a_missing_installation_lasts() {
    let mut world = MineRlWorld::new(MineRlConfig::default());
    let chop = Task::resolve("chop").unwrap();
    assert!(matches!(world.reset(1, &chop), Err(WorldError::WrongWorld { .. })));
    let error = world.reset(1, &chop.in_world(MineRlWorld::NAME)).unwrap_err();
    assert!(!error.is_passing() && error.to_string().contains("envserver.minerl.path"), "{error}");
}
