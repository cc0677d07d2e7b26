//! The action mapping against OpenAI's reference: 300 actions either way, the mu-law table and both whole look-up
//! tables (by hash).

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use serde_json::Value;
use vpt_policy::action::{self, AgentAction, EnvAction, buttons};

/// The policy's buttons in the reference's order.
const NAMES: [&str; 20] = [
    "attack",
    "back",
    "forward",
    "jump",
    "left",
    "right",
    "sneak",
    "sprint",
    "use",
    "drop",
    "inventory",
    "hotbar.1",
    "hotbar.2",
    "hotbar.3",
    "hotbar.4",
    "hotbar.5",
    "hotbar.6",
    "hotbar.7",
    "hotbar.8",
    "hotbar.9",
];

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/actions.json")).unwrap()
}

fn key(name: &str) -> u32 {
    match NAMES.iter().position(|known| *known == name) {
        Some(bit) => 1 << bit,
        // Keys of the game that the policy never presses.
        None => 1 << (20 + ["ESC", "pickItem", "swapHands"].iter().position(|n| *n == name).unwrap()),
    }
}

fn env_action(value: &Value) -> EnvAction {
    let keys = value[0].as_array().unwrap().iter().map(|name| key(name.as_str().unwrap())).sum();
    let degrees = |i: usize| value[i].as_f64().unwrap() as f32;
    EnvAction { keys, pitch: degrees(1), yaw: degrees(2) }
}

fn index(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn assert_same(actual: EnvAction, expected: EnvAction, what: &Value) {
    assert_eq!(actual.keys, expected.keys, "{what}");
    let apart = (actual.pitch - expected.pitch).abs().max((actual.yaw - expected.yaw).abs());
    assert!(apart < 1e-6, "{what}: {actual:?}");
}

#[test]
fn game_actions_become_the_references_joint_actions_and_back() {
    let cases = fixture();
    let cases = cases["env_to_agent_and_back"].as_array().unwrap();
    assert_eq!(cases.len(), 150);
    for case in cases {
        let agent = action::to_agent(&env_action(&case[0]));
        assert_eq!(agent, AgentAction { buttons: index(&case[1]), camera: index(&case[2]) }, "{case}");
        assert_same(action::to_env(agent), env_action(&case[3]), case);
    }
}

#[test]
fn joint_actions_become_the_references_game_actions() {
    let cases = fixture();
    let cases = cases["agent_to_env"].as_array().unwrap();
    assert_eq!(cases.len(), 150);
    for case in cases {
        let agent = AgentAction { buttons: index(&case[0]), camera: index(&case[1]) };
        assert_same(action::to_env(agent), env_action(&case[2]), case);
    }
}

#[test]
fn camera_bins_are_the_references() {
    let tables = fixture();
    for case in tables["discretize"].as_array().unwrap() {
        let degrees = case[0].as_f64().unwrap() as f32;
        let agent = action::to_agent(&EnvAction { keys: 0, pitch: degrees, yaw: 0.0 });
        assert_eq!(agent.camera / 11, index(&case[1]), "{degrees}");
        let agent = action::to_agent(&EnvAction { keys: 0, pitch: 0.0, yaw: degrees });
        assert_eq!(agent.camera % 11, index(&case[1]), "{degrees}");
    }
    for (bin, degrees) in tables["undiscretize"].as_array().unwrap().iter().enumerate() {
        let env = action::to_env(AgentAction { buttons: 1, camera: bin as u32 * 11 + 5 });
        assert!((f64::from(env.pitch) - degrees.as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn the_whole_button_table_is_the_references() {
    let fnv = |bytes: &mut dyn Iterator<Item = u8>| {
        let hash = bytes.fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        format!("{hash:016x}")
    };
    let all =
        || (0..action::BUTTONS as u32).map(|buttons| action::to_env(AgentAction { buttons, camera: 120 }));
    let tables = fixture();
    let factored = fnv(&mut all().flat_map(|env| (0..20).map(move |bit| (env.keys >> bit & 1) as u8)));
    assert_eq!(factored, tables["button_table_fnv1a64"].as_str().unwrap());
    let camera_off = fnv(&mut all().map(|env| u8::from(env.pitch == 0.0)));
    assert_eq!(camera_off, tables["camera_off_fnv1a64"].as_str().unwrap());
    assert_eq!(buttons::HOTBAR[8], key("hotbar.9"));
}
