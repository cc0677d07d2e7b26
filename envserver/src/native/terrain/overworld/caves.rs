//! Holes in the ground: winding tunnels, some with a mouth at the surface, ravines, pools of lava.

use super::super::super::block::Block;
use super::super::super::voxels::{PERIOD, Voxels};
use super::super::hash;
use super::SEA_LEVEL;

const TUNNELS: i32 = 22;
/// That many of the tunnels start at the surface.
const MOUTHS: i32 = 7;
const RAVINES: i32 = 2;
const LAVA_POOLS: i32 = 6;
/// Below this y a cave is full of lava.
const LAVA_LEVEL: i32 = 11;
/// Lowest layer that is carved.
const FLOOR: i32 = 5;

/// A point that moves through the ground; positions and directions in 256ths of a block.
struct Worm {
    at: [i32; 3],
    heading: [i32; 3],
    bits: u64,
}

impl Worm {
    /// Turns a little at random, keeping the pace of one block a step.
    fn crawl(&mut self, step: i32, turn: i32, flatness: i32) {
        self.bits = hash(self.bits, 140, step, 0);
        for (axis, component) in self.heading.iter_mut().enumerate() {
            let nudge = (self.bits >> (16 * axis) & 0xff) as i32 - 128;
            *component += nudge * turn / 128;
        }
        self.heading[1] = self.heading[1] * flatness / 16;
        let [x, y, z] = self.heading;
        let length = ((x * x + y * y + z * z) as u32).isqrt().max(1) as i32;
        self.heading = self.heading.map(|component| component * 256 / length);
        for (at, component) in self.at.iter_mut().zip(self.heading) {
            *at += component;
        }
    }

    fn cell(&self) -> [i32; 3] {
        self.at.map(|value| value >> 8)
    }
}

/// Carves tunnels and ravines.
pub(super) fn carve(voxels: &mut Voxels, seed: u64) {
    let shore = wet_columns(voxels);
    for number in 0..TUNNELS {
        let bits = hash(seed, 141, number, 0);
        let (x, z) = ((bits & 127) as i32, (bits >> 7 & 127) as i32);
        let is_mouth = number < MOUTHS;
        let y = if is_mouth { voxels.ground_height(x, z) } else { 8 + (bits >> 14 & 0xff) as i32 % 44 };
        let sideways = (bits >> 24 & 0x1ff) as i32 - 256;
        let across = (bits >> 34 & 0x1ff) as i32 - 256;
        let heading = [sideways, if is_mouth { -150 } else { 0 }, across];
        let worm = Worm { at: [x << 8, y << 8, z << 8], heading, bits };
        let length = 70 + (bits >> 44 & 63) as i32;
        tunnel(voxels, &shore, worm, length, true);
    }
    for number in 0..RAVINES {
        let bits = hash(seed, 142, number, 0);
        if bits & 3 == 0 {
            continue;
        }
        let (x, z) = ((bits >> 8 & 127) as i32, (bits >> 15 & 127) as i32);
        let y = voxels.ground_height(x, z) - 10 - (bits >> 22 & 7) as i32;
        let heading = [(bits >> 30 & 0x1ff) as i32 - 256, 0, (bits >> 40 & 0x1ff) as i32 - 256];
        ravine(voxels, &shore, Worm { at: [x << 8, y << 8, z << 8], heading, bits });
    }
}

/// Follows a worm, widening and narrowing; a long tunnel sends out branches.
fn tunnel(voxels: &mut Voxels, shore: &[bool], mut worm: Worm, length: i32, branches: bool) {
    for step in 0..length {
        // Mouths dive first; deeper down tunnels run level.
        let deep = worm.at[1] < (SEA_LEVEL - 12) << 8;
        worm.crawl(step, 60, if deep { 13 } else { 16 });
        if worm.at[1] < 8 << 8 {
            worm.heading[1] = worm.heading[1].abs();
        }
        // A radius of 1.5 to 3 blocks, in quarters, swelling in waves of 32 steps.
        let wave = (step & 31).min(32 - (step & 31));
        let radius = 6 + wave * 3 / 8 + (worm.bits >> 60 & 1) as i32;
        let [x, y, z] = worm.cell();
        hollow(voxels, shore, [x, y, z], [radius, radius]);
        if branches && step % 32 == 31 {
            let bits = hash(worm.bits, 143, step, 0);
            let heading = [worm.heading[2], -40 + (bits & 63) as i32, -worm.heading[0]];
            tunnel(voxels, shore, Worm { at: worm.at, heading, bits }, 40, false);
        }
    }
}

