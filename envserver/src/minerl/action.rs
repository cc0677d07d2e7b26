//! An action as the game reads it: a line each for keys and mouse, in the order of MineRL's environment.

use std::fmt::Write;

use vpt_proto::keys;

use crate::world::Action;

/// What the game cuts off in front: exactly so many bytes.
const BEGIN: &str = "<StepClient0>";
/// And behind, the odd space included.
const END: &str = "</StepClient0 >";

/// The game's name of each key and mouse button, in order.
const KEYS: [(&str, u32); 23] = [
    ("forward", keys::FORWARD),
    ("left", keys::LEFT),
    ("back", keys::BACK),
    ("right", keys::RIGHT),
    ("jump", keys::JUMP),
    ("inventory", keys::INVENTORY),
    ("drop", keys::DROP),
    ("sneak", keys::SNEAK),
    ("sprint", keys::SPRINT),
    ("attack", keys::ATTACK),
    ("use", keys::USE),
    ("pickItem", keys::PICK_ITEM),
    ("hotbar.1", keys::HOTBAR[0]),
    ("hotbar.2", keys::HOTBAR[1]),
    ("hotbar.3", keys::HOTBAR[2]),
    ("hotbar.4", keys::HOTBAR[3]),
    ("hotbar.5", keys::HOTBAR[4]),
    ("hotbar.6", keys::HOTBAR[5]),
    ("hotbar.7", keys::HOTBAR[6]),
    ("hotbar.8", keys::HOTBAR[7]),
    ("hotbar.9", keys::HOTBAR[8]),
    ("ESC", keys::ESC),
    ("swapHands", keys::SWAP_HANDS),
];

/// The message that plays one tick.
pub(super) fn step(action: &Action) -> String {
    let mut text = String::with_capacity(320);
    text.push_str(BEGIN);
    for (name, bit) in KEYS {
        // Whole numbers: the game reads nothing else.
        let held = u8::from(action.holds(bit));
        // A string takes everything.
        let _ = writeln!(text, "{name} {held}");
    }
    let _ = write!(text, "camera {:?} {:?}{END}", action.pitch_delta, action.yaw_delta);
    text
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn a_step_is_written_as_it_is_described() {
        let keys = keys::FORWARD | keys::SPRINT | keys::ATTACK | keys::HOTBAR[2];
        let text = step(&Action { keys, pitch_delta: -10.0, yaw_delta: 0.25 });
        assert_eq!(text.as_bytes(), &golden::STEP[1..].concat());
    }

    #[test]
    fn every_key_is_written_once_by_its_name() {
        assert_eq!(KEYS.iter().fold(0, |all, (_, bit)| all | bit), keys::ALL);
        for (name, bit) in KEYS {
            assert_eq!(keys::NAMES[bit.trailing_zeros() as usize], name);
            let text = step(&Action { keys: bit, ..Action::NOOP });
            let held: Vec<_> = text.lines().filter(|line| line.ends_with(" 1")).collect();
            let line = format!("{name} 1");
            assert!(held.len() == 1 && held[0].ends_with(&line), "{held:?}");
        }
        assert!(step(&Action::NOOP).ends_with("camera 0.0 0.0</StepClient0 >"));
    }
}
