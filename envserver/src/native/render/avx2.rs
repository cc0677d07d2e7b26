//! The ray caster eight rays at a time, as packets of 4x2 pixels, for machines with AVX2.
//!
//! Step for step what `scalar` does, in the same order of operations; see there for the why of
//! each step. This is the only file of the crate with unsafe code: gathers and wide stores.

mod meet;

use std::arch::x86_64::*;

use super::super::block::Block;
use super::super::textures::{FACES, TEXELS};
use super::view::{LEAST, LIGHT, LIGHT_BOTTOM, LIGHT_X, LIGHT_Z, SKY_SLOPE, SLANT_CAP};
use super::{ACROSS, Cast, OPEN_SKY};

/// Pixels of a packet along x and along y.
pub(super) const PACKET: (usize, usize) = (4, 2);

#[derive(Clone, Copy)]
struct Rays {
    direction: [__m256; 3],
    inverse: [__m256; 3],
    /// +1 or -1 per lane.
    sign: [__m256i; 3],
    /// 1 where the component ascends, otherwise 0.
    ascends: [__m256i; 3],
    length: __m256,
    far: __m256,
}

#[derive(Clone, Copy)]
struct Hits {
    /// All ones in lanes that met a block.
    found: __m256i,
    depth: __m256,
    axis: __m256i,
    cell: [__m256i; 3],
    index: __m256i,
}

impl Hits {
    /// Takes over the lanes that `met` has found.
    #[target_feature(enable = "avx2")]
    fn keep(&mut self, met: &Hits) {
        let found = met.found;
        self.found = _mm256_or_si256(self.found, found);
        self.depth = _mm256_blendv_ps(self.depth, met.depth, _mm256_castsi256_ps(found));
        self.axis = _mm256_blendv_epi8(self.axis, met.axis, found);
        self.index = _mm256_blendv_epi8(self.index, met.index, found);
        for (kept, now) in self.cell.iter_mut().zip(met.cell) {
            *kept = _mm256_blendv_epi8(*kept, now, found);
        }
    }
}

/// Draws the largest part of the frame that whole packets cover and returns its width and height.
///
/// # Safety
/// The machine must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn draw(cast: &Cast<'_>, out: &mut [u8], depths: &mut [f32]) -> (usize, usize) {
    let (width, height) = (cast.view.width, cast.view.height);
    let (across, down) = (width / PACKET.0 * PACKET.0, height / PACKET.1 * PACKET.1);
    assert!(out.len() >= width * height * 3 && depths.len() >= width * height);
    // What the masked gathers below rely on: indices stay below these sizes, plus three bytes.
    assert!(cast.distance.len() >= 2 * cast.cells() + 3 && cast.blocks.len() >= cast.cells() + 3);
    assert!(cast.light.is_none_or(|light| light.len() >= cast.cells() + 3));
    assert!(cast.ground.len() >= (1 << 14) + 3 && cast.block_count == Block::SLOTS);
    for row in (0..down).step_by(PACKET.1) {
        for column in (0..across).step_by(PACKET.0) {
            let rays = aim(cast, column, row);
            let hits = march(cast, &rays);
            let colours = shade(cast, &rays, &hits);
            let missed = _mm256_andnot_si256(hits.found, _mm256_set1_epi32(-1));
            let endless = _mm256_set1_ps(f32::INFINITY);
            let depth = _mm256_blendv_ps(hits.depth, endless, _mm256_castsi256_ps(missed));
            let (first, second) = (row * width + column, (row + 1) * width + column);
            // SAFETY: both rows' four pixels lie inside the buffers, by the asserts above.
            unsafe {
                store_row(out.as_mut_ptr().add(first * 3), _mm256_castsi256_si128(colours));
                store_row(out.as_mut_ptr().add(second * 3), _mm256_extracti128_si256::<1>(colours));
                _mm_storeu_ps(depths.as_mut_ptr().add(first), _mm256_castps256_ps128(depth));
                _mm_storeu_ps(depths.as_mut_ptr().add(second), _mm256_extractf128_ps::<1>(depth));
            }
        }
    }
    (across, down)
}

