//! A million random ticks: whatever is pressed, the player stays out of solid blocks, above bedrock, finite, and able
//! to get away again.

use super::*;
use crate::native::block::Block;
use crate::task::SpawnRule;

/// Lives in each world; every one starts somewhere else and lasts for [`TICKS`].
const LIVES: u64 = 25;
const TICKS: u64 = 4000;
/// Groves and overworlds played in.
const WORLDS: u64 = 5;
/// Slack for "inside": physics keeps bodies this far and more out of what they touch.
const SLACK: f64 = 1e-6;
/// Nothing falls faster than gravity and drag let it, metres a tick.
const FASTEST: f64 = 4.0;

/// What the player carries: tools to dig with, and everything that can be placed, falls, or lets climb.
const KIT: &str = "
[[inventory]]
item = 'diamond_pickaxe'
[[inventory]]
item = 'cobblestone'
count = 64
[[inventory]]
item = 'gravel'
count = 64
[[inventory]]
item = 'sand'
count = 64
[[inventory]]
item = 'torch'
count = 64
[[inventory]]
item = 'furnace'
count = 8
[[inventory]]
item = 'crafting_table'
count = 8
[[inventory]]
item = 'planks'
count = 64
[[inventory]]
item = 'log'
count = 64
";

fn task(terrain: &str, survival: bool) -> Task {
    let text = format!(
        "name = 'soak'\nterrain = '{terrain}'\nepisode_steps = 1000\nsurvival = {survival}\nrespawn = {survival}\n{KIT}"
    );
    Task::parse(&text).unwrap()
}

/// Every key of the keyboard, held for a quarter of a second to two seconds; screens are left before long.
fn random_action(key: u64, tick: u64) -> Action {
    let phase = mix(key, tick / 8);
    let long = mix(key ^ 7, tick / 40);
    let mut held = (phase as u32) & (phase >> 32) as u32 & keys::ALL & !(keys::INVENTORY | keys::ESC);
    held |= if long & 3 != 0 { keys::FORWARD } else { 0 };
    held |= if long & 12 == 0 { keys::ATTACK } else { 0 };
    held |= if long & 48 == 0 { keys::JUMP } else { 0 };
    held |= if long & 0x300 == 0 { keys::SPRINT } else { 0 };
    held |= if tick % 400 == 399 { keys::INVENTORY } else { 0 };
    held |= if tick % 400 == 39 { keys::ESC } else { 0 };
    let moves = mix(key ^ 1, tick);
    let camera = |bits: u64| (bits & 255) as f32 / 8.0 - 16.0;
    // A stretch of looking down, of looking level, of looking about.
    let pitch_delta = match long >> 12 & 3 {
        0 => 4.0,
        1 => camera(moves),
        _ => camera(moves) / 4.0,
    };
    Action { keys: held, pitch_delta, yaw_delta: camera(moves >> 8) }
}

/// What must hold of the player after any tick.
fn check(state: &State) -> Result<(), String> {
    let player = &state.player;
    let body = &player.body;
    let [x, y, z] = body.position;
    let numbers = [x, y, z, body.velocity[0], body.velocity[1], body.velocity[2]];
    if !numbers.into_iter().chain([f64::from(player.yaw), f64::from(player.pitch)]).all(f64::is_finite) {
        return Err(format!("not finite: {player:?}"));
    }
    if body.velocity.iter().any(|speed| speed.abs() > FASTEST) {
        return Err(format!("too fast: {:?}", body.velocity));
    }
    if y < 1.0 - SLACK {
        return Err(format!("below the floor of bedrock: {y}"));
    }
    let (low, high) = body.bounds();
    let cells = |axis: usize| (low[axis] + SLACK).floor() as i32..=(high[axis] - SLACK).floor() as i32;
    for y in cells(1) {
        for z in cells(2) {
            for x in cells(0) {
                let block = state.voxels.get(x, y, z);
                if block.is_solid() {
                    return Err(format!("inside {block:?} at {x} {y} {z}, body at {:?}", body.position));
                }
            }
        }
    }
    Ok(())
}

