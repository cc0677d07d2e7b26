//! Where textures have holes: small plants, torches, leaves and glass.
//!
//! A hole keeps a colour all the same: the coarser levels of detail take the mean over everything,
//! and where leaves are drawn as whole cubes nothing changes.

use super::super::block::Block;
use super::noise;

/// Whether one looks through a texel; `v` counts from the top.
pub(super) fn is_hole(block: Block, u: usize, v: usize) -> bool {
    match block {
        Block::Leaves => noise(u, v, 40) < 60,
        Block::Glass => is_clear_glass(u, v),
        Block::Torch => !(7..9).contains(&u) || v < 6,
        Block::TallGrass => !is_blade(u, v),
        Block::Flower => !is_flower(u, v),
        Block::Sapling => !is_sapling(u, v),
        Block::DeadBush => !is_bush(u, v),
        _ => false,
    }
}

fn is_clear_glass(u: usize, v: usize) -> bool {
    let frame = u == 0 || v == 0 || u == 15 || v == 15;
    let glint = (u + v == 8 && u > 1 && v > 1) || (u + v == 21 && u > 8 && u < 13);
    !frame && !glint
}

/// Blades of grass of several heights that lean a little.
fn is_blade(u: usize, v: usize) -> bool {
    let lean = (15 - v) / 5;
    let column = if noise(u / 2, 0, 31) & 1 == 0 { u + lean } else { u + 3 - lean };
    let top = 3 + (noise(column / 2, 1, 32) % 9) as usize;
    v >= top && (column % 3 != 0 || v > 12)
}

fn is_flower(u: usize, v: usize) -> bool {
    let (x, y) = (u as i32 * 2 - 15, v as i32 * 2 - 13);
    let head = v < 9 && x * x + y * y <= 26;
    let stem = (7..9).contains(&u) && v >= 8;
    let leaf = (11..14).contains(&v) && (5..11).contains(&u) && (u + v).is_multiple_of(2);
    head || stem || leaf
}

fn is_sapling(u: usize, v: usize) -> bool {
    let (x, y) = (u as i32 * 2 - 15, v as i32 * 2 - 13);
    let crown = x * x + y * y < 110 && noise(u, v, 33) > 70;
    crown || ((7..9).contains(&u) && v >= 9)
}

/// Twigs that fork upward from the middle.
fn is_bush(u: usize, v: usize) -> bool {
    let (out, up) = ((u as i32 * 2 - 15).abs() / 2, 15 - v as i32);
    let fork = |from: i32| up - from == out && out <= 6;
    (out == 0 && up < 11) || fork(2) || fork(5) || (fork(8) && noise(u, v, 34) > 90)
}
