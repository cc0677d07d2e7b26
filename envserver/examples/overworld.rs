//! Draws views of the overworld as PNG files to look at: every biome, caves, lava, dusk and night:
//! `cargo run --release -p vpt-envserver --example overworld -- OUTDIR [SEED]`.

use std::path::{Path, PathBuf};

use vpt_envserver::native::block::Block;
use vpt_envserver::native::fixed_trig::look_angles;
use vpt_envserver::native::render::Renderer;
use vpt_envserver::native::scene::{HandView, Scene};
use vpt_envserver::native::voxels::{PERIOD, Voxels};
use vpt_envserver::task::Terrain;

const SIZES: [(usize, usize); 2] = [(640, 360), (128, 128)];
const NOON: u64 = 5000;

/// Where one stands and what one looks at.
struct Shot {
    name: &'static str,
    eye: [f32; 3],
    towards: [f32; 3],
    time: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: overworld OUTDIR [SEED]");
        std::process::exit(64);
    };
    let seed = std::env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    std::fs::create_dir_all(&out)?;
    let mut voxels = Voxels::empty(1);
    voxels.remake(Terrain::Overworld, seed);
    for shot in surface_shots(&voxels) {
        draw(&out, &voxels, &shot)?;
    }
    let torch = |voxels: &mut Voxels, [x, y, z]: [i32; 3]| voxels.set(x, y, z, Block::Torch);
    if let Some(shot) = find_cave(&voxels, "cave", 14..50, Block::CoalOre) {
        let [x, y, z] = shot.eye.map(|at| at.floor() as i32);
        draw(&out, &voxels, &Shot { name: "cave-dark", ..shot })?;
        torch(&mut voxels, [x, y - 1, z + 1]);
        torch(&mut voxels, shot.towards.map(|at| at.floor() as i32));
        draw(&out, &voxels, &shot)?;
    }
    if let Some(shot) = find_cave(&voxels, "lava", 11..24, Block::Lava) {
        draw(&out, &voxels, &shot)?;
    }
    if let Some(near) = surface_shots(&voxels).into_iter().find(|shot| shot.name == "plains") {
        let [x, _, z] = near.eye.map(|at| at.floor() as i32);
        for (dx, dz) in [(2, 3), (-3, 4), (0, 6)] {
            let ground = voxels.ground_height(x + dx, z + dz);
            torch(&mut voxels, [x + dx, ground + 1, z + dz]);
        }
        let towards = [near.eye[0], near.eye[1] - 1.0, near.eye[2] + 6.0];
        draw(&out, &voxels, &Shot { name: "night-torches", towards, time: 18_000, ..near })?;
    }
    println!("frames are in {}", out.display());
    Ok(())
}

fn top(voxels: &Voxels, x: i32, z: i32) -> Block {
    voxels.get(x, voxels.ground_height(x, z), z)
}

fn stand(voxels: &Voxels, x: i32, z: i32) -> [f32; 3] {
    [x as f32 + 0.5, voxels.ground_height(x, z) as f32 + 2.62, z as f32 + 0.5]
}

/// How many columns around one satisfy a condition.
fn around(reach: i32, (x, z): (i32, i32), such: impl Fn(i32, i32) -> bool) -> usize {
    (-reach..=reach)
        .flat_map(|dz| (-reach..=reach).map(move |dx| (x + dx, z + dz)))
        .filter(|(x, z)| such(*x, *z))
        .count()
}

/// The open place on the given ground with the highest score.
fn best(voxels: &Voxels, ground: Block, score: impl Fn(i32, i32) -> usize) -> (i32, i32) {
    let places = (0..PERIOD).step_by(3).flat_map(|z| (0..PERIOD).step_by(3).map(move |x| (x, z)));
    places
        .filter(|(x, z)| {
            let level = voxels.ground_height(*x, *z);
            let clear = (1..4).all(|up| !voxels.get(*x, level + up, *z).is_solid());
            let dry = voxels.get(*x, level + 1, *z) != Block::Water;
            top(voxels, *x, *z) == ground && clear && dry
        })
        .max_by_key(|(x, z)| score(*x, *z))
        .unwrap_or((0, 0))
}

/// From a place towards the middle of what lies around it and satisfies a condition.
fn look(name: &'static str, voxels: &Voxels, at: (i32, i32), such: impl Fn(i32, i32) -> bool) -> Shot {
    let eye = stand(voxels, at.0, at.1);
    let (mut sum, mut count) = ([0.0; 2], 0.0);
    for dz in -24..=24 {
        for dx in -24..=24 {
            if such(at.0 + dx, at.1 + dz) {
                sum = [sum[0] + dx as f32, sum[1] + dz as f32];
                count += 1.0;
            }
        }
    }
    let towards = [eye[0] + sum[0] / count + 0.01, eye[1] - 1.0, eye[2] + sum[1] / count];
    Shot { name, eye, towards, time: NOON }
}

