//! A real game: Luanti, through its own window, keyboard and mouse. Without the game these tests are skipped and say so;
//! with `VPT_REQUIRE_LUANTI` set that is a failure.

mod run;

use std::io::Write;
use std::path::Path;

use nix::sys::signal::Signal;
use vpt_envserver::episode::{Episode, StepOutcome};
use vpt_envserver::luanti::LuantiWorld;
use vpt_envserver::luanti::config::LuantiConfig;
use vpt_envserver::luanti::programs::Programs;
use vpt_envserver::task::Task;
use vpt_envserver::world::{Action, EventKind, World};
use vpt_proto::keys;
use vpt_tests::process::{Process, signal_pid};
use vpt_tests::wait::wait_until;

const SIZE: (usize, usize) = (320, 180);

/// Whether there is a game to play.
fn is_there() -> bool {
    let Err(error) = Programs::find(&LuantiConfig::default()) else { return true };
    assert!(std::env::var_os("VPT_REQUIRE_LUANTI").is_none(), "{error}");
    // Past the test harness, which keeps what passing tests print.
    let _ = writeln!(std::io::stderr(), "SKIP world luanti: {error}");
    false
}

fn task(rest: &str) -> Task {
    Task::parse(&format!("name='test'\nworld='luanti'\nepisode_steps=1000\n{rest}")).expect("a task")
}

fn frame(world: &mut LuantiWorld) -> Vec<u8> {
    let mut out = Vec::new();
    world.render(SIZE.1, SIZE.0, &mut out);
    out
}

/// The sky follows the light around the player for seconds of game time, by so many levels a pixel.
const SKY: u8 = 16;

/// Share of bytes in which two frames differ, the sky's slow change apart.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    let different = a.iter().zip(b).filter(|(a, b)| a.abs_diff(**b) > SKY).count();
    different as f64 / a.len() as f64
}

fn turn(yaw_delta: f32, pitch_delta: f32) -> Action {
    Action { keys: 0, pitch_delta, yaw_delta }
}

/// Steps the scripted player until `done`, at most so many steps; what came of each.
fn play(
    world: &mut LuantiWorld,
    episode: &mut Episode,
    most: usize,
    done: impl Fn(EventKind, &str) -> bool,
) -> Vec<StepOutcome> {
    let mut outcomes = Vec::new();
    for _ in 0..most {
        let action = world.advise();
        outcomes.push(episode.step(world, &action));
        if let Some(error) = world.take_fault() {
            panic!("{error}");
        }
        let events = &outcomes[outcomes.len() - 1].events;
        if events.iter().any(|paid| done(paid.event.kind, paid.event.item)) {
            return outcomes;
        }
    }
    panic!("not done after {most} steps: {:?}", names(&outcomes));
}

fn names(outcomes: &[StepOutcome]) -> Vec<(EventKind, &'static str, u32)> {
    let events = outcomes.iter().flat_map(|outcome| &outcome.events);
    events.map(|paid| (paid.event.kind, paid.event.item, paid.event.quantity)).collect()
}

/// One game for all of it: starting one takes as long as the rest.
#[test]
fn a_session_looks_digs_crafts_resets_crashes_and_recovers() {
    if !is_there() {
        return;
    }
    let mut world = LuantiWorld::new(LuantiConfig::default());
    looking_around_comes_back_to_the_same_picture(&mut world);
    from_nothing_to_a_stone_pickaxe(&mut world);
    an_episode_starts_with_what_the_task_gives_and_a_screen_shows_the_cursor(&mut world);
    a_game_that_ends_is_found_and_replaced(&mut world);
    drop(world);
    a_game_that_hangs_is_given_up();
}

fn looking_around_comes_back_to_the_same_picture(world: &mut LuantiWorld) {
    world.reset(1, &task("[spawn]\nrandom_yaw=true")).expect("a game");
    let first = frame(world);
    for _ in 0..36 {
        world.step(&turn(10.0, 0.0));
    }
    world.step(&Action::NOOP);
    let turned = difference(&first, &frame(world));
    assert!(turned < 0.02, "a whole turn leaves {turned} of the picture different");
    world.step(&turn(9.0, 0.0));
    world.step(&turn(9.0, 0.0));
    let aside = difference(&first, &frame(world));
    assert!(aside > 0.05, "eighteen degrees change {aside} of the picture");
    assert!(world.take_fault().is_none());
}

/// Trees, the inventory's grid by the mouse, stone below: every part of the interface.
fn from_nothing_to_a_stone_pickaxe(world: &mut LuantiWorld) {
    let stone = Task::resolve("stone").expect("built in").in_world(LuantiWorld::NAME);
    let mut episode = Episode::new(Task { world: LuantiWorld::NAME.to_owned(), ..stone }, 0);
    episode.start(world, 3).expect("a place with trees");
    let made = |kind, item: &str| kind == EventKind::CraftItem && item == "stone_pickaxe";
    let outcomes = play(world, &mut episode, 1500, made);
    let events = names(&outcomes);
    for wanted in [
        (EventKind::MineBlock, "log", 1),
        (EventKind::Pickup, "log", 1),
        (EventKind::CraftItem, "planks", 4),
        (EventKind::CraftItem, "stick", 4),
        (EventKind::CraftItem, "wooden_pickaxe", 1),
        (EventKind::Pickup, "cobblestone", 1),
    ] {
        assert!(events.contains(&wanted), "no {wanted:?} among {events:?}");
    }
    let paid: f32 = outcomes.iter().map(|outcome| outcome.reward).sum();
    // A log, four planks, four sticks, the pickaxes, three cobblestones.
    let least = 0.125 + 4.0 * 0.05 + 4.0 * 0.0625 + 2.0 + 3.0 * 0.090_909;
    assert!(paid > least - 0.01, "only {paid} was paid");
    assert!(outcomes.iter().any(|outcome| outcome.gui_open));
}

