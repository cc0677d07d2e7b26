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
        if self.in_blocks() { self.whole(frames) } else { self.layered(&ops::frames_to_input(frames)?) }
    }

    /// Images that something else has made of the frames, f32 `[N, C, H, W]` or, where the network
    /// [takes them](Self::takes_blocks), `[N, C/16, H, W, 16]`, to f32 `[N, E]`.
    pub(super) fn forward_images(&self, images: &Tensor) -> Result<Tensor> {
        if images.rank() == 5 { self.whole(images) } else { self.layered(images) }
    }

    /// Whether [`forward_images`](Self::forward_images) may be given blocks of 16 channels, the faster way.
    pub(super) fn takes_blocks(&self) -> bool {
        self.in_blocks() && self.stacks[0].first.inputs().is_multiple_of(16)
    }

    fn in_blocks(&self) -> bool {
        self.stacks.iter().all(Stack::in_blocks)
    }

    /// u8 `[N, H, W, 3]` or f32 `[N, C/16, H, W, 16]` through one operation a stack.
    fn whole(&self, images: &Tensor) -> Result<Tensor> {
        let rank = images.rank();
        let (mut height, mut width) = (images.dim(rank - 3)?, images.dim(rank - 2)?);
        let mut x = images.clone();
        for (i, stack) in self.stacks.iter().enumerate() {
            x = stack.forward_whole(&x, (height, width), i + 1 == self.stacks.len())?;
            (height, width) = (height.div_ceil(2), width.div_ceil(2));
        }
        self.dense_layers(&x)
    }

    /// f32 `[N, C, H, W]` layer by layer.
    fn layered(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = images.clone();
        for stack in &self.stacks {
            x = stack.forward(&x)?;
        }
        self.dense_layers(&x)
    }

    fn dense_layers(&self, x: &Tensor) -> Result<Tensor> {
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

    /// Whether the channels come in the blocks that the operation on whole stacks wants.
    fn in_blocks(&self) -> bool {
        self.first.outputs().is_multiple_of(16)
    }

    /// The stack as one operation; `planes` where its result is not for another stack.
    fn forward_whole(&self, x: &Tensor, (height, width): (usize, usize), planes: bool) -> Result<Tensor> {
        let mut parameters = self.first.parameters();
        parameters.extend(self.norm.parameters());
        parameters.extend(self.blocks.iter().flatten().flat_map(FanIn::parameters));
        let (channels_in, channels) = (self.first.inputs(), self.first.outputs());
        let shape = ops::StackShape { channels_in, channels, height, width, planes };
        Ok(ops::impala_stack(x, &parameters, shape)?)
    }

    /// The same, layer by layer.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.norm.forward(&self.first.conv(x, true)?)?;
        for [conv0, conv1] in &self.blocks {
            x = (&x + conv1.conv(&conv0.conv(&x, false)?, false)?)?;
        }
        Ok(x)
    }
}
