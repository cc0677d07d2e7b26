//! Two-dimensional drawing in the fixed 640x360 layout, brought to any frame size by exact area
//! averaging (integers only), kept as an overlay that is cheap to lay over many frames.

use super::item::Stack;
use super::sprites;

/// The layout's width and height.
pub(super) const LAYOUT: (i32, i32) = (640, 360);

/// A colour with opacity: red, green, blue, alpha.
pub(super) type Rgba = [u8; 4];

/// A rectangle of the layout being drawn on.
#[derive(Debug)]
pub(super) struct Canvas {
    left: i32,
    top: i32,
    width: i32,
    height: i32,
    /// Premultiplied by alpha.
    pixels: Vec<Rgba>,
}

/// A canvas brought to a frame size: what to add to each covered pixel and how much of it to keep.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Byte offset in the frame, premultiplied colour, and the kept share in 256ths.
    covered: Vec<(u32, [u8; 3], u16)>,
}

impl Canvas {
    /// An empty canvas over a rectangle of the layout.
    pub(super) fn new(left: i32, top: i32, width: i32, height: i32) -> Self {
        Self { left, top, width, height, pixels: vec![[0; 4]; (width * height) as usize] }
    }

    /// Lays a colour over one pixel of the layout; outside the canvas nothing happens.
    pub(super) fn dot(&mut self, x: i32, y: i32, colour: Rgba) {
        let (column, row) = (x - self.left, y - self.top);
        if !(0..self.width).contains(&column) || !(0..self.height).contains(&row) {
            return;
        }
        let pixel = &mut self.pixels[(row * self.width + column) as usize];
        let alpha = u32::from(colour[3]);
        let over = [colour[0], colour[1], colour[2], 255];
        for (old, new) in pixel.iter_mut().zip(over) {
            *old = ((u32::from(new) * alpha + u32::from(*old) * (255 - alpha) + 127) / 255) as u8;
        }
    }

    /// Fills a rectangle of the layout.
    pub(super) fn fill(&mut self, left: i32, top: i32, width: i32, height: i32, colour: Rgba) {
        for y in top..top + height {
            for x in left..left + width {
                self.dot(x, y, colour);
            }
        }
    }

    /// Draws a picture given as rows of letters, each letter standing for a colour of the palette.
    pub(super) fn picture(&mut self, left: i32, top: i32, rows: &[&str], palette: &[(char, Rgba)]) {
        for (y, row) in (top..).zip(rows) {
            for (x, letter) in (left..).zip(row.chars()) {
                if let Some((_, colour)) = palette.iter().find(|(name, _)| *name == letter) {
                    self.dot(x, y, *colour);
                }
            }
        }
    }

    /// Draws an item's 16x16 picture and, for more than one, its count.
    pub(super) fn stack(&mut self, left: i32, top: i32, stack: Stack) {
        for (at, texel) in sprites::of(stack.item).iter().enumerate() {
            let at = at as i32;
            self.dot(left + at % 16, top + at / 16, texel.to_le_bytes());
        }
        if stack.count != 1 {
            self.number(left + 17, top + 9, stack.count);
        }
        if let Some(whole) = stack.item.durability().filter(|_| stack.worn > 0) {
            self.durability(left + 2, top + 13, stack.worn, whole);
        }
    }

    /// Draws how much of a tool is left: a bar that shortens from green to red.
    fn durability(&mut self, left: i32, top: i32, worn: u16, whole: u16) {
        let whole = u32::from(whole);
        let kept = whole.saturating_sub(u32::from(worn));
        let [red, green] = [whole - kept, kept].map(|part| (part * 510 / whole).min(255) as u8);
        self.fill(left, top, 13, 2, [0, 0, 0, 255]);
        self.fill(left, top, ((kept * 26 + whole) / (2 * whole)) as i32, 1, [red, green, 0, 255]);
    }

    /// Draws a number that ends before `right`, white with a shadow.
    fn number(&mut self, right: i32, top: i32, number: u8) {
        let digits = number.to_string();
        let mut x = right - 6 * digits.len() as i32;
        for digit in digits.bytes() {
            let rows = DIGITS[usize::from(digit - b'0')];
            for (shift, colour) in [(1, [62, 62, 62, 255]), (0, [255, 255, 255, 255])] {
                for (y, row) in (top + shift..).zip(rows) {
                    for bit in (0..5).filter(|bit| row >> (4 - bit) & 1 == 1) {
                        self.dot(x + shift + bit, y, colour);
                    }
                }
            }
            x += 6;
        }
    }

