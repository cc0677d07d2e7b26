//! The inverse dynamics network: the frames of a clip in, what was pressed at each of them out.
//!
//! `InverseActionNet` in `lib/policy.py` of OpenAI's Video-Pre-Training: five neighbouring frames make an image, an IMPALA
//! CNN per image, two transformer blocks in which every frame sees the whole clip, and two linear heads. It has no memory.
//!
//! The published code computes `lastlayer` and then drops its result, which is what happens here unless
//! [asked](InverseDynamics::with_last_layer); dropped, it costs nothing and its parameters get no gradient.

use candle_core::{DType, Tensor};

use super::fan_in::{FanIn, Linear, Norm};
use super::impala_cnn::ImpalaCnn;
use super::temporal_conv::TemporalConv;
use super::unmasked_attention::UnmaskedAttention;
use crate::action::{CAMERA_AXES, CAMERA_BINS, FactoredAction, KEYS};
use crate::distribution;
use crate::error::{PolicyError, Result};
use crate::inverse_dynamics_config::InverseDynamicsConfig;
use crate::inverse_dynamics_window::windows;
use crate::parameters::{Architecture, Parameters};

/// Images that go through the CNN at once: at the published size their channels alone take 8 MiB each.
const IMAGES_AT_ONCE: usize = 16;

/// A network over given weights. It shares their storage: updated [`Parameters`] act at the next call.
#[derive(Debug, Clone)]
pub struct InverseDynamics {
    config: InverseDynamicsConfig,
    temporal: TemporalConv,
    cnn: ImpalaCnn,
    blocks: Vec<Block>,
    last_layer: FanIn,
    use_last_layer: bool,
    final_norm: Norm,
    keys: Linear,
    camera: Linear,
}

/// What the network says about T frames of B clips.
#[derive(Debug, Clone)]
pub struct InverseDynamicsOutput {
    /// f32 `[B, T, 20, 2]` (up, held), divided by the temperature, not normalised.
    pub buttons_logits: Tensor,
    /// f32 `[B, T, 2, 11]` (pitch, yaw), divided by the temperature, not normalised.
    pub camera_logits: Tensor,
}

/// Norm, attention with its skip, feed-forward with its skip. As in the policy the first skip carries the *normed* input.
#[derive(Debug, Clone)]
struct Block {
    norm: Norm,
    attention: UnmaskedAttention,
    widen: FanIn,
    narrow: Linear,
}

impl InverseDynamics {
    /// The network of `config` over `params`.
    ///
    /// # Errors
    /// An architecture that cannot be built or that the weights do not have.
    pub fn new(config: &InverseDynamicsConfig, params: &Parameters) -> Result<Self> {
        config.validate()?;
        let same_kind = matches!(params.architecture(), Architecture::InverseDynamics(_));
        if !same_kind || params.fingerprint() != config.fingerprint() {
            let problem = "they are of another architecture than the configuration".to_owned();
            return Err(PolicyError::Weights { problems: vec![problem] });
        }
        let blocks = (0..config.n_recurrence_layers)
            .map(|i| Block::new(config, params, &format!("net.recurrent_layer.blocks.{i}")));
        Ok(Self {
            config: config.clone(),
            temporal: TemporalConv::new(params, "net.conv3d_layer")?,
            cnn: ImpalaCnn::new(params)?,
            blocks: blocks.collect::<Result<_>>()?,
            last_layer: FanIn::new(params, "net.lastlayer")?,
            use_last_layer: false,
            final_norm: Norm::new(params, "net.final_ln")?,
            keys: Linear::new(params, "pi_head.buttons.linear_layer")?,
            camera: Linear::new(params, "pi_head.camera.linear_layer")?,
        })
    }

