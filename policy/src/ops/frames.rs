//! From frames as they travel to what the first convolution reads.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::cuda;
use super::storage::{View, tensor, written};

/// Turns u8 `[N,H,W,3]` into f32 `[N,3,H,W]` in 0..=1; no gradient.
pub fn frames_to_input(frames: &Tensor) -> Result<Tensor> {
    let (n, h, w, c) = frames.dims4()?;
    if c != 3 {
        candle_core::bail!("frames_to_input: frames must be [N,H,W,3], are {:?}", frames.dims());
    }
    if cuda::takes(frames) {
        return cuda::frames_to_planes(frames);
    }
    let frames = frames.contiguous()?;
    let bytes = View::<u8>::new(&frames)?;
    let plane = h * w;
    let values: [f32; 256] = std::array::from_fn(|i| i as f32 / 255.0);
    // SAFETY: every image is written whole by its own task.
    let out = unsafe {
        written(n * 3 * plane, |out| {
            (0..n).into_par_iter().with_min_len(4).for_each(|i| {
                let to = std::slice::from_raw_parts_mut(out.at(i * 3 * plane), 3 * plane);
                let (red, rest) = to.split_at_mut(plane);
                let (green, blue) = rest.split_at_mut(plane);
                let pixels = bytes[i * 3 * plane..][..3 * plane].chunks_exact(3);
                for (((p, r), g), b) in pixels.zip(red).zip(green).zip(blue) {
                    *r = values[usize::from(p[0])];
                    *g = values[usize::from(p[1])];
                    *b = values[usize::from(p[2])];
                }
            });
        })
    };
    tensor(out, (n, 3, h, w))
}

/// Averages u8 frames `[N, H, W, 3]` over `cells` by `cells` squares: f32 `[N, cells * cells * 3]` in 0 to 1, row by row,
/// channels innermost. The sums are exact. CPU only; frames have no gradient.
///
/// # Errors
/// Frames of another shape or type, or whose sides `cells` does not divide.
pub fn mean_pool_frames(frames: &Tensor, cells: usize) -> Result<Tensor> {
    let (n, h, w, c) = frames.dims4()?;
    if c != 3 || cells == 0 || h % cells != 0 || w % cells != 0 {
        candle_core::bail!("mean_pool_frames: {:?} cannot be split into {cells} cells a side", frames.dims());
    }
    let frames = frames.contiguous()?;
    let bytes = View::<u8>::new(&frames)?;
    let (rows, columns) = (h / cells, w / cells);
    let scale = 1.0 / (rows * columns * 255) as f32;
    let pool = |frame: &[u8], out: &mut [f32]| {
        for (band, out) in frame.chunks_exact(rows * w * 3).zip(out.chunks_exact_mut(cells * 3)) {
            for (cell, out) in out.chunks_exact_mut(3).enumerate() {
                let sums = cell_sums(band, w * 3, cell * columns * 3..(cell + 1) * columns * 3);
                out.copy_from_slice(&sums.map(|sum| sum as f32 * scale));
            }
        }
    };
    let mut out = vec![0.0; n * cells * cells * 3];
    let images = bytes.par_chunks_exact(h * w * 3).zip(out.par_chunks_exact_mut(cells * cells * 3));
    images.with_min_len(16).for_each(|(frame, out)| pool(frame, out));
    tensor(out, (n, cells * cells * 3))
}

/// Sums of the three channels over `columns` (bytes of a row) of all rows of `stride` bytes.
fn cell_sums(band: &[u8], stride: usize, columns: std::ops::Range<usize>) -> [u32; 3] {
    // 48 lanes are 16 pixels: the compiler makes vectors of them.
    const LANES: usize = 48;
    let mut lanes = [0u32; LANES];
    let mut sums = [0u32; 3];
    for row in band.chunks_exact(stride) {
        let (whole, rest) = row[columns.clone()].as_chunks::<LANES>();
        for pixels in whole {
            for (lane, &byte) in lanes.iter_mut().zip(pixels) {
                *lane += u32::from(byte);
            }
        }
        for pixel in rest.chunks_exact(3) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum += u32::from(byte);
            }
        }
    }
    for pixel in lanes.chunks_exact(3) {
        for (sum, lane) in sums.iter_mut().zip(pixel) {
            *sum += lane;
        }
    }
    sums
}
