//! What rays that enter cells with blocks see there: step for step as `meet` in `scalar`.

use super::super::super::textures::HOLE;
use super::super::{ACROSS, CROSSED, Cast, PIERCED};
use super::lanes::Lanes;
use super::shade::look_up;
use super::{Hits, Rays};

/// The lanes of `met` that see something in their cells, and where; the others go on.
#[inline(always)]
pub(super) fn meet<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, met: &Hits<L>) -> Hits<L> {
    let number = met.block & L::whole_splat(31);
    let is = |blocks: u32| met.found & L::has_bit(blocks, number);
    let mut hits = *met;
    if !L::any(is(cast.passed | CROSSED | PIERCED | cast.leafy)) {
        return hits;
    }
    let (passed, crossed) = (is(cast.passed), is(CROSSED));
    let near = L::le(met.depth, L::splat(cast.view.level_depths[1]));
    let pierced = is(PIERCED) | (is(cast.leafy) & near);
    hits.found = met.found & !(passed | crossed);
    if L::any(pierced) {
        let through = holes(cast, rays, &Hits { found: pierced, ..*met });
        hits.found = hits.found & !(through & pierced);
    }
    if L::any(crossed) {
        meet_pictures(cast, rays, &Hits { found: crossed, ..*met }, &mut hits);
    }
    hits
}

/// Lanes whose texel is a hole.
#[inline(always)]
fn holes<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, hits: &Hits<L>) -> L::M {
    let hole = L::whole_splat(HOLE as i32);
    L::whole_eq(look_up(cast, rays, hits) & hole, hole)
}

/// Adds to `hits` the lanes of `met` that see one of two crossed pictures, the nearer first.
#[inline(always)]
fn meet_pictures<L: Lanes>(cast: &Cast<'_>, rays: &Rays<L>, met: &Hits<L>, hits: &mut Hits<L>) {
    let (zero, one) = (L::splat(0.0), L::splat(1.0));
    let mut from = [zero; 3];
    for (k, from) in from.iter_mut().enumerate() {
        *from = L::splat(cast.view.origin[k]) - L::real(met.cell[k]);
    }
    let [dx, dy, dz] = rays.direction;
    let first = (from[2] - from[0]) / (dx - dz);
    let second = ((one - from[0]) - from[2]) / (dx + dz);
    let mut left = met.found;
    for depth in [L::least(first, second), L::most(first, second)] {
        let mut inside = left & L::gt(depth, zero);
        for at in [from[0] + dx * depth, from[1] + dy * depth] {
            inside = inside & L::ge(at, zero) & L::lt(at, one);
        }
        if !L::any(inside) {
            continue;
        }
        let mut seen = Hits { found: inside, depth, axis: L::whole_splat(ACROSS as i32), ..*met };
        seen.found = inside & !holes(cast, rays, &seen);
        hits.keep(&seen);
        left = left & !seen.found;
    }
}
