//! What can go wrong in this crate.

/// Everything the policy crate reports.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A value of [`PolicyConfig`](crate::PolicyConfig) that no network can be built from.
    #[error("policy.{key}: {reason}")]
    Config {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it and what would do.
        reason: String,
    },
    /// A value of [`InverseDynamicsConfig`](crate::InverseDynamicsConfig) that no network can be built from.
    #[error("inverse_dynamics.{key}: {reason}")]
    InverseDynamicsConfig {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it and what would do.
        reason: String,
    },
    /// Weights that do not fit the architecture; every problem is listed.
    #[error("the weights do not fit the architecture: {}", problems.join("; "))]
    Weights {
        /// One line per missing, extra, mis-shaped or mis-typed tensor.
        problems: Vec<String>,
    },
    /// Bytes that are not a safetensors file.
    #[error("not a readable safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A parameter was asked for by a name that the architecture does not have.
    #[error("no parameter is called {name}")]
    UnknownParameter {
        /// The name asked for.
        name: String,
    },
    /// A tensor or slice of the wrong shape or element type.
    #[error("{what}: expected {expected}, got {actual}")]
    Input {
        /// Which argument.
        what: &'static str,
        /// The shape or type it must have.
        expected: String,
        /// What it had.
        actual: String,
    },
    /// A logit, temperature or parameter that is not a number where one is needed.
    #[error("{what} is not finite")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
    },
    /// A device that this build or this machine does not have.
    #[error("device {name:?}: {reason}")]
    Device {
        /// The name in the configuration.
        name: String,
        /// Why it cannot be used and what can.
        reason: String,
    },
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl PolicyError {
    pub(crate) fn input(what: &'static str, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self::Input { what, expected: expected.into(), actual: actual.into() }
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = PolicyError> = std::result::Result<T, E>;
