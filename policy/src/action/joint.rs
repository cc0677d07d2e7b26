//! The joint indices: eight button groups and the camera's meta button as one number, two camera bins as another.

use super::buttons::{GROUPS, INVENTORY};
use super::camera::{self, NULL_BIN};

/// Classes of the buttons head; the last is the inventory key alone.
pub const BUTTONS: usize = 8641;
/// Classes of the camera head: pitch bin times 11 plus yaw bin.
pub const CAMERA: usize = 121;

const INVENTORY_INDEX: u32 = BUTTONS as u32 - 1;
const NULL_CAMERA: u32 = NULL_BIN * camera::BINS + NULL_BIN;

/// What the game takes: held keys and a mouse movement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EnvAction {
    /// Bits of [`buttons`](super::buttons) (the wire's key set).
    pub keys: u32,
    /// Degrees, positive down.
    pub pitch: f32,
    /// Degrees, positive right.
    pub yaw: f32,
}

/// What the policy's heads choose between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AgentAction {
    /// Class of the buttons head, below [`BUTTONS`].
    pub buttons: u32,
    /// Class of the camera head, below [`CAMERA`].
    pub camera: u32,
}

impl AgentAction {
    /// Whether both indices are inside their spaces; check what comes from outside before [`to_env`].
    #[must_use]
    pub fn is_valid(self) -> bool {
        (self.buttons as usize) < BUTTONS && (self.camera as usize) < CAMERA
    }
}

/// The joint action nearest to a human-level one. Keys the policy does not know are dropped, opposite directions
/// cancel, of several hotbar keys the highest counts, sneak wins over sprint, inventory excludes everything else.
#[must_use]
pub fn to_agent(action: &EnvAction) -> AgentAction {
    if action.keys & INVENTORY != 0 {
        return AgentAction { buttons: INVENTORY_INDEX, camera: NULL_CAMERA };
    }
    let (pitch, yaw) = (camera::quantise(action.pitch), camera::quantise(action.yaw));
    let moves = u32::from((pitch, yaw) != (NULL_BIN, NULL_BIN));
    let groups = GROUPS.iter().fold(0, |index, group| index * group.size() + group.encode(action.keys));
    AgentAction { buttons: groups * 2 + moves, camera: pitch * camera::BINS + yaw }
}

/// The human-level action of a joint one. The camera moves when the meta button says so, and with the inventory key.
///
/// # Panics
/// When the action is not [valid](AgentAction::is_valid).
#[must_use]
pub fn to_env(action: AgentAction) -> EnvAction {
    assert!(action.is_valid(), "{action:?} is outside the joint action space");
    let camera_on = action.buttons == INVENTORY_INDEX || action.buttons % 2 == 1;
    let (pitch, yaw) = if camera_on {
        (camera::dequantise(action.camera / camera::BINS), camera::dequantise(action.camera % camera::BINS))
    } else {
        (0.0, 0.0)
    };
    EnvAction { keys: keys_of(action.buttons), pitch, yaw }
}

fn keys_of(buttons: u32) -> u32 {
    if buttons == INVENTORY_INDEX {
        return INVENTORY;
    }
    let mut rest = buttons / 2;
    let mut keys = 0;
    for group in GROUPS.iter().rev() {
        keys |= group.decode(rest % group.size());
        rest /= group.size();
    }
    keys
}

/// Whether the action does nothing in the game: no key, and the camera off or at rest. Cloning drops such steps.
#[must_use]
pub fn is_null(action: AgentAction) -> bool {
    action.buttons == 0 || (action.buttons == 1 && action.camera == NULL_CAMERA)
}

#[cfg(test)]
mod tests {
    use super::super::buttons::{ATTACK, BACK, FORWARD, HOTBAR, JUMP, SNEAK, SPRINT};
    use super::*;

    #[test]
    fn every_joint_button_index_round_trips() {
        for buttons in 0..BUTTONS as u32 {
            for camera in [0, NULL_CAMERA, 61, 120] {
                let env = to_env(AgentAction { buttons, camera });
                let back = to_agent(&env);
                assert_eq!(keys_of(back.buttons), env.keys);
                assert_eq!(is_null(AgentAction { buttons, camera }), env == EnvAction::default());
                if buttons % 2 == 1 && camera != NULL_CAMERA {
                    assert_eq!(back, AgentAction { buttons, camera });
                }
            }
        }
    }

    #[test]
    fn conflicts_resolve_as_the_reference_does() {
        let keys = |keys| keys_of(to_agent(&EnvAction { keys, ..EnvAction::default() }).buttons);
        assert_eq!(keys(FORWARD | BACK | JUMP), JUMP);
        assert_eq!(keys(HOTBAR[1] | HOTBAR[6]), HOTBAR[6]);
        assert_eq!(keys(SNEAK | SPRINT), SNEAK);
        assert_eq!(keys(INVENTORY | ATTACK), INVENTORY);
        assert_eq!(keys(1 << 20 | 1 << 21 | 1 << 22), 0);
    }

    #[test]
    fn inventory_excludes_the_camera_going_in_but_not_coming_out() {
        let agent = to_agent(&EnvAction { keys: INVENTORY, pitch: 5.0, yaw: 5.0 });
        assert_eq!(agent, AgentAction { buttons: 8640, camera: 60 });
        assert!(to_env(AgentAction { buttons: 8640, camera: 120 }).pitch > 9.9);
    }

    #[test]
    #[should_panic(expected = "outside the joint action space")]
    fn an_index_outside_the_space_is_refused() {
        let action = AgentAction { buttons: 8641, camera: 0 };
        assert!(!action.is_valid());
        let _ = to_env(action);
    }
}