/// Writes four pixels `0x00BBGGRR` as twelve bytes.
#[target_feature(enable = "avx2")]
unsafe fn store_row(to: *mut u8, colours: __m128i) {
    let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    let packed = _mm_shuffle_epi8(colours, order);
    // SAFETY: the caller vouches for twelve bytes.
    unsafe {
        _mm_storel_epi64(to.cast(), packed);
        to.add(8).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(packed));
    }
}

#[target_feature(enable = "avx2")]
fn aim(cast: &Cast<'_>, column: usize, row: usize) -> Rays {
    let view = cast.view;
    let c: [f32; 4] = view.columns[column..column + 4].try_into().expect("a packet is four columns wide");
    let (upper, lower) = (view.rows[row], view.rows[row + 1]);
    let a = _mm256_setr_ps(c[0], c[1], c[2], c[3], c[0], c[1], c[2], c[3]);
    let b = _mm256_setr_ps(upper, upper, upper, upper, lower, lower, lower, lower);
    let sign_bit = _mm256_set1_ps(-0.0);
    let least = _mm256_set1_ps(LEAST);
    let zero = _mm256_setzero_ps();
    let mut direction = [zero; 3];
    for (axis, component) in direction.iter_mut().enumerate() {
        let flat = _mm256_add_ps(
            _mm256_set1_ps(view.forward[axis]),
            _mm256_mul_ps(_mm256_set1_ps(view.right[axis]), a),
        );
        let raw = _mm256_add_ps(flat, _mm256_mul_ps(_mm256_set1_ps(view.up[axis]), b));
        let enough = _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_andnot_ps(sign_bit, raw), least);
        let pushed = _mm256_or_ps(least, _mm256_and_ps(sign_bit, raw));
        *component = _mm256_blendv_ps(pushed, raw, enough);
    }
    let one = _mm256_set1_ps(1.0);
    let [x, y, z] = direction;
    let square = _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(x, x), _mm256_mul_ps(y, y)), _mm256_mul_ps(z, z));
    let length = _mm256_sqrt_ps(square);
    let (mut inverse, mut sign, mut ascends) =
        ([zero; 3], [_mm256_setzero_si256(); 3], [_mm256_setzero_si256(); 3]);
    for axis in 0..3 {
        inverse[axis] = _mm256_div_ps(one, direction[axis]);
        let up = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(direction[axis], zero));
        ascends[axis] = _mm256_srli_epi32::<31>(up);
        sign[axis] = _mm256_sub_epi32(_mm256_slli_epi32::<1>(ascends[axis]), _mm256_set1_epi32(1));
    }
    Rays { direction, inverse, sign, ascends, length, far: _mm256_div_ps(_mm256_set1_ps(view.far), length) }
}

/// Where the rays are at a depth, along one axis, as whole cells.
#[target_feature(enable = "avx2")]
fn cell_at(origin: f32, direction: __m256, depth: __m256) -> __m256i {
    let at = _mm256_add_ps(_mm256_set1_ps(origin), _mm256_mul_ps(direction, depth));
    _mm256_cvttps_epi32(_mm256_floor_ps(at))
}

/// The place in the volume's arrays of cells relative to the eye's block.
#[target_feature(enable = "avx2")]
fn index_of(base: [i32; 3], cell: [__m256i; 3]) -> __m256i {
    let period = _mm256_set1_epi32(127);
    let x = _mm256_and_si256(_mm256_add_epi32(cell[0], _mm256_set1_epi32(base[0])), period);
    let y = _mm256_add_epi32(cell[1], _mm256_set1_epi32(base[1]));
    let z = _mm256_and_si256(_mm256_add_epi32(cell[2], _mm256_set1_epi32(base[2])), period);
    _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi32::<14>(y), _mm256_slli_epi32::<7>(z)), x)
}

