//! The architecture of the inverse dynamics network, in OpenAI's terms (the kwargs of `4x_idm.model`), and its published
//! size.

use serde::{Deserialize, Serialize};

use crate::error::{PolicyError, Result};
use crate::parameters::layout;

/// Frames that the first convolution looks at: two before, the one itself, two after.
pub(crate) const CONV3D_TAPS: usize = 5;

/// The shape of an inverse dynamics network. Two equal configurations have equal parameter names and shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InverseDynamicsConfig {
    /// Side of the square input frame in pixels (128 as published).
    pub image_size: usize,
    /// Channels made from five neighbouring frames, which the convolutional stacks take.
    pub conv3d_channels: usize,
    /// Multiplier of `impala_chans`.
    pub impala_width: usize,
    /// Channels of the three convolutional stacks before the multiplier.
    pub impala_chans: Vec<usize>,
    /// Width of the residual stream.
    pub hidsize: usize,
    /// Attention heads; divides `hidsize`.
    pub attention_heads: usize,
    /// As `timesteps`: nothing is remembered between calls.
    pub attention_memory_size: usize,
    /// The clip length the network was trained on, and the window that long videos are cut into.
    pub timesteps: usize,
    /// Transformer blocks.
    pub n_recurrence_layers: usize,
    /// Width of the feed-forward layer in multiples of `hidsize`.
    pub pointwise_ratio: usize,
    /// Divides both heads' logits.
    pub temperature: f32,
}

impl Default for InverseDynamicsConfig {
    fn default() -> Self {
        Self::four_x()
    }
}

impl InverseDynamicsConfig {
    /// The published half-billion-parameter network.
    #[must_use]
    pub fn four_x() -> Self {
        Self {
            image_size: 128,
            conv3d_channels: 128,
            impala_width: 16,
            impala_chans: vec![16, 32, 32],
            hidsize: 4096,
            attention_heads: 32,
            attention_memory_size: 128,
            timesteps: 128,
            n_recurrence_layers: 2,
            pointwise_ratio: 4,
            temperature: 4.0,
        }
    }

    /// Output channels of the three convolutional stacks.
    ///
    /// # Panics
    /// When `impala_chans` does not have three entries, which [`validate`](Self::validate) refuses.
    #[must_use]
    pub fn conv_channels(&self) -> [usize; 3] {
        let chans: [usize; 3] =
            self.impala_chans.as_slice().try_into().expect("validate() requires three impala_chans");
        chans.map(|c| c * self.impala_width)
    }

    /// Side of the feature map after three poolings (3x3, stride 2, padding 1), each of which rounds up.
    pub(crate) fn pooled_size(&self) -> usize {
        self.image_size.div_ceil(8)
    }

    /// Width of one attention head.
    pub(crate) fn head_size(&self) -> usize {
        self.hidsize / self.attention_heads
    }

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
        let fail = |key, reason: String| Err(PolicyError::InverseDynamicsConfig { key, reason });
        if self.impala_chans.len() != 3 {
            return fail("impala_chans", format!("needs three channel counts, got {:?}", self.impala_chans));
        }
        let chans = self.impala_chans.iter().map(|&chans| ("impala_chans", chans, 1..=1024));
        let others = [
            ("image_size", self.image_size, 8..=1024),
            ("conv3d_channels", self.conv3d_channels, 1..=1024),
            ("impala_width", self.impala_width, 1..=64),
            ("hidsize", self.hidsize, 1..=16_384),
            ("attention_heads", self.attention_heads, 1..=256),
            ("timesteps", self.timesteps, 1..=4096),
            ("n_recurrence_layers", self.n_recurrence_layers, 1..=64),
            ("pointwise_ratio", self.pointwise_ratio, 1..=16),
        ];
        for (key, value, range) in others.into_iter().chain(chans) {
            if !range.contains(&value) {
                return fail(key, format!("{value} is outside {range:?}"));
            }
        }
        if !self.hidsize.is_multiple_of(self.attention_heads) {
            let reason = format!("{} does not divide hidsize {}", self.attention_heads, self.hidsize);
            return fail("attention_heads", reason);
        }
        if self.attention_memory_size != self.timesteps {
            // More would be memory between calls, which a network that sees the future has no use for.
            let reason = format!("{} must equal timesteps ({})", self.attention_memory_size, self.timesteps);
            return fail("attention_memory_size", reason);
        }
        if !self.temperature.is_finite() || self.temperature <= 0.0 {
            return fail("temperature", format!("{} is not a positive number", self.temperature));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_is_valid_and_has_its_size() {
        let config = InverseDynamicsConfig::four_x();
        config.validate().unwrap();
        assert_eq!(config.conv_channels(), [256, 512, 512]);
        assert_eq!(config.head_size(), 128);
        assert_eq!(layout::count(&config), 482_330_046);
    }

    #[test]
    fn fingerprint_follows_the_architecture_only() {
        let config = InverseDynamicsConfig::four_x();
        let colder = InverseDynamicsConfig { temperature: 1.0, ..config.clone() };
        assert_eq!(config.fingerprint(), colder.fingerprint());
        for other in [
            InverseDynamicsConfig { image_size: 64, ..config.clone() },
            InverseDynamicsConfig { conv3d_channels: 64, ..config.clone() },
            InverseDynamicsConfig { attention_heads: 16, ..config.clone() },
            InverseDynamicsConfig { n_recurrence_layers: 1, ..config.clone() },
        ] {
            assert_ne!(config.fingerprint(), other.fingerprint(), "{other:?}");
        }
        assert_ne!(config.fingerprint(), crate::PolicyConfig::one_x().fingerprint());
    }

    #[test]
    fn each_bad_value_names_its_key() {
        let good = InverseDynamicsConfig::four_x();
        for (key, config) in [
            ("image_size", InverseDynamicsConfig { image_size: 0, ..good.clone() }),
            ("conv3d_channels", InverseDynamicsConfig { conv3d_channels: 0, ..good.clone() }),
            ("impala_chans", InverseDynamicsConfig { impala_chans: vec![16, 16], ..good.clone() }),
            ("impala_chans", InverseDynamicsConfig { impala_chans: vec![16, 0, 16], ..good.clone() }),
            ("attention_heads", InverseDynamicsConfig { attention_heads: 3, ..good.clone() }),
            ("attention_heads", InverseDynamicsConfig { attention_heads: 0, ..good.clone() }),
            ("attention_memory_size", InverseDynamicsConfig { attention_memory_size: 256, ..good.clone() }),
            ("temperature", InverseDynamicsConfig { temperature: f32::NAN, ..good }),
        ] {
            let text = config.validate().unwrap_err().to_string();
            assert!(text.contains(&format!("inverse_dynamics.{key}")), "{key}: {text}");
        }
    }
}
