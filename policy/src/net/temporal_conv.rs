//! The inverse dynamics model's first layer: each pixel's colours over five neighbouring frames, mixed into channels
//! (`conv3d_layer`, kernel 5x1x1). It has a bias and no norm; frames before the first and after the last are black.
//!
//! The kernel covers one pixel, so this is a dense layer over 15 numbers a pixel.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::inverse_dynamics_config::CONV3D_TAPS;
use crate::ops;
use crate::parameters::Parameters;

/// Numbers that a pixel's channels are made of: a weight's row, colour by colour.
const INPUTS: usize = 3 * CONV3D_TAPS;
/// Channels of a block, see [`ops::impala_stack`].
const BLOCK: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct TemporalConv {
    /// `[O, 3, 5, 1, 1]`.
    weight: Tensor,
    bias: Tensor,
}

impl TemporalConv {
    pub(super) fn new(params: &Parameters, name: &str) -> Result<Self> {
        let get = |part: &str| params.get(&format!("{name}.layer.{part}")).cloned();
        Ok(Self { weight: get("weight")?, bias: get("bias")? })
    }

    /// The images of the frames in `range` of a clip, u8 `[T, H, W, 3]`: f32 `[N, O, H, W]`, or `[N, O/16, H, W, 16]` if
    /// asked for `blocks`.
    pub(super) fn forward(&self, clip: &Tensor, range: Range<usize>, blocks: bool) -> Result<Tensor> {
        let (_, height, width, _) = clip.dims4()?;
        let (count, pixels, channels) = (range.len(), height * width, self.bias.elem_count());
        let inputs = Tensor::from_vec(neighbours(clip, range)?, (count * pixels, INPUTS), clip.device())?;
        let weight = self.weight.reshape((channels, INPUTS))?;
        let mixed = ops::linear(&inputs, &weight, Some(&self.bias), true)?;
        Ok(if blocks {
            let mixed = mixed.reshape((count, pixels, channels / BLOCK, BLOCK))?.transpose(1, 2)?;
            mixed.contiguous()?.reshape((count, channels / BLOCK, height, width, BLOCK))?
        } else {
            let mixed = mixed.reshape((count, pixels, channels))?.transpose(1, 2)?;
            mixed.contiguous()?.reshape((count, channels, height, width))?
        })
    }
}

/// What each pixel of the frames in `range` is made of, `[N, H * W, 3, 5]` in 0..=1.
fn neighbours(clip: &Tensor, range: Range<usize>) -> Result<Vec<f32>> {
    let (length, height, width, _) = clip.dims4()?;
    let reach = CONV3D_TAPS / 2;
    let first = range.start.saturating_sub(reach);
    let seen = length.min(range.end + reach) - first;
    let bytes = clip.narrow(0, first, seen)?.flatten_all()?.to_vec1::<u8>()?;
    let frame = height * width * 3;
    let levels: [f32; 256] = std::array::from_fn(|i| i as f32 / 255.0);
    let mut inputs = vec![0.0f32; range.len() * height * width * INPUTS];
    inputs.par_chunks_mut(height * width * INPUTS).zip(range).for_each(|(inputs, t)| {
        for tap in 0..CONV3D_TAPS {
            // Frame t + tap - 2 of the clip; none before `first`, the clip's own start or earlier than any tap reaches.
            let Some(place) = (t + tap).checked_sub(first + reach).filter(|&place| place < seen) else {
                continue;
            };
            let values = &bytes[place * frame..][..frame];
            for (to, &byte) in inputs[tap..].iter_mut().step_by(CONV3D_TAPS).zip(values) {
                *to = levels[usize::from(byte)];
            }
        }
    });
    Ok(inputs)
}
