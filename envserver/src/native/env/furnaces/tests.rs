//! Tests of furnaces in the running world.

use vpt_proto::keys;

use super::*;
use crate::native::env::NativeWorld;
use crate::native::item::{Item, Stack};
use crate::task::Task;
use crate::world::{Action, World};

/// A world whose player looks at a furnace in reach, which is returned.
fn before_a_furnace() -> (NativeWorld, [i32; 3]) {
    let text = "name='x'\nepisode_steps=1000\ninventory=[{item='wooden_pickaxe'}]\n[spawn]\nrandom_yaw=false";
    let mut world = NativeWorld::new();
    world.reset(3, &Task::parse(text).unwrap()).unwrap();
    let [x, y, z] = world.state.player.eye().map(|value| value.floor() as i32);
    world.state.set([x, y - 1, z + 1], Block::Stone);
    world.state.set([x, y, z + 1], Block::Furnace);
    (world, [x, y, z + 1])
}

fn tap(world: &mut NativeWorld, keys: u32) -> Vec<Event> {
    let mut events = world.step(&Action { keys, ..Action::NOOP }).events;
    events.extend(world.step(&Action::NOOP).events);
    events
}

fn load(world: &mut NativeWorld) {
    let gui = world.state.gui.as_mut().unwrap();
    gui.grid[0] = Some(Stack::new(Item::IronOre, 3));
    gui.grid[1] = Some(Stack::new(Item::Coal, 2));
}

#[test]
fn a_furnace_smelts_on_behind_a_closed_screen() {
    let (mut world, cell) = before_a_furnace();
    let block = |world: &NativeWorld| world.state.voxels.get(cell[0], cell[1], cell[2]);
    tap(&mut world, keys::USE);
    assert_eq!(world.state.gui.as_ref().unwrap().kind, GuiKind::Furnace);
    load(&mut world);
    let idle = world.state_hash();
    world.step(&Action::NOOP);
    assert_ne!(world.state_hash(), idle);
    assert_eq!(block(&world), Block::LitFurnace);
    tap(&mut world, keys::ESC);
    assert!(!world.gui_open());
    // One tick has passed with the screen open, two while closing it.
    (0..196).for_each(|_| drop(world.step(&Action::NOOP)));
    let slots = |world: &mut NativeWorld| world.state.furnaces.at(place_of(cell)).slots;
    assert_eq!(slots(&mut world)[2], None);
    world.step(&Action::NOOP);
    assert_eq!(slots(&mut world)[2], Some(Stack::new(Item::IronIngot, 1)));
    tap(&mut world, keys::USE);
    let gui = world.state.gui.as_ref().unwrap();
    assert_eq!(gui.grid[..2], [Some(Stack::new(Item::IronOre, 2)), Some(Stack::new(Item::Coal, 1))]);
    assert_eq!(gui.gauges[0], 13);
}

#[test]
fn a_fire_shows_in_the_frame() {
    let (mut world, _) = before_a_furnace();
    tap(&mut world, keys::USE);
    let draw = |world: &mut NativeWorld| {
        let mut frame = Vec::new();
        world.render(360, 640, &mut frame);
        frame
    };
    let cold = draw(&mut world);
    load(&mut world);
    (0..60).for_each(|_| drop(world.step(&Action::NOOP)));
    let begun = draw(&mut world);
    (0..60).for_each(|_| drop(world.step(&Action::NOOP)));
    let later = draw(&mut world);
    assert!(cold != begun && begun != later);
}

#[test]
fn a_broken_furnace_leaves_itself_and_what_it_held() {
    let (mut world, cell) = before_a_furnace();
    tap(&mut world, keys::USE);
    load(&mut world);
    (0..210).for_each(|_| drop(world.step(&Action::NOOP)));
    tap(&mut world, keys::ESC);
    let mut events = Vec::new();
    for _ in 0..80 {
        events.extend(world.step(&Action { keys: keys::ATTACK, ..Action::NOOP }).events);
        if events.iter().any(|event| event.kind == EventKind::MineBlock) {
            break;
        }
    }
    let drops: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Drop).collect();
    assert_eq!(
        drops.iter().map(|event| (event.item, event.quantity)).collect::<Vec<_>>(),
        [("iron_ore", 2), ("coal", 1)]
    );
    let mut left: Vec<_> = world.state.entities.iter().map(|item| item.stack.item).collect();
    left.sort();
    assert_eq!(left, [Item::Coal, Item::IronOre, Item::Furnace, Item::IronIngot]);
    assert_eq!(world.state.furnaces.remove(place_of(cell)), None);
}
