//! Unrolls and recorded sequences as tensors.

use candle_core::{DType, Device, Tensor};
use vpt_policy::{PolicyConfig, PolicyOutput, RawLayerState, RecurrentState, distribution};
use vpt_proto::common::v1::Tensor as WireTensor;
use vpt_proto::learner::v1::LayerState as WireLayerState;
use vpt_proto::tensor;

use crate::error::LearnerError;

/// Frames, flags and actions of `B` sequences of `T` steps.
#[derive(Clone, Debug)]
pub(crate) struct SequenceBatch {
    /// u8 `[B, T, H, W, 3]`.
    pub(crate) frames: Tensor,
    /// u8 `[B, T]`.
    pub(crate) is_first: Tensor,
    /// u32 `[B * T]`.
    pub(crate) buttons: Tensor,
    /// u32 `[B * T]`.
    pub(crate) camera: Tensor,
}

/// One sequence on the host, `[T, ...]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a> {
    pub(crate) frames: &'a [u8],
    pub(crate) is_first: &'a [u8],
    pub(crate) buttons: &'a [u32],
    pub(crate) camera: &'a [u32],
}

impl SequenceBatch {
    /// Stacks sequences of equal length.
    pub(crate) fn new(
        sequences: &[Sequence<'_>],
        image_size: usize,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let (b, t) = (sequences.len(), sequences.first().map_or(0, |s| s.is_first.len()));
        let mut frames = Vec::with_capacity(b * t * image_size * image_size * 3);
        let mut is_first = Vec::with_capacity(b * t);
        let (mut buttons, mut camera) = (Vec::with_capacity(b * t), Vec::with_capacity(b * t));
        for sequence in sequences {
            frames.extend_from_slice(sequence.frames);
            is_first.extend_from_slice(sequence.is_first);
            buttons.extend_from_slice(sequence.buttons);
            camera.extend_from_slice(sequence.camera);
        }
        Ok(Self {
            frames: Tensor::from_vec(frames, (b, t, image_size, image_size, 3), device)?,
            is_first: Tensor::from_vec(is_first, (b, t), device)?,
            buttons: Tensor::from_vec(buttons, b * t, device)?,
            camera: Tensor::from_vec(camera, b * t, device)?,
        })
    }
}

/// A forward pass flattened to `[N, ...]`, `N = B * T`.
pub(crate) struct FlatOutput {
    /// `[N, 8641]`.
    pub(crate) buttons_logits: Tensor,
    /// `[N, 121]`.
    pub(crate) camera_logits: Tensor,
    /// `[N]`, normalised.
    pub(crate) value: Tensor,
    /// `[N]`, normalised.
    pub(crate) aux_value: Option<Tensor>,
    /// State after the batch.
    pub(crate) state: RecurrentState,
}

impl FlatOutput {
    /// Flattens what the network returned.
    pub(crate) fn new(output: PolicyOutput) -> Result<Self, LearnerError> {
        Ok(Self {
            buttons_logits: output.buttons_logits.flatten(0, 1)?,
            camera_logits: output.camera_logits.flatten(0, 1)?,
            value: output.value.flatten_all()?,
            aux_value: output.aux_value.map(|value| value.flatten_all()).transpose()?,
            state: output.state,
        })
    }

    /// Log-probability of the batch's actions, both heads summed, `[N]`.
    pub(crate) fn log_prob(&self, batch: &SequenceBatch) -> Result<Tensor, LearnerError> {
        let buttons = distribution::log_prob(&self.buttons_logits, &batch.buttons)?;
        let camera = distribution::log_prob(&self.camera_logits, &batch.camera)?;
        Ok((buttons + camera)?)
    }
}

/// The recurrent state an unroll brought with it, B = 1; an empty one is the initial state.
///
/// # Errors
/// When it does not fit the network.
pub(crate) fn state_from_wire(
    layers: &[WireLayerState],
    config: &PolicyConfig,
    device: &Device,
) -> Result<RecurrentState, LearnerError> {
    if layers.is_empty() {
        return Ok(RecurrentState::initial(config, 1, device)?);
    }
    let (m, e) = (config.maxlen(), config.hidsize);
    let rows = |rows: &Option<WireTensor>| rows.as_ref().map(|t| tensor::to_f32(t, &[m, e])).transpose();
    let raw = layers.iter().map(|layer| {
        let mask = layer.mask.as_ref().map(|t| tensor::to_u8(t, &[m])).transpose()?;
        Ok(RawLayerState {
            mask: mask.unwrap_or_default().to_vec(),
            keys: rows(&layer.keys)?.unwrap_or_default(),
            values: rows(&layer.values)?.unwrap_or_default(),
        })
    });
    let raw = raw.collect::<Result<Vec<_>, tensor::TensorError>>()?;
    Ok(RecurrentState::from_raw(&raw, config, device)?)
}

/// Host numbers as an f32 tensor `[N]`.
pub(crate) fn to_tensor(numbers: Vec<f32>, device: &Device) -> Result<Tensor, LearnerError> {
    let length = numbers.len();
    Ok(Tensor::from_vec(numbers, length, device)?.to_dtype(DType::F32)?)
}

/// A scalar tensor's number.
pub(crate) fn scalar(tensor: &Tensor) -> Result<f64, LearnerError> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}
