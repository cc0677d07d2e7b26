//! The architecture of a policy network, in OpenAI's terms (their `.model` kwargs), and its published sizes.

use serde::{Deserialize, Serialize};

use crate::error::{PolicyError, Result};
use crate::parameters::layout;

/// Width of the convolutional trunk's output before `img_process.linear`; fixed in every published network.
pub(crate) const CNN_OUT_SIZE: usize = 256;
/// Residual blocks per convolutional stack; fixed in every published network.
pub(crate) const BLOCKS_PER_STACK: usize = 2;
/// Basis functions of the relative attention bias (`b_nd` rows).
pub(crate) const RELATIVE_BASES: usize = 10;

/// Which network it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// OpenAI's: an IMPALA CNN and transformer blocks.
    #[default]
    Transformer,
    /// The heads alone on averages over a few squares of the frame, without memory: next to no work, for measuring what
    /// surrounds a network. `hidsize` is 3 times the number of squares; of the other keys only `image_size` and
    /// `temperature` count.
    Linear,
}

/// The shape of a policy network. Two equal configurations have equal parameter names and shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// "transformer" (the published networks) or "linear" (for benches).
    pub kind: NetworkKind,
    /// Side of the square input frame in pixels (64 for tiny, 128 as published).
    pub image_size: usize,
    /// Multiplier of `impala_chans`.
    pub impala_width: usize,
    /// Channels of the three convolutional stacks before the multiplier.
    pub impala_chans: Vec<usize>,
    /// Width of the residual stream.
    pub hidsize: usize,
    /// Attention heads; divides `hidsize`.
    pub attention_heads: usize,
    /// Keys held during a chunk of `timesteps` steps; `attention_memory_size - timesteps` are visible to a step.
    pub attention_memory_size: usize,
    /// The chunk length that `attention_memory_size` was chosen for; calls may use any other.
    pub timesteps: usize,
    /// Transformer blocks.
    pub n_recurrence_layers: usize,
    /// Width of the feed-forward layer in multiples of `hidsize`.
    pub pointwise_ratio: usize,
    /// Divides both heads' logits.
    pub temperature: f32,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self::tiny()
    }
}

impl PolicyConfig {
    /// A network that trains on two CPU cores: 64x64 frames, 128 wide, two blocks, 32 steps of memory.
    #[must_use]
    pub fn tiny() -> Self {
        Self {
            kind: NetworkKind::Transformer,
            image_size: 64,
            impala_width: 1,
            impala_chans: vec![16, 16, 32],
            hidsize: 128,
            attention_heads: 4,
            attention_memory_size: 64,
            timesteps: 32,
            n_recurrence_layers: 2,
            pointwise_ratio: 4,
            temperature: 2.0,
        }
    }

    /// Averages over the four quarters of a published frame, and the heads.
    #[must_use]
    pub fn linear() -> Self {
        Self {
            kind: NetworkKind::Linear,
            image_size: 128,
            hidsize: 12,
            n_recurrence_layers: 0,
            temperature: 1.0,
            ..Self::tiny()
        }
    }

    /// The published 71-million-parameter network.
    #[must_use]
    pub fn one_x() -> Self {
        Self::published(1024, 4, 8)
    }

    /// The published 248-million-parameter network.
    #[must_use]
    pub fn two_x() -> Self {
        Self::published(2048, 8, 16)
    }

    /// The published half-billion-parameter network.
    #[must_use]
    pub fn three_x() -> Self {
        Self::published(3072, 12, 24)
    }

    fn published(hidsize: usize, impala_width: usize, attention_heads: usize) -> Self {
        Self {
            kind: NetworkKind::Transformer,
            image_size: 128,
            impala_width,
            impala_chans: vec![16, 32, 32],
            hidsize,
            attention_heads,
            attention_memory_size: 256,
            timesteps: 128,
            n_recurrence_layers: 4,
            pointwise_ratio: 4,
            temperature: 2.0,
        }
    }

    /// Steps a query sees, itself included, and rows of key/value memory per layer.
    #[must_use]
    pub fn maxlen(&self) -> usize {
        self.attention_memory_size.saturating_sub(self.timesteps)
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

    /// Side of the feature map after each stack's pooling (3x3, stride 2, padding 1).
    pub(crate) fn pooled_sizes(&self) -> [usize; 3] {
        let first = self.image_size.div_ceil(2);
        let second = first.div_ceil(2);
        [first, second, second.div_ceil(2)]
    }

    /// Squares along a side that the linear network averages over.
    pub(crate) fn pooled_cells(&self) -> usize {
        (self.hidsize / 3).isqrt()
    }

    /// Width of one attention head.
    pub(crate) fn head_size(&self) -> usize {
        self.hidsize / self.attention_heads
    }

    /// Names the architecture: hex of a hash over the sorted parameter names and shapes, auxiliary head excluded.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        layout::fingerprint(self)
    }

