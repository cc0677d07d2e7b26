//! Open screens: the 176x166 panel with its slots, the slot under the cursor, and the cursor.

use super::super::canvas::{Canvas, LAYOUT, Rgba};
use super::super::scene::{GuiKind, GuiView};

/// The panel's size and its top left corner in the layout.
const PANEL: (i32, i32) = (176, 166);
const LEFT: i32 = (LAYOUT.0 - PANEL.0) / 2;
const TOP: i32 = (LAYOUT.1 - PANEL.1) / 2;

const BODY: Rgba = [198, 198, 198, 255];
const DARK: Rgba = [85, 85, 85, 255];
const BRIGHT: Rgba = [255, 255, 255, 255];
const BLACK: Rgba = [0, 0, 0, 255];

/// The panel with its slots and what they hold.
pub(super) fn panel(view: &GuiView<'_>) -> Canvas {
    let mut canvas = Canvas::new(LEFT, TOP, PANEL.0, PANEL.1);
    canvas.fill(LEFT + 1, TOP, PANEL.0 - 2, PANEL.1, BLACK);
    canvas.fill(LEFT, TOP + 1, PANEL.0, PANEL.1 - 2, BLACK);
    canvas.fill(LEFT + 1, TOP + 1, PANEL.0 - 2, PANEL.1 - 2, DARK);
    canvas.fill(LEFT + 1, TOP + 1, PANEL.0 - 4, PANEL.1 - 4, BRIGHT);
    canvas.fill(LEFT + 3, TOP + 3, PANEL.0 - 6, PANEL.1 - 6, BODY);
    match view.kind {
        GuiKind::Inventory => {
            portrait(&mut canvas);
            arrow(&mut canvas, LEFT + 135, TOP + 29, 16);
        }
        GuiKind::CraftingTable => arrow(&mut canvas, LEFT + 90, TOP + 35, 22),
        GuiKind::Furnace => fire(&mut canvas, view.gauges),
    }
    for &(x, y, held) in view.slots {
        let (left, top) = (LEFT.saturating_add(x), TOP.saturating_add(y));
        canvas.fill(left - 1, top - 1, 18, 18, [55, 55, 55, 255]);
        canvas.fill(left, top, 17, 17, BRIGHT);
        canvas.fill(left, top, 16, 16, [139, 139, 139, 255]);
        if let Some(stack) = held {
            canvas.stack(left, top, stack);
        }
    }
    canvas
}

/// The dark box with a figure of the player.
fn portrait(canvas: &mut Canvas) {
    canvas.fill(LEFT + 25, TOP + 7, 53, 72, DARK);
    canvas.fill(LEFT + 26, TOP + 8, 51, 70, BLACK);
    let skin: Rgba = [190, 142, 112, 255];
    let shirt: Rgba = [38, 130, 134, 255];
    let trousers: Rgba = [58, 58, 140, 255];
    canvas.fill(LEFT + 45, TOP + 14, 13, 13, skin);
    canvas.fill(LEFT + 45, TOP + 14, 13, 4, [70, 44, 24, 255]);
    canvas.fill(LEFT + 47, TOP + 21, 2, 2, [250, 250, 250, 255]);
    canvas.fill(LEFT + 54, TOP + 21, 2, 2, [250, 250, 250, 255]);
    canvas.fill(LEFT + 39, TOP + 27, 25, 7, shirt);
    canvas.fill(LEFT + 45, TOP + 34, 13, 13, shirt);
    canvas.fill(LEFT + 39, TOP + 34, 6, 13, skin);
    canvas.fill(LEFT + 58, TOP + 34, 6, 13, skin);
    canvas.fill(LEFT + 45, TOP + 47, 13, 22, trousers);
    canvas.fill(LEFT + 51, TOP + 49, 1, 20, [40, 40, 110, 255]);
}