fn an_episode_starts_with_what_the_task_gives_and_a_screen_shows_the_cursor(world: &mut LuantiWorld) {
    let place = |world: &mut LuantiWorld, inventory: &str| {
        world.reset(3, &task(inventory)).expect("the same game");
        assert!(!world.gui_open());
        frame(world)
    };
    // The first time, land far away may still be made.
    place(world, "");
    let empty = place(world, "");
    let given = place(world, "[[inventory]]\nitem='log'\ncount=2");
    let hotbar = |frame: &[u8]| frame[150 * SIZE.0 * 3..].to_vec();
    assert!(difference(&hotbar(&empty), &hotbar(&given)) > 0.001, "the logs are not in the hotbar");
    world.step(&Action { keys: keys::HOTBAR[4], ..Action::NOOP });
    let again = place(world, "");
    let changed = difference(&empty, &again);
    assert!(changed < 0.02, "{changed} of the place's picture is not as it was");
    let changed = difference(&hotbar(&empty), &hotbar(&again));
    assert!(changed < 0.01, "{changed} of the hotbar's picture: is the first place chosen?");
    world.step(&Action { keys: keys::INVENTORY, ..Action::NOOP });
    assert!(world.step(&Action::NOOP).gui_open);
    let open = frame(world);
    world.step(&turn(20.0, 0.0));
    let moved = difference(&open, &frame(world));
    assert!(moved > 0.0 && moved < 0.02, "a cursor that moves changes {moved} of the picture");
}

fn a_game_that_ends_is_found_and_replaced(world: &mut LuantiWorld) {
    let before = world.process().expect("a game");
    signal_pid(before, Signal::SIGKILL);
    world.step(&Action::NOOP);
    let error = world.take_fault().expect("it ended");
    assert!(error.is_passing() && error.to_string().contains("ended"), "{error}");
    assert!(world.process().is_none());
    world.reset(3, &task("")).expect("another game");
    assert_ne!(world.process(), Some(before));
}

fn a_game_that_hangs_is_given_up() {
    let config = LuantiConfig { step_timeout_seconds: 1.0, ..LuantiConfig::default() };
    let mut world = LuantiWorld::new(config);
    world.reset(3, &task("")).expect("a game");
    let process = world.process().expect("a game");
    signal_pid(process, Signal::SIGSTOP);
    world.step(&Action::NOOP);
    let error = world.take_fault().expect("it hangs");
    assert!(error.is_passing() && error.to_string().contains("step_timeout_seconds"), "{error}");
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "it is left behind");
}

#[test]
fn nothing_outlives_an_envserver_that_is_killed() {
    if !is_there() {
        return;
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let games = dir.path().join("games");
    let (folder, out) = (games.display().to_string(), dir.path().join("out").display().to_string());
    let set = format!("envserver.luanti.folder={folder}");
    let arguments =
        ["record", "--out", &out, "--set", "world.name=luanti", "--set", "demonstrations.slots=1", "--set"];
    let recorder = Process::start(&[&arguments[..], &[&set]].concat(), &dir.path().join("log"));
    let running = || processes_of(&folder).len();
    wait_until("a game and its X server", 60, || (running() == 2).then_some(()));
    wait_until("the game's player", 60, || has_player(&games).then_some(()));
    recorder.signal(Signal::SIGKILL);
    wait_until("the end of both", 20, || (running() == 0).then_some(()));
    let config = LuantiConfig { folder: folder.clone(), ..LuantiConfig::default() };
    let mut world = LuantiWorld::new(config);
    world.reset(3, &task("")).expect("another game");
    let folders = || games.read_dir().expect("games").flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!((folders(), running()), (1, 2), "what was left is removed with the next start");
    drop(world);
    assert_eq!((folders(), running()), (0, 0));
}

/// Processes that were started for a game below that folder.
fn processes_of(folder: &str) -> Vec<String> {
    let mark = format!("VPT_LUANTI_FOLDER={folder}");
    let entries = Path::new("/proc").read_dir().expect("proc").flatten();
    let is_ours = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        // One that has ended and was not waited for has none.
        String::from_utf8_lossy(&environment).split('\0').any(|variable| variable.starts_with(&mark))
    };
    entries
        .map(|entry| entry.path())
        .filter(|path| is_ours(path))
        .map(|path| path.display().to_string())
        .collect()
}

fn has_player(games: &Path) -> bool {
    let folders = games.read_dir().into_iter().flatten().flatten();
    let told = folders
        .map(|entry| std::fs::read_to_string(entry.path().join("world/vpt_report")).unwrap_or_default());
    told.into_iter().any(|told| told.contains("state"))
}