/// One byte per lane from an array, zero in lanes the mask leaves out.
///
/// # Safety
/// In lanes of the mask the index plus three must lie inside the array.
#[target_feature(enable = "avx2")]
unsafe fn gather_bytes(from: &[u8], index: __m256i, mask: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    // SAFETY: by the caller's promise; lanes outside the mask are not read.
    let words = unsafe { _mm256_mask_i32gather_epi32::<1>(zero, from.as_ptr().cast(), index, mask) };
    _mm256_and_si256(words, _mm256_set1_epi32(255))
}

#[target_feature(enable = "avx2")]
fn march(cast: &Cast<'_>, rays: &Rays) -> Hits {
    let view = cast.view;
    let none = _mm256_setzero_si256();
    let mut cell = [none; 3];
    let mut depth = _mm256_setzero_ps();
    let mut axis = _mm256_set1_epi32(1);
    let mut active = _mm256_set1_epi32(-1);
    let mut hits = Hits { found: none, depth, axis, cell, index: none };
    if view.base[1] >= view.top {
        active = _mm256_cmpeq_epi32(rays.ascends[1], none);
        let drop =
            _mm256_sub_ps(_mm256_set1_ps((view.top - view.base[1]) as f32), _mm256_set1_ps(view.origin[1]));
        depth = _mm256_mul_ps(drop, rays.inverse[1]);
        cell = [
            cell_at(view.origin[0], rays.direction[0], depth),
            _mm256_set1_epi32(view.top - 1 - view.base[1]),
            cell_at(view.origin[2], rays.direction[2], depth),
        ];
    }
    let top_minus_one = _mm256_set1_epi32(view.top - 1);
    let half = _mm256_mullo_epi32(rays.ascends[1], _mm256_set1_epi32(cast.cells() as i32));
    loop {
        let y = _mm256_add_epi32(cell[1], _mm256_set1_epi32(view.base[1]));
        let inside = _mm256_andnot_si256(
            _mm256_or_si256(_mm256_cmpgt_epi32(none, y), _mm256_cmpgt_epi32(y, top_minus_one)),
            _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(depth, rays.far)),
        );
        active = _mm256_and_si256(active, inside);
        if _mm256_testz_si256(active, active) != 0 {
            return hits;
        }
        let index = index_of(view.base, cell);
        // SAFETY: active lanes have y inside the volume, so the index is below `cast.cells()`, and
        // either half of the field is that long.
        let mut distance = unsafe { gather_bytes(cast.distance, _mm256_add_epi32(index, half), active) };
        let found = _mm256_and_si256(active, _mm256_cmpeq_epi32(distance, none));
        if _mm256_testz_si256(found, found) == 0 {
            let mut met = Hits { found, depth, axis, cell, index };
            if cast.airy {
                // SAFETY: found lanes are active, see above.
                let block = unsafe { gather_bytes(cast.blocks, index, found) };
                met = meet::meet(cast, rays, &met, block);
                // Lanes that go on leave their cell.
                distance = _mm256_max_epi32(distance, _mm256_set1_epi32(1));
            }
            hits.keep(&met);
            active = _mm256_andnot_si256(met.found, active);
            if _mm256_testz_si256(active, active) != 0 {
                return hits;
            }
        }
        (depth, axis) = leap(cast, rays, &mut cell, distance);
    }
}

