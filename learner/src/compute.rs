//! Where the learner's tensors live and in which numbers its networks multiply.

use candle_core::Device;
use vpt_policy::{Parameters, Policy, PolicyConfig, Precision, device};

use crate::config::LearnerConfig;
use crate::error::LearnerError;

/// Device and precision of all networks of a learner.
#[derive(Clone, Debug)]
pub(crate) struct Compute {
    pub(crate) device: Device,
    precision: Precision,
}

impl Compute {
    /// What `learner.device` and `learner.precision` name; says why `auto` found no GPU.
    pub(crate) fn open(config: &LearnerConfig) -> Result<Self, LearnerError> {
        let opened = device::open(&config.device)?;
        let precision = config.precision;
        let name = if opened.device.is_cuda() { "cuda" } else { "cpu" };
        match opened.fallback {
            Some(reason) => {
                tracing::info!(device = name, precision = precision.name(), %reason, "no GPU is used")
            }
            None => tracing::info!(device = name, precision = precision.name(), "device opened"),
        }
        device::check_training(&opened.device, precision)?;
        Ok(Self { device: opened.device, precision })
    }

    /// The CPU in f32, for tests.
    #[cfg(test)]
    pub(crate) fn cpu() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }

    /// The network of `config` over `parameters`, which live on the device.
    pub(crate) fn policy(
        &self,
        config: &PolicyConfig,
        parameters: &Parameters,
    ) -> Result<Policy, LearnerError> {
        Ok(Policy::new(config, parameters)?.with_precision(self.precision)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_that_does_not_train_here_is_refused() {
        let open = |device: &str, precision| {
            Compute::open(&LearnerConfig { device: device.into(), precision, ..LearnerConfig::default() })
        };
        assert!(open("cpu", Precision::F32).unwrap().device.is_cpu());
        for (device, precision, word) in [
            ("cpu", Precision::Bf16, "GPU"),
            ("cpu", Precision::Int8, "acting"),
            ("tpu", Precision::F32, "tpu"),
        ] {
            let text = open(device, precision).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
