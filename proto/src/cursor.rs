//! The mouse cursor of recorded play: a drawing of our own, and the rule that blends one into a frame.
//!
//! Recorded frames come without the cursor, which VPT's data loader draws while a screen is open, before the frame
//! is resized (Baker et al. 2022, <https://arxiv.org/abs/2206.11795>; code at
//! <https://github.com/openai/Video-Pre-Training>). The blend is done in `f64` and truncated, as there: rounding
//! would differ by one in many pixels. The picture is not the one of that repository but drawn here by formula.

/// Channels of a frame: red, green, blue.
const FRAME_CHANNELS: usize = 3;

/// Channels of a cursor: red, green, blue, alpha.
const CURSOR_CHANNELS: usize = 4;

/// Side of the arrow, in pixels.
pub const ARROW_SIDE: usize = 16;

/// Samples along each side of a pixel of the arrow, for soft edges.
const ARROW_SAMPLES: usize = 4;

/// Width of the arrow's dark rim, in pixels.
const ARROW_RIM: f64 = 1.2;

/// Grey of the arrow inside its rim.
const ARROW_LIGHT: usize = 250;

/// Grey of the arrow's rim.
const ARROW_DARK: usize = 20;

/// Why a cursor could not be made or drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The picture or the frame is not as long as its sides say.
    #[error("{width}x{height} pixels of {channels} bytes do not make {found} bytes")]
    WrongLength {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// Bytes a pixel.
        channels: usize,
        /// Bytes given.
        found: usize,
    },
}

/// A picture with transparency, u8 `[height, width, 4]` in the order red, green, blue, alpha (not premultiplied).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Cursor {
    /// A cursor of `width` x `height` pixels from `rgba`, u8 `[height, width, 4]`.
    ///
    /// # Errors
    /// When `rgba` is not exactly that long.
    pub fn from_rgba(width: usize, height: usize, rgba: Vec<u8>) -> Result<Self, CursorError> {
        check_length(width, height, CURSOR_CHANNELS, rgba.len())?;
        Ok(Self { width, height, rgba })
    }

    /// A light arrow with a dark rim, [`ARROW_SIDE`] pixels square, its tip at the top left.
    pub fn arrow() -> Self {
        let mut rgba = Vec::with_capacity(ARROW_SIDE * ARROW_SIDE * CURSOR_CHANNELS);
        for y in 0..ARROW_SIDE {
            for x in 0..ARROW_SIDE {
                let [grey, alpha] = arrow_pixel(x, y);
                rgba.extend([grey, grey, grey, alpha]);
            }
        }
        Self { width: ARROW_SIDE, height: ARROW_SIDE, rgba }
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The picture, u8 `[height, width, 4]`.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }
}

/// Grey and alpha of one pixel of the arrow, averaged over its samples.
fn arrow_pixel(x: usize, y: usize) -> [u8; 2] {
    let (mut covered, mut grey) = (0, 0);
    for sample in 0..ARROW_SAMPLES * ARROW_SAMPLES {
        let within = |index: usize| (index as f64 + 0.5) / ARROW_SAMPLES as f64;
        let depth =
            arrow_depth(x as f64 + within(sample % ARROW_SAMPLES), y as f64 + within(sample / ARROW_SAMPLES));
        if depth > 0.0 {
            covered += 1;
            grey += if depth > ARROW_RIM { ARROW_LIGHT } else { ARROW_DARK };
        }
    }
    // Both quotients fit: an average of greys, and a part of 255.
    [(grey / covered.max(1)) as u8, (255 * covered / (ARROW_SAMPLES * ARROW_SAMPLES)) as u8]
}

/// How far inside the arrow a point lies, in pixels; negative outside.
///
/// The arrow is what three lines leave: the left edge, the diagonal from the tip, and a slanted base.
fn arrow_depth(x: f64, y: f64) -> f64 {
    let to_diagonal = (y - x) / 2f64.sqrt();
    let to_base = (15.0 - 0.4 * x - y) / (1.0 + 0.4f64 * 0.4).sqrt();
    x.min(to_diagonal).min(to_base)
}

/// Blends `cursor` into `frame` (u8 `[height, width, 3]`), its top-left corner at the pixel that holds `x`, `y`.
///
/// `x` and `y` are in pixels of the frame (a recorded mouse position times frame height over window height) and
/// are truncated toward zero. What falls outside the frame is left out.
///
/// # Errors
/// When `frame` is not exactly `width * height * 3` bytes long.
pub fn composite(
    frame: &mut [u8],
    width: usize,
    height: usize,
    cursor: &Cursor,
    x: f64,
    y: f64,
) -> Result<(), CursorError> {
    check_length(width, height, FRAME_CHANNELS, frame.len())?;
    let (columns, skipped_columns) = overlap(x, cursor.width, width);
    let (rows, skipped_rows) = overlap(y, cursor.height, height);
    for (index, row) in rows.enumerate() {
        let frame_row =
            &mut frame[(row * width + columns.start) * FRAME_CHANNELS..][..columns.len() * FRAME_CHANNELS];
        let cursor_start = (skipped_rows + index) * cursor.width + skipped_columns;
        let cursor_row = &cursor.rgba[cursor_start * CURSOR_CHANNELS..];
        for (pixel, over) in
            frame_row.chunks_exact_mut(FRAME_CHANNELS).zip(cursor_row.chunks_exact(CURSOR_CHANNELS))
        {
            blend(pixel, over);
        }
    }
    Ok(())
}