/// Moves every ray to where it leaves the free cube around its cell.
#[target_feature(enable = "avx2")]
fn leap(cast: &Cast<'_>, rays: &Rays, cell: &mut [__m256i; 3], distance: __m256i) -> (__m256, __m256i) {
    let origin = cast.view.origin;
    let reach = _mm256_sub_epi32(distance, _mm256_set1_epi32(1));
    let rises = _mm256_cmpgt_epi32(rays.ascends[1], _mm256_setzero_si256());
    let mut exit = [_mm256_setzero_ps(); 3];
    for k in 0..3 {
        let ahead = _mm256_add_epi32(_mm256_sign_epi32(reach, rays.sign[k]), rays.ascends[k]);
        let bound = _mm256_cvtepi32_ps(_mm256_add_epi32(cell[k], ahead));
        exit[k] = _mm256_mul_ps(_mm256_sub_ps(bound, _mm256_set1_ps(origin[k])), rays.inverse[k]);
    }
    let depth = _mm256_min_ps(exit[0], _mm256_min_ps(exit[1], exit[2]));
    let is_x = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(depth, exit[0]));
    let is_y = _mm256_andnot_si256(is_x, _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(depth, exit[1])));
    let is_z = _mm256_andnot_si256(_mm256_or_si256(is_x, is_y), _mm256_set1_epi32(-1));
    let leaves = [is_x, is_y, is_z];
    for (k, cell) in cell.iter_mut().enumerate() {
        let stepped = _mm256_add_epi32(*cell, _mm256_sign_epi32(distance, rays.sign[k]));
        let at = cell_at(origin[k], rays.direction[k], depth);
        let (back, ahead) = if k == 1 {
            (_mm256_andnot_si256(rises, reach), _mm256_and_si256(rises, reach))
        } else {
            (reach, reach)
        };
        let within = _mm256_max_epi32(
            _mm256_min_epi32(at, _mm256_add_epi32(*cell, ahead)),
            _mm256_sub_epi32(*cell, back),
        );
        *cell = _mm256_blendv_epi8(within, stepped, leaves[k]);
    }
    let one_or_two = _mm256_add_epi32(_mm256_set1_epi32(2), is_y);
    (depth, _mm256_andnot_si256(is_x, one_or_two))
}

/// The colours of a packet, `0x00BBGGRR` per lane.
#[target_feature(enable = "avx2")]
fn shade(cast: &Cast<'_>, rays: &Rays, hits: &Hits) -> __m256i {
    let (zero, one) = (_mm256_setzero_ps(), _mm256_set1_ps(1.0));
    let found = _mm256_castsi256_ps(hits.found);
    let rise = _mm256_mul_ps(_mm256_div_ps(rays.direction[1], rays.length), _mm256_set1_ps(SKY_SLOPE));
    let elevation = _mm256_min_ps(_mm256_max_ps(rise, zero), one);
    let (mut texel, mut keep, mut fog) = (_mm256_setzero_si256(), zero, one);
    if _mm256_testz_si256(hits.found, hits.found) == 0 {
        let (far, start) = (cast.view.far, cast.view.fog_start);
        let away = _mm256_mul_ps(_mm256_mul_ps(hits.depth, rays.length), _mm256_set1_ps(1.0 / far));
        let beyond = _mm256_sub_ps(away, _mm256_set1_ps(start));
        let thick = _mm256_mul_ps(beyond, _mm256_set1_ps(1.0 / (1.0 - start)));
        fog = _mm256_blendv_ps(one, _mm256_min_ps(_mm256_max_ps(thick, zero), one), found);
        texel = look_up(cast, rays, hits);
        let light = _mm256_and_ps(face_light(cast, rays, hits), found);
        keep = _mm256_mul_ps(light, _mm256_sub_ps(one, fog));
    }
    let mut colours = _mm256_setzero_si256();
    for channel in 0..3 {
        let (horizon, zenith) = (cast.view.horizon[channel], cast.view.zenith[channel]);
        let slope = _mm256_set1_ps(zenith - horizon);
        let sky = _mm256_add_ps(_mm256_set1_ps(horizon), _mm256_mul_ps(slope, elevation));
        let shift = _mm_cvtsi32_si128(8 * channel as i32);
        let byte = _mm256_and_si256(_mm256_srl_epi32(texel, shift), _mm256_set1_epi32(255));
        let mixed = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(byte), keep), _mm256_mul_ps(sky, fog));
        colours = _mm256_or_si256(colours, _mm256_sll_epi32(_mm256_cvttps_epi32(mixed), shift));
    }
    colours
}

