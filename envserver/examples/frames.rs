//! Draws frames of the embedded world as PNG files to look at, and prints what drawing costs:
//! `cargo run --release -p vpt-envserver --example frames -- OUTDIR`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vpt_envserver::native::NativeWorld;
use vpt_envserver::native::block::Block;
use vpt_envserver::native::fixed_trig::look_angles;
use vpt_envserver::native::hud::Hud;
use vpt_envserver::native::item::{Item, Slot, Stack};
use vpt_envserver::native::render::Renderer;
use vpt_envserver::native::scene::{Billboard, GuiKind, GuiView, HandView, HudView, Scene};
use vpt_envserver::native::voxels::Voxels;
use vpt_envserver::task::Task;
use vpt_envserver::world::World;

const SIZES: [(usize, usize); 3] = [(640, 360), (128, 128), (64, 64)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: frames OUTDIR");
        std::process::exit(64);
    };
    std::fs::create_dir_all(&out)?;
    for seed in 0..4 {
        draw_seed(&out, seed)?;
    }
    for task in Task::built_in_names() {
        play(&out, task)?;
    }
    print_costs();
    println!("frames are in {}", out.display());
    Ok(())
}

/// A tree a few blocks away, half broken, with a log lying before it; then the open screens.
fn draw_seed(out: &Path, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut voxels = Voxels::generate(seed);
    let [x, y, z] = voxels.trees[seed as usize * 17 % voxels.trees.len()];
    let trunk = [x as f32 + 0.5, y as f32 + 1.5, z as f32 + 0.5];
    let (stand_x, stand_z) = (x + 4, z - 3);
    let table = [x + 2, voxels.ground_height(x + 2, z + 1) + 1, z + 1];
    voxels.set(table[0], table[1], table[2], Block::CraftingTable);
    let eye =
        [stand_x as f32 + 0.5, voxels.ground_height(stand_x, stand_z) as f32 + 2.62, stand_z as f32 + 0.5];
    let (yaw, pitch) = look_angles([trunk[0] - eye[0], trunk[1] - eye[1], trunk[2] - eye[2]]);
    let log = Billboard { center: [eye[0] - 2.0, eye[1] - 1.3, eye[2] + 1.5], size: 0.35, item: Item::Log };
    let scene = Scene {
        voxels: &voxels,
        eye,
        yaw,
        pitch,
        time: 0,
        entities: &[log],
        mobs: &[],
        breaking: Some(([x, y + 1, z], seed as u8 * 3)),
        target: Some([x, y + 1, z]),
        hand: HandView {
            item: [None, Some(Item::Log), Some(Item::WoodenPickaxe)][seed as usize % 3],
            offhand: (seed % 2 == 1).then_some(Item::Torch),
            swing: 0.0,
        },
    };
    let mut hotbar = [None; 9];
    hotbar[0] = Some(Stack::new(Item::Log, 3));
    hotbar[1] = Some(Stack::new(Item::CraftingTable, 1));
    hotbar[2] = Some(Stack::new(Item::Planks, 64));
    hotbar[5] = Some(Stack { worn: 40, ..Stack::new(Item::WoodenPickaxe, 1) });
    let hud = HudView {
        hotbar,
        selected: seed as usize,
        hearts: 20 - 3 * seed as u8,
        armour: 5 * seed as u8,
        offhand: (seed % 2 == 1).then_some(Stack::new(Item::Torch, 12)),
        food: Some(17 - 4 * seed as u8),
        bubbles: Some(4 + seed as u8),
    };
    for (width, height) in SIZES {
        let mut frame = vec![0; width * height * 3];
        Renderer::default().render(&scene, width, height, &mut frame);
        let mut painter = Hud::new();
        painter.draw_hud(&hud, width, height, &mut frame);
        write_png(&out.join(format!("seed{seed}-{width}x{height}.png")), width, height, &frame)?;
        let kind = [GuiKind::Inventory, GuiKind::CraftingTable, GuiKind::Furnace][seed as usize % 3];
        let carried = (seed == 3).then_some(Stack::new(Item::Stick, 8));
        let (slots, gauges) = (slots(kind, &hotbar), [9, 17]);
        let gui = GuiView { kind, slots: &slots, carried, cursor: [350.0, 150.0], gauges };
        painter.draw_gui(&gui, width, height, &mut frame);
        write_png(&out.join(format!("seed{seed}-gui-{width}x{height}.png")), width, height, &frame)?;
    }
    Ok(())
}

