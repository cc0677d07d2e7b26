//! The voxel volume: 128 x 128 columns that repeat endlessly in x and z, so the world has no edge,
//! with a distance field for the renderer, kept right on every edit.
//!
//! The field says per cell how large a box around it is free, once for rays that descend and once
//! for rays that rise: the box reaches equally far in x, z and the ray's own direction of y, so that
//! the ground does not slow down rays to the sky, nor the canopy those to the ground.
//!
//! Occupancy is one `u128` per row of x. The field comes from growing those rows fourteen times by
//! one cell and noting, in bit-sliced numbers, at which growth each cell is reached; layers that no
//! growth changes any more are passed over. The same code serves the box around one edit.

use std::sync::atomic::{AtomicU64, Ordering};

use super::block::Block;
use super::light::Light;

/// Columns along x and along z before the world repeats.
pub const PERIOD: i32 = 128;
/// The largest distance the field records; farther cells hold this value.
pub const DISTANCE_CAP: u8 = 15;

const SIDE: usize = PERIOD as usize;
const LAYER: usize = SIDE * SIDE;
const MASK: i32 = PERIOD - 1;
/// Bytes past the end that four-byte loads at the last cell may touch.
const PADDING: usize = 16;
const COUNTER_PLANES: usize = 4;

/// The world's blocks, with what drawing and spawning need to know about them.
#[derive(Clone, Debug)]
pub struct Voxels {
    height: usize,
    blocks: Vec<u8>,
    distance: Vec<u8>,
    occupied: Vec<u128>,
    scratch: Scratch,
    /// None where the land is always bright.
    light: Option<Light>,
    /// Whether one may look past some block of the volume.
    airy: bool,
    revision: u64,
    /// Ground level per column as generated: the y of the top terrain block, `[z * 128 + x]`.
    pub(super) ground: Vec<u8>,
    /// Where each tree stands: the position of its lowest trunk block, as generated.
    pub trees: Vec<[i32; 3]>,
}

#[derive(Debug, Default)]
struct Scratch {
    reached: Vec<u128>,
    spread: Vec<u128>,
    /// Per layer, whether the last growth found it all empty or all full.
    even: Vec<bool>,
    planes: [Vec<u128>; COUNTER_PLANES],
}

impl Clone for Scratch {
    /// Nothing in it outlives a call: a copied volume need not carry it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A box of rows: `y_count` layers from `y`, `z_count` rows from `z` (wrapping), all of x.
#[derive(Clone, Copy)]
struct Window {
    y: usize,
    y_count: usize,
    z: usize,
    z_count: usize,
}

/// Which way the rays go that a half of the distance field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heading {
    Down,
    Up,
}

impl Voxels {
    /// An empty volume of the given height in blocks.
    pub fn empty(height: usize) -> Self {
        let cells = height * LAYER;
        Self {
            height,
            blocks: vec![0; cells + PADDING],
            distance: vec![DISTANCE_CAP; 2 * cells + PADDING],
            occupied: vec![0; height * SIDE],
            scratch: Scratch::default(),
            light: None,
            airy: false,
            revision: fresh_revision(),
            ground: vec![0; LAYER + PADDING],
            trees: Vec::new(),
        }
    }

    /// Height of the volume in blocks; above it there is only air.
    pub fn height(&self) -> i32 {
        self.height as i32
    }

    /// A number that no other content of any volume in this process has; it is not part of the state.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The block at a position; below the volume bedrock, above it air.
    pub fn get(&self, x: i32, y: i32, z: i32) -> Block {
        if y < 0 {
            return Block::Bedrock;
        }
        if y as usize >= self.height {
            return Block::Air;
        }
        Block::from_u8(self.blocks[Self::index(x, y as usize, z)])
    }

    /// Puts a block at a position and returns what was there; outside the height nothing changes.
    pub fn set(&mut self, x: i32, y: i32, z: i32, block: Block) -> Block {
        let before = self.get(x, y, z);
        if y < 0 || y as usize >= self.height || before == block {
            return before;
        }
        self.revision = fresh_revision();
        let y = y as usize;
        self.blocks[Self::index(x, y, z)] = block as u8;
        if (before == Block::Air) != (block == Block::Air) {
            self.occupied[y * SIDE + (z & MASK) as usize] ^= 1 << (x & MASK);
            self.refresh_around(y, z);
        }
        self.airy |= matches!(block, Block::Torch | Block::Glass) || block.is_plant();
        if let Some(light) = &mut self.light {
            light.edit(&self.blocks, Self::index(x, y, z), before);
        }
        before
    }

