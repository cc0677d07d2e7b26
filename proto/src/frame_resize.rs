//! Bilinear resize of 8-bit RGB frames, bit for bit what the published VPT weights were trained on.
//!
//! VPT shrinks a 640x360 frame to 128x128 with OpenCV's `INTER_LINEAR`: no smoothing before the shrink and the
//! aspect ratio not kept (Baker et al. 2022, <https://arxiv.org/abs/2206.11795>; code at
//! <https://github.com/openai/Video-Pre-Training>). The arithmetic is in fixed point: weights of 11 bits, and
//! 4 + 16 + 2 bits dropped on the way back. A float version differs by one in many pixels, hence this one.
//!
//! Known limits: bit equality with OpenCV is tested for 640x360 to 128x128 only. There every fifth column is taken
//! as it is (the position has no fraction) and only rows are mixed, and no position lies past the border; where
//! one does (enlarging), it takes the border pixel alone.

/// Channels of a frame: red, green, blue.
const CHANNELS: usize = 3;

/// One in the fixed point of the weights.
const WEIGHT_ONE: f32 = 2048.0;

/// Longest side of a frame, in pixels: far above any screen, and no count of bytes comes near overflow.
pub const MAX_SIDE: usize = 1 << 14;

/// Why a frame could not be resized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// A side is zero or longer than [`MAX_SIDE`].
    #[error("a side of {side} pixels is not in 1..={MAX_SIDE}")]
    BadSide {
        /// Pixels asked for.
        side: usize,
    },
    /// The frame to read does not have the size the resizer was made for.
    #[error("the frame holds {found} bytes, expected {expected}")]
    WrongSourceLength {
        /// Bytes expected.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The frame to write does not have the size the resizer was made for.
    #[error("the resized frame has room for {found} bytes, expected {expected}")]
    WrongTargetLength {
        /// Bytes expected.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

/// The two source positions an output position reads along one axis, and their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tap {
    /// Offset of the nearer-to-zero source position, in bytes.
    first: usize,
    /// Offset of the one after it, in bytes (the same one at the border).
    second: usize,
    /// Weight of `first`, of 2048.
    first_weight: i32,
    /// Weight of `second`, of 2048.
    second_weight: i32,
}

/// Resizes frames of one size to frames of another, with all positions and weights worked out once.
#[derive(Debug, Clone)]
pub struct Resizer {
    /// One tap an output column; offsets within a row.
    columns: Vec<Tap>,
    /// One tap an output row; offsets of rows.
    rows: Vec<Tap>,
    /// Bytes of a source row.
    source_row_bytes: usize,
    /// Bytes of a source frame.
    source_bytes: usize,
}

impl Resizer {
    /// For frames of `source` = (width, height) pixels to frames of `target` = (width, height) pixels.
    ///
    /// # Errors
    /// When a side is zero or longer than [`MAX_SIDE`].
    pub fn new(source: (usize, usize), target: (usize, usize)) -> Result<Self, ResizeError> {
        for side in [source.0, source.1, target.0, target.1] {
            if side == 0 || side > MAX_SIDE {
                return Err(ResizeError::BadSide { side });
            }
        }
        let source_row_bytes = source.0 * CHANNELS;
        Ok(Self {
            columns: taps(source.0, target.0, CHANNELS),
            rows: taps(source.1, target.1, source_row_bytes),
            source_row_bytes,
            source_bytes: source_row_bytes * source.1,
        })
    }

    /// Bytes of a resized frame.
    pub fn target_bytes(&self) -> usize {
        self.columns.len() * self.rows.len() * CHANNELS
    }

    /// Resizes `rgb` (u8 `[source height, source width, 3]`) into `out` (u8 `[target height, target width, 3]`).
    ///
    /// Only the source pixels that an output pixel touches are read, and nothing is allocated.
    ///
    /// # Errors
    /// When either slice is not exactly one frame long; `out` is then untouched.
    pub fn resize(&self, rgb: &[u8], out: &mut [u8]) -> Result<(), ResizeError> {
        if rgb.len() != self.source_bytes {
            return Err(ResizeError::WrongSourceLength { expected: self.source_bytes, found: rgb.len() });
        }
        if out.len() != self.target_bytes() {
            return Err(ResizeError::WrongTargetLength { expected: self.target_bytes(), found: out.len() });
        }
        for (row, out_row) in self.rows.iter().zip(out.chunks_exact_mut(self.columns.len() * CHANNELS)) {
            let upper = &rgb[row.first..row.first + self.source_row_bytes];
            let lower = &rgb[row.second..row.second + self.source_row_bytes];
            self.resize_row(row, upper, lower, out_row);
        }
        Ok(())
    }

    fn resize_row(&self, row: &Tap, upper: &[u8], lower: &[u8], out_row: &mut [u8]) {
        for (column, pixel) in self.columns.iter().zip(out_row.chunks_exact_mut(CHANNELS)) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                let above = across(column, upper, channel) >> 4;
                let below = across(column, lower, channel) >> 4;
                // The two products lose their low bits one by one, not as a sum: part of the bit-exact rule.
                let sum = ((row.first_weight * above) >> 16) + ((row.second_weight * below) >> 16);
                // At most 255: weights add up to 2049 at the very most, and 255 * 4 * (2049 / 2048)^2 < 1021.
                *value = ((sum + 2) >> 2) as u8;
            }
        }
    }
}