/// The scripted player at a task, as a sheet of 128x128 frames in reading order, and what a step costs.
fn play(out: &Path, task: &str) -> Result<(), Box<dyn std::error::Error>> {
    const SIDE: usize = 128;
    const ACROSS: usize = 8;
    const DOWN: usize = 5;
    let (mut world, rules) = (NativeWorld::new(), Task::resolve(task)?);
    world.reset(1, &rules)?;
    let every = (rules.episode_steps as usize).div_ceil(ACROSS * DOWN);
    let (mut sheet, mut frame) = (vec![0; ACROSS * DOWN * SIDE * SIDE * 3], Vec::new());
    let mut seconds = 0.0;
    for step in 0..every * ACROSS * DOWN {
        let action = world.advise();
        let started = Instant::now();
        world.step(&action);
        world.render(SIDE, SIDE, &mut frame);
        seconds += started.elapsed().as_secs_f64();
        if step.is_multiple_of(every) {
            let (column, row) = (step / every % ACROSS, step / every / ACROSS);
            for (y, line) in frame.chunks_exact(SIDE * 3).enumerate() {
                let start = ((row * SIDE + y) * ACROSS + column) * SIDE * 3;
                sheet[start..start + SIDE * 3].copy_from_slice(line);
            }
        }
    }
    let steps = (every * ACROSS * DOWN) as f64;
    println!("{task}: {:.3} ms a step with its frame, a sheet every {every} steps", seconds * 1e3 / steps);
    write_png(&out.join(format!("play-{task}.png")), ACROSS * SIDE, DOWN * SIDE, &sheet)
}

fn slots(kind: GuiKind, hotbar: &[Slot; 9]) -> Vec<(i32, i32, Slot)> {
    let items = Item::ALL.map(|item| Some(Stack::new(item, 1 + item as u8)));
    let mut slots: Vec<_> = (0..27)
        .map(|at| (8 + 18 * (at % 9), 84 + 18 * (at / 9), items.get(at as usize).copied().flatten()))
        .collect();
    slots.extend((0..9).map(|at| (8 + 18 * at, 142, hotbar[at as usize])));
    let (side, grid, result) = match kind {
        GuiKind::Inventory => (2, (98, 18), (154, 28)),
        GuiKind::CraftingTable => (3, (30, 17), (124, 35)),
        GuiKind::Furnace => (1, (56, 17), (116, 35)),
    };
    if kind == GuiKind::Inventory {
        let worn = [Item::IronHelmet, Item::DiamondChestplate, Item::IronLeggings, Item::DiamondBoots];
        slots.extend((0..).zip(worn).map(|(part, item)| (8, 8 + 18 * part, Some(Stack::new(item, 1)))));
        slots.push((77, 62, Some(Stack::new(Item::Torch, 12))));
    }
    let planks = Some(Stack::new(Item::Planks, 1));
    slots.extend((0..side * side).map(|at| (grid.0 + 18 * (at % side), grid.1 + 18 * (at / side), planks)));
    if kind == GuiKind::Furnace {
        slots.push((56, 53, Some(Stack::new(Item::Coal, 5))));
    }
    slots.push((result.0, result.1, Some(Stack::new(Item::CraftingTable, 1))));
    slots
}

fn print_costs() {
    let started = Instant::now();
    let mut voxels = Voxels::generate(0);
    for seed in 1..20 {
        voxels.regenerate(seed);
    }
    println!("generate: {:.2} ms a world", started.elapsed().as_secs_f64() * 1e3 / 20.0);
    for (width, height) in SIZES {
        let (mut renderer, mut painter) = (Renderer::default(), Hud::new());
        let mut frame = vec![0; width * height * 3];
        let hud = HudView {
            hotbar: [Some(Stack::new(Item::Log, 5)); 9],
            selected: 1,
            hearts: 20,
            armour: 0,
            offhand: None,
            food: None,
            bubbles: None,
        };
        let count = 4_000_000 / (width * height) + 10;
        let started = Instant::now();
        for step in 0..count {
            let turn = step as f32;
            let column = [(turn * 0.05) as i32, 64 + (turn * 0.02) as i32];
            let eye = [
                column[0] as f32 + 0.5,
                voxels.ground_height(column[0], column[1]) as f32 + 2.62,
                column[1] as f32 + 0.5,
            ];
            let (hand, pitch) = (HandView::default(), 15.0);
            let scene = Scene {
                voxels: &voxels,
                eye,
                yaw: turn * 3.0,
                pitch,
                time: 0,
                entities: &[],
                mobs: &[],
                breaking: None,
                target: None,
                hand,
            };
            renderer.render(&scene, width, height, &mut frame);
            painter.draw_hud(&hud, width, height, &mut frame);
        }
        println!("{width}x{height}: {:.3} ms a frame", started.elapsed().as_secs_f64() * 1e3 / count as f64);
    }
}

fn write_png(path: &Path, width: usize, height: usize, rgb: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let mut encoder = png::Encoder::new(std::fs::File::create(path)?, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(())
}
