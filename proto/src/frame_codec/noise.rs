//! Whether frames are so close to noise that packing them is a waste of time.
//!
//! A sample of pixels is compared with the pixel to the left and with the same pixel of the frame before. Differences
//! that are spread evenly over all byte values, in space and in time, leave an entropy coder nothing to gain. A wrong
//! answer costs time or bytes, never a pixel.

use super::changed_pixels::PIXEL;

/// Pixels looked at.
const SAMPLES: usize = 1024;

/// Evenly spread bytes agree in pairs once in 256; up to this much more often is noise still (7.6 bits of 8).
const EVENNESS: f64 = 1.35 / 256.0;

pub(super) fn is_noise(frames: &[u8], frame_len: usize) -> bool {
    let pixels = frames.len() / PIXEL;
    if pixels < 2 * SAMPLES || frame_len < PIXEL {
        return false;
    }
    // Coprime to the usual widths, so that no column is seen twice.
    let stride = (pixels / SAMPLES) | 1;
    let starts = || (0..pixels).step_by(stride).skip(1).map(|pixel| pixel * PIXEL);
    let differs_evenly = |distance: usize| {
        let mut counts = [0u32; 256];
        let starts = starts().filter(|&start| start >= distance && start + PIXEL <= frames.len());
        for at in starts.flat_map(|start| start..start + PIXEL) {
            counts[usize::from(frames[at].wrapping_sub(frames[at - distance]))] += 1;
        }
        let total: f64 = counts.iter().map(|&n| f64::from(n)).sum();
        let pairs: f64 = counts.iter().map(|&n| f64::from(n) * (f64::from(n) - 1.0)).sum();
        pairs < EVENNESS * total * (total - 1.0)
    };
    differs_evenly(PIXEL) && (frames.len() <= frame_len || differs_evenly(frame_len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_codec::tests::noise;

    const FRAME: usize = 128 * 128 * 3;

    #[test]
    fn noise_is_told_from_pictures_and_from_noise_that_stands_still() {
        let random = noise(4 * FRAME, 1);
        assert!(is_noise(&random, FRAME));
        let still = random[..FRAME].repeat(4);
        assert!(!is_noise(&still, FRAME), "in time everything is known");
        let ramp: Vec<u8> = (0..4 * FRAME).map(|i| (i / 5) as u8).collect();
        assert!(!is_noise(&ramp, FRAME));
        let mut mixed = random;
        mixed.chunks_exact_mut(300).for_each(|row| row[..30].fill(7));
        assert!(!is_noise(&mixed, FRAME), "a tenth is flat");
        assert!(!is_noise(&[1, 2, 3], 3));
    }
}