    /// Brings the canvas to a frame of the given size.
    pub(super) fn overlay(&self, width: usize, height: usize) -> Overlay {
        let columns = spans(self.left, self.width, LAYOUT.0, width);
        let rows = spans(self.top, self.height, LAYOUT.1, height);
        let whole = (LAYOUT.0 * LAYOUT.1) as u32;
        let mut covered = Vec::new();
        for row in &rows {
            for column in &columns {
                let mut sums = [0u32; 4];
                for &(y, tall) in &row.parts {
                    for &(x, wide) in &column.parts {
                        let pixel = self.pixels[(y * self.width + x) as usize];
                        for (sum, value) in sums.iter_mut().zip(pixel) {
                            *sum += u32::from(value) * wide * tall;
                        }
                    }
                }
                let [red, green, blue, alpha] = sums.map(|sum| (sum + whole / 2) / whole);
                if alpha > 0 {
                    let at = (row.pixel * width + column.pixel) * 3;
                    let kept = 256 - (alpha * 256 + 127) / 255;
                    covered.push((at as u32, [red, green, blue].map(|c| c as u8), kept as u16));
                }
            }
        }
        Overlay { covered }
    }
}

impl Overlay {
    /// Lays the overlay over a frame of the size it was made for.
    pub(super) fn apply(&self, out: &mut [u8]) {
        for &(at, colour, kept) in &self.covered {
            let at = at as usize;
            for (old, new) in out[at..at + 3].iter_mut().zip(colour) {
                let under = (u32::from(*old) * u32::from(kept)) >> 8;
                *old = (u32::from(new) + under).min(255) as u8;
            }
        }
    }
}

/// One frame row or column and the canvas rows or columns under it, with their weights.
struct Span {
    pixel: usize,
    parts: Vec<(i32, u32)>,
}

/// Which of `count` frame pixels along one direction meet `length` canvas pixels from `start`.
fn spans(start: i32, length: i32, layout: i32, count: usize) -> Vec<Span> {
    let count = count as i64;
    let layout = i64::from(layout);
    // In units of 1 / count of a layout pixel all bounds are whole numbers.
    let part = |pixel: i64, cell: i64| {
        let (from, to) = (pixel * layout, (pixel + 1) * layout);
        let (cell_from, cell_to) = (cell * count, (cell + 1) * count);
        (to.min(cell_to) - from.max(cell_from)).max(0) as u32
    };
    let mut spans = Vec::new();
    for pixel in 0..count {
        let first = (pixel * layout / count - i64::from(start)).max(0);
        let last = (((pixel + 1) * layout + count - 1) / count - i64::from(start)).min(i64::from(length));
        let parts: Vec<_> = (first..last)
            .map(|cell| (cell as i32, part(pixel, cell + i64::from(start))))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        if !parts.is_empty() {
            spans.push(Span { pixel: pixel as usize, parts });
        }
    }
    spans
}

/// The digits as five-bit rows.
static DIGITS: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 6, 8, 16, 31],
    [14, 17, 1, 6, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 4, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_cover_each_frame_pixel_exactly() {
        for count in [1, 64, 128, 225, 640, 1000] {
            let spans = spans(0, 640, 640, count);
            assert_eq!(spans.len(), count);
            for span in spans {
                assert_eq!(span.parts.iter().map(|(_, weight)| weight).sum::<u32>(), 640);
            }
        }
    }

    #[test]
    fn a_frame_of_the_layouts_size_gets_the_canvas_itself() {
        let mut canvas = Canvas::new(10, 20, 4, 4);
        canvas.fill(11, 21, 2, 1, [200, 100, 50, 255]);
        canvas.dot(900, -4, [1, 1, 1, 255]);
        let mut out = vec![9; 640 * 360 * 3];
        canvas.overlay(640, 360).apply(&mut out);
        for (pixel, rgb) in out.chunks_exact(3).enumerate() {
            let (x, y) = (pixel % 640, pixel / 640);
            let inside = y == 21 && (11..13).contains(&x);
            assert_eq!(rgb, if inside { [200, 100, 50] } else { [9; 3] }, "{x} {y}");
        }
    }

    #[test]
    fn half_covered_pixels_are_mixed() {
        let mut canvas = Canvas::new(0, 0, 5, 360);
        canvas.fill(0, 0, 5, 360, [255, 255, 255, 255]);
        let mut out = vec![0; 64 * 64 * 3];
        canvas.overlay(64, 64).apply(&mut out);
        assert!((126..=129).contains(&out[0]), "half of ten layout pixels: {}", out[0]);
        assert_eq!(out[3], 0);
    }
}
