//! What a game tells beside its picture: what the player carries, how the player fares, and where.

use super::env::NativeWorld;
use super::item::Slot;
use super::sky::{DAY, Sky};
use super::vitals::{AIR, FULL, Vitals};

/// Half hearts and the like of the player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// Half hearts, 0 to 20.
    pub health: f32,
    /// Half drumsticks, 0 to 20.
    pub food: f32,
    /// What is used up before them.
    pub saturation: f32,
    /// Ticks of breath, 300 at most.
    pub air: i32,
}

/// A moment of the embedded world in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Name and number of what each of the 36 slots holds, without the empty ones.
    pub inventory: Vec<(&'static str, u32)>,
    /// What is in hand, in the other hand, and worn from the head down.
    pub equipment: [Slot; 6],
    /// How the player fares; whole where nothing can hurt.
    pub condition: Condition,
    /// Where the feet stand: x, y, z.
    pub position: [f64; 3],
    /// Degrees: 0 looks to +z, 90 to -x.
    pub yaw: f32,
    /// Degrees, down positive.
    pub pitch: f32,
    /// Light of the sky and of blocks around the head, 0 to 15.
    pub light: (u8, u8),
    /// Share of its full light that the sky gives.
    pub daylight: f32,
    /// Whether nothing solid is above the head.
    pub sees_sky: bool,
    /// Ticks since the episode began.
    pub ticks: u64,
    /// Ticks since the morning, up to 23,999.
    pub time_of_day: u64,
}

impl NativeWorld {
    /// The moment in numbers.
    pub fn observe(&self) -> Observation {
        let state = self.state();
        let player = &state.player;
        let [x, y, z] = player.eye().map(|value| value.floor() as i32);
        let covered = (y + 1..state.voxels.height()).any(|above| state.voxels.get(x, above, z).is_opaque());
        let carried = &state.inventory;
        let [head, chest, legs, feet] = carried.armour;
        let slots = carried.slots.iter().flatten();
        Observation {
            equipment: [carried.slots[carried.selected], carried.offhand, head, chest, legs, feet],
            inventory: slots.map(|stack| (stack.item.name(), u32::from(stack.count))).collect(),
            condition: state.survival.as_ref().map_or(Condition::UNHURT, |life| life.vitals.condition()),
            position: player.body.position,
            yaw: player.yaw,
            pitch: player.pitch,
            light: state.voxels.light(x, y, z),
            daylight: Sky::at(state.ticks).daylight,
            sees_sky: !covered,
            ticks: state.ticks,
            time_of_day: state.ticks % DAY,
        }
    }
}

impl Condition {
    const UNHURT: Self = Self { health: FULL, food: FULL, saturation: FULL, air: AIR };
}

impl Vitals {
    fn condition(&self) -> Condition {
        Condition { health: self.health, food: self.food, saturation: self.saturation(), air: self.air() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;
    use crate::world::{Action, World};

    #[test]
    fn the_moment_follows_the_player() {
        let text = "name='x'\nepisode_steps=5\nsurvival=true\nterrain='overworld'\n[[inventory]]\nitem='log'\ncount=70";
        let mut world = NativeWorld::new();
        world.reset(4, &Task::parse(text).unwrap()).unwrap();
        let start = world.observe();
        assert_eq!(start.inventory, [("log", 64), ("log", 6)]);
        assert_eq!(start.equipment[0].map(|stack| stack.count), Some(64));
        assert_eq!(start.equipment[1..], [None; 5]);
        assert_eq!(start.condition, Condition { health: 20.0, food: 20.0, saturation: 5.0, air: 300 });
        assert_eq!((start.ticks, start.time_of_day, start.daylight, start.sees_sky), (0, 0, 1.0, true));
        assert_eq!(start.light.0, 15, "under the open sky");
        for _ in 0..20 {
            let action = Action { keys: vpt_proto::keys::FORWARD, pitch_delta: 1.0, yaw_delta: 2.0 };
            world.step(&action);
        }
        let later = world.observe();
        assert_eq!((later.ticks, later.pitch), (20, 20.0));
        assert_eq!(later.yaw, super::super::look::wrap_degrees(start.yaw + 40.0));
        assert!((0..3).any(|axis| later.position[axis] != start.position[axis]), "{later:?}");
    }
}