/// A furnace's flame, which burns down, over its fuel, and its arrow, which fills from the left.
fn fire(canvas: &mut Canvas, [flame, progress]: [u8; 2]) {
    const FLAME: [&str; 14] = [
        ".......f......",
        "......ff......",
        "..f...ff...f..",
        "..ff..fff..f..",
        "..ff.ffff.ff..",
        ".fff.fffffff..",
        ".fffffyfffff..",
        ".ffffyyffyff..",
        "..fffyyyfyff..",
        ".ffyyyyyyyfff.",
        ".ffyywwyyyfff.",
        ".fyywwwwyyyff.",
        "..fywwwwwyff..",
        "...ffwwwff....",
    ];
    let (left, top) = (LEFT + 57, TOP + 36);
    let ash: Rgba = [139, 139, 139, 255];
    canvas.picture(left, top, &FLAME, &[('f', ash), ('y', ash), ('w', ash)]);
    let lit = usize::from(flame).min(FLAME.len());
    let burnt = FLAME.len() - lit;
    let colours = [('f', [216, 92, 16, 255]), ('y', [250, 190, 40, 255]), ('w', [255, 246, 190, 255])];
    canvas.picture(left, top + burnt as i32, &FLAME[burnt..], &colours);
    let (left, top) = (LEFT + 79, TOP + 35);
    arrow(canvas, left, top, 24);
    for column in 0..i32::from(progress).min(24) {
        let (above, tall) = if column < 16 { (6, 3) } else { (column - 16, 15 - 2 * (column - 16)) };
        canvas.fill(left + column, top + above, 1, tall, BRIGHT);
    }
}

/// An arrow to the right from grid to result, centred on a slot's row.
fn arrow(canvas: &mut Canvas, left: i32, top: i32, length: i32) {
    canvas.fill(left, top + 6, length - 7, 3, [139, 139, 139, 255]);
    for step in 0..8 {
        canvas.fill(left + length - 8 + step, top + step, 1, 15 - 2 * step, [139, 139, 139, 255]);
    }
}

/// The cursor's place in whole layout pixels; odd values are brought inside.
fn cursor_at(view: &GuiView<'_>) -> (i32, i32) {
    let inside = |at: f32, limit: i32| (at as i32).clamp(0, limit - 1);
    (inside(view.cursor[0], LAYOUT.0), inside(view.cursor[1], LAYOUT.1))
}

/// A light veil over the slot under the cursor.
pub(super) fn highlight(view: &GuiView<'_>) -> Option<Canvas> {
    let (x, y) = cursor_at(view);
    let corner = |&(left, top, _): &(i32, i32, _)| (LEFT.saturating_add(left), TOP.saturating_add(top));
    // A slot answers to the cursor on its one-pixel border too.
    let under =
        |&(left, top): &(i32, i32)| (left - 1..left + 17).contains(&x) && (top - 1..top + 17).contains(&y);
    let (left, top) = view.slots.iter().map(corner).find(under)?;
    let mut canvas = Canvas::new(left, top, 16, 16);
    canvas.fill(left, top, 16, 16, [255, 255, 255, 128]);
    Some(canvas)
}

/// What the cursor carries, and the cursor: a pale arrow whose tip is the pointed-at pixel.
pub(super) fn cursor(view: &GuiView<'_>) -> Canvas {
    const ARROW: [&str; 16] = [
        "k",
        "kk",
        "kwk",
        "kwwk",
        "kwwwk",
        "kwwwwk",
        "kwwwwwk",
        "kwwwwwwk",
        "kwwwwwwwk",
        "kwwwwwwwwk",
        "kwwwwwkkkkk",
        "kwwkwwk",
        "kwk.kwwk",
        "kk..kwwk",
        "k....kwwk",
        ".....kkk",
    ];
    let (x, y) = cursor_at(view);
    let mut canvas = Canvas::new(x - 9, y - 9, 30, 30);
    if let Some(stack) = view.carried {
        canvas.stack(x - 8, y - 8, stack);
    }
    canvas.picture(x, y, &ARROW, &[('k', BLACK), ('w', BRIGHT)]);
    canvas
}
