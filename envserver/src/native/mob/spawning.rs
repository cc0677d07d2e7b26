//! Where mobs come from and when they go: herds on grass in daylight, monsters out of the dark.
//!
//! The game's rules for a world of 8 x 8 chunks: one new chunk in ten has a herd of four, monsters are at most 70 to
//! every 17 x 17 chunks.

use super::crowd::Crowd;
use super::kind::Kind;
use super::{Around, Mob};
use crate::native::block::Block;
use crate::native::physics::Body;
use crate::native::spawn::mix;
use crate::native::voxels::{PERIOD, Voxels};

const CHUNK: i32 = 16;
const CHUNKS: u64 = 64;
/// One chunk in so many is born with a herd.
const HERDS: u64 = 10;
const HERD: u64 = 4;
/// Places tried for each animal of a herd.
const PLACES: u64 = 4;
/// Ticks between two tries for another herd, and animals from which on none comes.
const HERD_CLOCK: u64 = 400;
const ANIMALS: usize = 10;
/// Least light for a herd.
const MEADOW_LIGHT: u8 = 9;
/// Most monsters, and places tried for one in a tick.
const MONSTERS: usize = 15;
const TRIES: u64 = 4;
/// Nearest that anything appears to the player, metres.
const NEAREST: f64 = 24.0;
/// From where on monsters may go, one tick in so many, and from where on they do, metres.
const MAY_GO: f64 = 32.0;
const GOES: u64 = 800;
const GONE: f64 = 64.0;

/// The herds a world is born with.
pub(super) fn first_herds(crowd: &mut Crowd, around: &Around<'_>) {
    for chunk in 0..CHUNKS {
        let roll = mix(mix(crowd.key(), 0x4845_5244), chunk);
        if roll.is_multiple_of(HERDS) {
            let corner = [(chunk % 8) as i32 * CHUNK, (chunk / 8) as i32 * CHUNK];
            herd(crowd, around, corner, roll);
        }
    }
}

/// Another herd where there are few animals left.
pub(super) fn another_herd(crowd: &mut Crowd, around: &Around<'_>) {
    if !around.now.is_multiple_of(HERD_CLOCK) || crowd.count(false) >= ANIMALS {
        return;
    }
    let roll = mix(mix(crowd.key(), 0x4652_4553), around.now);
    let corner = [(roll >> 8) as i32 & 7, (roll >> 16) as i32 & 7].map(|chunk| chunk * CHUNK);
    let middle = Voxels::nearest_copy([corner[0] + 8, 0, corner[1] + 8], around.player.map(|v| v as f32));
    let (dx, dz) = (f64::from(middle[0]) - around.player[0], f64::from(middle[2]) - around.player[2]);
    if dx * dx + dz * dz > NEAREST * NEAREST {
        herd(crowd, around, corner, roll);
    }
}

/// Up to four animals of a kind about a place in the chunk with that corner.
fn herd(crowd: &mut Crowd, around: &Around<'_>, corner: [i32; 2], roll: u64) {
    // Ten pigs to eight cows.
    let kind = if mix(roll, 1) % 18 < 10 { Kind::Pig } else { Kind::Cow };
    let bits = mix(roll, 2);
    let mut at = [corner[0] + (bits & 15) as i32, corner[1] + (bits >> 4 & 15) as i32];
    for animal in 0..HERD {
        for place in 0..PLACES {
            let bits = mix(roll, 16 + animal * PLACES + place);
            let feet = meadow(around, at, kind);
            // Five blocks about, never far from the chunk.
            let stray = |at: i32, corner: i32, bits: u64| {
                let (plus, minus) = ((bits % 5) as i32, (bits / 5 % 5) as i32);
                (at + plus - minus).clamp(corner - 4, corner + CHUNK + 3)
            };
            at = [stray(at[0], corner[0], bits), stray(at[1], corner[1], bits >> 16)];
            if let Some(feet) = feet {
                crowd.add(kind, feet);
                break;
            }
        }
    }
}

