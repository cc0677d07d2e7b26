//! Tests of both hands and of what is worn, in the running world.

use super::*;
use crate::native::env::NativeWorld;
use crate::native::item::{Item, Stack};
use crate::native::render::Renderer;
use crate::native::scene::HandView;
use crate::task::Task;
use crate::world::World;

/// A world that can hurt, with these things in the hotbar.
fn with(items: &str) -> NativeWorld {
    let text = format!("name='x'\nepisode_steps=1000\nsurvival=true\nrespawn=true\ninventory=[{items}]");
    let mut world = NativeWorld::new();
    world.reset(3, &Task::parse(&text).unwrap()).unwrap();
    world
}

fn tap(world: &mut NativeWorld, keys: u32) -> Vec<Event> {
    let mut events = world.step(&Action { keys, ..Action::NOOP }).events;
    events.extend(world.step(&Action::NOOP).events);
    events
}

fn frame(world: &mut NativeWorld) -> Vec<u8> {
    let mut out = Vec::new();
    world.render(90, 160, &mut out);
    out
}

#[test]
fn the_swap_key_exchanges_the_hands_and_the_other_one_places_too() {
    let mut world = with("{item='torch',count=5},{item='wooden_pickaxe'}");
    let (before, hash) = (frame(&mut world), world.state_hash());
    tap(&mut world, keys::SWAP_HANDS);
    assert_eq!(world.state.inventory.offhand, Some(Stack::new(Item::Torch, 5)));
    assert!(world.state.inventory.held().is_none());
    assert!(frame(&mut world) != before && world.state_hash() != hash);
    // A pickaxe in hand, a torch in the other: use sets the torch.
    tap(&mut world, keys::HOTBAR[1]);
    world.step(&Action { keys: 0, pitch_delta: 60.0, yaw_delta: 0.0 });
    let placed = tap(&mut world, keys::USE);
    assert_eq!(placed, [Event { kind: EventKind::UseItem, item: "torch", quantity: 1 }]);
    assert_eq!(world.state.inventory.offhand, Some(Stack::new(Item::Torch, 4)));
    assert_eq!(world.state.inventory.held(), Some(Item::WoodenPickaxe));
}

#[test]
fn what_the_other_hand_holds_is_on_the_left() {
    let voxels = crate::native::voxels::Voxels::empty(16);
    let draw = |hand: HandView| {
        let scene = crate::native::scene::Scene {
            voxels: &voxels,
            eye: [0.5, 8.0, 0.5],
            yaw: 0.0,
            pitch: 0.0,
            time: 0,
            mobs: &[],
            entities: &[],
            breaking: None,
            target: None,
            hand,
        };
        let mut out = vec![0; 160 * 90 * 3];
        Renderer::default().render(&scene, 160, 90, &mut out);
        out
    };
    let bare = draw(HandView::default());
    let both = draw(HandView { offhand: Some(Item::Torch), ..HandView::default() });
    let changed = (0..160 * 90).filter(|at| bare[at * 3..at * 3 + 3] != both[at * 3..at * 3 + 3]);
    let columns: Vec<usize> = changed.map(|at| at % 160).collect();
    assert!(columns.len() > 20 && columns.iter().all(|column| *column < 80));
}

#[test]
fn armour_is_put_on_by_use_keeps_off_lava_wears_and_is_lost_by_death() {
    let mut world = with("{item='iron_chestplate'},{item='iron_helmet'}");
    let bare = frame(&mut world);
    tap(&mut world, keys::USE);
    tap(&mut world, keys::HOTBAR[1]);
    tap(&mut world, keys::USE);
    let state = &mut world.state;
    assert!(state.inventory.slots.iter().all(Option::is_none));
    assert_eq!(state.inventory.armour[1], Some(Stack::new(Item::IronChestplate, 1)));
    assert!(frame(&mut world) != bare);
    let state = &mut world.state;
    state.inventory.armour[0].as_mut().unwrap().worn = 164;
    let feet = state.player.body.position.map(|value| value.floor() as i32);
    state.set(feet, Block::Lava);
    let burnt = world.step(&Action::NOOP);
    assert_eq!(burnt.events, [Event { kind: EventKind::BreakItem, item: "iron_helmet", quantity: 1 }]);
    let vitals = &world.state.survival.as_ref().unwrap().vitals;
    // Eight points against a blow of four.
    assert!((vitals.health - (20.0 - 4.0 * (1.0 - 6.0 / 25.0))).abs() < 1e-4, "{}", vitals.health);
    assert_eq!(world.state.inventory.armour[1].map(|stack| stack.worn), Some(1));
    let died =
        (0..400).any(|_| world.step(&Action::NOOP).events.iter().any(|event| event.kind == EventKind::Drop));
    assert!(died && world.state.inventory.all().all(Option::is_none));
}
