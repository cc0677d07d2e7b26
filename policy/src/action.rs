//! The policy's joint action space: 8641 combinations of buttons times 121 camera bins, and the way from and to the
//! human-level action of the wire; the inverse dynamics model's factored one.
//!
//! As OpenAI's `CameraHierarchicalMapping`: the meta button "camera" says whether the camera head counts. Deviation:
//! none, including the quirk that the inventory action executes the sampled camera.

pub mod buttons;
mod camera;
mod inverse_dynamics;
mod joint;

pub use inverse_dynamics::{CAMERA_AXES, CAMERA_BINS, FactoredAction, KEYS};
pub use joint::{AgentAction, BUTTONS, CAMERA, EnvAction, is_null, to_agent, to_env};
