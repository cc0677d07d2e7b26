//! The renderer as a whole: equal pixels from every ray caster, equal frames from equal scenes,
//! and something sensible from anywhere.

mod mobs;
mod overworld;

use super::*;
use crate::native::item::Item;
use crate::native::scene::{Billboard, HandView};
use crate::native::voxels::Voxels;

fn scene(voxels: &Voxels, eye: [f32; 3], yaw: f32, pitch: f32) -> Scene<'_> {
    Scene {
        voxels,
        eye,
        yaw,
        pitch,
        time: 0,
        entities: &[],
        mobs: &[],
        breaking: None,
        target: None,
        hand: HandView::default(),
    }
}

fn frame(renderer: &mut Renderer, scene: &Scene<'_>, width: usize, height: usize) -> Vec<u8> {
    let mut out = vec![1; width * height * 3];
    renderer.render(scene, width, height, &mut out);
    out
}

/// Eyes all over a world: standing, under ground, in trees, in the air, above the volume.
fn poses(voxels: &Voxels, count: i32) -> Vec<([f32; 3], f32, f32)> {
    (0..count)
        .map(|n| {
            let (x, z) = ((n * 37) as f32 * 0.73 - 500.0, (n * 53) as f32 * 0.41 - 300.0);
            let ground = voxels.ground_height(x.floor() as i32, z.floor() as i32) as f32;
            let lift = [2.62, 2.0, 5.5, -3.4, 20.0, 70.0, 0.5][n as usize % 7];
            ([x, ground + lift, z], n as f32 * 41.3 - 700.0, ((n * 29) % 181) as f32 - 90.0)
        })
        .collect()
}

/// A renderer for every path of this machine, the scalar one first.
struct Everyone(Vec<Renderer>);

impl Everyone {
    fn new() -> Self {
        let renderers: Vec<_> = Path::available().map(Renderer::new).collect();
        println!("compared: {:?}", renderers.iter().map(|renderer| renderer.path).collect::<Vec<_>>());
        Self(renderers)
    }

    /// Draws with each and compares, in sizes that whole packets cover and in others.
    fn agree(&mut self, scene: &Scene<'_>, what: &str) {
        let (plain, wide) = self.0.split_first_mut().expect("the scalar path is there everywhere");
        for (width, height) in [(64, 64), (37, 23)] {
            let wanted = frame(plain, scene, width, height);
            for other in &mut *wide {
                let path = other.path;
                let same = frame(other, scene, width, height) == wanted;
                assert!(same, "{what} differs at {width}x{height}, path {path}");
                assert!(other.depths == plain.depths, "depths of {what} differ, path {path}");
            }
        }
    }
}

#[test]
fn every_ray_caster_draws_the_same_pixels() {
    let mut everyone = Everyone::new();
    for seed in 0..2 {
        let voxels = Voxels::generate(seed);
        for (number, (eye, yaw, pitch)) in poses(&voxels, 35).into_iter().enumerate() {
            let below = [eye[0].floor() as i32, eye[1].floor() as i32 - 2, eye[2].floor() as i32];
            let mut scene = scene(&voxels, eye, yaw, pitch);
            scene.target = Some(below);
            scene.breaking = Some(([below[0] + 1, below[1], below[2]], (number % 10) as u8));
            everyone.agree(&scene, &format!("pose {number} of seed {seed}"));
        }
    }
}

/// Figures of trained players rest on these frames: what is drawn of a grove must never change.
#[test]
fn a_grove_looks_as_it_always_has() {
    let mut hasher = blake3::Hasher::new();
    let mut renderer = Renderer::default();
    for seed in 0..3 {
        let voxels = Voxels::generate(seed);
        hasher.update(&voxels.block_bytes()[..64 << 14]);
        for (eye, yaw, pitch) in poses(&voxels, 21) {
            hasher.update(&frame(&mut renderer, &scene(&voxels, eye, yaw, pitch), 128, 128));
        }
    }
    assert_eq!(hasher.finalize().to_hex()[..16], *"43191efbe05d9e91");
}

#[test]
fn rays_along_the_axes_and_corners_are_equal_too() {
    let voxels = Voxels::generate(9);
    let mut everyone = Everyone::new();
    for yaw in [0.0, 45.0, 90.0, 180.0, -90.0] {
        for pitch in [0.0, 90.0, -90.0, 45.0] {
            let scene = scene(&voxels, [64.0, 40.0, 64.0], yaw, pitch);
            everyone.agree(&scene, &format!("yaw {yaw}, pitch {pitch}"));
        }
    }
}

#[test]
fn equal_scenes_give_equal_frames_whatever_was_drawn_before() {
    let voxels = Voxels::generate(3);
    let [(eye, yaw, pitch), (other_eye, ..)] = poses(&voxels, 2)[..] else { panic!("two poses") };
    let mut used = Renderer::default();
    let mut first = scene(&voxels, eye, yaw, pitch);
    first.breaking = Some(([eye[0].floor() as i32, eye[1] as i32 - 2, eye[2].floor() as i32], 7));
    frame(&mut used, &first, 128, 128);
    frame(&mut used, &scene(&voxels, other_eye, 10.0, 0.0), 64, 64);
    let plain = scene(&voxels, eye, yaw, pitch);
    assert_eq!(frame(&mut used, &plain, 48, 48), frame(&mut Renderer::default(), &plain, 48, 48));
}