/// Whether the player can get away from where random play has left him: by walking and jumping in some direction, or by
/// digging himself a way, which takes its time. Copies try; the state is left as it is.
fn can_get_away(state: &State) -> bool {
    let mut free = state.clone();
    free.survival = None;
    free.step(&Action::NOOP);
    free.step(&Action { keys: if free.gui.is_some() { keys::ESC } else { 0 }, ..Action::NOOP });
    let walks = |state: &State| {
        let mut copy = state.clone();
        let start = copy.player.body.position;
        (0..60).any(|_| {
            copy.step(&Action { keys: keys::FORWARD | keys::JUMP, ..Action::NOOP });
            let at = copy.player.body.position;
            (at[0] - start[0]).abs() + (at[2] - start[2]).abs() > 0.8
        })
    };
    let facing = |yaw: f32| {
        let mut copy = free.clone();
        copy.player.yaw = yaw;
        copy.player.pitch = 0.0;
        copy
    };
    if (0..8).any(|direction| walks(&facing(direction as f32 * 45.0 - 180.0))) {
        return true;
    }
    (0..4).any(|direction| {
        let mut copy = facing(direction as f32 * 90.0 - 180.0);
        copy.step(&Action { keys: keys::BACK, ..Action::NOOP });
        // The block before the eyes, then the one before the feet; a furnace takes bare hands longest.
        for pitch in [0.0, 50.0] {
            copy.player.pitch = pitch;
            (0..400).for_each(|_| drop(copy.step(&Action { keys: keys::ATTACK, ..Action::NOOP })));
        }
        walks(&copy)
    })
}

/// What one world's lives came to.
#[derive(Default)]
struct Lives {
    ticks: u64,
    moved: f64,
    edits: u64,
    lowest: f64,
}

fn live(terrain: &str, world: u64) -> Lives {
    let task = task(terrain, world % 2 == 1);
    let mut state = State::for_test(900 + world, &task);
    let mut lives = Lives { lowest: f64::MAX, ..Lives::default() };
    for life in 0..LIVES {
        let key = mix(world, life);
        if let Some(place) =
            spawn::find(&state.voxels, key, &SpawnRule { random_yaw: true, ..SpawnRule::default() })
        {
            state.player = Player::new(place.feet, place.yaw);
        }
        let (start, edits) = (state.player.body.position, state.edits);
        for tick in 0..TICKS {
            state.step(&random_action(key, tick));
            if let Err(fault) = check(&state) {
                panic!("{terrain} {world}, life {life}, tick {tick}: {fault}");
            }
            lives.lowest = lives.lowest.min(state.player.body.position[1]);
        }
        assert!(can_get_away(&state), "{terrain} {world}, life {life}: stuck at {:?}", state.player.body);
        let end = state.player.body.position;
        lives.ticks += TICKS;
        lives.moved += (end[0] - start[0]).abs() + (end[2] - start[2]).abs();
        lives.edits += u64::from(state.edits != edits);
    }
    lives
}

#[test]
fn nobody_tunnels_falls_out_or_gets_stuck_in_a_million_random_ticks() {
    let mut ticks = 0;
    let handles: Vec<_> = (0..WORLDS)
        .flat_map(|world| ["grove", "overworld"].map(|terrain| (terrain, world)))
        .map(|(terrain, world)| std::thread::spawn(move || (terrain, live(terrain, world))))
        .collect();
    for handle in handles {
        let (terrain, lives) = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        println!(
            "{terrain}: {} ticks, {:.0} m, lowest {:.1}, blocks changed in {} of {LIVES} lives",
            lives.ticks, lives.moved, lives.lowest, lives.edits
        );
        assert!(lives.moved > 100.0 && lives.edits > LIVES / 2, "the random player hardly did anything");
        ticks += lives.ticks;
    }
    assert_eq!(ticks, 1_000_000);
}

#[test]
fn the_checks_see_what_they_are_for() {
    let mut state = State::for_test(1, &task("grove", false));
    check(&state).unwrap();
    assert!(can_get_away(&state));
    let [x, y, z] = state.player.body.position.map(|value| value.floor() as i32);
    let sound = state.clone();
    state.set([x, y, z], Block::Stone);
    assert!(check(&state).unwrap_err().contains("inside Stone"));
    state = sound.clone();
    state.player.body.velocity[1] = f64::NAN;
    assert!(check(&state).unwrap_err().contains("not finite"));
    state = sound.clone();
    state.player.body.position[1] = 0.5;
    assert!(check(&state).unwrap_err().contains("below"));
    // A cell of bedrock holds even those who dig.
    state = sound;
    for (dx, dz) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 0)] {
        for dy in -1..=2 {
            if (dx, dz) != (0, 0) || dy == -1 || dy == 2 {
                state.set([x + dx, y + dy, z + dz], Block::Bedrock);
            }
        }
    }
    assert!(!can_get_away(&state));
}