    /// The y of the highest solid block of a column as it is now (canopies and trunks included).
    pub fn surface_height(&self, x: i32, z: i32) -> i32 {
        (0..self.height()).rev().find(|&y| self.get(x, y, z).is_solid()).unwrap_or(0)
    }

    /// The y of the top terrain block of a column as generated (trees and edits excluded).
    pub fn ground_height(&self, x: i32, z: i32) -> i32 {
        i32::from(self.ground[(z & MASK) as usize * SIDE + (x & MASK) as usize])
    }

    /// The copy of a position that lies nearest to `near`, the world repeating in x and z.
    pub fn nearest_copy(position: [i32; 3], near: [f32; 3]) -> [i32; 3] {
        let wrap = |value: i32, near: f32| {
            let centre = near.floor() as i32;
            centre + ((value - centre + PERIOD / 2) & MASK) - PERIOD / 2
        };
        [wrap(position[0], near[0]), position[1], wrap(position[2], near[2])]
    }

    /// Blocks with the three bytes' padding the renderer's wide loads need.
    pub(super) fn block_bytes(&self) -> &[u8] {
        &self.blocks
    }

    /// Per cell the least reach, capped, at which the box around it meets a non-air block (0 in
    /// non-air cells): first all cells for rays that descend, then all for rays that rise; padded.
    pub(super) fn distance_bytes(&self) -> &[u8] {
        &self.distance
    }

    /// Light of the sky and of blocks at a position, 0 to 15 each; full daylight where the land is always bright.
    pub fn light(&self, x: i32, y: i32, z: i32) -> (u8, u8) {
        match &self.light {
            _ if y < 0 => (0, 0),
            Some(light) if (y as usize) < self.height => {
                let both = light.bytes()[Self::index(x, y as usize, z)];
                (both >> 4, both & 15)
            }
            _ => (15, 0),
        }
    }

    /// The light field, one padded byte a cell: the sky's in the upper four bits, that of blocks in the lower.
    pub(super) fn light_bytes(&self) -> Option<&[u8]> {
        self.light.as_ref().map(Light::bytes)
    }

    /// Whether the land has light and dark, and is not bright all over.
    pub(super) fn has_light(&self) -> bool {
        self.light.is_some()
    }

    /// Whether some block may have holes or fill only part of its cell; false says that none does.
    pub(super) fn is_airy(&self) -> bool {
        self.airy
    }

    /// Computes the light of the whole volume, which edits keep right from then on.
    pub(super) fn shine(&mut self) {
        self.light.get_or_insert_default().rebuild(&self.blocks);
        self.airy = true;
    }

    /// Empties every cell without keeping the acceleration data right: `rebuild` must follow.
    pub(super) fn clear(&mut self) {
        self.blocks.fill(0);
        self.trees.clear();
        self.airy = false;
    }

    /// One row of x, for the generator: `rebuild` must follow.
    pub(super) fn row_mut(&mut self, y: usize, z: usize) -> &mut [u8] {
        let start = (y * SIDE + z) * SIDE;
        &mut self.blocks[start..start + SIDE]
    }

    /// Writes one cell without keeping the acceleration data right: `rebuild` must follow.
    pub(super) fn put(&mut self, x: i32, y: i32, z: i32, block: Block) {
        if (0..self.height()).contains(&y) {
            self.blocks[Self::index(x, y as usize, z)] = block as u8;
        }
    }

    /// Recomputes occupancy and distances of the whole volume.
    pub(super) fn rebuild(&mut self) {
        self.revision = fresh_revision();
        for (row, bits) in self.blocks.chunks_exact(SIDE).zip(&mut self.occupied) {
            *bits = 0;
            for (group, bytes) in row.as_chunks().0.iter().enumerate() {
                *bits |= u128::from(nonzero_bits(*bytes)) << (group * 8);
            }
        }
        let all = Window { y: 0, y_count: self.height, z: 0, z_count: SIDE };
        for heading in [Heading::Down, Heading::Up] {
            self.count_free(all, heading);
            self.expand(all, all, heading);
        }
    }

    fn index(x: i32, y: usize, z: i32) -> usize {
        (y * SIDE + (z & MASK) as usize) * SIDE + (x & MASK) as usize
    }

