//! The embedded world as a game: one human-level action a tick, the rules applied in the game's order.

mod blocks;
mod explosions;
mod furnaces;
mod growth;
mod hands;
mod liquids;
mod mobs;

use std::collections::BTreeSet;
use std::time::Duration;

use vpt_proto::keys;

use super::armour::{self, Protection};
use super::entity::{Entities, ItemEntity, THROWN_DELAY};
use super::fight::Arm;
use super::frame::Frames;
use super::furnace::Furnaces;
use super::gui::Gui;
use super::inventory::{HOTBAR, Inventory, take};
use super::item::{Item, Stack};
use super::liquid::flows::{Flows, Spot};
use super::look;
use super::mining::Mining;
use super::mob::crowd::Crowd;
use super::player::Player;
use super::render::Path;
use super::scene::GuiKind;
use super::scripted::Scripted;
use super::spawn::{self, Spawn, mix};
use super::survival::{self, Survival};
use super::target::Hit;
use super::voxels::Voxels;
use crate::snapshot::Snapshot;
use crate::task::Task;
use crate::world::{Action, Event, EventKind, Tick, World, WorldError, check_world};

/// No world takes so long to make, whatever else runs.
const LONGEST_RESET: Duration = Duration::from_millis(500);
/// Generated worlds searched for a spawn position before giving up.
const SPAWN_ATTEMPTS: u32 = 16;
/// Ticks between uses while the button stays held.
const USE_PAUSE: u8 = 4;
/// Ticks of one swing of the arm.
const SWING: u8 = 6;
/// How fast thrown items leave the hand, metres per tick.
const THROW: f64 = 0.3;

/// Everything an episode's future follows from.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) voxels: Voxels,
    pub(crate) player: Player,
    pub(crate) inventory: Inventory,
    pub(crate) mining: Mining,
    pub(crate) entities: Entities,
    pub(crate) furnaces: Furnaces,
    pub(crate) flows: Flows,
    /// Leaves that may hang on no log any more.
    loose: BTreeSet<Spot>,
    pub(crate) mobs: Crowd,
    pub(crate) arm: Arm,
    pub(crate) gui: Option<Gui>,
    /// Where the task lets the player be hurt.
    pub(crate) survival: Option<Survival>,
    /// Keys held in the tick before, for edges.
    pub(crate) held_before: u32,
    pub(crate) use_pause: u8,
    pub(crate) swing: u8,
    pub(crate) ticks: u64,
    seed: u64,
    /// Running hash of every change to the blocks.
    edits: u64,
}

/// The embedded world.
pub struct NativeWorld {
    state: State,
    frames: Frames,
    scripted: Scripted,
}

impl Default for NativeWorld {
    fn default() -> Self {
        Self::new()
    }
}

impl NativeWorld {
    /// The name sessions ask for it by.
    pub const NAME: &'static str = "native";

    /// An empty world: [`World::reset`] starts an episode.
    pub fn new() -> Self {
        Self::drawn_by(Path::best())
    }

    /// The same, drawn by a given ray caster, if the machine can run it.
    pub fn drawn_by(path: Path) -> Self {
        Self { state: State::new(), frames: Frames::drawn_by(path), scripted: Scripted::default() }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

impl World for NativeWorld {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        self.state.reset(seed, task)?;
        self.scripted = Scripted::for_task(task);
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Tick {
        self.state.step(&action.tamed())
    }

    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        self.frames.render(&self.state, height, width, out);
    }

    fn drew_anew(&self) -> bool {
        self.frames.drew_anew()
    }

    fn gui_open(&self) -> bool {
        self.state.gui.is_some()
    }

    fn advise(&mut self) -> Action {
        self.scripted.advise(&self.state)
    }

    fn state_hash(&self) -> u64 {
        self.state.hash()
    }

    fn snapshot(&self) -> Result<Snapshot, WorldError> {
        Ok(Snapshot::new(Self::NAME, (self.state.clone(), self.scripted.clone())))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), WorldError> {
        let (state, scripted) = snapshot.state::<(State, Scripted)>(Self::NAME)?;
        (self.state, self.scripted) = (state.clone(), scripted.clone());
        Ok(())
    }

    fn spare_wait(&self) -> Option<Duration> {
        Some(LONGEST_RESET)
    }
}

impl State {
    fn new() -> Self {
        Self {
            // The first reset makes it as high as the task's land.
            voxels: Voxels::empty(1),
            player: Player::new([0.5, 1.0, 0.5], 0.0),
            inventory: Inventory::empty(),
            mining: Mining::default(),
            entities: Entities::default(),
            furnaces: Furnaces::default(),
            flows: Flows::default(),
            loose: BTreeSet::new(),
            mobs: Crowd::default(),
            arm: Arm::default(),
            gui: None,
            survival: None,
            held_before: 0,
            use_pause: 0,
            swing: 0,
            ticks: 0,
            seed: 0,
            edits: 0,
        }
    }

    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        check_world(task, NativeWorld::NAME)?;
        let spawn = self.generate(seed, task)?;
        self.player = Player::new(spawn.feet, spawn.yaw);
        self.inventory = Inventory::empty();
        for entry in &task.inventory {
            self.give(entry.item.as_str(), entry.count);
        }
        self.mining = Mining::default();
        self.entities.clear();
        self.furnaces.clear();
        self.flows.clear();
        self.loose.clear();
        self.mobs.settle(seed, task.mobs, &self.voxels, spawn.feet);
        self.arm = Arm::default();
        self.gui = None;
        self.survival = task.survival.then(|| Survival::new(task.respawn.then_some(spawn)));
        self.held_before = 0;
        self.use_pause = 0;
        self.swing = 0;
        self.ticks = 0;
        self.seed = seed;
        self.edits = 0;
        // Come to rest, so that the first action finds the player standing: a tick to start falling, one to land.
        for _ in 0..2 {
            self.player.walk(&Action::NOOP, &self.voxels);
        }
        Ok(())
    }