#[test]
fn a_remembered_view_is_never_shown_for_another() {
    let mut used = Renderer::default();
    let (eye, yaw, pitch) = ([64.5, 34.5, 64.5], 20.0, 30.0);
    for seed in 0..3 {
        // Each world replaces the last at the same place and has been edited as often.
        let mut voxels = Voxels::generate(seed);
        for edit in 0..3 {
            let mut now = scene(&voxels, eye, yaw, pitch);
            for stage in 0..3 {
                now.hand.swing = stage as f32 * 0.3;
                now.breaking = (stage > 0).then_some(([64, 33, 66], stage));
                let fresh = frame(&mut Renderer::default(), &now, 32, 32);
                assert_eq!(frame(&mut used, &now, 32, 32), fresh, "seed {seed} edit {edit} stage {stage}");
            }
            voxels.set(64, 34 - edit, 66, Block::Planks);
        }
    }
}

#[test]
fn the_world_repeats_without_a_seam() {
    let voxels = Voxels::generate(4);
    let mut renderer = Renderer::default();
    let here = frame(&mut renderer, &scene(&voxels, [1.5, 40.25, 126.5], 33.0, 20.0), 64, 64);
    let there = frame(&mut renderer, &scene(&voxels, [129.5, 40.25, -1.5], 33.0, 20.0), 64, 64);
    assert_eq!(here, there);
}

#[test]
fn a_trunk_ahead_an_item_and_an_edit_show() {
    let mut voxels = Voxels::empty(32);
    for z in -8..24 {
        for x in -16..16 {
            voxels.set(x, 3, z, Block::Grass);
        }
    }
    let mut renderer = Renderer::default();
    let eye = [0.5, 5.62, 0.5];
    let bare = frame(&mut renderer, &scene(&voxels, eye, 0.0, 0.0), 64, 64);
    let rgb =
        |frame: &[u8], x: usize, y: usize| <[u8; 3]>::try_from(&frame[(y * 64 + x) * 3..][..3]).unwrap();
    let [_, sky_green, sky_blue] = rgb(&bare, 20, 5);
    assert!(sky_blue > sky_green, "sky above");
    let [red, green, blue] = rgb(&bare, 20, 58);
    assert!(green > red && red > blue, "grass below");

    for up in 4..8 {
        voxels.set(0, up, 4, Block::Log);
    }
    let trunk = frame(&mut renderer, &scene(&voxels, eye, 0.0, 0.0), 64, 64);
    let [red, green, blue] = rgb(&trunk, 32, 32);
    assert!(red > green && green > blue && red < 130, "bark in the middle: {red} {green} {blue}");
    assert_eq!(trunk, frame(&mut renderer, &scene(&voxels, eye, 0.0, 0.0), 64, 64));

    // An item before the trunk shows, one behind it does not.
    let mut with_item = scene(&voxels, eye, 0.0, 0.0);
    let item = |z| [Billboard { center: [0.5, 5.62, z], size: 0.3, item: Item::Diamond }];
    let (near, far) = (item(2.5), item(6.5));
    with_item.entities = &near;
    assert_ne!(trunk, frame(&mut renderer, &with_item, 64, 64));
    with_item.entities = &far;
    assert_eq!(trunk, frame(&mut renderer, &with_item, 64, 64));

    let mut broken = scene(&voxels, eye, 0.0, 0.0);
    broken.breaking = Some(([0, 5, 4], 9));
    assert_ne!(trunk, frame(&mut renderer, &broken, 64, 64));
    broken.breaking = None;
    broken.target = Some([0, 5, 4]);
    assert_ne!(trunk, frame(&mut renderer, &broken, 64, 64));
}

#[test]
fn looking_right_moves_the_view_left() {
    let mut voxels = Voxels::empty(16);
    voxels.set(0, 5, 4, Block::Log);
    let mut renderer = Renderer::default();
    let mut column_of = |yaw: f32, pitch: f32| {
        let frame = frame(&mut renderer, &scene(&voxels, [0.5, 5.5, 0.5], yaw, pitch), 64, 64);
        let brown: Vec<usize> = (0..64 * 36)
            .filter(|pixel| frame[pixel * 3 + 2] < 110)
            .map(|pixel| pixel % 64)
            .filter(|column| *column < 45)
            .collect();
        brown.iter().sum::<usize>() as f32 / brown.len() as f32
    };
    let (ahead, turned) = (column_of(0.0, 0.0), column_of(15.0, 0.0));
    assert!((ahead - 31.5).abs() < 1.0, "in the middle: {ahead}");
    assert!(turned < ahead - 4.0, "turned right, the block moves left: {turned}");
}

#[test]
fn no_pose_panics() {
    let voxels = Voxels::generate(1);
    let far = [f32::MAX, f32::MIN, f32::NAN, f32::INFINITY, 1e7, -1e7, 0.0, 128.0, 40.0, -0.0];
    for path in Path::available() {
        let mut renderer = Renderer::new(path);
        for &a in &far {
            for &b in &far {
                let mut view = scene(&voxels, [a, b, a], b, a);
                view.target = Some([i32::MAX, i32::MIN, 0]);
                view.breaking = Some(([0, 63, i32::MIN], 255));
                let entities = [Billboard { center: [b, a, b], size: a, item: Item::Log }];
                view.entities = &entities;
                view.hand.swing = a;
                frame(&mut renderer, &view, 9, 5);
            }
        }
        frame(&mut renderer, &scene(&voxels, [0.0; 3], 0.0, 0.0), 0, 0);
    }
}
