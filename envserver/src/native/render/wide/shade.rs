//! The colours of a packet: texels, light, fog and sky, step for step as `shade` in `scalar`.

use super::super::super::block::Block;
use super::super::super::textures::{FACES, TEXELS};
use super::super::view::{LIGHT, LIGHT_BOTTOM, LIGHT_X, LIGHT_Z, SKY_SLOPE, SLANT_CAP};
use super::super::{ACROSS, Cast, OPEN_SKY};
use super::lanes::Lanes;
use super::{Hits, Rays, index_of};

/// The colours of a packet, `0x00BBGGRR` per lane.
#[inline(always)]
pub(super) fn shade<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, hits: &Hits<L>) -> L::I {
    let view = cast.view;
    let (zero, one) = (L::splat(0.0), L::splat(1.0));
    let rise = rays.direction[1] / rays.length * L::splat(SKY_SLOPE);
    let elevation = L::least(L::most(rise, zero), one);
    let (mut texel, mut keep, mut fog) = (L::whole_splat(0), zero, one);
    if L::any(hits.found) {
        let (far, start) = (view.far, view.fog_start);
        let away = hits.depth * rays.length * L::splat(1.0 / far);
        let thick = (away - L::splat(start)) * L::splat(1.0 / (1.0 - start));
        fog = L::pick(hits.found, L::least(L::most(thick, zero), one), one);
        texel = look_up(cast, rays, hits);
        keep = L::pick(hits.found, face_light(cast, rays, hits), zero) * (one - fog);
    }
    let sky = |channel: usize| {
        let (horizon, zenith) = (view.horizon[channel], view.zenith[channel]);
        (L::splat(horizon) + L::splat(zenith - horizon) * elevation) * fog
    };
    let byte = L::whole_splat(255);
    let red = L::whole(L::real(texel & byte) * keep + sky(0));
    let green = L::whole(L::real(L::shr::<8>(texel) & byte) * keep + sky(1));
    let blue = L::whole(L::real(L::shr::<16>(texel) & byte) * keep + sky(2));
    red | L::shl::<8>(green) | L::shl::<16>(blue)
}

/// The lanes' choice among three values by axis.
#[inline(always)]
fn by_axis<L: Lanes>(axis: L::I, values: [L::F; 3]) -> L::F {
    let is = |number: i32| L::whole_eq(axis, L::whole_splat(number));
    L::pick(is(0), values[0], L::pick(is(1), values[1], values[2]))
}

#[inline(always)]
fn face_light<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, hits: &Hits<L>) -> L::F {
    let upright = L::pick(rays.ascends[1], L::splat(LIGHT_BOTTOM), L::splat(1.0));
    let facing = by_axis::<L>(hits.axis, [L::splat(LIGHT_X), upright, L::splat(LIGHT_Z)]);
    let mut before = hits.cell;
    for (k, before) in before.iter_mut().enumerate() {
        let on_axis = L::whole_eq(hits.axis, L::whole_splat(k as i32));
        let step = L::whole_pick(rays.ascends[k], L::whole_splat(-1), L::whole_splat(1));
        *before = L::whole_pick(on_axis, *before + step, *before);
    }
    if let Some(light) = cast.light {
        return facing * brightness::<L>(cast, light, before, hits.found);
    }
    let column = index_of::<L>(cast.view.base, before) & L::whole_splat((1 << 14) - 1);
    // SAFETY: the mask above keeps every index inside one layer.
    let ground = unsafe { L::bytes(cast.ground, column, hits.found) };
    let below = ground - (before[1] + L::whole_splat(cast.view.base[1])) + L::whole_splat(1);
    let below = L::whole_least(L::whole_most(below, L::whole_splat(0)), L::whole_splat(7));
    facing * L::one_of_eight(&LIGHT, below)
}

