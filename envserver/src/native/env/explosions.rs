//! What a creeper does when it goes off: blocks broken along rays from its feet, everybody near hurt and pushed.

use std::collections::BTreeSet;

use super::State;
use crate::native::block::Block;
use crate::native::item::Item;
use crate::native::mob::sight;
use crate::native::physics::Body;
use crate::native::spawn::mix;
use crate::native::voxels::Voxels;
use crate::world::Event;

/// Strength of a creeper.
const POWER: f32 = 3.0;
/// Rays go to the surface of a cube of so many places along an edge, in steps of that length.
const EDGE: i32 = 16;
const STEP: f64 = 0.3;
/// One broken block in so many leaves its drop.
const LEAVES: u64 = 3;

/// How well a block withstands an explosion.
fn resistance(block: Block) -> f32 {
    match block {
        Block::Air => 0.0,
        Block::Stone | Block::Cobblestone => 6.0,
        Block::Planks => 3.0,
        Block::Water | Block::Lava => 100.0,
        Block::Obsidian => 1200.0,
        other => other.hardness().unwrap_or(3_600_000.0),
    }
}

/// The cells an explosion empties; `roll` decides how far each ray gets.
fn broken(voxels: &Voxels, at: [f64; 3], roll: u64) -> BTreeSet<[i32; 3]> {
    let mut cells = BTreeSet::new();
    let on_surface = |place: i32| place == 0 || place == EDGE - 1;
    let places = (0..EDGE * EDGE * EDGE).map(|n| [n / EDGE / EDGE, n / EDGE % EDGE, n % EDGE]);
    for (ray, place) in (0..).zip(places.filter(|place| place.iter().any(|axis| on_surface(*axis)))) {
        let raw = place.map(|axis| f64::from(axis) / f64::from(EDGE - 1) * 2.0 - 1.0);
        let length = raw.iter().map(|part| part * part).sum::<f64>().sqrt();
        let share = (mix(roll, ray) >> 40) as f32 / (1 << 24) as f32;
        let mut force = POWER * (0.7 + share * 0.6);
        let mut point = at;
        while force > 0.0 {
            let cell = point.map(|value| value.floor() as i32);
            let block = voxels.get(cell[0], cell[1], cell[2]);
            if block != Block::Air {
                force -= (resistance(block) + 0.3) * 0.3;
                if force > 0.0 && (0..voxels.height()).contains(&cell[1]) {
                    cells.insert(cell);
                }
            }
            point = [0, 1, 2].map(|axis| point[axis] + raw[axis] / length * STEP);
            force -= 0.225;
        }
    }
    cells
}

/// The share of a body that an explosion sees.
fn exposure(voxels: &Voxels, at: [f64; 3], body: &Body) -> f64 {
    let (low, high) = body.bounds();
    let counts = [0, 1, 2].map(|axis| ((high[axis] - low[axis]) * 2.0 + 1.0).floor() as i32);
    let (mut seen, mut all) = (0, 0);
    for x in 0..=counts[0] {
        for y in 0..=counts[1] {
            for z in 0..=counts[2] {
                let share = [x, y, z];
                let point = [0, 1, 2].map(|axis| {
                    low[axis] + (high[axis] - low[axis]) * f64::from(share[axis]) / f64::from(counts[axis])
                });
                all += 1;
                seen += i32::from(sight::clear(voxels, point, at));
            }
        }
    }
    f64::from(seen) / f64::from(all)
}

/// How hard a body is met, 0 to 1: nearness times what of it is seen.
fn impact(voxels: &Voxels, at: [f64; 3], body: &Body) -> f64 {
    let way = [0, 1, 2].map(|axis| body.position[axis] - at[axis]);
    let away = way.iter().map(|part| part * part).sum::<f64>().sqrt();
    let reach = 2.0 * f64::from(POWER);
    if away >= reach { 0.0 } else { (1.0 - away / reach) * exposure(voxels, at, body) }
}

/// Half hearts that go with an impact.
fn points(impact: f64) -> f32 {
    ((impact * impact + impact) / 2.0 * 7.0 * 2.0 * f64::from(POWER) + 1.0).floor() as f32
}

/// Pushes a body away from an explosion, from there to its eyes.
fn push(body: &mut Body, eye: [f64; 3], at: [f64; 3], impact: f64) {
    let way = [0, 1, 2].map(|axis| eye[axis] - at[axis]);
    let length = way.iter().map(|part| part * part).sum::<f64>().sqrt().max(1e-3);
    for (axis, part) in way.into_iter().enumerate() {
        body.velocity[axis] += part / length * impact;
    }
}

impl State {
    /// An explosion at a mob's feet.
    pub(super) fn explode(&mut self, at: [f64; 3], events: &mut Vec<Event>) {
        let place = at.iter().fold(mix(self.seed, 0x424f_4f4d), |key, value| mix(key, value.to_bits()));
        let roll = mix(place, self.ticks);
        let cells = broken(&self.voxels, at, roll);
        for mob in self.mobs.living_mut() {
            let met = impact(&self.voxels, at, &mob.body);
            if met > 0.0 {
                mob.life.strike(points(met));
                let eye = mob.eye();
                push(&mut mob.body, eye, at, met);
            }
        }
        let met = impact(&self.voxels, at, &self.player.body);
        if let Some(survival) = self.survival.as_mut().filter(|_| met > 0.0) {
            survival.vitals.strike(points(met));
            let eye = self.player.eye();
            push(&mut self.player.body, eye, at, met);
        }
        for (number, cell) in (0..).zip(cells) {
            let block = self.voxels.get(cell[0], cell[1], cell[2]);
            // What stood on another broken block has gone with it.
            if block == Block::Air {
                continue;
            }
            if matches!(block, Block::Furnace | Block::LitFurnace) {
                self.scatter_furnace(cell, events);
            }
            if mix(roll, 2000 + number).is_multiple_of(LEAVES) {
                // An explosion needs no tool.
                self.leave(cell, block, Some(Item::DiamondPickaxe));
            }
            self.change(cell, Block::Air);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creeper_digs_a_hole_in_dirt_and_none_in_obsidian() {
        let floor = |block: Block| {
            let mut voxels = Voxels::empty(16);
            for z in -8..8 {
                for x in -8..8 {
                    for y in 0..8 {
                        voxels.put(x, y, z, block);
                    }
                }
            }
            voxels.rebuild();
            broken(&voxels, [0.5, 8.0, 0.5], 7).len()
        };
        let [dirt, stone, obsidian] = [Block::Dirt, Block::Stone, Block::Obsidian].map(floor);
        assert!((25..90).contains(&dirt) && (1..dirt).contains(&stone), "{dirt} {stone}");
        assert_eq!(obsidian, 0);
    }

    #[test]
    fn walls_shield_and_distance_helps() {
        let mut voxels = Voxels::empty(16);
        let body = |z: f64| Body::new([0.5, 5.0, z], 0.3, 1.8);
        let at = [0.5, 5.0, 0.5];
        let hurts = |voxels: &Voxels, z: f64| points(impact(voxels, at, &body(z)));
        assert!(hurts(&voxels, 1.0) > 30.0 && hurts(&voxels, 4.5) == 10.0);
        assert_eq!(impact(&voxels, at, &body(6.6)), 0.0);
        for x in -4..5 {
            for y in 3..9 {
                voxels.set(x, y, 2, Block::Stone);
            }
        }
        assert_eq!(impact(&voxels, at, &body(4.5)), 0.0, "behind a wall");
    }
}
