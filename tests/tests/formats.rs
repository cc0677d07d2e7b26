//! Facts that two crates state independently, because neither may know the other.

use vpt_policy::action::{self, EnvAction, buttons};
use vpt_proto::keys;

#[test]
fn button_bits_of_the_policy_are_those_of_the_wire() {
    let pairs = [
        ("attack", buttons::ATTACK, keys::ATTACK),
        ("back", buttons::BACK, keys::BACK),
        ("forward", buttons::FORWARD, keys::FORWARD),
        ("jump", buttons::JUMP, keys::JUMP),
        ("left", buttons::LEFT, keys::LEFT),
        ("right", buttons::RIGHT, keys::RIGHT),
        ("sneak", buttons::SNEAK, keys::SNEAK),
        ("sprint", buttons::SPRINT, keys::SPRINT),
        ("use", buttons::USE, keys::USE),
        ("drop", buttons::DROP, keys::DROP),
        ("inventory", buttons::INVENTORY, keys::INVENTORY),
    ];
    for (name, policy, wire) in pairs {
        assert_eq!(policy, wire, "{name}");
        assert_eq!(keys::NAMES[wire.trailing_zeros() as usize], name);
    }
    assert_eq!(buttons::HOTBAR, keys::HOTBAR);
}

#[test]
fn whatever_the_policy_can_press_is_on_the_wire_and_survives_it() {
    for index in 0..action::BUTTONS as u32 {
        let chosen = action::AgentAction { buttons: index, camera: 60 };
        let played = action::to_env(chosen);
        assert_eq!(played.keys & !keys::ALL, 0, "buttons {index} press keys that the wire does not know");
        let again = action::to_agent(&EnvAction { keys: played.keys, pitch: played.pitch, yaw: played.yaw });
        assert_eq!(action::to_env(again).keys, played.keys, "buttons {index}");
    }
}
