//! The player's hand in the lower right corner: a bare arm or the held item, moved by a swing; on the left what the
//! other hand holds, at rest.

use super::super::item::Item;
use super::super::scene::HandView;
use super::super::sprites;

/// Where the arm or a tool rests (left, top) and its size, in the 640x360 layout.
const ARM: ([f32; 2], f32) = ([470.0, 215.0], 130.0);
/// The same for a block.
const CUBE: ([f32; 2], f32) = ([480.0, 255.0], 95.0);

/// Draws the hands over a frame.
pub(super) fn draw(hand: HandView, width: usize, height: usize, out: &mut [u8]) {
    draw_main(hand, width, height, out);
    if let Some(item) = hand.offhand {
        draw_other(item, width, height, out);
    }
}

/// What the other hand holds: the main hand's place and picture, mirrored.
fn draw_other(item: Item, width: usize, height: usize, out: &mut [u8]) {
    let (rest, size) = if sprites::block_of(item).is_some() { CUBE } else { ARM };
    let per_pixel = [640.0 / width as f32, 360.0 / height as f32];
    let right = 640.0 - rest[0];
    let last = ((right / per_pixel[0]) as usize + 1).min(width);
    for y in (rest[1] / per_pixel[1]) as usize..height {
        for x in 0..last {
            let u = (right - (x as f32 + 0.5) * per_pixel[0]) / size;
            let v = ((y as f32 + 0.5) * per_pixel[1] - rest[1]) / size;
            let colour = if u >= 0.0 && v >= 0.0 { held(sprites::of(item), u, v) } else { None };
            if let Some(rgb) = colour {
                let pixel = (y * width + x) * 3;
                out[pixel..pixel + 3].copy_from_slice(&rgb);
            }
        }
    }
}

fn draw_main(hand: HandView, width: usize, height: usize, out: &mut [u8]) {
    let held_block = hand.item.is_some_and(|item| sprites::block_of(item).is_some());
    let (rest, size) = if held_block { CUBE } else { ARM };
    let swing = hand.swing.clamp(0.0, 1.0);
    // A parabola: out towards the crosshair and back.
    let reach = 4.0 * swing * (1.0 - swing);
    let corner = [rest[0] - 90.0 * reach, rest[1] - 30.0 * reach + 40.0 * swing * reach];
    let per_pixel = [640.0 / width as f32, 360.0 / height as f32];
    let first = [corner[0] / per_pixel[0], corner[1] / per_pixel[1]].map(|at| at.max(0.0) as usize);
    for y in first[1]..height {
        for x in first[0]..width {
            let u = ((x as f32 + 0.5) * per_pixel[0] - corner[0]) / size;
            let v = ((y as f32 + 0.5) * per_pixel[1] - corner[1]) / size;
            if u < 0.0 || v < 0.0 {
                continue;
            }
            let colour = match hand.item {
                Some(item) => held(sprites::of(item), u, v),
                None => arm(u, v),
            };
            if let Some(rgb) = colour {
                let pixel = (y * width + x) * 3;
                out[pixel..pixel + 3].copy_from_slice(&rgb);
            }
        }
    }
}

fn held(sprite: &sprites::Sprite, u: f32, v: f32) -> Option<[u8; 3]> {
    if u >= 1.0 || v >= 1.0 {
        return None;
    }
    // Mirrored, so that a tool's handle points at the player.
    let [r, g, b, alpha] = sprite[(v * 16.0) as usize * 16 + 15 - (u * 16.0) as usize].to_le_bytes();
    (alpha != 0).then_some([r, g, b])
}

/// A forearm that rises from the lower right: a slanted bar with a lit and a shaded side.
fn arm(u: f32, v: f32) -> Option<[u8; 3]> {
    // Along the arm from its end at the upper left, and across it.
    let (along, across) = (u * 0.64 + v * 0.77, v * 0.64 - u * 0.77);
    if along < 0.3 || !(-0.24..0.2).contains(&across) {
        return None;
    }
    Some(match across {
        across if along < 0.34 => [206, 158, 128].map(|c: u8| if across > 0.06 { c - 30 } else { c }),
        across if across > 0.06 => [150, 108, 84],
        _ if along > 0.95 => [38, 130, 134],
        _ => [190, 142, 112],
    })
}