    /// Recomputes the distances one edit can change: the rows within the cap of it.
    fn refresh_around(&mut self, y: usize, z: i32) {
        let cap = usize::from(DISTANCE_CAP);
        let from = |reach: usize| (z as usize).wrapping_sub(reach) & (SIDE - 1);
        let (low, high) = (y.saturating_sub(cap), (y + cap + 1).min(self.height));
        // What lies beyond the outer box could reach the inner one only by more steps than are made.
        let outer = Window { y: low, y_count: high - low, z: from(2 * cap), z_count: 4 * cap + 1 };
        for heading in [Heading::Down, Heading::Up] {
            // Only rays that still have the edit before them are concerned.
            let (low, high) = match heading {
                Heading::Down => (y, high),
                Heading::Up => (low, y + 1),
            };
            let inner = Window { y: low, y_count: high - low, z: from(cap), z_count: 2 * cap + 1 };
            self.count_free(outer, heading);
            self.expand(outer, inner, heading);
        }
    }

    /// Notes, per cell of the window, how many growths (none to fourteen) leave it free.
    fn count_free(&mut self, window: Window, heading: Heading) {
        let rows = window.y_count * window.z_count;
        let Scratch { reached, spread, even, planes } = &mut self.scratch;
        reached.clear();
        for y in window.y..window.y + window.y_count {
            for z in window.z..window.z + window.z_count {
                reached.push(self.occupied[y * SIDE + (z & (SIDE - 1))]);
            }
        }
        spread.clear();
        spread.resize(rows, 0);
        for plane in planes.iter_mut() {
            plane.clear();
            plane.resize(rows, 0);
        }
        even.clear();
        even.resize(window.y_count, false);
        for growth in 1..DISTANCE_CAP {
            spread_layers(reached, spread, even, window.z_count);
            climb(reached, spread, window.z_count, heading, |row, fresh| {
                for (bit, plane) in planes.iter_mut().enumerate() {
                    if growth >> bit & 1 == 1 {
                        plane[row] |= fresh;
                    }
                }
            });
        }
        for (row, bits) in reached.iter().enumerate() {
            planes.iter_mut().for_each(|plane| plane[row] |= !bits);
        }
    }

    /// Writes the counters of `inner`, which lies inside the counted window `outer`, as distances.
    fn expand(&mut self, outer: Window, inner: Window, heading: Heading) {
        let half = if heading == Heading::Up { self.height * LAYER } else { 0 };
        let first_z = inner.z.wrapping_sub(outer.z) & (SIDE - 1);
        for y in inner.y..inner.y + inner.y_count {
            for step in 0..inner.z_count {
                let row = (y - outer.y) * outer.z_count + first_z + step;
                let planes: [[u8; 16]; COUNTER_PLANES] =
                    std::array::from_fn(|plane| self.scratch.planes[plane][row].to_le_bytes());
                let start = half + (y * SIDE + ((inner.z + step) & (SIDE - 1))) * SIDE;
                for (group, cells) in self.distance[start..start + SIDE].chunks_exact_mut(8).enumerate() {
                    let mut packed = 0;
                    for (bit, plane) in planes.iter().enumerate() {
                        packed |= SPREAD[usize::from(plane[group])] << bit;
                    }
                    cells.copy_from_slice(&packed.to_le_bytes());
                }
            }
        }
    }
}

/// Grows every set cell of the window by one in x and in z (wrapping within the window), into `spread`.
///
/// A layer that is all empty or all full spreads into what it is: once that is written it need not be again.
fn spread_layers(reached: &[u128], spread: &mut [u128], even: &mut [bool], z_count: usize) {
    let layers = reached.chunks_exact(z_count).zip(spread.chunks_exact_mut(z_count));
    for ((from, to), even) in layers.zip(even) {
        let is_even = from.iter().all(|row| *row == from[0]) && (from[0] == 0 || from[0] == u128::MAX);
        if is_even {
            if !*even || to[0] != from[0] {
                to.fill(from[0]);
            }
            *even = true;
            continue;
        }
        *even = false;
        let wide = |z: usize| from[z] | from[z].rotate_left(1) | from[z].rotate_right(1);
        let (mut before, mut here) = (wide(z_count - 1), wide(0));
        for (z, row) in to.iter_mut().enumerate() {
            let after = wide(if z + 1 == z_count { 0 } else { z + 1 });
            *row = before | here | after;
            (before, here) = (here, after);
        }
    }
}

/// Takes over what has spread, and grows it by one against the rays' heading in y, from where they will come; `each`
/// gets the cells of a row that are reached for the first time.
fn climb(
    reached: &mut [u128],
    spread: &[u128],
    z_count: usize,
    heading: Heading,
    mut each: impl FnMut(usize, u128),
) {
    let rows = reached.len();
    for (row, bits) in reached.iter_mut().enumerate() {
        let source = match heading {
            Heading::Down => row.checked_sub(z_count),
            Heading::Up => Some(row + z_count).filter(|above| *above < rows),
        };
        let now = spread[row] | source.map_or(0, |source| spread[source]);
        let fresh = now & !*bits;
        if fresh != 0 {
            each(row, fresh);
            *bits = now;
        }
    }
}