/// Interpolates one channel within a source row; 2048 times the value.
fn across(column: &Tap, row: &[u8], channel: usize) -> i32 {
    i32::from(row[column.first + channel]) * column.first_weight
        + i32::from(row[column.second + channel]) * column.second_weight
}

/// The taps of all `target` positions over `source` positions that lie `stride` bytes apart.
fn taps(source: usize, target: usize, stride: usize) -> Vec<Tap> {
    let scale = source as f64 / target as f64;
    let last = source - 1;
    (0..target)
        .map(|index| {
            // Pixel centres, not corners, are what coincide.
            let position = ((index as f64 + 0.5) * scale - 0.5) as f32;
            let (first, fraction) = if position < 0.0 {
                (0, 0.0)
            } else if position.floor() as usize >= last {
                (last, 0.0)
            } else {
                (position.floor() as usize, position - position.floor())
            };
            Tap {
                first: first * stride,
                second: (first + 1).min(last) * stride,
                first_weight: (WEIGHT_ONE * (1.0 - fraction)).round_ties_even() as i32,
                second_weight: (WEIGHT_ONE * fraction).round_ties_even() as i32,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_round_ties_to_even() {
        let tap = |first_weight, second_weight| Tap { first: 0, second: 1, first_weight, second_weight };
        // 700.5 * 3 / 4096 - 0.5 is 26.75 / 2048.
        assert_eq!(taps(3, 4096, 1)[700], tap(2021, 27));
        // 512.5 / 1024 - 0.5 is exactly 1 / 2048.
        assert_eq!(taps(4, 4096, 1)[512], tap(2047, 1));
        // 1025.5 / 2048 - 0.5 is 1.5 / 2048: 1.5 goes to 2, and 2046.5 to 2046.
        assert_eq!(taps(2, 4096, 1)[1025], tap(2046, 2));
    }

    #[test]
    fn positions_past_the_border_take_the_border_pixel() {
        let taps = taps(2, 8, 3);
        assert_eq!(taps[0], Tap { first: 0, second: 3, first_weight: 2048, second_weight: 0 });
        assert_eq!(taps[7], Tap { first: 3, second: 3, first_weight: 2048, second_weight: 0 });
    }

    #[test]
    fn a_hand_computed_mix_of_four_pixels() {
        // 2x2 to 4x4: output (1, 1) lies at 0.25, 0.25: weights 1536 and 512 on both axes.
        let resizer = Resizer::new((2, 2), (4, 4)).unwrap();
        let mut out = vec![0; resizer.target_bytes()];
        resizer.resize(&[10, 0, 255, 50, 0, 255, 90, 4, 255, 200, 0, 255], &mut out).unwrap();
        // Red: (10 * 1536 + 50 * 512) >> 4 = 2560, (90 * 1536 + 200 * 512) >> 4 = 15040;
        // 2560 * 1536 >> 16 = 60, 15040 * 512 >> 16 = 117; (60 + 117 + 2) >> 2 = 44.
        // Green: 0 and (4 * 1536) >> 4 = 384; 384 * 512 >> 16 = 3; (3 + 2) >> 2 = 1.
        assert_eq!(out[(4 + 1) * 3..][..3], [44, 1, 255]);
        // The corners are the source's own.
        assert_eq!(out[..3], [10, 0, 255]);
        assert_eq!(out[(3 * 4 + 3) * 3..], [200, 0, 255]);
    }

    #[test]
    fn wrong_lengths_and_sides_are_errors() {
        let resizer = Resizer::new((4, 3), (2, 2)).unwrap();
        let mut out = [7; 12];
        assert_eq!(
            resizer.resize(&[0; 35], &mut out),
            Err(ResizeError::WrongSourceLength { expected: 36, found: 35 })
        );
        assert_eq!(
            resizer.resize(&[0; 36], &mut out[..11]),
            Err(ResizeError::WrongTargetLength { expected: 12, found: 11 })
        );
        assert_eq!(out, [7; 12]);
        assert!(matches!(Resizer::new((0, 3), (2, 2)), Err(ResizeError::BadSide { side: 0 })));
        assert!(matches!(Resizer::new((4, 3), (2, usize::MAX)), Err(ResizeError::BadSide { .. })));
    }

    proptest! {
        #[test]
        fn a_flat_frame_stays_flat(
            source in (1usize..40, 1usize..40),
            target in (1usize..40, 1usize..40),
            value in any::<u8>(),
        ) {
            let resizer = Resizer::new(source, target).unwrap();
            let mut out = vec![!value; resizer.target_bytes()];
            resizer.resize(&vec![value; source.0 * source.1 * CHANNELS], &mut out).unwrap();
            prop_assert!(out.iter().all(|byte| *byte == value));
        }

        #[test]
        fn the_same_size_changes_nothing(side in (1usize..12, 1usize..12), seed in any::<u8>()) {
            let resizer = Resizer::new(side, side).unwrap();
            let frame: Vec<u8> =
                (0..resizer.target_bytes()).map(|i| (i as u8).wrapping_mul(37) ^ seed).collect();
            let mut out = vec![0; frame.len()];
            resizer.resize(&frame, &mut out).unwrap();
            prop_assert_eq!(out, frame);
        }
    }
}
