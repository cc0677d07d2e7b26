//! Golden frames: what fixed tasks, seeds and key presses look like, by hash, on every ray caster.
//!
//! A change of what is drawn, or of the rules that lead to it, shows here before it shows in trained players. When it
//! is meant, `cargo test -p vpt-envserver --lib golden` prints the table anew, to be put in place of [`GOLDEN`].

use vpt_proto::keys;

use super::env::State;
use super::frame::Frames;
use super::render::Path;
use crate::task::Task;
use crate::world::Action;

/// Keys held and the mouse moved, each tick alike, for a number of ticks.
type Phase = (u32, u32, f32, f32);

/// A short play; its frame is taken after every phase.
struct Play {
    name: &'static str,
    task: &'static str,
    seed: u64,
    /// Width and height.
    size: (usize, usize),
    phases: &'static [Phase],
}

const PLAYS: [Play; 5] = [
    Play {
        name: "grove",
        task: "name = 'golden'\nworld = 'native'\nterrain = 'grove'\nepisode_steps = 9999\nsurvival = false",
        seed: 11,
        size: (128, 128),
        phases: &[
            (1, 0, 0.0, 0.0),
            (30, keys::FORWARD | keys::JUMP, 0.0, 3.0),
            (20, keys::ATTACK, 3.0, 0.0),
            (40, keys::FORWARD | keys::SPRINT | keys::JUMP, -1.0, -2.0),
        ],
    },
    Play {
        name: "workshop",
        task: "name = 'golden'\nworld = 'native'\nterrain = 'grove'\nepisode_steps = 9999\nsurvival = false\n\
               inventory = [{item = 'crafting_table'}, {item = 'furnace'}, {item = 'stone_pickaxe'}, \
               {item = 'log', count = 7}]",
        seed: 12,
        size: (640, 360),
        phases: &[
            (10, 0, 5.0, 0.0),
            (1, keys::USE, 0.0, 0.0),
            (5, keys::HOTBAR[2], 0.0, 0.0),
            (1, keys::USE, 0.0, 0.0),
            (4, 0, 2.5, -0.675),
            (1, keys::ATTACK, 0.0, 0.0),
            (1, keys::ESC, 0.0, 0.0),
            (1, keys::INVENTORY, 0.0, 0.0),
        ],
    },
    Play {
        name: "overworld",
        task: "name = 'golden'\nworld = 'native'\nterrain = 'overworld'\nepisode_steps = 9999\nsurvival = true\n\
               respawn = false\ninventory = [{item = 'iron_pickaxe'}, {item = 'torch', count = 9}]",
        seed: 13,
        size: (160, 90),
        phases: &[
            (1, 0, 0.0, 0.0),
            (40, keys::FORWARD | keys::JUMP, 0.0, 2.0),
            (20, 0, 4.0, 0.0),
            (150, keys::ATTACK, 0.0, 0.0),
            (2, keys::HOTBAR[1], -2.0, 10.0),
            (20, keys::USE, 0.0, 5.0),
            (40, keys::BACK, -2.0, 1.0),
        ],
    },
    Play {
        name: "evening",
        task: "name = 'golden'\nworld = 'native'\nterrain = 'overworld'\nepisode_steps = 99999\nsurvival = false\n\
               inventory = [{item = 'torch', count = 9}]",
        seed: 14,
        size: (128, 128),
        phases: &[
            (6000, 0, 0.0, 0.0),
            (6500, 0, 0.0, 0.0),
            (20, keys::FORWARD, 2.0, 3.0),
            (1, keys::USE, 0.0, 0.0),
            (4500, keys::BACK, 0.0, 0.0),
        ],
    },
    Play {
        name: "odd size",
        task: "name = 'golden'\nworld = 'native'\nterrain = 'overworld'\nepisode_steps = 9999\nsurvival = false",
        seed: 15,
        size: (37, 23),
        phases: &[(1, 0, 0.0, 0.0), (20, keys::FORWARD, -2.0, 7.0), (20, keys::FORWARD, 4.0, 7.0)],
    },
];

/// Play, phase, and the first half of the BLAKE3 hash of the frame after it.
const GOLDEN: &[(&str, usize, &str)] = &[
    ("grove", 0, "b029deaab966e337"),
    ("grove", 1, "ba960998b94703b5"),
    ("grove", 2, "cfb1e34568f3b2ce"),
    ("grove", 3, "505efdc4cc45f1ac"),
    ("workshop", 0, "63603d0f1943bea6"),
    ("workshop", 1, "e497cb50c44c9521"),
    ("workshop", 2, "3af0e5dc48d6b7ef"),
    ("workshop", 3, "dfca791a92ea5322"),
    ("workshop", 4, "b66f68ec1f6eba44"),
    ("workshop", 5, "c5bb9e0561f23bb6"),
    ("workshop", 6, "c4db535597f8f807"),
    ("workshop", 7, "aaaca609c50df96f"),
    ("overworld", 0, "65b2ac8d765620ae"),
    ("overworld", 1, "ab7908bbf3881363"),
    ("overworld", 2, "1a000bb5cb005160"),
    ("overworld", 3, "32b35e78ddc12f6b"),
    ("overworld", 4, "0653485c5c62d27a"),
    ("overworld", 5, "8e3fec9438f86ddf"),
    ("overworld", 6, "962bf1b1331bddf3"),
    ("evening", 0, "e852ed2eb9de5dde"),
    ("evening", 1, "875daab67369cdb5"),
    ("evening", 2, "8f6d4b3b410e7949"),
    ("evening", 3, "0dc9477995651cb6"),
    ("evening", 4, "758d7c04d3df0fc7"),
    ("odd size", 0, "2d8773e98036c82d"),
    ("odd size", 1, "3b04815f38aeffaf"),
    ("odd size", 2, "2cfe0ebb7e83f5ae"),
];

fn hashes(path: Path) -> Vec<(&'static str, usize, String)> {
    let mut table = Vec::new();
    for play in &PLAYS {
        let mut state = State::for_test(play.seed, &Task::parse(play.task).unwrap());
        let (mut frames, mut frame) = (Frames::drawn_by(path), Vec::new());
        for (number, (ticks, keys, pitch_delta, yaw_delta)) in play.phases.iter().enumerate() {
            let action = Action { keys: *keys, pitch_delta: *pitch_delta, yaw_delta: *yaw_delta };
            (0..*ticks).for_each(|_| drop(state.step_for_test(&action)));
            frames.render(&state, play.size.1, play.size.0, &mut frame);
            table.push((play.name, number, blake3::hash(&frame).to_hex()[..16].to_owned()));
        }
    }
    table
}

#[test]
fn fixed_plays_look_as_they_always_have_on_every_ray_caster() {
    let plain = hashes(Path::Scalar);
    for path in Path::available() {
        assert_eq!(hashes(path), plain, "{path:?} differs from the plain ray caster");
    }
    let same =
        plain.iter().map(|(play, phase, hash)| (*play, *phase, hash.as_str())).eq(GOLDEN.iter().copied());
    let lines: Vec<String> =
        plain.iter().map(|(play, phase, hash)| format!("    ({play:?}, {phase}, {hash:?}),")).collect();
    assert!(same, "frames have changed; the table now:\n{}", lines.join("\n"));
    let mut distinct: Vec<&str> = GOLDEN.iter().map(|(_, _, hash)| *hash).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), GOLDEN.len(), "every phase shows something else");
}
