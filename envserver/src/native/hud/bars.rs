//! The bars above the hotbar: drumsticks of food and bubbles of breath on the right, plates of armour above the
//! hearts.

use super::{HEARTS_TOP, HOTBAR_LEFT};
use crate::native::canvas::{Canvas, Rgba};

/// Right edge of the hotbar.
const RIGHT: i32 = HOTBAR_LEFT + 182;

const DRUMSTICK: [&str; 9] = [
    "...kkkk..",
    "..kmmmmk.",
    ".kmmmmmk.",
    ".kmmmmmk.",
    ".kmmmmk..",
    "..kkmk...",
    ".kbk.....",
    "kbbk.....",
    ".kk......",
];

const BUBBLE: [&str; 9] = [
    "..kkkkk..",
    ".kw....k.",
    "kww.....k",
    "kw......k",
    "k.......k",
    "k.......k",
    "k.......k",
    ".k.....k.",
    "..kkkkk..",
];

const PLATE: [&str; 9] = [
    ".kk...kk.",
    "kppkkkppk",
    "kpppppppk",
    "kpppppppk",
    ".kpppppk.",
    ".kpppppk.",
    ".kpppppk.",
    ".kpppppk.",
    "..kkkkk..",
];

/// Ten plates of two points each, above the hearts.
pub(super) fn armour(canvas: &mut Canvas, points: u8) {
    let (steel, bare): (Rgba, Rgba) = ([206, 208, 214, 255], [58, 58, 62, 255]);
    for plate in 0..10 {
        let filled = i32::from(points) - 2 * plate;
        icon(canvas, &PLATE, (HOTBAR_LEFT + 8 * plate, HEARTS_TOP - 10), |letter, column| match letter {
            b'k' => Some([18, 18, 22, 255]),
            b'p' => Some(if filled >= 2 || (filled == 1 && column < 4) { steel } else { bare }),
            _ => None,
        });
    }
}

/// Ten drumsticks of two points each, from the right.
pub(super) fn food(canvas: &mut Canvas, points: u8) {
    let (meat, eaten): (Rgba, Rgba) = ([178, 104, 44, 255], [52, 30, 12, 255]);
    for stick in 0..10 {
        let left = RIGHT - 9 - 8 * stick;
        let filled = i32::from(points) - 2 * stick;
        icon(canvas, &DRUMSTICK, (left, HEARTS_TOP), |letter, column| match letter {
            b'k' => Some([24, 14, 4, 255]),
            b'm' => Some(if filled >= 2 || (filled == 1 && column > 4) { meat } else { eaten }),
            b'b' => Some([226, 214, 190, 255]),
            _ => None,
        });
    }
}

/// Bubbles of breath, from the right, above the food.
pub(super) fn breath(canvas: &mut Canvas, bubbles: u8) {
    for bubble in 0..i32::from(bubbles.min(10)) {
        icon(canvas, &BUBBLE, (RIGHT - 9 - 8 * bubble, HEARTS_TOP - 10), |letter, _| match letter {
            b'k' => Some([60, 110, 214, 255]),
            b'w' => Some([236, 244, 255, 255]),
            _ => None,
        });
    }
}

fn icon(
    canvas: &mut Canvas,
    rows: &[&str; 9],
    (left, top): (i32, i32),
    colour: impl Fn(u8, i32) -> Option<Rgba>,
) {
    for (y, row) in (top..).zip(rows) {
        for (column, letter) in (0..).zip(row.bytes()) {
            if let Some(colour) = colour(letter, column) {
                canvas.dot(left + column, y, colour);
            }
        }
    }
}
