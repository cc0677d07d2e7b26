//! Block textures, drawn by rule from integer noise: 16x16 texels, three faces a block, five levels
//! of detail (each stored at 16x16, so that a texel's place does not depend on the level).

mod small;

use std::sync::OnceLock;

use super::block::Block;

/// Texels along a side.
pub(super) const SIDE: usize = 16;
/// Texels of one face.
pub(super) const TEXELS: usize = SIDE * SIDE;
/// Faces with a texture of their own: top, side, bottom.
pub(super) const FACES: usize = 3;
/// Levels of detail: 16, 8, 4, 2 and 1 distinct texels along a side.
pub(super) const LEVELS: usize = 5;
/// Stages of the crack drawn on a block being broken.
pub(super) const CRACK_STAGES: u8 = 10;

/// Bit of a texel one looks through, beside its colour.
pub(super) const HOLE: u32 = 1 << 24;

/// One face at full detail, `[v * 16 + u]`, each texel `0x00BBGGRR`, perhaps with [`HOLE`].
pub(super) type Face = [u32; TEXELS];

/// Every block's texels (air's where there is no block), `[((level * SLOTS + block) * 3 + face) * 256 + v * 16 + u]`.
pub(super) fn table() -> &'static [u32] {
    static TABLE: OnceLock<Vec<u32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let blocks = (0..Block::SLOTS).map(|number| Block::from_u8(number as u8));
        let faces: Vec<Face> =
            blocks.flat_map(|block| (0..FACES).map(move |face| draw_face(block, face))).collect();
        with_levels(&faces)
    })
}

/// The given faces at every level of detail, level by level.
pub(super) fn with_levels(faces: &[Face]) -> Vec<u32> {
    (0..LEVELS).flat_map(|level| faces.iter().flat_map(move |face| coarsen(face, 1 << level))).collect()
}

/// A face with every square of `square` texels replaced by its mean; a hole where most of it is one.
fn coarsen(face: &Face, square: usize) -> Face {
    let mut coarse = [0; TEXELS];
    for v in (0..SIDE).step_by(square) {
        for u in (0..SIDE).step_by(square) {
            let rows = v..v + square;
            let mut sums = [0; 3];
            let mut holes = 0;
            for row in rows.clone() {
                for texel in &face[row * SIDE + u..row * SIDE + u + square] {
                    for (channel, sum) in sums.iter_mut().enumerate() {
                        *sum += texel >> (8 * channel) & 255;
                    }
                    holes += usize::from(texel & HOLE != 0);
                }
            }
            let [red, green, blue] = sums.map(|sum| sum / (square * square) as u32);
            // Half is enough to see it by: thin things would vanish too soon.
            let hole = if 2 * holes > square * square { HOLE } else { 0 };
            for row in rows {
                coarse[row * SIDE + u..row * SIDE + u + square].fill(red | green << 8 | blue << 16 | hole);
            }
        }
    }
    coarse
}

/// One face of a block at full detail, from the table.
pub(super) fn face(block: Block, face: usize) -> &'static Face {
    let start = (block as usize * FACES + face) * TEXELS;
    table()[start..start + TEXELS].try_into().expect("a face has this many texels")
}

/// One face of a block at full detail; face 0 is the top, 1 a side, 2 the bottom.
fn draw_face(block: Block, face: usize) -> Face {
    std::array::from_fn(|at| {
        let (u, v) = (at % SIDE, at / SIDE);
        let hole = if small::is_hole(block, u, v) { HOLE } else { 0 };
        pack(texel(block, face, u, v)) | hole
    })
}

/// A face with the outline of the targeted block and, when it is being broken, cracks on it.
pub(super) fn decorate(face: &Face, outline: bool, crack: Option<u8>) -> Face {
    std::array::from_fn(|at| {
        let (u, v) = (at % SIDE, at / SIDE);
        let edge = outline && (u == 0 || v == 0 || u == SIDE - 1 || v == SIDE - 1);
        let cracked = crack.is_some_and(|stage| is_cracked(u, v, stage));
        let keep = match (edge, cracked) {
            (true, _) => 90,
            (false, true) => 80,
            _ => 256,
        };
        let scale = |shift: u32| ((face[at] >> shift & 255) * keep) >> 8;
        // Lines show across holes.
        let hole = if keep == 256 { face[at] & HOLE } else { 0 };
        scale(0) | scale(8) << 8 | scale(16) << 16 | hole
    })
}