/// The lanes' choice among three values by axis.
#[target_feature(enable = "avx2")]
fn by_axis(axis: __m256i, values: [__m256; 3]) -> __m256 {
    let is = |number: i32| _mm256_castsi256_ps(_mm256_cmpeq_epi32(axis, _mm256_set1_epi32(number)));
    _mm256_blendv_ps(_mm256_blendv_ps(values[2], values[1], is(1)), values[0], is(0))
}

#[target_feature(enable = "avx2")]
fn face_light(cast: &Cast<'_>, rays: &Rays, hits: &Hits) -> __m256 {
    let ascends_y = _mm256_castsi256_ps(_mm256_cmpgt_epi32(rays.ascends[1], _mm256_setzero_si256()));
    let upright = _mm256_blendv_ps(_mm256_set1_ps(1.0), _mm256_set1_ps(LIGHT_BOTTOM), ascends_y);
    let facing = by_axis(hits.axis, [_mm256_set1_ps(LIGHT_X), upright, _mm256_set1_ps(LIGHT_Z)]);
    let mut before = hits.cell;
    for (k, before) in before.iter_mut().enumerate() {
        let on_axis = _mm256_cmpeq_epi32(hits.axis, _mm256_set1_epi32(k as i32));
        *before = _mm256_sub_epi32(*before, _mm256_and_si256(rays.sign[k], on_axis));
    }
    if let Some(light) = cast.light {
        return _mm256_mul_ps(facing, brightness(cast, light, before, hits.found));
    }
    let column = _mm256_and_si256(index_of(cast.view.base, before), _mm256_set1_epi32((1 << 14) - 1));
    // SAFETY: the mask above keeps every index inside one layer.
    let ground = unsafe { gather_bytes(cast.ground, column, hits.found) };
    let y = _mm256_add_epi32(before[1], _mm256_set1_epi32(cast.view.base[1]));
    let below = _mm256_add_epi32(_mm256_sub_epi32(ground, y), _mm256_set1_epi32(1));
    let below = _mm256_min_epi32(_mm256_max_epi32(below, _mm256_setzero_si256()), _mm256_set1_epi32(7));
    // SAFETY: eight floats, and a permutation only reads the register.
    let levels = unsafe { _mm256_loadu_ps(LIGHT.as_ptr()) };
    _mm256_mul_ps(facing, _mm256_permutevar8x32_ps(levels, below))
}

/// Brightness by the light field of the cells before the faces.
#[target_feature(enable = "avx2")]
fn brightness(cast: &Cast<'_>, light: &[u8], mut before: [__m256i; 3], found: __m256i) -> __m256 {
    let view = cast.view;
    let base = _mm256_set1_epi32(view.base[1]);
    let last = _mm256_set1_epi32(view.top - 1);
    let y = _mm256_add_epi32(before[1], base);
    let is_above = _mm256_cmpgt_epi32(y, last);
    let within = _mm256_min_epi32(_mm256_max_epi32(y, _mm256_setzero_si256()), last);
    before[1] = _mm256_sub_epi32(within, base);
    // SAFETY: y is within the volume now, so the index is below `cast.cells()`.
    let both = unsafe { gather_bytes(light, index_of(view.base, before), found) };
    let both = _mm256_blendv_epi8(both, _mm256_set1_epi32(i32::from(OPEN_SKY)), is_above);
    // SAFETY: the table has a place for every byte.
    unsafe { _mm256_i32gather_ps::<4>(view.brightness.as_ptr(), both) }
}

