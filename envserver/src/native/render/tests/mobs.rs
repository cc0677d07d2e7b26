//! Mobs in frames: the same on every path, hidden and hiding by depth, nothing that breaks on odd poses.

use super::*;
use crate::native::mob::Kind;
use crate::native::scene::MobView;

fn mob(kind: Kind, feet: [f32; 3], yaw: f32) -> MobView {
    let (stride, pace) = (yaw / 7.0, 0.4);
    MobView { kind, feet, yaw, stride, pace, hurt: false, burning: false, dying: 0.0, fuse: 0.0 }
}

fn meadow() -> Voxels {
    let mut voxels = Voxels::empty(32);
    for z in 0..128 {
        voxels.row_mut(3, z).fill(Block::Grass as u8);
    }
    voxels.rebuild();
    voxels
}

const EYE: [f32; 3] = [0.5, 5.62, 0.5];

#[test]
fn both_ray_casters_draw_the_same_mobs() {
    if Path::best() == Path::Scalar {
        println!("SKIP: this machine has no vector path to compare");
        return;
    }
    let voxels = Voxels::generate(2);
    let (mut plain, mut wide) = (Renderer::new(Path::Scalar), Renderer::default());
    for (number, (eye, yaw, pitch)) in poses(&voxels, 14).into_iter().enumerate() {
        let mut mobs: Vec<MobView> = (0..10)
            .map(|n| {
                let turn = n as f32;
                let feet = [eye[0] + turn * 1.3 - 6.0, eye[1] - 1.6 + turn * 0.1, eye[2] + 5.0 - turn * 0.9];
                mob(Kind::ALL[n % 5], feet, turn * 71.0)
            })
            .collect();
        (mobs[1].hurt, mobs[2].burning, mobs[3].fuse, mobs[4].dying) = (true, true, 0.9, 0.3);
        let mut scene = scene(&voxels, eye, yaw, pitch);
        scene.mobs = &mobs;
        for (width, height) in [(64, 64), (37, 23)] {
            let (a, b) = (frame(&mut plain, &scene, width, height), frame(&mut wide, &scene, width, height));
            assert!(a == b, "pose {number} differs at {width}x{height}");
        }
    }
}

#[test]
fn every_kind_shows_by_day_and_differs_from_every_other() {
    let voxels = meadow();
    let mut renderer = Renderer::default();
    let mut frames = vec![frame(&mut renderer, &scene(&voxels, EYE, 0.0, 10.0), 64, 64)];
    for kind in Kind::ALL {
        let mobs = [mob(kind, [0.5, 4.0, 4.5], 180.0)];
        let mut seen = scene(&voxels, EYE, 0.0, 10.0);
        seen.mobs = &mobs;
        frames.push(frame(&mut renderer, &seen, 64, 64));
    }
    for (at, one) in frames.iter().enumerate() {
        for other in &frames[..at] {
            let apart = one.chunks(3).zip(other.chunks(3)).filter(|(a, b)| a != b).count();
            assert!(apart > 30, "frame {at}: {apart} pixels");
        }
    }
    // Behind the eye, or too far away, there is nothing.
    for z in [-4.0, 90.0] {
        let mobs = [mob(Kind::Cow, [0.5, 4.0, z], 0.0)];
        let mut seen = scene(&voxels, EYE, 0.0, 10.0);
        seen.mobs = &mobs;
        assert!(frame(&mut renderer, &seen, 64, 64) == frames[0]);
    }
}

#[test]
fn walls_hide_mobs_and_mobs_hide_items() {
    let mut voxels = meadow();
    let mut renderer = Renderer::default();
    let mobs = [mob(Kind::Zombie, [0.5, 4.0, 5.5], 180.0)];
    let items = [Billboard { center: [0.5, 5.0, 6.5], size: 0.5, item: Item::Diamond }];
    let mut draw = |voxels: &Voxels, with_mob: bool, with_item: bool| {
        let mut seen = scene(voxels, EYE, 0.0, 0.0);
        seen.mobs = if with_mob { &mobs } else { &[] };
        seen.entities = if with_item { &items } else { &[] };
        frame(&mut renderer, &seen, 64, 64)
    };
    assert!(draw(&voxels, false, true) != draw(&voxels, false, false));
    assert!(draw(&voxels, true, true) == draw(&voxels, true, false), "the zombie hides the diamond");
    let bare = draw(&voxels, false, false);
    assert!(
        draw(&voxels, true, false) != bare && draw(&voxels, false, false) == bare,
        "nothing stays behind"
    );
    for x in -3..4 {
        for y in 3..9 {
            voxels.set(x, y, 3, Block::Stone);
        }
    }
    assert!(draw(&voxels, true, false) == draw(&voxels, false, false), "the wall hides the zombie");
}

#[test]
fn no_mob_breaks_a_frame() {
    let voxels = meadow();
    let odd = [f32::NAN, f32::INFINITY, f32::MIN, 1e9, 0.5, -0.0];
    let mut renderer = Renderer::default();
    for &a in &odd {
        for &b in &odd {
            let mut one = mob(Kind::Spider, [a, b, a], b);
            (one.stride, one.pace, one.fuse, one.dying) = (a, b, a, b);
            let near = mob(Kind::Cow, EYE, a);
            let mobs = [one, near];
            let mut seen = scene(&voxels, EYE, 0.0, 20.0);
            seen.mobs = &mobs;
            frame(&mut renderer, &seen, 19, 11);
        }
    }
}