/// Whether the crack of a stage covers a texel: branches that grow from the middle outward.
fn is_cracked(u: usize, v: usize, stage: u8) -> bool {
    let (x, y) = (u as i32 * 2 - 15, v as i32 * 2 - 15);
    let reach = 5 + i32::from(stage.min(CRACK_STAGES - 1)) * 2;
    if x.abs().max(y.abs()) > reach {
        return false;
    }
    let wobble = (noise(u / 2, v / 2, 91) % 5) as i32 - 2;
    let arms = [x - y + wobble, x + y + wobble, x * 2 - y - wobble, x + y * 3 + wobble];
    let open = 2 + usize::from(stage) * 2 / 9;
    arms[..open.min(arms.len())].iter().any(|arm| arm.abs() <= 1 + i32::from(stage) / 5)
}

fn pack(rgb: [i32; 3]) -> u32 {
    let [r, g, b] = rgb.map(|channel| channel.clamp(0, 255) as u32);
    r | g << 8 | b << 16
}

/// Noise of a texel, 0 to 255.
pub(super) fn noise(u: usize, v: usize, salt: u32) -> u32 {
    let mut h = (u as u32).wrapping_mul(0x9E37_79B1)
        ^ (v as u32).wrapping_mul(0x85EB_CA77)
        ^ salt.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    (h ^ (h >> 15)) & 255
}

/// A colour made lighter or darker by at most `depth`, by the noise of a texel.
fn grain(base: [i32; 3], depth: i32, u: usize, v: usize, salt: u32) -> [i32; 3] {
    let shift = (noise(u, v, salt) as i32 - 128) * depth / 128;
    base.map(|channel| channel + shift)
}

const DIRT: [i32; 3] = [134, 96, 67];
const GRASS: [i32; 3] = [104, 172, 60];
const STONE: [i32; 3] = [126, 126, 126];
const PLANKS: [i32; 3] = [166, 132, 80];

fn texel(block: Block, face: usize, u: usize, v: usize) -> [i32; 3] {
    let salt = block as u32;
    match block {
        Block::Air => [0, 0, 0],
        Block::Grass if face == 0 => grain(GRASS, 22, u, v, salt),
        Block::Grass if face == 1 && v < 3 + (noise(u, 0, 77) % 3) as usize => grain(GRASS, 22, u, v, salt),
        Block::Grass | Block::Dirt => grain(DIRT, 20, u, v, 2),
        Block::Stone => grain(STONE, 14, u / 3, v, 3),
        Block::Sand => grain([219, 207, 160], 10, u, v, salt),
        Block::Gravel => grain([132, 127, 124], 34, u / 2, v / 2, salt),
        Block::Water => grain([46, 92, 206], 12, u / 4, v, salt),
        Block::Bedrock => grain([84, 84, 84], 50, u / 2, v / 2, salt),
        Block::Log if face == 1 => bark(u, v),
        Block::Log => rings(u, v),
        Block::Leaves if noise(u, v, 40) < 60 => [24, 52, 14],
        Block::Leaves => grain([52, 112, 30], 26, u, v, salt),
        Block::Planks => boards(u, v),
        Block::CraftingTable => table_face(face, u, v),
        Block::CoalOre => speckled([36, 36, 36], u, v),
        Block::IronOre => speckled([216, 175, 147], u, v),
        Block::DiamondOre => speckled([92, 219, 213], u, v),
        Block::Cobblestone => cobbles(u, v),
        Block::GoldOre => speckled([250, 238, 77], u, v),
        Block::Obsidian => grain([27, 18, 42], 16, u / 2, v / 2, salt),
        Block::Lava => grain([216, 96, 22], 40, u / 3, v / 2, salt),
        Block::Furnace | Block::LitFurnace => furnace_face(face, block == Block::LitFurnace, u, v),
        Block::Torch if v < 8 => [255, 214, 96],
        Block::Torch => [137, 103, 39],
        Block::Glass if u == 0 || v == 0 || u == 15 || v == 15 => [198, 222, 226],
        Block::Glass => [170, 205, 214],
        Block::Sandstone => grain([214, 202, 152], if v % 5 == 4 { 24 } else { 6 }, u / 4, v, salt),
        Block::Snow => grain([240, 248, 250], 6, u, v, salt),
        Block::Cactus if face == 1 && u % 4 == 1 => [56, 86, 26],
        Block::Cactus => grain([84, 130, 40], 12, u, v, salt),
        Block::TallGrass => grain([98, 160, 58], 24, u, v, salt),
        Block::Flower if v < 9 => grain([246, 220, 40], 10, u, v, salt),
        Block::Flower | Block::Sapling => grain([72, 140, 44], 24, u, v, salt),
        Block::DeadBush => grain([120, 84, 40], 20, u, v, salt),
    }
}

