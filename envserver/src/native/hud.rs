//! The heads-up display and open screens, laid over the finished view of the world.

mod bars;
mod screen;

use super::canvas::{Canvas, LAYOUT, Overlay, Rgba};
use super::item::Slot;
use super::scene::{GuiKind, GuiView, HudView};

const HOTBAR_LEFT: i32 = (LAYOUT.0 - 182) / 2;
const HOTBAR_TOP: i32 = LAYOUT.1 - 22;
/// How far left of the hotbar the other hand's slot begins.
const OFFHAND_GAP: i32 = 29;
const HEARTS_TOP: i32 = LAYOUT.1 - 39;

/// Draws overlays; what has not changed since the last frame is not drawn anew.
#[derive(Debug, Default)]
pub struct Hud {
    hud: Option<(HudView, (usize, usize), Overlay)>,
    screen: Option<(ScreenKey, Overlay)>,
}

#[derive(Debug, PartialEq)]
struct ScreenKey {
    kind: GuiKind,
    slots: Vec<(i32, i32, Slot)>,
    gauges: [u8; 2],
    size: (usize, usize),
}

impl Hud {
    /// A painter with nothing remembered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws hotbar, hearts and crosshair over a frame.
    pub fn draw_hud(&mut self, view: &HudView, width: usize, height: usize, out: &mut [u8]) {
        let size = (width, height);
        let fresh = matches!(&self.hud, Some((drawn, at, _)) if drawn == view && *at == size);
        if !fresh {
            self.hud = Some((*view, size, hud_canvas(view).overlay(width, height)));
        }
        if let Some((_, _, overlay)) = &self.hud {
            overlay.apply(out);
        }
    }

    /// Darkens a frame and draws an open screen with its cursor over it.
    pub fn draw_gui(&mut self, view: &GuiView<'_>, width: usize, height: usize, out: &mut [u8]) {
        for value in out.iter_mut() {
            *value = (*value >> 2) + 12;
        }
        let fresh = matches!(&self.screen, Some((drawn, _))
            if drawn.kind == view.kind && drawn.slots == view.slots && drawn.gauges == view.gauges && drawn.size == (width, height));
        if !fresh {
            let (kind, gauges) = (view.kind, view.gauges);
            let key = ScreenKey { kind, slots: view.slots.to_vec(), gauges, size: (width, height) };
            self.screen = Some((key, screen::panel(view).overlay(width, height)));
        }
        if let Some((_, overlay)) = &self.screen {
            overlay.apply(out);
        }
        if let Some(highlight) = screen::highlight(view) {
            highlight.overlay(width, height).apply(out);
        }
        screen::cursor(view).overlay(width, height).apply(out);
    }
}

/// The hotbar with its contents, the bars above it, and the crosshair, on one canvas.
fn hud_canvas(view: &HudView) -> Canvas {
    // From the crosshair down, as wide as the hotbar with its selector and what the other hand holds.
    let top = LAYOUT.1 / 2 - 8;
    let beside = if view.offhand.is_some() { OFFHAND_GAP } else { 2 };
    let mut canvas = Canvas::new(HOTBAR_LEFT - beside, top, 184 + beside, LAYOUT.1 - top);
    crosshair(&mut canvas);
    hearts(&mut canvas, view.hearts);
    if view.armour > 0 {
        bars::armour(&mut canvas, view.armour);
    }
    if let Some(points) = view.food {
        bars::food(&mut canvas, points);
    }
    if let Some(bubbles) = view.bubbles {
        bars::breath(&mut canvas, bubbles);
    }
    canvas.fill(HOTBAR_LEFT, HOTBAR_TOP - 7, 182, 5, [20, 20, 20, 200]);
    canvas.fill(HOTBAR_LEFT, HOTBAR_TOP, 182, 22, [20, 20, 20, 235]);
    canvas.fill(HOTBAR_LEFT + 1, HOTBAR_TOP + 1, 180, 20, [150, 150, 150, 255]);
    for (slot, held) in (0..).zip(view.hotbar) {
        let left = HOTBAR_LEFT + 1 + 20 * slot;
        canvas.fill(left + 1, HOTBAR_TOP + 2, 18, 18, [92, 92, 92, 255]);
        if let Some(stack) = held {
            canvas.stack(left + 2, HOTBAR_TOP + 3, stack);
        }
    }
    if let Some(stack) = view.offhand {
        let left = HOTBAR_LEFT - OFFHAND_GAP;
        canvas.fill(left, HOTBAR_TOP, 22, 22, [20, 20, 20, 235]);
        canvas.fill(left + 1, HOTBAR_TOP + 1, 20, 20, [150, 150, 150, 255]);
        canvas.fill(left + 2, HOTBAR_TOP + 2, 18, 18, [92, 92, 92, 255]);
        canvas.stack(left + 3, HOTBAR_TOP + 3, stack);
    }
    let left = HOTBAR_LEFT - 1 + 20 * view.selected.min(8) as i32;
    for (inset, colour) in [(0, [30, 30, 30, 255]), (1, [240, 240, 240, 255]), (2, [200, 200, 200, 255])] {
        frame(&mut canvas, [left + inset, HOTBAR_TOP - 1 + inset, 24 - 2 * inset, 24 - 2 * inset], colour);
    }
    canvas
}