fn fresh_revision() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One bit per byte of eight: whether it is not zero.
fn nonzero_bits(bytes: [u8; 8]) -> u8 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let all = u64::from_le_bytes(bytes);
    // The top bit of each byte says it; the product moves those bits side by side into the last byte.
    let tops = ((((all & LOW) + LOW) | all) >> 7) & 0x0101_0101_0101_0101;
    (tops.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// Eight bits spread to the low bits of eight bytes.
static SPREAD: [u64; 256] = spread_table();

const fn spread_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut bit = 0;
        while bit < 8 {
            table[bits] |= ((bits >> bit) as u64 & 1) << (8 * bit);
            bit += 1;
        }
        bits += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brute_force(voxels: &Voxels, x: i32, y: i32, z: i32, heading: i32) -> u8 {
        for reach in 0..i32::from(DISTANCE_CAP) {
            for dy in (0..=reach).map(|dy| dy * heading) {
                for dz in -reach..=reach {
                    for dx in -reach..=reach {
                        let inside = (0..voxels.height()).contains(&(y + dy));
                        if inside && voxels.get(x + dx, y + dy, z + dz) != Block::Air {
                            return reach as u8;
                        }
                    }
                }
            }
        }
        DISTANCE_CAP
    }

    fn next(state: &mut u32, below: i32) -> i32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*state >> 8) % below as u32) as i32
    }

    #[test]
    fn distances_stay_right_under_edits() {
        let mut voxels = Voxels::empty(20);
        let mut state = 7;
        for round in 0..120 {
            let (x, y, z) = (next(&mut state, 128), next(&mut state, 20), next(&mut state, 128));
            let block = if round % 3 == 2 { Block::Air } else { Block::Stone };
            // Later rounds edit where earlier ones did, so removals find something.
            let (x, z) = if round < 60 { (x, z) } else { (x % 12 - 6, z % 12 - 6) };
            voxels.set(x, y, z, block);
            for _ in 0..12 {
                let (px, py, pz) =
                    (x + next(&mut state, 33) - 16, next(&mut state, 20), z + next(&mut state, 33) - 16);
                let index = Voxels::index(px, py as usize, pz);
                for (heading, half) in [(-1, 0), (1, 20 * LAYER)] {
                    let right = brute_force(&voxels, px, py, pz, heading);
                    assert_eq!(voxels.distance[half + index], right, "at {px} {py} {pz}, round {round}");
                }
            }
        }
    }

    #[test]
    fn an_edit_leaves_what_a_rebuild_would() {
        let mut voxels = Voxels::empty(32);
        let mut state = 3;
        for _ in 0..200 {
            let (x, y, z) = (next(&mut state, 128), next(&mut state, 32), next(&mut state, 128));
            voxels.set(x, y, z, if y % 4 == 0 { Block::Air } else { Block::Dirt });
        }
        let edited = voxels.distance.clone();
        voxels.rebuild();
        assert_eq!(edited, voxels.distance);
    }

    #[test]
    fn positions_outside_are_answered() {
        let mut voxels = Voxels::empty(16);
        assert_eq!(voxels.get(0, -1, 0), Block::Bedrock);
        assert_eq!(voxels.get(0, 16, 0), Block::Air);
        assert_eq!(voxels.set(0, -1, 0, Block::Dirt), Block::Bedrock);
        assert_eq!(voxels.set(i32::MIN, 3, i32::MAX, Block::Dirt), Block::Air);
        assert_eq!(voxels.get(i32::MIN, 3, i32::MAX), Block::Dirt);
        assert_eq!(voxels.get(-5 - 128, 3, 0), voxels.get(-5, 3, 0));
    }

    #[test]
    fn the_nearest_copy_is_within_half_a_period() {
        assert_eq!(Voxels::nearest_copy([2, 9, 126], [127.5, 0.0, 1.0]), [130, 9, -2]);
        assert_eq!(Voxels::nearest_copy([2, 9, 126], [2.5, 0.0, 120.0]), [2, 9, 126]);
        assert_eq!(Voxels::nearest_copy([0, 0, 0], [-300.0, 0.0, 0.0]), [-256, 0, 0]);
    }
}