/// The frame positions along one axis that a cursor of `length` at `at` covers, and how many of its own come before.
fn overlap(at: f64, length: usize, side: usize) -> (std::ops::Range<usize>, usize) {
    // A float to integer cast truncates and saturates; what is not a number counts as zero.
    let at = at as i64;
    let skipped = usize::try_from(at.min(0).unsigned_abs()).unwrap_or(usize::MAX).min(length);
    let start = usize::try_from(at.max(0)).unwrap_or(usize::MAX).min(side);
    (start..start + (length - skipped).min(side - start), skipped)
}

/// Blends one pixel, in this order of operations, and truncates.
fn blend(pixel: &mut [u8], over: &[u8]) {
    let alpha = f64::from(over[3]) / 255.0;
    for (value, colour) in pixel.iter_mut().zip(over) {
        *value = (f64::from(*value) * (1.0 - alpha) + f64::from(*colour) * alpha) as u8;
    }
}

fn check_length(width: usize, height: usize, channels: usize, found: usize) -> Result<(), CursorError> {
    let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
    if expected == Some(found) {
        Ok(())
    } else {
        Err(CursorError::WrongLength { width, height, channels, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels across, one down: half-transparent, then opaque.
    fn pair() -> Cursor {
        Cursor::from_rgba(2, 1, vec![200, 0, 255, 128, 1, 2, 3, 255]).unwrap()
    }

    #[test]
    fn a_blend_is_truncated() {
        let mut frame = [100, 101, 255, 9, 9, 9];
        composite(&mut frame, 2, 1, &pair(), 0.0, 0.0).unwrap();
        // 100 * 127/255 + 200 * 128/255 = 150.196, 101 * 127/255 = 50.302, 255 stays.
        assert_eq!(frame, [150, 50, 255, 1, 2, 3]);
        let faint = Cursor::from_rgba(1, 1, vec![255, 255, 0, 1]).unwrap();
        let mut frame = [0, 1, 200];
        composite(&mut frame, 1, 1, &faint, 0.0, 0.0).unwrap();
        // 255/255 = 1, 1 * 254/255 + 1 = 1.996, 200 * 254/255 = 199.2.
        assert_eq!(frame, [1, 1, 199]);
    }

    #[test]
    fn positions_are_truncated_and_nothing_else_is_touched() {
        let mut frame = [50; 4 * 3 * 3];
        composite(&mut frame, 4, 3, &pair(), 1.99, 2.5).unwrap();
        let mut expected = [50; 4 * 3 * 3];
        expected[(2 * 4 + 1) * 3..(2 * 4 + 3) * 3].copy_from_slice(&[125, 24, 152, 1, 2, 3]);
        assert_eq!(frame, expected);
    }

    #[test]
    fn what_falls_outside_is_left_out() {
        let drawn = |x: f64, y: f64| {
            let mut frame = [50; 2 * 2 * 3];
            composite(&mut frame, 2, 2, &pair(), x, y).unwrap();
            frame
        };
        assert_eq!(drawn(1.0, 1.0)[9..], [125, 24, 152]);
        assert_eq!(drawn(-1.0, 0.0), [1, 2, 3, 50, 50, 50, 50, 50, 50, 50, 50, 50]);
        assert_eq!(drawn(-0.9, 0.0), drawn(0.0, 0.0));
        for (x, y) in [(2.0, 0.0), (0.0, 2.0), (0.0, -1.0), (-2.0, 0.0), (1e300, 0.0), (0.0, -1e300)] {
            assert_eq!(drawn(x, y), [50; 12], "{x} {y}");
        }
        assert_eq!(drawn(f64::NAN, 0.0), drawn(0.0, 0.0));
    }

    #[test]
    fn the_arrow_is_a_rimmed_pointer() {
        let arrow = Cursor::arrow();
        assert_eq!((arrow.width(), arrow.height()), (ARROW_SIDE, ARROW_SIDE));
        let at =
            |x: usize, y: usize| &arrow.rgba()[(y * ARROW_SIDE + x) * CURSOR_CHANNELS..][..CURSOR_CHANNELS];
        assert_eq!(at(0, 5), [20, 20, 20, 255]);
        assert_eq!(at(3, 9), [250, 250, 250, 255]);
        assert_eq!(at(15, 0)[3], 0);
        assert_eq!(at(15, 15)[3], 0);
        // The tip is cut by the diagonal: part of a pixel.
        assert!((1..255).contains(&at(0, 0)[3]));
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(Cursor::from_rgba(2, 2, vec![0; 15]).is_err());
        assert!(Cursor::from_rgba(usize::MAX, 2, vec![]).is_err());
        let error = composite(&mut [0; 11], 2, 2, &pair(), 0.0, 0.0).unwrap_err();
        assert_eq!(error, CursorError::WrongLength { width: 2, height: 2, channels: 3, found: 11 });
    }
}