/// Feet of an animal on the grass of a column, near the player's copy, if there is some in the light.
fn meadow(around: &Around<'_>, [x, z]: [i32; 2], kind: Kind) -> Option<[f64; 3]> {
    let [x, _, z] = Voxels::nearest_copy([x, 0, z], around.player.map(|value| value as f32));
    let ground = around.voxels.ground_height(x, z);
    if around.voxels.get(x, ground, z) != Block::Grass {
        return None;
    }
    let cell = [x, ground + 1, z];
    (around.light(cell) >= MEADOW_LIGHT).then(|| room(around.voxels, cell, kind)).flatten()
}

/// Feet in a cell where a mob's box meets neither block nor liquid.
fn room(voxels: &Voxels, cell: [i32; 3], kind: Kind) -> Option<[f64; 3]> {
    let (half_width, height) = kind.size();
    let feet = [f64::from(cell[0]) + 0.5, f64::from(cell[1]), f64::from(cell[2]) + 0.5];
    let body = Body::new(feet, half_width, height);
    let is_free = |x: i32, y: i32, z: i32| {
        let block = voxels.get(x, y, z);
        !block.is_solid() && !matches!(block, Block::Water | Block::Lava) || !body.overlaps([x, y, z])
    };
    let free = (0..=height.floor() as i32)
        .all(|up| (-1..=1).all(|dz| (-1..=1).all(|dx| is_free(cell[0] + dx, cell[1] + up, cell[2] + dz))));
    free.then_some(feet)
}

/// Monsters where it is dark and the player is not near.
pub(super) fn out_of_the_dark(crowd: &mut Crowd, around: &Around<'_>) {
    if crowd.count(true) >= MONSTERS {
        return;
    }
    for attempt in 0..TRIES {
        let roll = mix(mix(crowd.key() ^ 0x4441_524b, around.now), attempt);
        if let Some((kind, feet)) = lair(around, roll) {
            crowd.add(kind, feet);
            return;
        }
    }
}

/// A monster and where it appears, if a random place will do.
fn lair(around: &Around<'_>, roll: u64) -> Option<(Kind, [f64; 3])> {
    let voxels = around.voxels;
    let near = around.player.map(|value| value as f32);
    let column = [(roll & 127) as i32, 0, (roll >> 7 & 127) as i32];
    debug_assert_eq!(PERIOD, 128, "seven bits name a column");
    let [x, _, z] = Voxels::nearest_copy(column, near);
    let top = voxels.ground_height(x, z) + 1;
    let y = 1 + (mix(roll, 1) % top.max(1) as u64) as i32;
    let floor = voxels.get(x, y - 1, z);
    if voxels.get(x, y, z).is_solid() || !floor.is_solid() || !floor.is_opaque() || floor == Block::Cactus {
        return None;
    }
    let (sky, _) = voxels.light(x, y, z);
    let chances = mix(roll, 2);
    // Up to 7 anywhere, the brighter the more seldom; under the open sky half as often.
    let dark = u64::from(around.light([x, y, z])) <= chances % 8 && u64::from(sky) <= (chances >> 8) % 32;
    if !dark {
        return None;
    }
    let kind = [Kind::Zombie, Kind::Creeper, Kind::Spider][(mix(roll, 3) % 3) as usize];
    let feet = room(voxels, [x, y, z], kind)?;
    (around.distance_squared(feet) >= NEAREST * NEAREST).then_some((kind, feet))
}

/// Whether a mob is gone for good, unseen; animals stay.
pub(super) fn leaves(mob: &Mob, around: &Around<'_>, roll: u64) -> bool {
    if !mob.kind.is_hostile() {
        return false;
    }
    let distance = around.distance_squared(mob.body.position);
    distance > GONE * GONE || distance > MAY_GO * MAY_GO && mix(roll, 9).is_multiple_of(GOES)
}
