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
