//! The policy's joint action space: 8641 combinations of buttons times 121 camera bins, and the way from and to the
//! human-level action of the wire.
//!
//! As OpenAI's `CameraHierarchicalMapping`: the meta button "camera" says whether the camera head counts. Deviation:
//! none, including the quirk that the inventory action executes the sampled camera.

pub mod buttons;
mod camera;
mod joint;

pub use joint::{AgentAction, BUTTONS, CAMERA, EnvAction, is_null, to_agent, to_env};