fn ravine(voxels: &mut Voxels, shore: &[bool], mut worm: Worm) {
    let length = 36 + (worm.bits >> 50 & 15) as i32;
    for step in 0..length {
        worm.crawl(step, 24, 8);
        let ends = step.min(length - step);
        hollow(voxels, shore, worm.cell(), [5 + ends / 8, 16 + ends * 3]);
    }
}

/// Takes the ground out of an ellipsoid with the given radii across and upright, in quarters of a block.
fn hollow(voxels: &mut Voxels, shore: &[bool], centre: [i32; 3], radii: [i32; 2]) {
    let [x, y, z] = centre;
    let (across, upright) = (radii[0] * radii[0], radii[1] * radii[1]);
    let (wide, tall) = (radii[0] / 4, radii[1] / 4);
    for dz in -wide..=wide {
        for dx in -wide..=wide {
            let flat = 16 * (dx * dx + dz * dz);
            let (cx, cz) = (x + dx, z + dz);
            // Lakes and the sea keep their beds.
            let roof = if shore[column(cx, cz)] {
                voxels.ground_height(cx, cz).min(SEA_LEVEL) - 4
            } else {
                voxels.height() - 1
            };
            for dy in -tall..=tall {
                let cy = y + dy;
                let inside = flat * upright + 16 * dy * dy * across <= across * upright;
                if !inside || !(FLOOR..=roof).contains(&cy) {
                    continue;
                }
                match voxels.get(cx, cy, cz) {
                    Block::Bedrock | Block::Water | Block::Air => {}
                    _ if cy < LAVA_LEVEL => voxels.put(cx, cy, cz, Block::Lava),
                    _ => voxels.put(cx, cy, cz, Block::Air),
                }
            }
        }
    }
}

fn column(x: i32, z: i32) -> usize {
    ((z & (PERIOD - 1)) * PERIOD + (x & (PERIOD - 1))) as usize
}

/// Columns under water or beside such.
fn wet_columns(voxels: &Voxels) -> Vec<bool> {
    let wet = |x: i32, z: i32| voxels.ground_height(x, z) < SEA_LEVEL - 1;
    (0..PERIOD * PERIOD)
        .map(|at| {
            let (x, z) = (at % PERIOD, at / PERIOD);
            (-1..=1).any(|dz| (-1..=1).any(|dx| wet(x + dx, z + dz)))
        })
        .collect()
}

/// Lakes of lava deep down: a hollow, its lower half filled.
pub(super) fn pour_lava(voxels: &mut Voxels, seed: u64) {
    for number in 0..LAVA_POOLS {
        let bits = hash(seed, 145, number, 0);
        let (x, z) = ((bits & 127) as i32, (bits >> 7 & 127) as i32);
        let y = 12 + (bits >> 14 & 15) as i32;
        let reach = 3 + (bits >> 20 & 1) as i32;
        for dy in -2..=2 {
            for dz in -reach..=reach {
                for dx in -reach..=reach {
                    let out = (dx * dx + dz * dz) * 4 + dy * dy * reach * reach;
                    let solid = voxels.get(x + dx, y + dy, z + dz).is_solid();
                    if out > 4 * reach * reach || !(solid || dy < 0) {
                        continue;
                    }
                    voxels.put(x + dx, y + dy, z + dz, if dy < 0 { Block::Lava } else { Block::Air });
                }
            }
        }
    }
}