#[target_feature(enable = "avx2")]
fn look_up(cast: &Cast<'_>, rays: &Rays, hits: &Hits) -> __m256i {
    let view = cast.view;
    let mut point = [_mm256_setzero_ps(); 3];
    for (k, point) in point.iter_mut().enumerate() {
        let along = _mm256_mul_ps(rays.direction[k], hits.depth);
        *point = _mm256_add_ps(_mm256_set1_ps(view.origin[k]), along);
    }
    let down = _mm256_xor_ps(point[1], _mm256_set1_ps(-0.0));
    let u = by_axis(hits.axis, [point[2], point[0], point[0]]);
    let v = by_axis(hits.axis, [down, point[2], down]);
    let texel = |at: __m256| {
        let part = _mm256_sub_ps(at, _mm256_floor_ps(at));
        let whole = _mm256_cvttps_epi32(_mm256_mul_ps(part, _mm256_set1_ps(16.0)));
        _mm256_and_si256(whole, _mm256_set1_epi32(15))
    };
    let place = _mm256_add_epi32(_mm256_slli_epi32::<4>(texel(v)), texel(u));
    let on_y = _mm256_cmpeq_epi32(hits.axis, _mm256_set1_epi32(1));
    let face = _mm256_blendv_epi8(_mm256_set1_epi32(1), _mm256_slli_epi32::<1>(rays.ascends[1]), on_y);
    let steep = _mm256_andnot_ps(_mm256_set1_ps(-0.0), by_axis(hits.axis, rays.inverse));
    let slant = _mm256_min_ps(_mm256_mul_ps(rays.length, steep), _mm256_set1_ps(SLANT_CAP));
    let upright = _mm256_castsi256_ps(_mm256_cmpeq_epi32(hits.axis, _mm256_set1_epi32(ACROSS as i32)));
    let slant = _mm256_blendv_ps(slant, _mm256_set1_ps(1.0), upright);
    let half = _mm256_set1_ps(0.5);
    let wide = _mm256_mul_ps(hits.depth, _mm256_add_ps(_mm256_mul_ps(slant, half), half));
    let mut level = _mm256_setzero_si256();
    for from in view.level_depths {
        let coarser = _mm256_cmp_ps::<_CMP_GT_OQ>(wide, _mm256_set1_ps(from));
        level = _mm256_sub_epi32(level, _mm256_castps_si256(coarser));
    }
    let at = |count: usize, block: __m256i| {
        let which = _mm256_add_epi32(_mm256_mullo_epi32(level, _mm256_set1_epi32(count as i32)), block);
        let which = _mm256_add_epi32(_mm256_mullo_epi32(which, _mm256_set1_epi32(FACES as i32)), face);
        _mm256_add_epi32(_mm256_mullo_epi32(which, _mm256_set1_epi32(TEXELS as i32)), place)
    };
    // SAFETY: found lanes hold an index inside the volume; block numbers are below `block_count`,
    // which with level, face and place keeps the texel's index inside the table.
    let mut texels = unsafe {
        let block = _mm256_and_si256(
            gather_bytes(cast.blocks, hits.index, hits.found),
            _mm256_set1_epi32(Block::SLOTS as i32 - 1),
        );
        let zero = _mm256_setzero_si256();
        let table = cast.textures.as_ptr().cast();
        _mm256_mask_i32gather_epi32::<4>(zero, table, at(cast.block_count, block), hits.found)
    };
    // The last slot first, so that the first wins, as in `scalar`.
    for (slot, &cell) in cast.special.cells.iter().enumerate().rev() {
        let here = _mm256_and_si256(hits.found, _mm256_cmpeq_epi32(hits.index, _mm256_set1_epi32(cell)));
        if _mm256_testz_si256(here, here) == 0 {
            let places = at(cast.special.cells.len(), _mm256_set1_epi32(slot as i32));
            let table = cast.special.texels.as_ptr().cast();
            // SAFETY: as above, for the table of the special slots.
            texels = unsafe { _mm256_mask_i32gather_epi32::<4>(texels, table, places, here) };
        }
    }
    texels
}
