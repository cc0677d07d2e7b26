//! Frames to features: three stacks of convolution, pooling and two residual blocks, then two dense layers
//! (`lib/impala_cnn.py`). Features are flattened channel-major.

use candle_core::Tensor;

use super::fan_in::{FanIn, Norm};
use crate::config::BLOCKS_PER_STACK;
use crate::error::Result;
use crate::ops;
use crate::parameters::Parameters;

#[derive(Debug, Clone)]
pub(super) struct ImpalaCnn {
    stacks: Vec<Stack>,
    dense: FanIn,
    linear: FanIn,
}

#[derive(Debug, Clone)]
struct Stack {
    first: FanIn,
    norm: Norm,
    blocks: Vec<[FanIn; 2]>,
}

impl ImpalaCnn {
    pub(super) fn new(params: &Parameters) -> Result<Self> {
        let stacks = (0..3).map(|i| Stack::new(params, &format!("net.img_process.cnn.stacks.{i}")));
        Ok(Self {
            stacks: stacks.collect::<Result<_>>()?,
            dense: FanIn::new(params, "net.img_process.cnn.dense")?,
            linear: FanIn::new(params, "net.img_process.linear")?,
        })
    }

    /// u8 `[N, H, W, 3]` to f32 `[N, E]`.
    pub(super) fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        let mut x = ops::frames_to_input(frames)?;
        for stack in &self.stacks {
            x = stack.forward(&x)?;
        }
        self.linear.linear(&self.dense.linear(&x.flatten_from(1)?)?)
    }
}

impl Stack {
    fn new(params: &Parameters, name: &str) -> Result<Self> {
        let conv = |block: usize, i: usize| FanIn::new(params, &format!("{name}.blocks.{block}.conv{i}"));
        let blocks = (0..BLOCKS_PER_STACK).map(|block| Ok([conv(block, 0)?, conv(block, 1)?]));
        Ok(Self {
            first: FanIn::new(params, &format!("{name}.firstconv"))?,
            norm: Norm::new(params, &format!("{name}.n"))?,
            blocks: blocks.collect::<Result<_>>()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.norm.forward(&self.first.conv(x, true)?)?;
        for [conv0, conv1] in &self.blocks {
            x = (&x + conv1.conv(&conv0.conv(&x, false)?, false)?)?;
        }
        Ok(x)
    }
}
