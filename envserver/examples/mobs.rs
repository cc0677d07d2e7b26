//! Draws every kind of mob as PNG files to look at, by day, hurt, burning, dying and at night, and prints what mobs cost:
//! `cargo run --release -p vpt-envserver --example mobs -- OUTDIR [SEED]`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vpt_envserver::native::NativeWorld;
use vpt_envserver::native::block::Block;
use vpt_envserver::native::fixed_trig::look_angles;
use vpt_envserver::native::mob::Kind;
use vpt_envserver::native::render::Renderer;
use vpt_envserver::native::scene::{HandView, MobView, Scene};
use vpt_envserver::native::voxels::{PERIOD, Voxels};
use vpt_envserver::task::{Mobs, Task, Terrain};
use vpt_envserver::world::{Action, World};

const SIZES: [(usize, usize); 2] = [(640, 360), (128, 128)];
const NOON: u64 = 5000;
const MIDNIGHT: u64 = 18_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: mobs OUTDIR [SEED]");
        std::process::exit(64);
    };
    let seed = std::env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    std::fs::create_dir_all(&out)?;
    let mut voxels = Voxels::empty(1);
    voxels.remake(Terrain::Overworld, seed);
    let eye = meadow(&voxels);
    let standing = |kind, right: f32, ahead: f32, yaw: f32| view(&voxels, eye, kind, [right, ahead], yaw);
    for kind in Kind::ALL {
        let views = [standing(kind, 1.3, 3.2, -20.0), standing(kind, -1.6, 3.6, 75.0)];
        shoot(&out, &voxels, eye, kind.name(), NOON, &views)?;
    }
    let herd: Vec<MobView> = (0..5)
        .map(|n| standing(Kind::ALL[n], n as f32 * 2.4 - 5.0, 7.0 + (n % 2) as f32 * 2.0, n as f32 * 80.0))
        .collect();
    shoot(&out, &voxels, eye, "all", NOON, &herd)?;
    shoot(&out, &voxels, eye, "all-night", MIDNIGHT, &herd)?;
    let mut states = [0, 1, 2, 3].map(|n| standing(Kind::Zombie, n as f32 * 1.6 - 2.4, 4.0, 0.0));
    states[0].hurt = true;
    states[1].burning = true;
    (states[2].dying, states[2].hurt) = (0.4, true);
    (states[3].kind, states[3].fuse) = (Kind::Creeper, 0.95);
    shoot(&out, &voxels, eye, "states", NOON, &states)?;
    let ten: Vec<MobView> = (0..10)
        .map(|n| standing(Kind::ALL[n % 5], n as f32 * 1.8 - 8.0, 5.0 + (n * 7 % 11) as f32, n as f32 * 80.0))
        .collect();
    print_frame_costs(&voxels, eye, &ten);
    print_tick_costs(seed)?;
    println!("frames are in {}", out.display());
    Ok(())
}

/// The median of many timings, microseconds.
fn median_micros(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What ten mobs add to a frame whose view of the blocks is kept.
fn print_frame_costs(voxels: &Voxels, eye: [f32; 3], ten: &[MobView]) {
    let (yaw, pitch) = look_angles([0.0, -0.16, 1.0]);
    for (width, height) in SIZES {
        let mut renderer = Renderer::default();
        let mut frame = vec![0; width * height * 3];
        let mut cost = |mobs: &[MobView]| {
            let hand = HandView::default();
            let still = Scene {
                voxels,
                eye,
                yaw,
                pitch,
                time: NOON,
                entities: &[],
                mobs,
                breaking: None,
                target: None,
                hand,
            };
            median_micros(|| renderer.render(&still, width, height, &mut frame))
        };
        let (without, with) = (cost(&[]), cost(ten));
        println!("{width}x{height}, blocks kept: {without:.1} us without mobs, {with:.1} us with ten");
    }
}

/// What mobs add to a tick of a player who stands still, by day.
fn print_tick_costs(seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    for mobs in [Mobs::None, Mobs::Passive, Mobs::All] {
        let task = Task { mobs, ..Task::resolve("free")? };
        let mut world = NativeWorld::new();
        world.reset(seed, &task)?;
        let cost = median_micros(|| drop(world.step(&Action::NOOP)));
        println!("{mobs:?}: {cost:.2} us a tick");
    }
    Ok(())
}

/// Eyes over the flattest open grass.
fn meadow(voxels: &Voxels) -> [f32; 3] {
    let places = (0..PERIOD).step_by(2).flat_map(|z| (0..PERIOD).step_by(2).map(move |x| (x, z)));
    let rough = |(x, z): &(i32, i32)| -> i32 {
        let level = voxels.ground_height(*x, *z);
        let around = (-1..12).flat_map(|dz| (-6..7).map(move |dx| (x + dx, z + dz)));
        let cost = |(x, z): (i32, i32)| {
            let ground = voxels.ground_height(x, z);
            let bare = voxels.get(x, ground, z) == Block::Grass && !voxels.get(x, ground + 1, z).is_solid();
            (ground - level).abs() + if bare { 0 } else { 9 }
        };
        around.map(cost).sum()
    };
    let (x, z) = places.min_by_key(rough).unwrap_or((0, 0));
    [x as f32 + 0.5, voxels.ground_height(x, z) as f32 + 2.62, z as f32 + 0.5]
}

/// A mob on the ground, so far to the right of the eye and ahead of it, turned from facing the eye.
fn view(voxels: &Voxels, eye: [f32; 3], kind: Kind, [right, ahead]: [f32; 2], yaw: f32) -> MobView {
    let (x, z) = (eye[0] - right, eye[2] + ahead);
    let ground = voxels.ground_height(x.floor() as i32, z.floor() as i32) as f32 + 1.0;
    let stride = right.abs() * 3.0;
    MobView {
        kind,
        feet: [x, ground, z],
        yaw: 180.0 + yaw,
        stride,
        pace: 0.35,
        hurt: false,
        burning: false,
        dying: 0.0,
        fuse: 0.0,
    }
}

fn shoot(
    out: &Path,
    voxels: &Voxels,
    eye: [f32; 3],
    name: &str,
    time: u64,
    mobs: &[MobView],
) -> Result<(), Box<dyn std::error::Error>> {
    let (yaw, pitch) = look_angles([0.0, -0.16, 1.0]);
    let hand = HandView::default();
    let scene =
        Scene { voxels, eye, yaw, pitch, time, entities: &[], mobs, breaking: None, target: None, hand };
    for (width, height) in SIZES {
        let mut frame = vec![0; width * height * 3];
        Renderer::default().render(&scene, width, height, &mut frame);
        let file = std::fs::File::create(out.join(format!("{name}-{width}x{height}.png")))?;
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header()?.write_image_data(&frame)?;
    }
    Ok(())
}
