//! What rays that enter cells with blocks see there: step for step as `meet` in `scalar`.

use std::arch::x86_64::*;

use super::super::super::textures::HOLE;
use super::super::{ACROSS, CROSSED, Cast, PIERCED};
use super::{Hits, Rays, look_up};

/// The lanes of `met` that see something in their cells, and where; the others go on.
#[target_feature(enable = "avx2")]
pub(super) fn meet(cast: &Cast<'_>, rays: &Rays, met: &Hits, block: __m256i) -> Hits {
    let (one, number) = (_mm256_set1_epi32(1), _mm256_and_si256(block, _mm256_set1_epi32(31)));
    let is = |blocks: u32| {
        let bit = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(blocks as i32), number), one);
        _mm256_and_si256(met.found, _mm256_cmpeq_epi32(bit, one))
    };
    let mut hits = *met;
    let special = is(cast.passed | CROSSED | PIERCED | cast.leafy);
    if _mm256_testz_si256(special, special) != 0 {
        return hits;
    }
    let (passed, crossed) = (is(cast.passed), is(CROSSED));
    let near = _mm256_cmp_ps::<_CMP_LE_OQ>(met.depth, _mm256_set1_ps(cast.view.level_depths[1]));
    let leafy = _mm256_and_si256(is(cast.leafy), _mm256_castps_si256(near));
    let pierced = _mm256_or_si256(is(PIERCED), leafy);
    hits.found = _mm256_andnot_si256(_mm256_or_si256(passed, crossed), met.found);
    if _mm256_testz_si256(pierced, pierced) == 0 {
        let through = holes(cast, rays, &Hits { found: pierced, ..*met });
        hits.found = _mm256_andnot_si256(_mm256_and_si256(through, pierced), hits.found);
    }
    if _mm256_testz_si256(crossed, crossed) == 0 {
        meet_pictures(cast, rays, &Hits { found: crossed, ..*met }, &mut hits);
    }
    hits
}

/// All ones in lanes whose texel is a hole.
#[target_feature(enable = "avx2")]
fn holes(cast: &Cast<'_>, rays: &Rays, hits: &Hits) -> __m256i {
    let hole = _mm256_set1_epi32(HOLE as i32);
    _mm256_cmpeq_epi32(_mm256_and_si256(look_up(cast, rays, hits), hole), hole)
}

/// Adds to `hits` the lanes of `met` that see one of two crossed pictures, the nearer first.
#[target_feature(enable = "avx2")]
fn meet_pictures(cast: &Cast<'_>, rays: &Rays, met: &Hits, hits: &mut Hits) {
    let (zero, one) = (_mm256_setzero_ps(), _mm256_set1_ps(1.0));
    let mut from = [zero; 3];
    for (k, from) in from.iter_mut().enumerate() {
        *from = _mm256_sub_ps(_mm256_set1_ps(cast.view.origin[k]), _mm256_cvtepi32_ps(met.cell[k]));
    }
    let [dx, dy, dz] = rays.direction;
    let first = _mm256_div_ps(_mm256_sub_ps(from[2], from[0]), _mm256_sub_ps(dx, dz));
    let second = _mm256_div_ps(_mm256_sub_ps(_mm256_sub_ps(one, from[0]), from[2]), _mm256_add_ps(dx, dz));
    let mut left = met.found;
    for depth in [_mm256_min_ps(first, second), _mm256_max_ps(first, second)] {
        let x = _mm256_add_ps(from[0], _mm256_mul_ps(dx, depth));
        let y = _mm256_add_ps(from[1], _mm256_mul_ps(dy, depth));
        let mut inside = _mm256_cmp_ps::<_CMP_GT_OQ>(depth, zero);
        for at in [x, y] {
            inside = _mm256_and_ps(inside, _mm256_cmp_ps::<_CMP_GE_OQ>(at, zero));
            inside = _mm256_and_ps(inside, _mm256_cmp_ps::<_CMP_LT_OQ>(at, one));
        }
        let inside = _mm256_and_si256(left, _mm256_castps_si256(inside));
        if _mm256_testz_si256(inside, inside) != 0 {
            continue;
        }
        let mut seen = Hits { found: inside, depth, axis: _mm256_set1_epi32(ACROSS as i32), ..*met };
        seen.found = _mm256_andnot_si256(holes(cast, rays, &seen), inside);
        hits.keep(&seen);
        left = _mm256_andnot_si256(seen.found, left);
    }
}
