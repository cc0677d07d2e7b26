//! A game's picture as frames: the cursor drawn, scaled as the policy's are.

use vpt_proto::cursor::{Cursor, composite};

use crate::games::scaling::Scaling;

/// Makes frames of pictures.
pub(super) struct Framer {
    cursor: Cursor,
    pub(super) scaling: Scaling,
}

impl Framer {
    /// For pictures of that width; the cursor is 16 pixels in one of 640.
    pub(super) fn new(width: usize) -> Self {
        let arrow = Cursor::arrow();
        Self { cursor: if width < 640 { halved(&arrow) } else { arrow }, scaling: Scaling::default() }
    }

    /// Draws the cursor, if there is one, into a picture of `size` (width, height).
    pub(super) fn draw_cursor(&self, picture: &mut [u8], size: (usize, usize), at: Option<(i32, i32)>) {
        if let Some((x, y)) = at {
            // The picture is as long as its size says: it comes from the page.
            let _ = composite(picture, size.0, size.1, &self.cursor, f64::from(x), f64::from(y));
        }
    }
}

/// A cursor half as large, each pixel the mean of four.
fn halved(cursor: &Cursor) -> Cursor {
    let (width, height) = (cursor.width() / 2, cursor.height() / 2);
    let at =
        |x: usize, y: usize, channel: usize| u32::from(cursor.rgba()[(y * cursor.width() + x) * 4 + channel]);
    let mut rgba = Vec::with_capacity(width * height * 4);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..4 {
                let sum = at(2 * x, 2 * y, channel)
                    + at(2 * x + 1, 2 * y, channel)
                    + at(2 * x, 2 * y + 1, channel)
                    + at(2 * x + 1, 2 * y + 1, channel);
                rgba.push((sum / 4) as u8);
            }
        }
    }
    Cursor::from_rgba(width, height, rgba).unwrap_or_else(|_| Cursor::arrow())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_as_large_a_part_of_a_small_picture() {
        assert_eq!(Framer::new(320).cursor.width() * 2, Framer::new(640).cursor.width());
        let drawn = |width: usize| {
            let mut picture = vec![100; width * width * 9 / 16 * 3];
            Framer::new(width).draw_cursor(&mut picture, (width, width * 9 / 16), Some((10, 10)));
            picture.iter().filter(|value| **value != 100).count()
        };
        assert!(drawn(320) > 0 && drawn(640) > 3 * drawn(320));
    }
}
