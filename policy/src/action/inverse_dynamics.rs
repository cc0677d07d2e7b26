//! The action space of the inverse dynamics model: every key by itself and one bin per camera axis, as opposed to the
//! policy's joint indices. Nothing excludes anything: forward and back may both be held.
//!
//! OpenAI's `IDMActionMapping`: the identity on keys, mu-law bins for the camera.

use super::EnvAction;
use super::camera::{self, BINS, NULL_BIN};
use crate::distribution;
use crate::error::{PolicyError, Result};

/// Keys the model judges: bits 0 to 19 of [`buttons`](super::buttons).
pub const KEYS: usize = 20;
/// Bins of each camera axis.
pub const CAMERA_BINS: usize = BINS as usize;
/// Pitch, then yaw.
pub const CAMERA_AXES: usize = 2;

/// Which keys are held and which bin each camera axis falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FactoredAction {
    /// Bits of [`buttons`](super::buttons), below `1 << KEYS`.
    pub keys: u32,
    /// Bins of pitch and yaw, each below [`CAMERA_BINS`].
    pub camera: [u32; CAMERA_AXES],
}

impl FactoredAction {
    /// The most probable action of one step: logits of the keys `[20, 2]` (up, held) and of the camera `[2, 11]`, row by
    /// row. Of equals the first counts.
    ///
    /// # Errors
    /// Slices of another length, or a logit that is not a number.
    pub fn from_logits(keys: &[f32], camera: &[f32]) -> Result<Self> {
        if keys.len() != 2 * KEYS || camera.len() != CAMERA_AXES * CAMERA_BINS {
            let lengths = format!("{} and {}", keys.len(), camera.len());
            return Err(PolicyError::input("logits of a step", "40 and 22", lengths));
        }
        let mut action = Self { keys: 0, camera: [NULL_BIN; CAMERA_AXES] };
        for (bit, logits) in keys.chunks_exact(2).enumerate() {
            action.keys |= distribution::greedy(logits)?.index << bit;
        }
        for (bin, logits) in action.camera.iter_mut().zip(camera.chunks_exact(CAMERA_BINS)) {
            *bin = distribution::greedy(logits)?.index;
        }
        Ok(action)
    }

    /// The factored form of a human-level action: what the model is trained to say. Keys it does not know are dropped.
    #[must_use]
    pub fn from_env(action: &EnvAction) -> Self {
        let camera = [action.pitch, action.yaw].map(camera::quantise);
        Self { keys: action.keys & ((1 << KEYS) - 1), camera }
    }

    /// The human-level action; the camera moves by what its bins stand for.
    ///
    /// # Panics
    /// When a bin is not below [`CAMERA_BINS`].
    #[must_use]
    pub fn to_env(self) -> EnvAction {
        assert!(self.camera.iter().all(|&bin| bin < BINS), "{self:?} is outside the factored action space");
        let [pitch, yaw] = self.camera.map(camera::dequantise);
        EnvAction { keys: self.keys, pitch, yaw }
    }

    /// Whether the action does nothing: no key, and the camera at rest. Cloning drops such steps.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.keys == 0 && self.camera == [NULL_BIN; CAMERA_AXES]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::buttons::{BACK, FORWARD, HOTBAR};
    use super::*;

    /// Numbers of a nested array, flattened.
    fn numbers(value: &Value) -> Vec<f64> {
        match value {
            Value::Array(values) => values.iter().flat_map(numbers).collect(),
            number => vec![number.as_f64().unwrap()],
        }
    }

    #[test]
    fn the_references_actions_become_its_game_actions() {
        let cases: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/inverse_dynamics_actions.json")).unwrap();
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 20);
        for case in cases {
            let (keys, bins, degrees) =
                (numbers(&case["buttons"]), numbers(&case["camera"]), numbers(&case["env_camera"]));
            let steps = keys.chunks(KEYS).zip(bins.chunks(2)).zip(degrees.chunks(2));
            for ((keys, bins), degrees) in steps {
                let keys = keys.iter().rev().fold(0, |bits, &held| bits << 1 | held as u32);
                let action = FactoredAction { keys, camera: [bins[0] as u32, bins[1] as u32] };
                let env = action.to_env();
                assert_eq!(env.keys, keys);
                assert!((f64::from(env.pitch) - degrees[0]).abs() < 1e-6, "{action:?}");
                assert!((f64::from(env.yaw) - degrees[1]).abs() < 1e-6, "{action:?}");
                assert_eq!(FactoredAction::from_env(&env), action);
            }
        }
    }

    #[test]
    fn opposite_keys_stay_and_unknown_ones_go() {
        let env = EnvAction { keys: FORWARD | BACK | HOTBAR[8] | 1 << 20, pitch: 0.1, yaw: f32::NAN };
        let action = FactoredAction::from_env(&env);
        assert_eq!(action, FactoredAction { keys: FORWARD | BACK | HOTBAR[8], camera: [NULL_BIN; 2] });
        assert!(!action.is_null() && FactoredAction { keys: 0, ..action }.is_null());
        assert!(!FactoredAction { keys: 0, camera: [5, 6] }.is_null());
    }

    #[test]
    fn the_largest_logit_wins_each_for_itself() {
        let mut keys = [0.0f32; 2 * KEYS];
        let mut camera = [0.0f32; 22];
        keys[2 * 2 + 1] = 1.0;
        keys[2 * 19 + 1] = 0.5;
        keys[2 * 3] = 0.1;
        camera[3] = 2.0;
        camera[11 + 10] = 0.25;
        let action = FactoredAction::from_logits(&keys, &camera).unwrap();
        assert_eq!(action, FactoredAction { keys: FORWARD | HOTBAR[8], camera: [3, 10] });
        assert!(FactoredAction::from_logits(&keys[1..], &camera).is_err());
        camera[0] = f32::NAN;
        assert!(FactoredAction::from_logits(&keys, &camera).is_err());
    }

    #[test]
    #[should_panic(expected = "outside the factored action space")]
    fn a_bin_outside_the_space_is_refused() {
        let _ = FactoredAction { keys: 0, camera: [11, 0] }.to_env();
    }
}
