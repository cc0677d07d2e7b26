//! What the player sees: the view, the heads-up display, and an open screen, drawn from the state of play.

use super::armour::Protection;
use super::env::State;
use super::hud::Hud;
use super::item::Slot;
use super::mob::{FUSE, Mob};
use super::render::{Path, Renderer};
use super::scene::{Billboard, GuiView, HandView, HudView, MobView, Scene};
use super::vitals::Vitals;

/// Side of an item lying in the world, blocks.
const ITEM_SIZE: f32 = 0.4;
/// Half hearts of a player whom nothing can hurt.
const UNHURT: u8 = 20;

/// Draws frames; keeps its buffers from frame to frame.
pub(crate) struct Frames {
    renderer: Renderer,
    hud: Hud,
    billboards: Vec<Billboard>,
    mobs: Vec<MobView>,
    slots: Vec<(i32, i32, Slot)>,
}

impl Frames {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::drawn_by(Path::best())
    }

    pub(crate) fn drawn_by(path: Path) -> Self {
        Self {
            renderer: Renderer::new(path),
            hud: Hud::new(),
            billboards: Vec::new(),
            mobs: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Whether the last frame's view was drawn anew.
    pub(crate) fn drew_anew(&self) -> bool {
        self.renderer.drew_anew()
    }

    /// Draws the state as `height * width * 3` bytes of RGB, rows first.
    pub(crate) fn render(&mut self, state: &State, height: usize, width: usize, out: &mut Vec<u8>) {
        out.resize(height * width * 3, 0);
        self.billboards.clear();
        self.billboards.extend(state.entities.iter().map(|item| {
            let [x, y, z] = item.body.position.map(|value| value as f32);
            // Bobs up and down with age, a triangle wave of two seconds.
            let phase = (item.age() % 40) as f32 / 20.0;
            let bob = 0.1 * (1.0 - (phase - 1.0).abs());
            Billboard { center: [x, y + 0.25 + bob, z], size: ITEM_SIZE, item: item.stack.item }
        }));
        self.mobs.clear();
        self.mobs.extend(state.mobs.iter().map(seen));
        let player = &state.player;
        let target = if state.gui.is_none() { player.target(&state.voxels) } else { None };
        let scene = Scene {
            voxels: &state.voxels,
            eye: player.eye().map(|value| value as f32),
            yaw: player.yaw,
            pitch: player.pitch,
            time: state.ticks,
            entities: &self.billboards,
            mobs: &self.mobs,
            breaking: state.mining.crack(),
            target: target.map(|hit| hit.cell),
            hand: HandView {
                item: state.inventory.held(),
                offhand: state.inventory.offhand.map(|stack| stack.item),
                swing: f32::from(state.swing) / 6.0,
            },
        };
        self.renderer.render(&scene, width, height, out);
        self.overlay(state, height, width, out);
    }

    fn overlay(&mut self, state: &State, height: usize, width: usize, out: &mut [u8]) {
        let inventory = &state.inventory;
        let hotbar = std::array::from_fn(|slot| inventory.slots[slot]);
        let vitals = state.survival.as_ref().map(|survival| &survival.vitals);
        let view = HudView {
            hotbar,
            offhand: inventory.offhand,
            selected: inventory.selected,
            hearts: vitals.map_or(UNHURT, |vitals| vitals.health.ceil() as u8),
            armour: vitals.map_or(0, |_| Protection::of(&inventory.armour).points),
            food: vitals.map(|vitals| vitals.food.ceil() as u8),
            bubbles: vitals.and_then(Vitals::bubbles),
        };
        self.hud.draw_hud(&view, width, height, out);
        let Some(gui) = &state.gui else { return };
        self.slots.clear();
        self.slots.extend(gui.places().map(|place| {
            let (x, y) = gui.corner(place);
            (x, y, gui.content(place, inventory))
        }));
        let (kind, gauges) = (gui.kind, gui.gauges);
        let view = GuiView { kind, slots: &self.slots, carried: gui.carried, cursor: gui.cursor, gauges };
        self.hud.draw_gui(&view, width, height, out);
    }
}

fn seen(mob: &Mob) -> MobView {
    MobView {
        kind: mob.kind,
        feet: mob.body.position.map(|value| value as f32),
        yaw: mob.yaw,
        stride: mob.stride,
        pace: mob.pace,
        hurt: mob.life.smarts(),
        burning: mob.life.fire > 0,
        dying: mob.life.dying(),
        fuse: f32::from(mob.fuse) / f32::from(FUSE),
    }
}
