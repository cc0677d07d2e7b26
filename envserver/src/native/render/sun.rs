//! Sun, moon and stars: squares drawn over the finished frame where rays met nothing.

use super::super::scene::Scene;
use super::super::sky::Sky;
use super::super::textures::noise;
use super::view::View;

/// Half the side of sun and moon, and how far away they are drawn.
const HALF: f32 = 4.0;
const AWAY: f32 = 50.0;
const STARS: usize = 220;

/// Draws what stands in the sky.
pub(super) fn draw(view: &View, scene: &Scene<'_>, sky: &Sky, depths: &[f32], out: &mut [u8]) {
    let night = 1.0 - f32::from(sky.step) / 60.0;
    if night > 0.3 {
        for star in 0..STARS {
            let part = |salt: u32| noise(star, star >> 8, salt) as f32 / 127.5 - 1.0;
            let towards = [part(201), part(202).abs() + 0.05, part(203)];
            let shine = night * (120.0 + 100.0 * part(204).abs());
            square(view, (towards, 0.0), [shine; 3], depths, out);
        }
    }
    let sun = Sky::sun(scene.time);
    square(view, (sun, HALF), [255.0, 244.0, 190.0], depths, out);
    square(view, (sun.map(|part| -part), HALF * 0.7), [222.0, 226.0, 236.0], depths, out);
}

/// A square around a direction that faces the eye, at least one pixel; nothing below the horizon.
fn square(view: &View, (towards, half): ([f32; 3], f32), colour: [f32; 3], depths: &[f32], out: &mut [u8]) {
    let point = towards.map(|part| part * AWAY);
    let ([column, row], depth) = view.project(point, [0.0; 3]);
    if depth < 1.0 || towards[1] < -0.1 {
        return;
    }
    let [wide, tall] = view.pixels_per_block().map(|pixels| pixels * half / depth);
    for y in pixels(row - tall, row + tall, view.height) {
        for x in pixels(column - wide, column + wide, view.width) {
            let pixel = y * view.width + x;
            if depths[pixel] == f32::INFINITY {
                out[pixel * 3..pixel * 3 + 3].copy_from_slice(&colour.map(|channel| channel as u8));
            }
        }
    }
}

/// The pixels within `0..limit` from one edge to the other, at least one where the span is inside.
fn pixels(from: f32, to: f32, limit: usize) -> std::ops::Range<usize> {
    if to < 0.0 || from >= limit as f32 {
        return 0..0;
    }
    let start = from.max(0.0) as usize;
    start..(to.min(limit as f32) as usize).max(start + 1).min(limit)
}