/// Brightness by the light field of the cells before the faces.
#[inline(always)]
fn brightness<L: Lanes>(cast: &Cast<'_>, light: &[u8], mut before: [L::I; 3], found: L::M) -> L::F {
    let view = cast.view;
    let (base, last) = (L::whole_splat(view.base[1]), L::whole_splat(view.top - 1));
    let y = before[1] + base;
    let within = L::whole_least(L::whole_most(y, L::whole_splat(0)), last);
    before[1] = within - base;
    // SAFETY: y is within the volume now, so the index is below `cast.cells()`.
    let both = unsafe { L::bytes(light, index_of::<L>(view.base, before), found) };
    let is_above = L::whole_eq(y, L::whole_splat(view.top));
    let both = L::whole_pick(is_above, L::whole_splat(i32::from(OPEN_SKY)), both);
    // SAFETY: bytes all, and the table has a place for each.
    unsafe { L::numbers(&view.brightness, both) }
}

#[inline(always)]
pub(super) fn look_up<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, hits: &Hits<L>) -> L::I {
    let view = cast.view;
    let mut point = [L::splat(0.0); 3];
    for (k, point) in point.iter_mut().enumerate() {
        *point = L::splat(view.origin[k]) + rays.direction[k] * hits.depth;
    }
    let [x, y, z] = point;
    let down = L::negated(y);
    let u = by_axis::<L>(hits.axis, [z, x, x]);
    let v = by_axis::<L>(hits.axis, [down, z, down]);
    let place = L::shl::<4>(texel_at::<L>(v)) + texel_at::<L>(u);
    let on_y = L::whole_eq(hits.axis, L::whole_splat(1));
    let flat = L::whole_pick(rays.ascends[1], L::whole_splat(2), L::whole_splat(0));
    let face = L::whole_pick(on_y, flat, L::whole_splat(1));
    let level = level_of(cast, rays, hits);
    let part = Part::<L> { level, face, place };
    let block = hits.block & L::whole_splat(Block::SLOTS as i32 - 1);
    // SAFETY: block numbers are below `block_count`, which with level, face and place keeps the texel's index inside
    // the table.
    let mut texels =
        unsafe { L::words(cast.textures, part.of(cast.block_count, block), hits.found, L::whole_splat(0)) };
    // The last slot first, so that the first wins, as in `scalar`.
    for (slot, &cell) in cast.special.cells.iter().enumerate().rev() {
        let here = hits.found & L::whole_eq(hits.index, L::whole_splat(cell));
        if L::any(here) {
            let places = part.of(cast.special.cells.len(), L::whole_splat(slot as i32));
            // SAFETY: as above, for the table of the special slots.
            texels = unsafe { L::words(&cast.special.texels, places, here, texels) };
        }
    }
    texels
}

/// Which texel of a block.
struct Part<L: Lanes> {
    level: L::I,
    face: L::I,
    place: L::I,
}

impl<L: Lanes> Part<L> {
    /// Its place in a table of so many blocks.
    #[inline(always)]
    fn of(&self, count: usize, block: L::I) -> L::I {
        let which = self.level * L::whole_splat(count as i32) + block;
        let which = which * L::whole_splat(FACES as i32) + self.face;
        which * L::whole_splat(TEXELS as i32) + self.place
    }
}

#[inline(always)]
fn texel_at<L: Lanes>(at: L::F) -> L::I {
    L::whole((at - L::floor(at)) * L::splat(16.0)) & L::whole_splat(15)
}

/// The level of detail: coarser far away and at a slant.
#[inline(always)]
fn level_of<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, hits: &Hits<L>) -> L::I {
    let steep = L::abs(by_axis::<L>(hits.axis, rays.inverse));
    let slant = L::least(rays.length * steep, L::splat(SLANT_CAP));
    let upright = L::whole_eq(hits.axis, L::whole_splat(ACROSS as i32));
    let slant = L::pick(upright, L::splat(1.0), slant);
    let wide = hits.depth * (slant * L::splat(0.5) + L::splat(0.5));
    let mut level = L::whole_splat(0);
    for from in cast.view.level_depths {
        let coarser = L::gt(wide, L::splat(from));
        level = L::whole_pick(coarser, level + L::whole_splat(1), level);
    }
    level
}
