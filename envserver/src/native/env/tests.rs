//! Tests of whole episodes: determinism, the scripted player, physics under random play.

use super::*;
use crate::episode::Episode;
use crate::native::block::Block;

fn play_scripted(task: &str, seed: u64, max_steps: u32) -> (f32, NativeWorld) {
    let mut world = NativeWorld::new();
    let mut episode = Episode::new(Task::resolve(task).unwrap(), max_steps);
    episode.start(&mut world, seed).unwrap();
    let mut total = 0.0;
    loop {
        let action = world.advise();
        let outcome = episode.step(&mut world, &action);
        total += outcome.reward;
        if outcome.is_last() {
            return (total, world);
        }
    }
}

#[test]
fn the_scripted_player_chops() {
    let returns: Vec<f32> = (0..20).map(|seed| play_scripted("chop", 1000 + seed, 0).0).collect();
    let mean = returns.iter().sum::<f32>() / 20.0;
    println!("mean logs {mean}: {returns:?}");
    assert!(mean >= 1.5, "{returns:?}");
}

#[test]
fn the_scripted_player_crafts_a_table_and_a_pickaxe() {
    let (total, world) = play_scripted("wood", 5, 0);
    println!("wood return {total}");
    let mut carried = world.state.inventory.slots.iter().flatten();
    // Three logs, twelve planks, four sticks, the table and the pickaxe.
    assert!(carried.any(|stack| stack.item == Item::WoodenPickaxe) && total > 3.2, "return {total}");
}

#[test]
fn a_log_takes_sixty_ticks_and_its_drop_ten_more() {
    let text = "name='x'\nepisode_steps=1000\n[spawn]\nrandom_yaw=false";
    let mut world = NativeWorld::new();
    world.reset(3, &Task::parse(text).unwrap()).unwrap();
    let [x, y, z] = world.state.player.eye().map(|value| value.floor() as i32);
    for ahead in 1..4 {
        world.state.set([x, y, z + ahead], Block::Air);
        world.state.set([x, y - 1, z + ahead], Block::Stone);
    }
    world.state.set([x, y, z + 1], Block::Log);
    let attack = Action { keys: keys::ATTACK, ..Action::NOOP };
    let events: Vec<_> = (1..=100)
        .flat_map(|tick| {
            world.step(&attack).events.into_iter().map(move |event| (tick, event.kind, event.item))
        })
        .filter(|(_, _, item)| *item == "log")
        .collect();
    assert_eq!(events, [(60, EventKind::MineBlock, "log"), (69, EventKind::Pickup, "log")]);
}

/// Play by a counter-based random player, every key included.
fn random_action(key: u64, tick: u64) -> Action {
    let bits = mix(key, tick / 5);
    let camera = |bits: u64| (bits & 255) as f32 / 8.0 - 16.0;
    // Forward and attack often, screens seldom.
    let mut held = bits as u32 & keys::ALL & !(keys::INVENTORY | keys::ESC);
    held |= if bits >> 40 & 3 != 0 { keys::FORWARD } else { 0 };
    held |= if bits >> 42 & 31 == 0 { keys::INVENTORY } else { 0 };
    held &= if bits >> 50 & 1 == 0 { !keys::SNEAK & !keys::BACK } else { u32::MAX };
    let moves = mix(key ^ 1, tick);
    Action { keys: held, pitch_delta: camera(moves) / 2.0, yaw_delta: camera(moves >> 8) }
}

#[test]
fn nothing_tunnels_in_twenty_thousand_random_ticks() {
    let task = Task::resolve("chop").unwrap();
    let mut world = NativeWorld::new();
    let mut moved: f64 = 0.0;
    for seed in 0..10 {
        world.reset(seed, &task).unwrap();
        let start = world.state.player.body.position;
        for tick in 0..2000 {
            world.step(&random_action(seed, tick));
            let body = &world.state.player.body;
            let (low, high) = body.bounds();
            let cells = |axis: usize| (low[axis] + 1e-6).floor() as i32..=(high[axis] - 1e-6).floor() as i32;
            for y in cells(1) {
                for z in cells(2) {
                    for x in cells(0) {
                        let block = world.state.voxels.get(x, y, z);
                        assert!(
                            !block.is_solid(),
                            "seed {seed} tick {tick}: inside {block:?} at {x} {y} {z}"
                        );
                    }
                }
            }
        }
        let end = world.state.player.body.position;
        moved += (end[0] - start[0]).abs() + (end[2] - start[2]).abs();
    }
    assert!(moved > 50.0, "the random player got about: {moved}");
}

