//! Who plays recorded and evaluated episodes.

use crate::acting_policy::ActingPolicy;
use crate::error::ActorError;
use crate::version::Version;
use std::sync::Arc;
use vpt_policy::{Parameters, PolicyConfig, Precision};

/// A player.
// One value an evaluation: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Player {
    /// The envserver's scripted player, by its advice.
    Scripted,
    /// A network; its actions are sampled.
    Policy {
        /// The architecture.
        config: PolicyConfig,
        /// The weights, frozen.
        parameters: Parameters,
        /// In which numbers it multiplies.
        precision: Precision,
        /// Divides the logits once more before sampling.
        temperature: f32,
    },
}

impl Player {
    /// "scripted" or "policy", as datasets name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Policy { .. } => "policy",
        }
    }

    /// The network ready to act on frames of `frame` (height, width); none for the scripted player.
    pub(crate) fn ready(&self, frame: (usize, usize)) -> Result<Option<Arc<ActingPolicy>>, ActorError> {
        let Self::Policy { config, parameters, precision, temperature } = self else {
            return Ok(None);
        };
        if frame != (config.image_size, config.image_size) {
            let reason = format!("{frame:?}: the policy takes {0}x{0} pixels", config.image_size);
            return Err(ActorError::Config { key: "frame", reason });
        }
        if !temperature.is_finite() || *temperature <= 0.0 {
            let reason = format!("{temperature} is not a positive number");
            return Err(ActorError::Config { key: "temperature", reason });
        }
        let acting = (*precision, *temperature);
        Ok(Some(Arc::new(ActingPolicy::new(config, parameters, acting, Version::default())?)))
    }
}
