//! The whole way from logs and ores to a diamond pickaxe, by nothing but keys and the mouse.

use super::*;
use crate::episode::Episode;
use crate::native::block::Block;
use crate::native::gui::{PIXELS_PER_DEGREE, Place};
use crate::native::inventory::SLOTS;

/// A player at the keyboard, and what each craft has earned.
struct Game {
    world: NativeWorld,
    episode: Episode,
    earned: f32,
}

impl Game {
    fn tick(&mut self, action: Action) {
        self.earned += self.episode.step(&mut self.world, &action).reward;
    }

    fn tap(&mut self, keys: u32) {
        self.tick(Action { keys, ..Action::NOOP });
        self.tick(Action::NOOP);
    }

    /// Moves the cursor onto a slot, then clicks.
    fn click(&mut self, place: Place, keys: u32) {
        let gui = self.world.state.gui.as_ref().unwrap();
        let goal = gui.centre(place);
        let [yaw_delta, pitch_delta] = [0, 1].map(|axis| (goal[axis] - gui.cursor[axis]) / PIXELS_PER_DEGREE);
        self.tick(Action { keys: 0, pitch_delta, yaw_delta });
        self.tap(keys);
    }

    fn slot_of(&self, item: Item) -> usize {
        let slots = &self.world.state.inventory.slots;
        let found = (0..SLOTS).find(|index| slots[*index].is_some_and(|stack| stack.item == item));
        found.unwrap_or_else(|| panic!("no {item:?} in {slots:?}"))
    }

    /// Takes a stack, puts one into each of the cells, and lays the rest back.
    fn lay(&mut self, item: Item, cells: &[usize]) {
        let from = Place::Inventory(self.slot_of(item));
        self.click(from, keys::ATTACK);
        cells.iter().for_each(|cell| self.click(Place::Grid(*cell), keys::USE));
        // No double click: the slot has been left meanwhile.
        (0..5).for_each(|_| self.tick(Action::NOOP));
        self.click(from, keys::ATTACK);
    }

    fn craft(&mut self, parts: &[(Item, &[usize])]) {
        parts.iter().for_each(|(item, cells)| self.lay(*item, cells));
        self.click(Place::Result, keys::ATTACK | keys::SNEAK);
    }

    /// Takes a block in hand, places it in front, and opens it.
    fn set_up(&mut self, item: Item, cell: [i32; 3]) {
        let slot = self.slot_of(item);
        assert!(slot < HOTBAR, "{item:?} is in the hotbar");
        self.tap(keys::HOTBAR[slot]);
        // Sneaking, or a table behind would open.
        self.tap(keys::USE | keys::SNEAK);
        let [x, y, z] = cell;
        assert_eq!(self.world.state.voxels.get(x, y, z).name(), item.name());
        (0..4).for_each(|_| self.tick(Action::NOOP));
        self.tap(keys::USE);
        assert!(self.world.gui_open());
    }
}

/// A player before a wall two blocks away, with what cannot be crafted in the hotbar.
fn start() -> (Game, [i32; 3]) {
    let mut task = Task::resolve("diamond_pickaxe").unwrap();
    task.spawn = crate::task::SpawnRule::default();
    let items = [("log", 6), ("cobblestone", 11), ("coal", 5), ("iron_ore", 3), ("diamond", 3)];
    let entry = |(item, count): (&str, u32)| crate::task::ItemCount { item: item.to_owned(), count };
    task.inventory = items.map(entry).to_vec();
    let mut game = Game { world: NativeWorld::new(), episode: Episode::new(task, 0), earned: 0.0 };
    game.episode.start(&mut game.world, 3).unwrap();
    let state = &mut game.world.state;
    let [x, y, z] = state.player.eye().map(|value| value.floor() as i32);
    for ahead in 1..3 {
        state.set([x, y, z + ahead], Block::Air);
    }
    state.set([x, y, z + 3], Block::Stone);
    (game, [x, y, z + 2])
}

#[test]
fn keys_and_mouse_lead_from_logs_to_a_diamond_pickaxe() {
    let (mut game, wall) = start();
    let head: &[usize] = &[0, 1, 2];
    let handle: &[usize] = &[4, 7];
    game.tap(keys::INVENTORY);
    for _ in 0..5 {
        game.craft(&[(Item::Log, &[0])]);
    }
    game.craft(&[(Item::Planks, &[0, 1, 2, 3])]);
    for _ in 0..4 {
        game.craft(&[(Item::Planks, &[1, 3])]);
    }
    game.craft(&[(Item::Coal, &[0]), (Item::Stick, &[2])]);
    game.tap(keys::ESC);
    game.set_up(Item::CraftingTable, wall);
    for (material, tool) in [(Item::Planks, Item::WoodenPickaxe), (Item::Cobblestone, Item::StonePickaxe)] {
        game.craft(&[(material, head), (Item::Stick, handle)]);
        game.slot_of(tool);
    }
    game.craft(&[(Item::Cobblestone, &[0, 1, 2, 3, 5, 6, 7, 8])]);
    game.tap(keys::INVENTORY);
    assert!(!game.world.gui_open());
    let [x, y, z] = wall;
    game.set_up(Item::Furnace, [x, y, z - 1]);
    game.click(Place::Inventory(game.slot_of(Item::IronOre)), keys::ATTACK | keys::SNEAK);
    game.click(Place::Inventory(game.slot_of(Item::Coal)), keys::ATTACK | keys::SNEAK);
    (0..601).for_each(|_| game.tick(Action::NOOP));
    game.click(Place::Result, keys::ATTACK | keys::SNEAK);
    game.click(Place::Grid(1), keys::ATTACK | keys::SNEAK);
    game.tap(keys::ESC);
    // Out of the way, so that the table behind it can be used again.
    game.world.state.change([x, y, z - 1], Block::Air);
    game.tap(keys::USE);
    game.craft(&[(Item::IronIngot, head), (Item::Stick, handle)]);
    game.craft(&[(Item::Diamond, head), (Item::Stick, handle)]);
    game.tap(keys::ESC);
    game.slot_of(Item::IronPickaxe);
    game.slot_of(Item::DiamondPickaxe);
    // Twenty planks, sixteen sticks, table, three pickaxes and furnace, four torches, three ingots, and the last.
    let expected = 1.0 + 1.0 + 1.0 + 1.0 + 1.0 + 1.0 + 0.5 + 4.0 + 4.0 + 8.0;
    assert!((game.earned - expected).abs() < 1e-4, "earned {}", game.earned);
}
