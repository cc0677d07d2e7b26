//! A picture of the road to the diamond pickaxe: what the scripted player sees when it breaks the first block of a kind
//! and when it makes the first thing of a kind, twelve frames on one sheet.
//!
//! `cargo run --release -p vpt-envserver --example road_sheet -- OUT.png [SEED]`

use std::fs::File;

use vpt_envserver::episode::Episode;
use vpt_envserver::native::NativeWorld;
use vpt_envserver::task::Task;
use vpt_envserver::world::{Event, EventKind, World};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const ACROSS: usize = 3;
const MOMENTS: [(EventKind, &str); 12] = [
    (EventKind::MineBlock, "log"),
    (EventKind::CraftItem, "crafting_table"),
    (EventKind::UseItem, "crafting_table"),
    (EventKind::CraftItem, "wooden_pickaxe"),
    (EventKind::MineBlock, "stone"),
    (EventKind::CraftItem, "stone_pickaxe"),
    (EventKind::CraftItem, "furnace"),
    (EventKind::MineBlock, "iron_ore"),
    (EventKind::CraftItem, "iron_ingot"),
    (EventKind::CraftItem, "iron_pickaxe"),
    (EventKind::MineBlock, "diamond_ore"),
    (EventKind::CraftItem, "diamond_pickaxe"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: road_sheet OUT.png [SEED]")?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let task = Task { episode_steps: 24_000, ..Task::resolve("diamond_pickaxe")? };
    let mut world = NativeWorld::new();
    let mut episode = Episode::new(task, 0);
    episode.start(&mut world, seed)?;
    let mut frames: Vec<Option<Vec<u8>>> = vec![None; MOMENTS.len()];
    let mut before = Vec::new();
    while frames.iter().any(Option::is_none) {
        world.render(HEIGHT, WIDTH, &mut before);
        let action = world.advise();
        let outcome = episode.step(&mut world, &action);
        let is = |event: &Event, (kind, item): (EventKind, &str)| event.kind == kind && event.item == item;
        for (moment, frame) in MOMENTS.into_iter().zip(&mut frames) {
            if frame.is_none() && outcome.events.iter().any(|paid| is(&paid.event, moment)) {
                *frame = Some(before.clone());
            }
        }
        if outcome.is_last() {
            return Err(format!("the player of seed {seed} did not arrive").into());
        }
    }
    write(&out, &frames.into_iter().flatten().collect::<Vec<_>>())
}

fn write(out: &str, frames: &[Vec<u8>]) -> Result<(), Box<dyn std::error::Error>> {
    let (width, height) = (ACROSS * WIDTH, frames.len() / ACROSS * HEIGHT);
    let mut sheet = vec![0; width * height * 3];
    for (place, frame) in frames.iter().enumerate() {
        let (left, top) = (place % ACROSS * WIDTH, place / ACROSS * HEIGHT);
        for (y, row) in frame.chunks_exact(WIDTH * 3).enumerate() {
            let start = ((top + y) * width + left) * 3;
            sheet[start..start + row.len()].copy_from_slice(row);
        }
    }
    let mut encoder = png::Encoder::new(File::create(out)?, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&sheet)?;
    Ok(())
}
