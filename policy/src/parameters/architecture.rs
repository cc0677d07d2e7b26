//! Which of the networks a set of weights is for.

use super::layout;
use crate::config::PolicyConfig;
use crate::error::Result;
use crate::inverse_dynamics_config::InverseDynamicsConfig;

/// An architecture that weights can be for; made from a reference to its configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// Acts.
    Policy(PolicyConfig),
    /// Says what was pressed between the frames of a video.
    InverseDynamics(InverseDynamicsConfig),
}

impl Architecture {
    /// Names the architecture: hex of a hash over the sorted parameter names and shapes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        layout::fingerprint(self)
    }

    /// Refuses what no network can be built from.
    ///
    /// # Errors
    /// The first key at fault and what would do.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Policy(config) => config.validate(),
            Self::InverseDynamics(config) => config.validate(),
        }
    }
}

impl From<&PolicyConfig> for Architecture {
    fn from(config: &PolicyConfig) -> Self {
        Self::Policy(config.clone())
    }
}

impl From<&InverseDynamicsConfig> for Architecture {
    fn from(config: &InverseDynamicsConfig) -> Self {
        Self::InverseDynamics(config.clone())
    }
}

impl From<&Self> for Architecture {
    fn from(architecture: &Self) -> Self {
        architecture.clone()
    }
}