/// Oak bark: dark, with darker vertical furrows, so that a trunk stands out from earth and leaves.
fn bark(u: usize, v: usize) -> [i32; 3] {
    let furrow = matches!(u, 1 | 5 | 8 | 12) && noise(u, v / 5, 21) > 50;
    grain(if furrow { [50, 37, 22] } else { [96, 72, 42] }, 14, u, v / 3, 8)
}

fn rings(u: usize, v: usize) -> [i32; 3] {
    let out = (u as i32 * 2 - 15).abs().max((v as i32 * 2 - 15).abs());
    match out {
        15 => bark(u, v),
        _ if out / 3 % 2 == 0 => grain([186, 150, 94], 8, u, v, 9),
        _ => grain([150, 116, 68], 8, u, v, 9),
    }
}

fn boards(u: usize, v: usize) -> [i32; 3] {
    let joint = v % 4 == 3 || u == [3, 11, 7, 14][v / 4];
    grain(if joint { [112, 86, 50] } else { PLANKS }, 9, u / 3, v, 10)
}

fn table_face(face: usize, u: usize, v: usize) -> [i32; 3] {
    match face {
        0 if u == 0 || v == 0 || u == 15 || v == 15 => [74, 50, 28],
        0 if u.is_multiple_of(5) || v.is_multiple_of(5) => [104, 70, 40],
        0 => grain([184, 130, 76], 8, u, v, 11),
        1 if v < 3 => [92, 62, 34],
        // A saw and a hammer hang on the sides.
        1 if (5..13).contains(&v) && (u == 4 || u == 11) => [70, 66, 62],
        1 if (5..8).contains(&v) && (2..7).contains(&u) => [150, 150, 150],
        1 if (6..12).contains(&v) && (10..14).contains(&u) => [172, 172, 176],
        _ => boards(u, v),
    }
}

fn furnace_face(face: usize, lit: bool, u: usize, v: usize) -> [i32; 3] {
    let mouth = face == 1 && (3..13).contains(&u) && (8..14).contains(&v);
    match (mouth, lit) {
        (true, true) => grain([236, 140, 30], 50, u / 2, v, 18),
        (true, false) => [34, 34, 34],
        _ if u == 0 || v == 0 || u == 15 || v == 15 => [88, 88, 88],
        _ => grain([124, 124, 124], 18, u / 2, v / 2, 17),
    }
}

fn speckled(spot: [i32; 3], u: usize, v: usize) -> [i32; 3] {
    let inside = (2..14).contains(&u) && (2..14).contains(&v);
    if inside && noise(u / 2, v / 2, 60) < 76 {
        grain(spot, 14, u, v, 12)
    } else {
        grain(STONE, 14, u / 3, v, 3)
    }
}

fn cobbles(u: usize, v: usize) -> [i32; 3] {
    let shifted = u + if (v / 5).is_multiple_of(2) { 0 } else { 3 };
    if v % 5 == 4 || shifted % 6 == 5 {
        [78, 78, 78]
    } else {
        grain([136, 136, 136], 26, shifted / 6, v / 5, 15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(block: Block, face: usize) -> [i32; 3] {
        let coarse = coarsen(&draw_face(block, face), SIDE)[0];
        [0, 8, 16].map(|shift| (coarse >> shift & 255) as i32)
    }

    #[test]
    fn the_table_has_every_face_at_every_level() {
        assert_eq!(table().len(), LEVELS * Block::SLOTS * FACES * TEXELS);
        let coarsest = (LEVELS - 1) * Block::SLOTS * FACES * TEXELS;
        for face in table()[coarsest..].chunks_exact(TEXELS) {
            assert!(face.iter().all(|texel| *texel == face[0]), "one colour at the coarsest level");
        }
    }

    #[test]
    fn trunks_stand_out_from_what_surrounds_them() {
        let trunk = mean(Block::Log, 1);
        for (block, face) in [(Block::Grass, 0), (Block::Grass, 1), (Block::Dirt, 1), (Block::Leaves, 1)] {
            let other = mean(block, face);
            let apart: i32 = trunk.iter().zip(other).map(|(a, b)| (a - b).abs()).sum();
            assert!(apart > 60, "{} face {face}: {other:?} beside {trunk:?}", block.name());
        }
    }

    #[test]
    fn cracks_grow_and_outlines_darken() {
        let covered = |stage| (0..TEXELS).filter(|at| is_cracked(at % SIDE, at / SIDE, stage)).count();
        assert!(covered(0) > 0 && covered(9) > 2 * covered(0) && covered(9) < TEXELS / 2, "{}", covered(9));
        let face = draw_face(Block::Log, 1);
        let outlined = decorate(&face, true, None);
        assert_ne!(face[0], outlined[0]);
        assert_eq!(face[5 * SIDE + 5], outlined[5 * SIDE + 5]);
    }
}