#[test]
fn the_same_seed_and_actions_give_the_same_states_and_frames() {
    let task = Task::resolve("wood").unwrap();
    let run = |other: bool| {
        let mut world = NativeWorld::new();
        if other {
            // A used world must not differ from a new one.
            world.reset(77, &task).unwrap();
            (0..50).for_each(|tick| drop(world.step(&random_action(3, tick))));
        }
        world.reset(9, &task).unwrap();
        let (mut hashes, mut frames, mut frame) = (Vec::new(), 0, Vec::new());
        for tick in 0..300 {
            let action = if tick % 3 == 0 { world.advise() } else { random_action(4, tick) };
            world.step(&action);
            hashes.push(world.state_hash());
            if tick % 10 == 0 {
                world.render(48, 64, &mut frame);
                frames = frame.iter().fold(frames, |hash, byte| mix(hash, u64::from(*byte)));
            }
        }
        (hashes, frames)
    };
    let (first, second) = (run(false), run(true));
    assert_eq!(first, second);
    assert!(first.0.windows(2).all(|pair| pair[0] != pair[1]));
}

/// Plays keys for a number of ticks and returns the rewards' sum.
fn hold(episode: &mut Episode, world: &mut NativeWorld, action: Action, ticks: usize) -> f32 {
    (0..ticks).map(|_| episode.step(world, &action).reward).sum()
}

#[test]
fn re_collecting_a_dropped_log_pays_nothing() {
    let text =
        "name='x'\nepisode_steps=1000\ninventory=[{item='log',count=2}]\n[[rewards]]\nitem='log'\nreward=1";
    let mut episode = Episode::new(Task::parse(text).unwrap(), 0);
    let mut world = NativeWorld::new();
    episode.start(&mut world, 3).unwrap();
    let down = Action { keys: keys::DROP, pitch_delta: 90.0, yaw_delta: 0.0 };
    assert_eq!(hold(&mut episode, &mut world, down, 1), 0.0);
    assert_eq!(world.state.inventory.slots[0], Some(Stack::new(Item::Log, 1)));
    assert_eq!(hold(&mut episode, &mut world, Action::NOOP, 80), 0.0);
    assert_eq!(world.state.inventory.slots[0], Some(Stack::new(Item::Log, 2)), "it came back");
}

#[test]
fn a_table_is_placed_and_opened_by_using_it() {
    let text = "name='x'\nepisode_steps=1000\ninventory=[{item='crafting_table'}]";
    let mut world = NativeWorld::new();
    world.reset(3, &Task::parse(text).unwrap()).unwrap();
    world.step(&Action { keys: 0, pitch_delta: 50.0, yaw_delta: 0.0 });
    let used = world.step(&Action { keys: keys::USE, ..Action::NOOP });
    let placed = Event { kind: EventKind::UseItem, item: "crafting_table", quantity: 1 };
    assert_eq!(used.events, [placed]);
    world.step(&Action::NOOP);
    assert!(world.step(&Action { keys: keys::USE, ..Action::NOOP }).gui_open);
    assert_eq!(world.state.gui.as_ref().unwrap().side(), 3);
    assert!(!world.step(&Action { keys: keys::ESC, ..Action::NOOP }).gui_open);
}

#[test]
fn unchecked_actions_do_what_is_left_of_them() {
    let task = Task::resolve("chop").unwrap();
    let odd = [
        (f32::NAN, 3.0, 1 << 31),
        (f32::INFINITY, f32::NEG_INFINITY, !keys::ALL),
        (1e30, -1e30, keys::INVENTORY | 1 << 27),
        (f32::NAN, f32::NAN, keys::ATTACK),
        (-1e9, f32::MIN_POSITIVE, !(keys::ESC | keys::INVENTORY)),
    ];
    let (mut wild, mut tame) = (NativeWorld::new(), NativeWorld::new());
    wild.reset(1, &task).unwrap();
    tame.reset(1, &task).unwrap();
    for (pitch_delta, yaw_delta, held) in odd.into_iter().cycle().take(50) {
        let action = Action { keys: held, pitch_delta, yaw_delta };
        wild.step(&action);
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        tame.step(&Action::sanitised(held & keys::ALL, finite(pitch_delta), finite(yaw_delta)).unwrap());
        assert_eq!(wild.state_hash(), tame.state_hash());
        let player = &wild.state.player;
        assert!(player.pitch.abs() <= 90.0 && player.yaw.abs() <= 180.0);
        assert!(player.body.position.iter().all(|value| value.is_finite()));
        let cursor = wild.state.gui.as_ref().map_or([0.0; 2], |gui| gui.cursor);
        assert!((0.0..640.0).contains(&cursor[0]) && (0.0..360.0).contains(&cursor[1]));
    }
}

