//! The trunk of the linear network: every frame averaged over a few square cells. It costs next to nothing, so that what
//! is left of a training loop around it is the loop itself.

use candle_core::{DType, Device, Tensor};

use crate::config::PolicyConfig;
use crate::error::Result;
use crate::ops;

/// Averages frames over `cells` by `cells` squares.
#[derive(Debug, Clone)]
pub(super) struct MeanPool {
    cells: usize,
}

impl MeanPool {
    pub(super) fn new(config: &PolicyConfig) -> Self {
        Self { cells: config.pooled_cells() }
    }

    /// u8 `[N, H, W, 3]` to f32 `[N, cells * cells * 3]` in 0 to 1, row by row, channels innermost.
    pub(super) fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        if matches!(frames.device(), Device::Cpu) {
            return Ok(ops::mean_pool_frames(frames, self.cells)?);
        }
        let (n, height, width, _) = frames.dims4()?;
        let cells = self.cells;
        let split = (n, cells, height / cells, cells, (width / cells) * 3);
        let columns = frames.to_dtype(DType::F32)?.reshape(split)?.sum(2)?;
        let sums = columns.reshape((n, cells * cells, width / cells, 3))?.sum(2)?;
        let full = (height / cells * (width / cells) * 255) as f64;
        Ok((sums.reshape((n, cells * cells * 3))? / full)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_averages_of_their_own_pixels() {
        let config = PolicyConfig { image_size: 8, ..PolicyConfig::linear() };
        let pool = MeanPool::new(&config);
        // The second frame: value 10 in the lower right quarter's blue, 0 elsewhere.
        let mut frames = vec![255u8; 2 * 8 * 8 * 3];
        frames[8 * 8 * 3..].fill(0);
        for (y, x) in (4..8).flat_map(|y| (4..8).map(move |x| (y, x))) {
            frames[8 * 8 * 3 + (y * 8 + x) * 3 + 2] = if (y, x) == (5, 6) { 170 } else { 0 };
        }
        let frames = Tensor::from_vec(frames, (2, 8, 8, 3), &Device::Cpu).unwrap();
        let pooled = pool.forward(&frames).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(pooled[0], [1.0; 12]);
        assert_eq!(pooled[1][..11], [0.0; 11]);
        assert!((pooled[1][11] - 170.0 / 255.0 / 16.0).abs() < 1e-7, "{pooled:?}");
    }
}
