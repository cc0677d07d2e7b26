//! Frames to features: three stacks of convolution, pooling and two residual blocks, then two dense layers
//! (`lib/impala_cnn.py`). Features are flattened channel-major.

use std::sync::Arc;

use candle_core::Tensor;

use super::fan_in::{FanIn, Norm};
use crate::config::BLOCKS_PER_STACK;
use crate::error::Result;
use crate::ops::{self, PackedStack};
use crate::parameters::Parameters;
use crate::precision::Precision;

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
    /// In a network that only acts.
    packed: Option<Arc<PackedStack>>,
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

    /// Packs all weights for acting in `precision` on images of `size` pixels a side.
    pub(super) fn pack(&mut self, size: usize, precision: Precision) -> Result<()> {
        if self.in_blocks() {
            let (mut size, last) = (size, self.stacks.len() - 1);
            for (i, stack) in self.stacks.iter_mut().enumerate() {
                stack.pack((size, size), i == last, precision)?;
                size = size.div_ceil(2);
            }
        }
        self.dense.pack(precision)?;
        self.linear.pack(precision)
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
            packed: None,
        })
    }

    /// Whether the channels come in the blocks that the operation on whole stacks wants.
    fn in_blocks(&self) -> bool {
        self.first.outputs().is_multiple_of(16)
    }

    /// Sizes and parameters as the operation on whole stacks takes them; `planes` where its result is not for another
    /// stack.
    fn whole(&self, (height, width): (usize, usize), planes: bool) -> (ops::StackShape, Vec<&Tensor>) {
        let mut parameters = self.first.parameters();
        parameters.extend(self.norm.parameters());
        parameters.extend(self.blocks.iter().flatten().flat_map(FanIn::parameters));
        let (channels_in, channels) = (self.first.inputs(), self.first.outputs());
        (ops::StackShape { channels_in, channels, height, width, planes }, parameters)
    }

    fn pack(&mut self, size: (usize, usize), planes: bool, precision: Precision) -> Result<()> {
        let (shape, parameters) = self.whole(size, planes);
        self.packed = Some(Arc::new(PackedStack::new(&parameters, shape, precision)?));
        Ok(())
    }

    /// The stack as one operation.
    fn forward_whole(&self, x: &Tensor, size: (usize, usize), planes: bool) -> Result<Tensor> {
        if let Some(packed) = &self.packed {
            return Ok(packed.forward(x)?);
        }
        let (shape, parameters) = self.whole(size, planes);
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