/// The outline of a rectangle (left, top, width, height), one layout pixel thick.
fn frame(canvas: &mut Canvas, [left, top, width, height]: [i32; 4], colour: Rgba) {
    canvas.fill(left, top, width, 1, colour);
    canvas.fill(left, top + height - 1, width, 1, colour);
    canvas.fill(left, top, 1, height, colour);
    canvas.fill(left + width - 1, top, 1, height, colour);
}

fn crosshair(canvas: &mut Canvas) {
    let (x, y) = (LAYOUT.0 / 2, LAYOUT.1 / 2);
    canvas.fill(x - 4, y, 9, 1, [235, 235, 235, 220]);
    canvas.fill(x, y - 4, 1, 9, [235, 235, 235, 220]);
}

/// Ten hearts of two points each.
fn hearts(canvas: &mut Canvas, points: u8) {
    const HEART: [&str; 9] = [
        ".kk...kk.",
        "kllk.klrk",
        "klrrkrrrk",
        "klrrrrrrk",
        "krrrrrrrk",
        ".krrrrrk.",
        "..krrrk..",
        "...krk...",
        "....k....",
    ];
    let empty: [Rgba; 2] = [[52, 12, 12, 255], [52, 12, 12, 255]];
    let full: [Rgba; 2] = [[214, 24, 24, 255], [255, 120, 120, 255]];
    for heart in 0..10 {
        let left = HOTBAR_LEFT + 8 * heart;
        let filled = i32::from(points) - 2 * heart;
        for column in 0..9 {
            let [red, light] = if filled >= 2 || (filled == 1 && column < 4) { full } else { empty };
            for (y, row) in (HEARTS_TOP..).zip(HEART) {
                match row.as_bytes()[column as usize] {
                    b'k' => canvas.dot(left + column, y, [20, 4, 4, 255]),
                    b'l' => canvas.dot(left + column, y, light),
                    b'r' => canvas.dot(left + column, y, red),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::{Item, Stack};

    fn view() -> HudView {
        HudView {
            hotbar: [None; 9],
            offhand: None,
            selected: 0,
            hearts: 20,
            armour: 0,
            food: None,
            bubbles: None,
        }
    }

    #[test]
    fn what_is_held_selected_and_lived_shows() {
        let draw = |view: &HudView| {
            let mut out = vec![100; 128 * 128 * 3];
            Hud::new().draw_hud(view, 128, 128, &mut out);
            out
        };
        let plain = draw(&view());
        let mut held = view();
        held.hotbar[4] = Some(Stack::new(Item::Log, 1));
        let mut more = view();
        more.hotbar[4] = Some(Stack::new(Item::Log, 23));
        let frames = [
            plain.clone(),
            draw(&HudView { selected: 3, ..view() }),
            draw(&HudView { hearts: 3, ..view() }),
            draw(&HudView { food: Some(20), ..view() }),
            draw(&HudView { food: Some(7), ..view() }),
            draw(&HudView { food: Some(7), bubbles: Some(4), ..view() }),
            draw(&HudView { armour: 1, ..view() }),
            draw(&HudView { armour: 15, ..view() }),
            draw(&HudView { offhand: Some(Stack::new(Item::Torch, 3)), ..view() }),
            draw(&held),
            draw(&more),
        ];
        for (first, a) in frames.iter().enumerate() {
            assert!(frames[..first].iter().all(|b| a != b), "frame {first} shows no difference");
        }
        assert_eq!(plain[..128 * 3 * 60], vec![100; 128 * 3 * 60], "nothing above the crosshair");
    }

    #[test]
    fn remembered_overlays_equal_fresh_ones() {
        let mut painter = Hud::new();
        let slots = [(8, 84, Some(Stack::new(Item::Planks, 4))), (8, 142, None)];
        let mut gui = GuiView {
            kind: GuiKind::Inventory,
            slots: &slots,
            carried: None,
            cursor: [320.0, 180.0],
            gauges: [0; 2],
        };
        for step in 0..4 {
            gui.cursor = [240.0 + step as f32 * 3.0, 185.0];
            let mut remembered = vec![80; 64 * 64 * 3];
            let mut fresh = remembered.clone();
            painter.draw_hud(&view(), 64, 64, &mut remembered);
            painter.draw_gui(&gui, 64, 64, &mut remembered);
            let mut anew = Hud::new();
            anew.draw_hud(&view(), 64, 64, &mut fresh);
            anew.draw_gui(&gui, 64, 64, &mut fresh);
            assert_eq!(remembered, fresh);
        }
    }

    #[test]
    fn odd_views_do_not_panic() {
        let slots = [(-400, 900, Some(Stack::new(Item::Stick, 255)))];
        let carried = Some(Stack::new(Item::Coal, 64));
        for cursor in [[0.0, 0.0], [640.0, 360.0], [-1e9, f32::NAN], [f32::INFINITY, 5.0]] {
            for (width, height) in [(1, 1), (3, 200), (64, 64), (1000, 700)] {
                let mut out = vec![0; width * height * 3];
                let gui = GuiView {
                    kind: GuiKind::CraftingTable,
                    slots: &slots,
                    carried,
                    cursor,
                    gauges: [200, 99],
                };
                let mut painter = Hud::new();
                painter.draw_hud(&HudView { selected: 90, ..view() }, width, height, &mut out);
                painter.draw_gui(&gui, width, height, &mut out);
            }
        }
    }
}