fn surface_shots(voxels: &Voxels) -> Vec<Shot> {
    let has_tree = |x: i32, z: i32| {
        let ground = voxels.ground_height(x, z);
        voxels.get(x, ground + 1, z) == Block::Log
    };
    let is_water = |x: i32, z: i32| voxels.get(x, 62, z) == Block::Water;
    let is_sand = |x: i32, z: i32| top(voxels, x, z) == Block::Sand && !is_water(x, z);
    let has_cactus = |x: i32, z: i32| voxels.get(x, voxels.ground_height(x, z) + 1, z) == Block::Cactus;
    let has_grass = |x: i32, z: i32| voxels.get(x, voxels.ground_height(x, z) + 1, z).is_plant();
    let is_snowy = |x: i32, z: i32| top(voxels, x, z) == Block::Snow;
    let forest = best(voxels, Block::Grass, |x, z| around(9, (x, z), has_tree));
    let plains = best(voxels, Block::Grass, |x, z| {
        (around(8, (x, z), has_grass) + 40).saturating_sub(12 * around(8, (x, z), has_tree))
    });
    let desert =
        best(voxels, Block::Sand, |x, z| around(12, (x, z), is_sand) + 20 * around(8, (x, z), has_cactus));
    let beach = best(voxels, Block::Sand, |x, z| {
        around(6, (x, z), is_water).min(80) + around(6, (x, z), is_sand).min(60)
    });
    let hills = best(voxels, Block::Grass, |x, z| {
        let level = voxels.ground_height(x, z);
        let higher = around(4, (x, z), |x, z| voxels.ground_height(x, z) > level + 1);
        (around(24, (x, z), is_snowy) + 60).saturating_sub(20 * around(6, (x, z), has_tree) + 4 * higher)
    });
    let mut shots = vec![
        look("forest", voxels, forest, has_tree),
        look("plains", voxels, plains, has_grass),
        look("desert", voxels, desert, has_cactus),
        look("beach", voxels, beach, is_water),
        look("hills", voxels, hills, is_snowy),
    ];
    shots[0].time = 0;
    shots[4].towards[1] += 6.0;
    let [x, y, z] = shots[3].eye;
    shots.push(Shot {
        name: "dusk",
        eye: [x, y + 12.0, z],
        towards: [x - 10.0, y + 13.0, z + 2.0],
        time: 12_150,
    });
    shots.push(Shot { name: "night", time: 18_000, ..look("", voxels, plains, has_tree) });
    let [x, _, z] = shots[3].towards;
    shots.push(Shot { name: "underwater", eye: [x, 61.5, z], towards: [x + 5.0, 60.5, z + 6.0], time: NOON });
    let [x, y, z] = shots[0].eye;
    shots.push(Shot { name: "above", eye: [x, y + 34.0, z], towards: [x + 30.0, y, z + 20.0], time: NOON });
    shots
}

/// A place to stand in a cave with a long view that ends near a block of the given kind.
fn find_cave(
    voxels: &Voxels,
    name: &'static str,
    heights: std::ops::Range<i32>,
    near: Block,
) -> Option<Shot> {
    let air = |[x, y, z]: [i32; 3]| voxels.get(x, y, z) == Block::Air;
    let cells = heights.flat_map(|y| (0..PERIOD).flat_map(move |z| (0..PERIOD).map(move |x| [x, y, z])));
    let open = cells.filter(|[x, y, z]| {
        air([*x, *y, *z])
            && air([*x, y + 1, *z])
            && voxels.get(*x, y - 1, *z).is_solid()
            && voxels.light(*x, *y, *z).0 == 0
    });
    let views = open.flat_map(|[x, y, z]| {
        [(1, 0), (-1, 0), (0, 1), (0, -1)].into_iter().map(move |(dx, dz)| {
            let length = (1..14).take_while(|far| air([x + dx * far, y, z + dz * far])).count() as i32;
            let end = [x + dx * length, y, z + dz * length];
            let kinds = (-3..4)
                .flat_map(|a| (-2..3).flat_map(move |b| (-3..4).map(move |c| [a, b, c])))
                .filter(|[a, b, c]| voxels.get(end[0] + a, end[1] + b, end[2] + c) == near)
                .count() as i32;
            (length * 2 + kinds.min(12), [x, y, z], end)
        })
    });
    let (_, [x, y, z], end) = views.max_by_key(|(score, ..)| *score)?;
    let eye = [x as f32 + 0.5, y as f32 + 1.62, z as f32 + 0.5];
    let towards = end.map(|at| at as f32 + 0.5);
    Some(Shot { name, eye, towards, time: NOON })
}

fn draw(out: &Path, voxels: &Voxels, shot: &Shot) -> Result<(), Box<dyn std::error::Error>> {
    let (yaw, pitch) = look_angles(std::array::from_fn(|axis| shot.towards[axis] - shot.eye[axis]));
    let scene = Scene {
        voxels,
        eye: shot.eye,
        yaw,
        pitch,
        time: shot.time,
        entities: &[],
        mobs: &[],
        breaking: None,
        target: None,
        hand: HandView::default(),
    };
    for (width, height) in SIZES {
        let mut frame = vec![0; width * height * 3];
        Renderer::default().render(&scene, width, height, &mut frame);
        let file = std::fs::File::create(out.join(format!("{}-{width}x{height}.png", shot.name)))?;
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&frame)?;
    }
    Ok(())
}
