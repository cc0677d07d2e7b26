//! What is known of a stack before an image comes: its sizes, where each parameter lies, and its weights in the
//! kernels' order.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::grid::{BLOCK, Grid};
use super::kernels::{Panels, Source, pack};
use super::{RESIDUALS, StackShape};
use crate::ops::cuda;
use crate::ops::simd::Level;
use crate::precision::Precision;

/// Sizes, instruction set and the layout of the parameters.
pub(super) struct Plan {
    pub(super) level: Level,
    pub(super) shape: StackShape,
    pub(super) parts: Parts,
    /// What the first convolution reads.
    pub(super) large: Source,
    /// What the residual convolutions read.
    pub(super) small: Source,
}

/// Where each parameter lies in all of them one after another.
pub(in crate::ops) struct Parts {
    sizes: Vec<usize>,
    /// Bias, or gain and bias.
    pub(in crate::ops) first_extra: Range<usize>,
    pub(in crate::ops) first: Range<usize>,
    /// Gain and bias of the norm after the pool.
    pub(in crate::ops) norm: Range<usize>,
    /// Gain and bias, then weight.
    pub(in crate::ops) residual: Vec<(Range<usize>, Range<usize>)>,
    pub(in crate::ops) total: usize,
}

/// The convolutions' weights, packed.
pub(super) struct Weights {
    pub(super) first: Panels,
    pub(super) residual: Vec<Panels>,
}

impl Plan {
    /// # Errors
    /// Sizes that no stack has.
    pub(super) fn new(level: Level, shape: StackShape) -> Result<Self> {
        let blocks = |channels: usize| channels > 0 && channels.is_multiple_of(BLOCK);
        let frames = shape.channels_in == 3;
        let empty = shape.height * shape.width == 0;
        if empty || !blocks(shape.channels) || !(frames || blocks(shape.channels_in)) {
            candle_core::bail!("impala_stack: no stack can be of {shape:?}");
        }
        let grid = Grid::new(shape.channels_in, shape.height, shape.width).bordered();
        let large = if frames { Source::Frame(grid) } else { Source::Blocks(grid) };
        let small = Source::Blocks(after(&shape).bordered());
        Ok(Self { level, shape, parts: Parts::new(&shape), large, small })
    }

    /// The parameters one after another.
    ///
    /// # Errors
    /// Parameters of other sizes than the stack's.
    pub(super) fn flat(&self, parameters: &[&Tensor]) -> Result<Tensor> {
        let sizes: Vec<usize> = parameters.iter().map(|p| p.elem_count()).collect();
        if sizes != self.parts.sizes {
            candle_core::bail!("impala_stack: parameters of {sizes:?} values, not {:?}", self.parts.sizes);
        }
        let flat: Vec<Tensor> = parameters.iter().map(|p| p.flatten_all()).collect::<Result<_>>()?;
        Tensor::cat(&flat, 0)
    }

    /// # Errors
    /// Images that the stack does not take.
    pub(super) fn check(&self, x: &Tensor) -> Result<()> {
        let (shape, frames) = (&self.shape, self.shape.channels_in == 3);
        let fits = match *x.dims() {
            // What a stack on a GPU leaves for the next.
            [_, a, b, channels] if cuda::takes(x) && !frames => {
                (channels, a, b) == (shape.channels_in, shape.height, shape.width)
            }
            [_, a, b, 3] => frames && (a, b) == (shape.height, shape.width),
            [_, blocks, a, b, BLOCK] => {
                !frames && (blocks * BLOCK, a, b) == (shape.channels_in, shape.height, shape.width)
            }
            _ => false,
        };
        if !fits {
            candle_core::bail!("impala_stack: input {:?} does not fit {shape:?}", x.dims());
        }
        Ok(())
    }

    /// The weights of flat parameters in the order of the forward's kernels.
    pub(super) fn weights(&self, parameters: &[f32], precision: Precision) -> Weights {
        let ordered = |source: &Source, weights: &Range<usize>| {
            let (outputs, inputs) = (self.shape.channels, source.channels());
            pack(source, precision, outputs, &parameters[weights.clone()], |o, i, tap| {
                (o * inputs + i) * 9 + tap
            })
        };
        Weights {
            first: ordered(&self.large, &self.parts.first),
            residual: self.parts.residual.iter().map(|(_, w)| ordered(&self.small, w)).collect(),
        }
    }

    /// The image before the pool, without border.
    pub(super) fn before(&self) -> Grid {
        Grid::new(self.shape.channels, self.shape.height, self.shape.width)
    }

    /// The image after the pool, without border.
    pub(super) fn after(&self) -> Grid {
        after(&self.shape)
    }

    /// The shape of the result of `n` images.
    pub(super) fn output_shape(&self, n: usize) -> candle_core::Shape {
        let (grid, c) = (self.after(), self.shape.channels);
        if self.shape.planes {
            (n, c, grid.h, grid.w).into()
        } else {
            (n, c / BLOCK, grid.h, grid.w, BLOCK).into()
        }
    }
}

fn after(shape: &StackShape) -> Grid {
    Grid::new(shape.channels, shape.height.div_ceil(2), shape.width.div_ceil(2))
}

impl Parts {
    fn new(shape: &StackShape) -> Self {
        let (ci, co) = (shape.channels_in, shape.channels);
        let mut sizes = Vec::new();
        let mut total = 0;
        let mut take = |each: &[usize]| {
            let start = total;
            sizes.extend_from_slice(each);
            total += each.iter().sum::<usize>();
            start..total
        };
        let first_extra = if ci == 3 { take(&[co]) } else { take(&[ci, ci]) };
        let first = take(&[co * ci * 9]);
        let norm = take(&[co, co]);
        let residual = (0..2 * RESIDUALS).map(|_| (take(&[co, co]), take(&[co * co * 9]))).collect();
        Self { sizes, first_extra, first, norm, residual, total }
    }
}
