//! Item drops: pictures that face the eye, drawn over the finished frame where nothing is nearer.

use super::super::scene::Scene;
use super::super::sprites;
use super::view::{FAR, View};

/// Nearer than this an item is not drawn: it would fill the frame.
const NEAREST: f32 = 0.25;

/// Draws every item drop of the scene, the farthest first.
pub(super) fn draw(view: &View, scene: &Scene<'_>, depths: &[f32], out: &mut [u8]) {
    let mut seen: Vec<_> = scene
        .entities
        .iter()
        .map(|entity| (entity, view.project(entity.center, scene.eye)))
        .filter(|(_, (_, depth))| (NEAREST..FAR).contains(depth))
        .collect();
    seen.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    for (entity, ([column, row], depth)) in seen {
        let [wide, tall] = view.pixels_per_block().map(|pixels| pixels * entity.size / depth);
        let sprite = sprites::of(entity.item);
        let [x, y, z] = entity.center.map(|at| at.floor() as i32);
        let bright = view.brightness_of(scene.voxels.light(x, y, z));
        let (left, top) = (column - wide * 0.5, row - tall * 0.5);
        for y in pixels(top, tall, view.height) {
            for x in pixels(left, wide, view.width) {
                let u = ((x as f32 + 0.5 - left) / wide * 16.0).clamp(0.0, 15.0) as usize;
                let v = ((y as f32 + 0.5 - top) / tall * 16.0).clamp(0.0, 15.0) as usize;
                let texel = sprite[v * 16 + u];
                let pixel = y * view.width + x;
                if texel >> 24 != 0 && depth < depths[pixel] {
                    let [red, green, blue, _] = texel.to_le_bytes();
                    let lit = [red, green, blue].map(|channel| (f32::from(channel) * bright) as u8);
                    out[pixel * 3..pixel * 3 + 3].copy_from_slice(&lit);
                }
            }
        }
    }
}

/// The pixels, within `0..limit`, whose centres a span from `start` covers.
fn pixels(start: f32, length: f32, limit: usize) -> std::ops::Range<usize> {
    let bound = |at: f32| (at + 0.5).clamp(0.0, limit as f32) as usize;
    bound(start)..bound(start + length)
}
