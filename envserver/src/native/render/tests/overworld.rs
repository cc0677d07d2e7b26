//! What only the overworld has: light, day and night, holes in blocks, liquids the eye is in.

use super::*;
use crate::native::textures::{self, HOLE};
use crate::task::Terrain;

fn overworld(seed: u64) -> Voxels {
    let mut voxels = Voxels::empty(1);
    voxels.remake(Terrain::Overworld, seed);
    voxels
}

#[test]
fn every_ray_caster_draws_the_same_overworld() {
    let mut everyone = Everyone::new();
    for seed in 0..3 {
        let voxels = overworld(seed);
        for (number, (eye, yaw, pitch)) in poses(&voxels, 42).into_iter().enumerate() {
            let below = [eye[0].floor() as i32, eye[1].floor() as i32 - 2, eye[2].floor() as i32];
            let mut scene = scene(&voxels, eye, yaw, pitch);
            scene.time = number as u64 * 977;
            scene.target = Some(below);
            scene.breaking = Some(([below[0] + 1, below[1], below[2]], (number % 10) as u8));
            everyone.agree(&scene, &format!("pose {number} of seed {seed}"));
        }
    }
}

#[test]
fn every_ray_caster_sees_through_the_same_holes() {
    let mut everyone = Everyone::new();
    let mut voxels = Voxels::empty(32);
    for n in 0..3000_i32 {
        let at = [n * 7 % 41 - 20, n * 11 % 32, n * 13 % 37 - 18];
        voxels.put(at[0], at[1], at[2], Block::ALL[n as usize * 31 % Block::ALL.len()]);
    }
    voxels.rebuild();
    voxels.shine();
    for n in 0..60 {
        let turn = n as f32;
        let eye = [
            (turn * 0.37).fract() * 30.0 - 15.0,
            (turn * 0.71).fract() * 34.0,
            (turn * 0.53).fract() * 30.0 - 15.0,
        ];
        let mut scene = scene(&voxels, eye, turn * 67.0, turn * 3.0 - 90.0);
        scene.target = Some([eye[0].floor() as i32, eye[1].floor() as i32, eye[2].floor() as i32 + 1]);
        everyone.agree(&scene, &format!("pose {n}"));
    }
}

/// A walled room with something in its middle, seen from one side.
fn room(block: Block) -> Voxels {
    let mut voxels = Voxels::empty(16);
    for y in 0..16 {
        for z in 0..16 {
            for x in 0..16 {
                let inside = (1..15).contains(&x) && (1..5).contains(&y) && (1..15).contains(&z);
                voxels.put(x, y, z, if inside { Block::Air } else { Block::Snow });
            }
        }
    }
    voxels.put(8, 2, 8, block);
    voxels.rebuild();
    voxels.shine();
    voxels
}

fn brightness(frame: &[u8]) -> u64 {
    frame.iter().map(|byte| u64::from(*byte)).sum::<u64>() / frame.len() as u64
}

#[test]
fn a_torch_lights_a_dark_room_and_is_thin() {
    let mut renderer = Renderer::default();
    let eye = [8.5, 2.5, 4.5];
    let mut mean = |block| {
        let voxels = room(block);
        frame(&mut renderer, &scene(&voxels, eye, 0.0, 0.0), 64, 64)
    };
    let (dark, lit) = (mean(Block::Air), mean(Block::Torch));
    assert!(brightness(&dark) < 50 && brightness(&dark) > 25, "{}", brightness(&dark));
    assert!(brightness(&lit) > 2 * brightness(&dark), "{}", brightness(&lit));
    // The wall shows past the torch, the torch before it.
    let rgb = |x: usize, y: usize| <[u8; 3]>::try_from(&lit[(y * 64 + x) * 3..][..3]).unwrap();
    let ([red, _, blue], [wall_red, _, wall_blue]) = (rgb(32, 34), rgb(38, 34));
    assert!(
        red > blue + 30 && wall_red.abs_diff(wall_blue) < 16,
        "torch {red} {blue}, {wall_red} {wall_blue}"
    );
}

#[test]
fn nights_are_dark_but_not_black_and_the_sky_is() {
    let voxels = overworld(1);
    let (eye, ..) = poses(&voxels, 1)[0];
    let mut renderer = Renderer::default();
    let mut at = |time: u64| {
        let mut scene = scene(&voxels, [eye[0], 100.0, eye[2]], 10.0, 20.0);
        scene.time = time;
        brightness(&frame(&mut renderer, &scene, 64, 64))
    };
    let (day, dusk, night) = (at(6000), at(12_900), at(18_000));
    assert!(day > 90 && dusk < day && night < dusk && night < 40 && night > 5, "{day} {dusk} {night}");
    assert_eq!(at(6000), day);
}

#[test]
fn small_things_are_seen_past_and_mostly_there() {
    for block in [Block::Torch, Block::TallGrass, Block::Flower, Block::Sapling, Block::DeadBush] {
        assert!(CROSSED >> block as u32 & 1 == 1);
        let solid = textures::face(block, 1).iter().filter(|texel| **texel & HOLE == 0).count();
        assert!((15..190).contains(&solid), "{}: {solid} texels", block.name());
    }
    for block in Block::ALL {
        let is_small = block.is_plant() || block == Block::Torch;
        assert_eq!(CROSSED >> block as u32 & 1 == 1, is_small, "{}", block.name());
    }
}

#[test]
fn an_eye_in_water_sees_through_it() {
    let mut voxels = Voxels::empty(32);
    for z in 0..PERIOD_SIDE {
        for y in 0..20 {
            voxels.row_mut(y, z).fill(if y < 4 { Block::Sand } else { Block::Water } as u8);
        }
    }
    voxels.rebuild();
    voxels.shine();
    let mut renderer = Renderer::default();
    let under = frame(&mut renderer, &scene(&voxels, [8.5, 8.5, 8.5], 0.0, 60.0), 64, 64);
    let deep = (0..64 * 64).filter(|pixel| renderer.depths[*pixel] > 3.0).count();
    assert!(deep == 64 * 64, "the bed is seen, not the water before the eye");
    let [red, _, blue] = <[u8; 3]>::try_from(&under[..3]).unwrap();
    assert!(blue > red, "blue under water");
}

const PERIOD_SIDE: usize = 128;