    /// Numbers in OpenAI's state dict.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        layout::count(self)
    }

    /// Refuses what no network can be built from.
    ///
    /// # Errors
    /// The first key at fault and what would do.
    pub fn validate(&self) -> Result<()> {
        let fail = |key, reason: String| Err(PolicyError::Config { key, reason });
        if !(8..=1024).contains(&self.image_size) {
            return fail("image_size", format!("{} is outside 8..=1024 pixels", self.image_size));
        }
        if !self.temperature.is_finite() || self.temperature <= 0.0 {
            return fail("temperature", format!("{} is not a positive number", self.temperature));
        }
        if self.kind == NetworkKind::Linear {
            return self.validate_linear();
        }
        if self.impala_chans.len() != 3 || self.impala_chans.contains(&0) {
            let reason = format!("needs three positive channel counts, got {:?}", self.impala_chans);
            return fail("impala_chans", reason);
        }
        for (key, value, max) in [
            ("impala_width", self.impala_width, 64),
            ("hidsize", self.hidsize, 16_384),
            ("attention_heads", self.attention_heads, 256),
            ("timesteps", self.timesteps, 4096),
            ("n_recurrence_layers", self.n_recurrence_layers, 64),
            ("pointwise_ratio", self.pointwise_ratio, 16),
        ] {
            if value == 0 || value > max {
                return fail(key, format!("{value} is outside 1..={max}"));
            }
        }
        if self.impala_chans.iter().any(|&c| c > 1024) {
            return fail("impala_chans", format!("{:?}: none may exceed 1024", self.impala_chans));
        }
        if !self.hidsize.is_multiple_of(self.attention_heads) {
            let reason = format!("{} does not divide hidsize {}", self.attention_heads, self.hidsize);
            return fail("attention_heads", reason);
        }
        if self.attention_memory_size <= self.timesteps || self.attention_memory_size > 8192 {
            let reason = format!(
                "{} must exceed timesteps ({}) and not exceed 8192",
                self.attention_memory_size, self.timesteps
            );
            return fail("attention_memory_size", reason);
        }
        Ok(())
    }

    fn validate_linear(&self) -> Result<()> {
        let fail = |key, reason: String| Err(PolicyError::Config { key, reason });
        let cells = self.pooled_cells();
        if cells == 0 || self.hidsize != 3 * cells * cells || !self.image_size.is_multiple_of(cells) {
            let reason = format!(
                "{} is not 3 times the square of a divisor of image_size {}",
                self.hidsize, self.image_size
            );
            return fail("hidsize", reason);
        }
        if self.n_recurrence_layers != 0 {
            let reason = format!("{} must be 0: a linear network has no memory", self.n_recurrence_layers);
            return fail("n_recurrence_layers", reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_are_valid_and_match_the_paper() {
        for (config, parameters) in [
            (PolicyConfig::one_x(), 70_998_654),
            (PolicyConfig::two_x(), 248_495_294),
            (PolicyConfig::three_x(), 532_504_318),
        ] {
            config.validate().unwrap();
            assert_eq!(config.maxlen(), 128);
            assert_eq!(layout::count(&config), parameters);
        }
        PolicyConfig::tiny().validate().unwrap();
        PolicyConfig::linear().validate().unwrap();
        assert_eq!(PolicyConfig::tiny().maxlen(), 32);
        assert_eq!(PolicyConfig::three_x().conv_channels(), [192, 384, 384]);
    }

    #[test]
    fn fingerprint_follows_the_architecture_only() {
        let tiny = PolicyConfig::tiny();
        assert_eq!(tiny.fingerprint(), PolicyConfig { temperature: 1.0, ..tiny.clone() }.fingerprint());
        assert_eq!(tiny.fingerprint().len(), 64);
        let changed = [
            PolicyConfig { image_size: 128, ..tiny.clone() },
            PolicyConfig { hidsize: 64, ..tiny.clone() },
            PolicyConfig { attention_heads: 8, ..tiny.clone() },
            PolicyConfig { n_recurrence_layers: 3, ..tiny.clone() },
            PolicyConfig { timesteps: 16, ..tiny.clone() },
            PolicyConfig { impala_chans: vec![16, 16, 16], ..tiny.clone() },
        ];
        for other in changed {
            assert_ne!(tiny.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn each_bad_value_names_its_key() {
        let tiny = PolicyConfig::tiny();
        for (key, config) in [
            ("image_size", PolicyConfig { image_size: 0, ..tiny.clone() }),
            ("impala_chans", PolicyConfig { impala_chans: vec![16, 16], ..tiny.clone() }),
            ("impala_chans", PolicyConfig { impala_chans: vec![16, 0, 16], ..tiny.clone() }),
            ("attention_heads", PolicyConfig { attention_heads: 3, ..tiny.clone() }),
            ("attention_heads", PolicyConfig { attention_heads: 0, ..tiny.clone() }),
            ("attention_memory_size", PolicyConfig { attention_memory_size: 32, ..tiny.clone() }),
            ("temperature", PolicyConfig { temperature: 0.0, ..tiny.clone() }),
            ("temperature", PolicyConfig { temperature: f32::NAN, ..tiny.clone() }),
            ("n_recurrence_layers", PolicyConfig { n_recurrence_layers: 0, ..tiny }),
            ("hidsize", PolicyConfig { hidsize: 24, ..PolicyConfig::linear() }),
            ("hidsize", PolicyConfig { image_size: 127, ..PolicyConfig::linear() }),
            ("n_recurrence_layers", PolicyConfig { n_recurrence_layers: 1, ..PolicyConfig::linear() }),
            ("temperature", PolicyConfig { temperature: 0.0, ..PolicyConfig::linear() }),
        ] {
            let text = config.validate().unwrap_err().to_string();
            assert!(text.contains(key), "{key}: {text}");
        }
    }
}
