//! Tests of what follows from broken and placed blocks in the running world.

use vpt_proto::keys;

use super::*;
use crate::native::env::NativeWorld;
use crate::task::Task;
use crate::world::{Action, Event, EventKind, World};

/// A world whose player looks along +z at an empty cell in reach, which is returned.
fn facing(inventory: &str) -> (NativeWorld, [i32; 3]) {
    let text = format!("name='x'\nepisode_steps=1000\ninventory=[{inventory}]\n[spawn]\nrandom_yaw=false");
    let mut world = NativeWorld::new();
    world.reset(3, &Task::parse(&text).unwrap()).unwrap();
    let [x, y, z] = world.state.player.eye().map(|value| value.floor() as i32);
    for up in -1..3 {
        for ahead in 1..4 {
            world.state.set([x, y + up, z + ahead], Block::Air);
        }
        world.state.set([x, y + up, z + 4], Block::Stone);
    }
    for ahead in 1..4 {
        world.state.set([x, y - 2, z + ahead], Block::Dirt);
    }
    (world, [x, y, z + 2])
}

fn hold(world: &mut NativeWorld, keys: u32, ticks: usize) -> Vec<Event> {
    (0..ticks).flat_map(|_| world.step(&Action { keys, ..Action::NOOP }).events).collect()
}

fn above([x, y, z]: [i32; 3], up: i32) -> [i32; 3] {
    [x, y + up, z]
}

#[test]
fn a_tool_wears_by_each_block_and_breaks() {
    let (mut world, cell) = facing("{item='wooden_pickaxe'}");
    for block in 1..=59 {
        world.state.set(cell, Block::Stone);
        let events = hold(&mut world, keys::ATTACK, 29);
        let broke = events.iter().any(|event| event.kind == EventKind::BreakItem);
        assert_eq!(broke, block == 59, "block {block}: {events:?}");
        let worn = world.state.inventory.slots[0].map(|stack| stack.worn);
        assert!(block == 59 || worn == Some(block), "{worn:?} after {block}");
    }
    assert!(!world.state.inventory.slots.iter().flatten().any(|stack| stack.item == Item::WoodenPickaxe));
}

#[test]
fn sand_falls_when_what_is_below_goes() {
    let (mut world, cell) = facing("");
    let floor = above(cell, -1);
    world.state.set(cell, Block::Dirt);
    world.state.set(above(cell, 1), Block::Sand);
    world.state.set(above(cell, 2), Block::Gravel);
    world.state.change(cell, Block::Air);
    let column: Vec<_> = (0..4).map(|up| world.state.at(above(floor, up))).collect();
    assert_eq!(column, [Block::Sand, Block::Gravel, Block::Air, Block::Air]);
}

#[test]
fn sand_comes_apart_on_a_torch_and_on_somebody() {
    let (mut world, cell) = facing("");
    world.state.set(above(cell, -1), Block::Torch);
    world.state.change(above(cell, 1), Block::Sand);
    assert_eq!(world.state.at(above(cell, 1)), Block::Air);
    assert_eq!(world.state.at(above(cell, -1)), Block::Torch);
    let [x, y, z] = world.state.player.eye().map(|value| value.floor() as i32);
    for up in 1..6 {
        world.state.set([x, y + up, z], Block::Air);
    }
    world.state.change([x, y + 4, z], Block::Sand);
    let dropped: Vec<_> = world.state.entities.iter().map(|item| item.stack.item).collect();
    assert_eq!(dropped, [Item::Sand, Item::Sand]);
}

#[test]
fn torches_and_plants_pop_off_without_their_floor() {
    for (block, item) in [(Block::Torch, Item::Torch), (Block::Sapling, Item::Sapling)] {
        let (mut world, cell) = facing("");
        world.state.set(above(cell, -1), Block::Dirt);
        world.state.set(cell, block);
        world.state.change(above(cell, -1), Block::Air);
        assert_eq!(world.state.at(cell), Block::Air);
        assert_eq!(world.state.entities.iter().next().map(|drop| drop.stack.item), Some(item));
    }
}

#[test]
fn torches_stand_on_floors_and_saplings_on_soil() {
    let table = [
        ("torch", Block::Stone, Some(Block::Torch)),
        ("torch", Block::Leaves, None),
        ("torch", Block::Air, None),
        ("sapling", Block::Dirt, Some(Block::Sapling)),
        ("sapling", Block::Stone, None),
        ("cactus", Block::Stone, None),
        ("furnace", Block::Air, Some(Block::Furnace)),
    ];
    for (item, floor, placed) in table {
        let (mut world, cell) = facing(&format!("{{item='{item}'}}"));
        let spot = above(cell, 0);
        world.state.set([spot[0], spot[1], spot[2] + 1], Block::Stone);
        world.state.set(above(spot, -1), floor);
        let used =
            Event { kind: EventKind::UseItem, item: Item::from_name(item).unwrap().name(), quantity: 1 };
        let events = hold(&mut world, keys::USE, 1);
        assert_eq!(events, placed.map(|_| used).into_iter().collect::<Vec<_>>(), "{item} on {floor:?}");
        assert_eq!(world.state.at(spot), placed.unwrap_or(Block::Air), "{item} on {floor:?}");
    }
}