    /// The same network with `lastlayer` in effect or, as published, without it.
    #[must_use]
    pub fn with_last_layer(self, use_last_layer: bool) -> Self {
        Self { use_last_layer, ..self }
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &InverseDynamicsConfig {
        &self.config
    }

    /// Judges every frame of B clips by the whole of its clip: `frames` u8 `[B, T, H, W, 3]`. T is free, but the network
    /// was trained on `timesteps` of them; a longer video is for [`forward_video`](Self::forward_video).
    ///
    /// # Errors
    /// Frames of another shape or type than the architecture's.
    pub fn forward(&self, frames: &Tensor) -> Result<InverseDynamicsOutput> {
        let (batch, time) = self.check(frames)?;
        let latent = self.latent(&self.features(frames)?, batch)?;
        let temperature = f64::from(self.config.temperature);
        let keys = self.keys.forward_divided(&latent, temperature)?;
        let camera = self.camera.forward_divided(&latent, temperature)?;
        Ok(InverseDynamicsOutput {
            buttons_logits: keys.reshape((batch, time, KEYS, 2))?,
            camera_logits: camera.reshape((batch, time, CAMERA_AXES, CAMERA_BINS))?,
        })
    }

    /// As [`forward`](Self::forward) for B videos of any length, in overlapping [`windows`] of `timesteps` frames of which
    /// the middle is kept. The result tracks no gradient.
    ///
    /// # Errors
    /// Frames of another shape or type than the architecture's.
    pub fn forward_video(&self, frames: &Tensor) -> Result<InverseDynamicsOutput> {
        let (_, time) = self.check(frames)?;
        let (mut keys, mut camera) = (Vec::new(), Vec::new());
        for window in windows(time, self.config.timesteps) {
            let (seen, kept) = (window.frames, window.kept);
            let output = self.forward(&frames.narrow(1, seen.start, seen.len())?)?;
            let keep = |logits: &Tensor| logits.detach().narrow(1, kept.start - seen.start, kept.len());
            keys.push(keep(&output.buttons_logits)?);
            camera.push(keep(&output.camera_logits)?);
        }
        Ok(InverseDynamicsOutput {
            buttons_logits: Tensor::cat(&keys, 1)?,
            camera_logits: Tensor::cat(&camera, 1)?,
        })
    }

    /// u8 `[B, T, H, W, 3]` to f32 `[B * T, E]`.
    fn features(&self, frames: &Tensor) -> Result<Tensor> {
        let (batch, time) = (frames.dim(0)?, frames.dim(1)?);
        let blocks = self.cnn.takes_blocks();
        let mut features = Vec::new();
        for b in 0..batch {
            let clip = frames.get(b)?;
            for start in (0..time).step_by(IMAGES_AT_ONCE) {
                let range = start..time.min(start + IMAGES_AT_ONCE);
                features.push(self.cnn.forward_images(&self.temporal.forward(&clip, range, blocks)?)?);
            }
        }
        Ok(Tensor::cat(&features, 0)?)
    }

    /// Features `[B * T, E]` to what the heads take, `[B * T, E]`.
    fn latent(&self, features: &Tensor, batch: usize) -> Result<Tensor> {
        let mut x = features.clone();
        for block in &self.blocks {
            x = block.forward(&x, batch)?;
        }
        let mut x = x.relu()?;
        if self.use_last_layer {
            x = self.last_layer.linear(&x)?;
        }
        self.final_norm.forward(&x)
    }

    fn check(&self, frames: &Tensor) -> Result<(usize, usize)> {
        let side = self.config.image_size;
        if frames.dtype() != DType::U8 {
            return Err(PolicyError::input("frames", "u8", format!("{:?}", frames.dtype())));
        }
        match *frames.dims() {
            [batch, time, h, w, 3] if h == side && w == side && batch * time > 0 => Ok((batch, time)),
            ref other => {
                let expected = format!("[B, T, {side}, {side}, 3]");
                Err(PolicyError::input("frames", expected, format!("{other:?}")))
            }
        }
    }
}

impl Block {
    fn new(config: &InverseDynamicsConfig, params: &Parameters, name: &str) -> Result<Self> {
        Ok(Self {
            norm: Norm::new(params, &format!("{name}.pre_r_ln"))?,
            attention: UnmaskedAttention::new(config, params, &format!("{name}.r.orc_block"))?,
            widen: FanIn::new(params, &format!("{name}.mlp0"))?,
            narrow: Linear::new(params, &format!("{name}.mlp1.layer"))?,
        })
    }

    /// x `[B * T, E]` to the same shape.
    fn forward(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let x = self.norm.forward(x)?;
        let y = (&x + self.attention.forward(&x, batch)?)?;
        Ok((&y + self.narrow.forward(&self.widen.linear(&y)?)?)?)
    }
}

impl InverseDynamicsOutput {
    /// ln p of whole actions, keys and camera axes independent of each other: `keys` u32 `[B, T, 20]` (1 for held),
    /// `camera` u32 `[B, T, 2]` bins, to `[B, T]`. Differentiable.
    ///
    /// # Errors
    /// Shapes that do not agree with the logits, or a number that is no class.
    pub fn log_prob(&self, keys: &Tensor, camera: &Tensor) -> Result<Tensor> {
        Ok((log_prob(&self.buttons_logits, keys)? + log_prob(&self.camera_logits, camera)?)?)
    }

    /// The most probable action of each frame, `[B][T]`.
    ///
    /// # Errors
    /// A logit that is not a number.
    pub fn actions(&self) -> Result<Vec<Vec<FactoredAction>>> {
        let keys = self.buttons_logits.flatten_from(2)?.to_vec3::<f32>()?;
        let camera = self.camera_logits.flatten_from(2)?.to_vec3::<f32>()?;
        let clip = |(keys, camera): (Vec<Vec<f32>>, Vec<Vec<f32>>)| {
            keys.iter().zip(&camera).map(|(keys, camera)| FactoredAction::from_logits(keys, camera)).collect()
        };
        keys.into_iter().zip(camera).map(clip).collect()
    }
}

/// Logits `[B, T, D, C]` and classes u32 `[B, T, D]` to `[B, T]`, summed over D.
fn log_prob(logits: &Tensor, classes: &Tensor) -> Result<Tensor> {
    let (batch, time, draws, options) = logits.dims4()?;
    if classes.dims() != [batch, time, draws] {
        let expected = format!("[{batch}, {time}, {draws}]");
        return Err(PolicyError::input("classes", expected, format!("{:?}", classes.dims())));
    }
    let rows = logits.reshape(((), options))?;
    let each = distribution::log_prob(&rows, &classes.flatten_all()?)?;
    Ok(each.reshape((batch, time, draws))?.sum(2)?)
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
