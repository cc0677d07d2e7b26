//! Mobs in the running world: blows given and taken, what the dead leave.

use super::State;
use crate::native::entity::{BLOCK_DROP_DELAY, ItemEntity};
use crate::native::fight;
use crate::native::knockback::{self, knock};
use crate::native::look;
use crate::native::mob::{Around, Deed, Prey};
use crate::native::target::Hit;
use crate::world::{Event, EventKind};

/// Strength of the push that a blow adds on the run.
const RUN_UP: f64 = 0.5;

impl State {
    /// The mob under the crosshair, nearer than the block there and within reach of a blow.
    pub(super) fn mob_in_reach(&self, block: Option<Hit>) -> Option<usize> {
        let along = look::direction(self.player.yaw, self.player.pitch);
        let reach = block.map_or(fight::REACH, |hit| hit.distance.min(fight::REACH));
        self.mobs.first_along(self.player.eye(), along, reach).map(|(index, _)| index)
    }

    /// Hits a mob with what is in hand.
    pub(super) fn strike_mob(&mut self, index: usize, events: &mut Vec<Event>) {
        let body = &self.player.body;
        let down = !body.on_ground && body.velocity[1] < 0.0 && !self.player.is_sprinting();
        let blow = self.arm.strike(down);
        let run_up = if self.player.is_sprinting() && blow.well_timed { RUN_UP } else { 0.0 };
        let Some(mob) = self.mobs.get_mut(index) else { return };
        mob.strike(blow.points, body.position, run_up, self.ticks);
        if mob.life.is_over() {
            events.push(Event { kind: EventKind::KillEntity, item: mob.kind.name(), quantity: 1 });
        }
        if let Some(survival) = &mut self.survival {
            survival.vitals.exhaust(0.1);
        }
        let hand = &mut self.inventory.slots[self.inventory.selected];
        if let Some(tool) = hand.filter(|stack| stack.item.tool().is_some()) {
            events.push(Event { kind: EventKind::UseItem, item: tool.item.name(), quantity: 1 });
        }
        if let Some(broken) = fight::wear(hand) {
            events.push(Event { kind: EventKind::BreakItem, item: broken.name(), quantity: 1 });
        }
    }

    /// One tick of every mob and of what it does.
    pub(super) fn tick_mobs(&mut self, events: &mut Vec<Event>) {
        self.arm.tick(self.inventory.held());
        let player = &self.player;
        let prey = self.survival.as_ref().map(|_| Prey { eye: player.eye(), sneaking: player.sneaking });
        let around = Around::new(&self.voxels, self.ticks, player.body.position, prey);
        let doings = self.mobs.tick(&around, &player.body);
        self.player.body.velocity[0] += doings.shove[0];
        self.player.body.velocity[2] += doings.shove[1];
        for ([x, y, z], stack) in doings.remains {
            let item = ItemEntity::new(stack, [x, y + 0.1, z], [0.0, 0.2, 0.0], BLOCK_DROP_DELAY);
            self.entities.spawn(item);
        }
        for deed in doings.deeds {
            match deed {
                Deed::Strike { from, points } => self.suffer_blow(from, points, knockback::PLAIN),
                Deed::Burst { at } => self.explode(at, events),
            }
        }
    }

    /// A blow against the player, which pushes if it is felt.
    fn suffer_blow(&mut self, from: [f64; 3], points: f32, strength: f64) {
        let Some(survival) = &mut self.survival else { return };
        let before = survival.vitals.health;
        survival.vitals.strike(points);
        if survival.vitals.health < before {
            knock(&mut self.player.body, from, strength);
        }
    }
}

#[cfg(test)]
mod tests;