    fn generate(&mut self, seed: u64, task: &Task) -> Result<Spawn, WorldError> {
        for attempt in 0..SPAWN_ATTEMPTS {
            let world_seed = if attempt == 0 { seed } else { mix(seed, u64::from(attempt)) };
            self.voxels.remake(task.terrain, world_seed);
            if let Some(spawn) = spawn::find(&self.voxels, world_seed, &task.spawn) {
                return Ok(spawn);
            }
        }
        Err(WorldError::NoSpawn { task: task.name.clone(), seed, attempts: SPAWN_ATTEMPTS })
    }

    /// Puts items into the inventory; what has no room is left out.
    fn give(&mut self, name: &str, count: u32) {
        let Some(item) = Item::from_name(name) else { return };
        let mut left = count;
        while left > 0 {
            let part = left.min(u32::from(item.max_stack()));
            if self.inventory.add(Stack::new(item, part as u8)).is_some() {
                break;
            }
            left -= part;
        }
    }

    fn step(&mut self, action: &Action) -> Tick {
        let pressed = action.keys & !self.held_before;
        self.held_before = action.keys;
        self.ticks += 1;
        self.use_pause = self.use_pause.saturating_sub(1);
        let mut events = Vec::new();
        let before = self.player.body.position;
        if let Some(mut gui) = self.gui.take() {
            if pressed & (keys::INVENTORY | keys::ESC) != 0 {
                let rest = gui.close(&mut self.inventory);
                self.throw(rest, &mut events);
            } else {
                let effects = gui.tick(action, pressed, &mut self.inventory);
                events.extend(effects.events);
                self.throw(effects.thrown, &mut events);
                self.gui = Some(gui);
            }
            self.idle();
        } else {
            self.play(action, pressed, &mut events);
        }
        self.drift();
        self.tick_furnaces();
        self.tick_liquids();
        self.grow();
        self.tick_mobs(&mut events);
        self.entities.tick(&self.voxels, &self.player.body, &mut self.inventory, &mut events);
        let died = self.live(before, &mut events);
        Tick { events, gui_open: self.gui.is_some(), died }
    }

    /// What the tick did to a player who can be hurt; true when life is over for good.
    fn live(&mut self, before: [f64; 3], events: &mut Vec<Event>) -> bool {
        let Some(survival) = &mut self.survival else { return false };
        survival.vitals.armour = Protection::of(&self.inventory.armour);
        let dead = survival.tick(&self.player, &self.voxels, before);
        let dents = survival.vitals.take_dents();
        for broken in armour::dent(&mut self.inventory.armour, dents) {
            events.push(Event { kind: EventKind::BreakItem, item: broken.name(), quantity: 1 });
        }
        self.player.weary = !survival.vitals.can_sprint();
        if !dead {
            return false;
        }
        let Some((survival, player)) = survival.reborn() else { return true };
        let mut left = self.gui.take().map(|gui| gui.close(&mut self.inventory)).unwrap_or_default();
        left.extend(self.inventory.take_all());
        self.throw(left, events);
        (self.survival, self.player) = (Some(survival), player);
        false
    }

    /// Eats what is in hand while use is held; true while the button is busy with that.
    fn eat(&mut self, using: bool, events: &mut Vec<Event>) -> bool {
        let held = self.inventory.held();
        let Some(survival) = &mut self.survival else { return false };
        if survival.chew(held, using) {
            let slot = self.inventory.selected;
            if let Some(item) = self.inventory.take_one(slot) {
                events.push(Event { kind: EventKind::UseItem, item: item.name(), quantity: 1 });
            }
            return true;
        }
        using && held.and_then(survival::nutrition).is_some()
    }

