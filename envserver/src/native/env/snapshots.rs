//! Tests of going back: a restored world goes on exactly as the first time, whatever was going on.

use super::*;
use crate::native::spawn::mix;
use crate::null::NullWorld;

/// Ticks played from each snapshot, twice.
const ONWARD: usize = 2000;
/// Within so many ticks the scripted player has opened screens, lit a furnace and thrown things about.
const ROAD: usize = 12_000;

/// Everything that shows of a tick: what the scripted player advised, what happened, the state, the frame now and then.
type Shown = (Action, Tick, u64, Option<u64>);

fn play(world: &mut NativeWorld, ticks: usize) -> Vec<Shown> {
    let mut frame = Vec::new();
    (0..ticks)
        .map(|tick| {
            let action = world.advise();
            let brought = world.step(&action);
            let seen = tick.is_multiple_of(25).then(|| {
                world.render(24, 32, &mut frame);
                frame.iter().fold(0, |hash, byte| mix(hash, u64::from(*byte)))
            });
            (action, brought, world.state_hash(), seen)
        })
        .collect()
}

/// Plays on until something is the case.
fn until(world: &mut NativeWorld, what: &str, holds: impl Fn(&State) -> bool) {
    for _ in 0..ROAD {
        let action = world.advise();
        world.step(&action);
        if holds(&world.state) {
            return;
        }
    }
    panic!("{what}: not within {ROAD} ticks");
}

#[test]
fn a_restored_world_goes_on_as_the_first_time() {
    let task = Task::resolve("diamond_pickaxe").unwrap();
    let (mut world, mut other) = (NativeWorld::new(), NativeWorld::new());
    world.reset(3, &task).unwrap();
    other.reset(4, &Task::resolve("chop").unwrap()).unwrap();
    type Holds = fn(&State) -> bool;
    let moments: [(&str, Holds); 3] = [
        ("something lies about", |state| state.entities.iter().next().is_some()),
        ("a screen is open", |state| state.gui.as_ref().is_some_and(|gui| gui.carried.is_some())),
        ("a furnace burns", |state| {
            state.gui.as_ref().is_some_and(|gui| gui.furnace.is_some() && gui.gauges[0] > 0)
        }),
    ];
    for (what, holds) in moments {
        until(&mut world, what, holds);
        let (snapshot, hash) = (world.snapshot().unwrap(), world.state_hash());
        let first = play(&mut world, ONWARD);
        // Once in the world it was taken of, once in another that has played something else.
        other.restore(&snapshot).unwrap();
        assert_eq!(other.state_hash(), hash, "{what}");
        let again = play(&mut other, ONWARD);
        assert!(first == again, "{what}: differs at tick {:?}", differs(&first, &again));
        world.restore(&snapshot).unwrap();
        let again = play(&mut world, ONWARD);
        assert!(first == again, "{what}: differs at tick {:?}", differs(&first, &again));
        world.restore(&snapshot).unwrap();
    }
}

fn differs(first: &[Shown], second: &[Shown]) -> Option<usize> {
    first.iter().zip(second).position(|(a, b)| a != b)
}

#[test]
fn a_snapshot_is_not_touched_by_what_is_played_from_it() {
    let mut world = NativeWorld::new();
    world.reset(5, &Task::resolve("wood").unwrap()).unwrap();
    play(&mut world, 60);
    let snapshot = world.snapshot().unwrap();
    let hash = world.state_hash();
    for _ in 0..3 {
        play(&mut world, 100);
        assert_ne!(world.state_hash(), hash);
        world.restore(&snapshot).unwrap();
        assert_eq!(world.state_hash(), hash);
    }
}

#[test]
fn snapshots_of_other_worlds_are_refused() {
    let (mut native, mut null) = (NativeWorld::new(), NullWorld::default());
    let task = Task::resolve("chop").unwrap();
    native.reset(1, &task).unwrap();
    null.reset(1, &NullWorld::task()).unwrap();
    let before = native.state_hash();
    let message = native.restore(&null.snapshot().unwrap()).unwrap_err().to_string();
    assert!(message.contains("`null`") && message.contains("`native`"), "{message}");
    assert_eq!(native.state_hash(), before);
    let earlier = (null.snapshot().unwrap(), null.state_hash());
    null.step(&Action::NOOP);
    null.restore(&earlier.0).unwrap();
    assert_eq!(null.state_hash(), earlier.1);
}