#[test]
fn tasks_of_other_worlds_and_impossible_spawns_are_refused() {
    let mut world = NativeWorld::new();
    let elsewhere = Task::parse("name='x'\nworld='luanti'\nepisode_steps=5").unwrap();
    assert!(matches!(world.reset(1, &elsewhere), Err(WorldError::WrongWorld { .. })));
    let nowhere = Task::parse("name='x'\nepisode_steps=5\n[spawn]\ntrunk_distance=[300.0,301.0]").unwrap();
    assert!(matches!(world.reset(1, &nowhere), Err(WorldError::NoSpawn { .. })));
}

/// A task in which the player can be hurt, with what else it says.
fn dangerous(more: &str) -> Task {
    Task::parse(&format!("name = 'danger'\nepisode_steps = 1000\nsurvival = true\n{more}")).unwrap()
}

/// Lifts the player and lets go; the ticks until death, if it comes.
fn drop_from(state: &mut State, blocks: f64) -> Option<usize> {
    state.player.body.position[1] += blocks;
    (1..200).find(|_| state.step(&Action::NOOP).died)
}

#[test]
fn a_deadly_fall_ends_the_episode_and_hearts_show_a_lesser_one() {
    let mut state = State::new();
    state.reset(3, &dangerous("")).unwrap();
    let unhurt = state.clone();
    assert_eq!(drop_from(&mut state, 12.0), None);
    let health = state.survival.as_ref().unwrap().vitals.health;
    assert!(health < 20.0 && health > 8.0, "{health}");
    let (mut before, mut after) = (Vec::new(), Vec::new());
    Frames::new().render(&unhurt, 128, 128, &mut before);
    Frames::new().render(&state, 128, 128, &mut after);
    assert_ne!(before, after);
    assert!(drop_from(&mut state, 40.0).is_some());
    // Where nothing hurts, nothing does.
    let mut safe = State::new();
    safe.reset(3, &Task::resolve("chop").unwrap()).unwrap();
    assert_eq!(drop_from(&mut safe, 60.0), None);
}

#[test]
fn a_task_may_let_the_dead_go_on_without_their_things() {
    let mut state = State::new();
    let task = dangerous("respawn = true\n[[inventory]]\nitem = 'log'\ncount = 70");
    state.reset(3, &task).unwrap();
    let home = state.player.body.position;
    state.player.body.position[0] += 3.0;
    assert_eq!(drop_from(&mut state, 60.0), None);
    assert_eq!(state.survival.as_ref().unwrap().vitals.health, 20.0);
    assert!(state.inventory.slots.iter().all(Option::is_none));
    let dropped: u32 = state.entities.iter().map(|entity| u32::from(entity.stack.count)).sum();
    assert_eq!(dropped, 70);
    let apart = (state.player.body.position[0] - home[0]).abs();
    assert!(apart < 1e-6, "{apart}");
}

#[test]
fn hunger_is_stilled_by_holding_food_and_the_use_button() {
    let mut state = State::new();
    state.reset(3, &dangerous("[[inventory]]\nitem = 'apple'\ncount = 2")).unwrap();
    state.survival.as_mut().unwrap().vitals.food = 10.0;
    let using = Action { keys: keys::USE, ..Action::NOOP };
    let eaten: Vec<_> = (0..40).flat_map(|_| state.step(&using).events).collect();
    assert_eq!(eaten, [Event { kind: EventKind::UseItem, item: "apple", quantity: 1 }]);
    assert_eq!(state.survival.as_ref().unwrap().vitals.food, 14.0);
    assert_eq!(state.inventory.slots[0].map(|stack| stack.count), Some(1));
}

#[test]
fn every_built_in_task_starts_in_every_world() {
    for name in Task::built_in_names() {
        let task = Task::resolve(name).unwrap();
        for seed in 0..16 {
            let mut state = State::for_test(seed, &task);
            let tick = state.step_for_test(&Action::NOOP);
            assert!(!tick.died && state.player.body.on_ground, "{name}, seed {seed}");
        }
    }
}