    /// With a screen open the body only falls and slides on.
    fn idle(&mut self) {
        self.mining.tick(None);
        self.swing_arm(false);
        self.player.walk(&Action::NOOP, &self.voxels);
    }

    fn play(&mut self, action: &Action, pressed: u32, events: &mut Vec<Event>) {
        self.player.turn(action);
        if let Some(slot) = (0..HOTBAR).rev().find(|slot| pressed & keys::HOTBAR[*slot] != 0) {
            self.inventory.selected = slot;
        }
        if pressed & keys::INVENTORY != 0 {
            self.gui = Some(Gui::open(GuiKind::Inventory));
            return self.idle();
        }
        if pressed & keys::SWAP_HANDS != 0 {
            self.inventory.swap_hands();
        }
        let target = self.player.target(&self.voxels);
        if pressed & keys::PICK_ITEM != 0 {
            self.pick(target);
        }
        if pressed & keys::DROP != 0 {
            let all = action.holds(keys::SPRINT);
            let selected = &mut self.inventory.slots[self.inventory.selected];
            let thrown = take(selected, if all { u8::MAX } else { 1 });
            self.throw(thrown.into_iter().collect(), events);
        }
        let eats = self.eat(action.holds(keys::USE), events);
        if !eats && action.holds(keys::USE) && (self.use_pause == 0 || pressed & keys::USE != 0) {
            self.use_pause = USE_PAUSE;
            self.use_on(target, action, events);
            if self.gui.is_some() {
                return self.idle();
            }
        }
        self.attack(action.holds(keys::ATTACK), pressed & keys::ATTACK != 0, events);
        self.player.walk(action, &self.voxels);
    }

    fn swing_arm(&mut self, active: bool) {
        if active || self.swing > 0 {
            self.swing = (self.swing + 1) % SWING;
        }
    }

    /// Middle click: takes the targeted block's item in hand, if it is carried.
    fn pick(&mut self, target: Option<Hit>) {
        let Some(hit) = target else { return };
        let name = self.voxels.get(hit.cell[0], hit.cell[1], hit.cell[2]).unlit().name();
        self.inventory.pick(name);
    }

    fn throw(&mut self, stacks: Vec<Stack>, events: &mut Vec<Event>) {
        for stack in stacks {
            let ahead = look::direction(self.player.yaw, self.player.pitch);
            let mut from = self.player.eye();
            from[1] -= 0.3;
            let velocity = [THROW * ahead[0], THROW * ahead[1] + 0.1, THROW * ahead[2]];
            self.entities.spawn(ItemEntity::new(stack, from, velocity, THROWN_DELAY));
            let quantity = u32::from(stack.count);
            events.push(Event { kind: EventKind::Drop, item: stack.item.name(), quantity });
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(seed: u64, task: &Task) -> Self {
        let mut state = Self::new();
        state.reset(seed, task).expect("a world for the task");
        state
    }

    #[cfg(test)]
    pub(crate) fn step_for_test(&mut self, action: &Action) -> Tick {
        self.step(action)
    }

    fn hash(&self) -> u64 {
        let mut hash = mix(self.seed, self.edits);
        let mut add = |value: u64| hash = mix(hash, value);
        let player = &self.player;
        for value in player.body.position.into_iter().chain(player.body.velocity) {
            add(value.to_bits());
        }
        for value in [player.yaw, player.pitch] {
            add(u64::from(value.to_bits()));
        }
        add(player.motion_bits());
        self.survival.iter().for_each(|survival| add(survival.hash()));
        self.inventory.all().for_each(|slot| add(Stack::bits(*slot)));
        if let Some(gui) = &self.gui {
            gui.hash_into(&mut add);
        }
        self.furnaces.hash_into(&mut add);
        self.flows.hash_into(&mut add);
        self.loose.iter().for_each(|spot| add(spot.number()));
        self.mobs.hash_into(&mut add);
        add(self.arm.bits());
        let (target, damage, pause) = self.mining.state();
        if let Some((cell, held)) = target {
            cell.iter().for_each(|value| add(u64::from(*value as u32)));
            add(held.map_or(0, |item| 1 + item as u64));
        }
        for value in [damage, u64::from(pause), u64::from(self.use_pause), u64::from(self.swing)] {
            add(value);
        }
        add(self.inventory.selected as u64);
        add(u64::from(self.held_before));
        self.entities.hash_into(&mut add);
        add(self.ticks);
        hash
    }
}

#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod tech_tree;
#[cfg(test)]
mod tests;
