//! Times the embedded world's lands: how long one takes to make, and how fast frames of a walk over
//! the ground and through caves are drawn: `cargo run --release -p vpt-envserver --example walk`.

use nix::sys::resource::{UsageWho, getrusage};

use vpt_envserver::native::block::Block;
use vpt_envserver::native::render::Renderer;
use vpt_envserver::native::scene::{HandView, Scene};
use vpt_envserver::native::voxels::Voxels;
use vpt_envserver::task::Terrain;

const FRAMES: usize = 2000;

fn main() {
    for terrain in [Terrain::Grove, Terrain::Overworld] {
        let mut voxels = Voxels::empty(1);
        let started = cpu_seconds();
        voxels.remake(terrain, 0);
        println!("{terrain:?}: first world {:.1} ms", (cpu_seconds() - started) * 1e3);
        let started = cpu_seconds();
        for seed in 1..21 {
            voxels.remake(terrain, seed);
        }
        println!("{terrain:?}: {:.1} ms a world after that", (cpu_seconds() - started) * 1e3 / 20.0);
        for (size, frames) in [((128, 128), FRAMES), ((640, 360), FRAMES / 16)] {
            for below in [false, true] {
                let rate = walk(&voxels, size, frames, below);
                let place = if below { "below" } else { "above" };
                println!("{terrain:?} {}x{} {place} ground: {rate:.0} frames/s", size.0, size.1);
            }
        }
    }
    edit();
}

/// Seconds of this process's CPU time, which other work on the machine disturbs less than the clock.
fn cpu_seconds() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask what it has used");
    used.user_time().tv_sec() as f64 + used.user_time().tv_usec() as f64 * 1e-6
}

/// Frames a second along a line over the ground, or from cave to cave.
fn walk(voxels: &Voxels, (width, height): (usize, usize), frames: usize, below: bool) -> f64 {
    let mut renderer = Renderer::default();
    let mut frame = vec![0; width * height * 3];
    let begun = cpu_seconds();
    for step in 0..frames {
        let turn = step as f32 * 2000.0 / frames as f32;
        let (x, z) = (turn * 0.11, 20.0 + turn * 0.057);
        let column = [x.floor() as i32, z.floor() as i32];
        let land = voxels.ground_height(column[0], column[1]);
        let wet =
            (land..voxels.height()).take_while(|y| voxels.get(column[0], *y + 1, column[1]) == Block::Water);
        let ground = land + wet.count() as i32;
        let cave = (5..ground - 4).find(|y| voxels.get(column[0], *y, column[1]) == Block::Air);
        let y =
            if below { cave.map_or(ground as f32 - 20.0, |y| y as f32 + 1.5) } else { ground as f32 + 2.62 };
        let scene = Scene {
            voxels,
            eye: [x, y, z],
            yaw: turn * 1.7,
            pitch: 8.0,
            time: 0,
            entities: &[],
            mobs: &[],
            breaking: None,
            target: None,
            hand: HandView::default(),
        };
        renderer.render(&scene, width, height, &mut frame);
    }
    frames as f64 / (cpu_seconds() - begun)
}

/// The cost of placing and taking a torch at the surface.
fn edit() {
    let mut voxels = Voxels::empty(1);
    voxels.remake(Terrain::Overworld, 3);
    let started = cpu_seconds();
    for step in 0..500 {
        let (x, z) = (step * 7, step * 13);
        let y = voxels.ground_height(x, z) + 1;
        voxels.set(x, y, z, if step % 2 == 0 { Block::Torch } else { Block::Stone });
    }
    println!("edit: {:.3} ms", (cpu_seconds() - started) * 1e3 / 500.0);
}
