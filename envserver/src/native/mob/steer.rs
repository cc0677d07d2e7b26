//! What lies a step ahead of a mob: free ground, a block to jump on, or something to keep out of.

use crate::native::block::Block;
use crate::native::look;
use crate::native::physics::Body;
use crate::native::voxels::Voxels;

/// How far beyond its box a mob looks, metres.
const AHEAD: f64 = 0.4;
/// Deepest drop a mob walks into, blocks.
const DEEPEST: i32 = 3;
/// Turns tried in this order, to either side, when the straight way is barred, degrees.
const DETOURS: [f32; 3] = [40.0, 80.0, 120.0];

/// What a mob will not walk into, besides cliffs, lava and cacti.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Keeps out of water while it stands on land.
    pub(crate) dry: bool,
    /// Walls are ways.
    pub(crate) climbs: bool,
}

/// What a step in some direction meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Open,
    /// A block one can jump on.
    Step,
    Barred,
}

/// What lies ahead of a body along a horizontal unit vector, over its whole width.
pub(crate) fn ahead(voxels: &Voxels, body: &Body, [dx, dz]: [f64; 2], manners: Manners) -> Way {
    let [x, y, z] = body.position;
    let level = (y + 0.01).floor() as i32;
    let tall = body.height.ceil() as i32;
    let reach = body.half_width + AHEAD;
    let shoulders = [0.0, body.half_width, -body.half_width];
    let columns = shoulders.map(|aside| {
        let (at_x, at_z) = (x + dx * reach - dz * aside, z + dz * reach + dx * aside);
        column(voxels, [at_x.floor() as i32, level, at_z.floor() as i32], tall, manners)
    });
    let way = columns.into_iter().max().unwrap_or(Way::Barred);
    let roof = voxels.get(x.floor() as i32, level + tall, z.floor() as i32).is_solid();
    if way == Way::Step && roof { Way::Barred } else { way }
}

fn column(voxels: &Voxels, [x, level, z]: [i32; 3], tall: i32, manners: Manners) -> Way {
    let solid = |up: i32| voxels.get(x, level + up, z).is_solid();
    let foot = voxels.get(x, level, z);
    if matches!(foot, Block::Lava | Block::Cactus) || foot == Block::Water && manners.dry {
        return Way::Barred;
    }
    if (0..tall).any(solid) {
        let step = foot.is_solid() && !(1..=tall).any(solid);
        return match (step, manners.climbs) {
            (true, _) => Way::Step,
            (false, true) => Way::Open,
            (false, false) => Way::Barred,
        };
    }
    for down in 1..=DEEPEST + 1 {
        match voxels.get(x, level - down, z) {
            Block::Lava | Block::Cactus => return Way::Barred,
            Block::Water => return if manners.dry { Way::Barred } else { Way::Open },
            block if block.is_solid() => return Way::Open,
            _ => {}
        }
    }
    Way::Barred
}

/// The direction nearest to `yaw` that is not barred, first to the `left` or to the right, and what it meets.
pub(crate) fn around(
    voxels: &Voxels,
    body: &Body,
    yaw: f32,
    left: bool,
    manners: Manners,
) -> Option<(f32, Way)> {
    let side = if left { -1.0 } else { 1.0 };
    let turns = DETOURS.into_iter().flat_map(|turn| [side * turn, -side * turn]);
    std::iter::once(0.0).chain(turns).find_map(|turn| {
        let towards = look::wrap_degrees(yaw + turn);
        let way = ahead(voxels, body, look::heading(towards), manners);
        (way != Way::Barred).then_some((towards, way))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAND: Manners = Manners { dry: true, climbs: false };

    /// A floor at 4 with something on or in it two cells ahead of the middle.
    fn way(build: impl Fn(&mut Voxels), manners: Manners) -> Way {
        let mut voxels = Voxels::empty(16);
        for z in -4..12 {
            for x in -4..8 {
                for y in 0..5 {
                    voxels.put(x, y, z, Block::Stone);
                }
            }
        }
        voxels.rebuild();
        build(&mut voxels);
        let body = Body::new([0.5, 5.0, 0.75], 0.45, 1.4);
        ahead(&voxels, &body, [0.0, 1.0], manners)
    }

    #[test]
    fn steps_walls_pits_and_liquids_are_told_apart() {
        let block = |up: i32, block: Block| {
            move |voxels: &mut Voxels| {
                voxels.set(0, 5 + up, 1, block);
            }
        };
        let pit = |deep: i32, floor: Block| {
            move |voxels: &mut Voxels| {
                (0..deep).for_each(|down| voxels.put(0, 4 - down, 1, Block::Air));
                voxels.set(0, 4 - deep, 1, floor);
            }
        };
        assert_eq!(way(|_| {}, LAND), Way::Open);
        assert_eq!(way(block(0, Block::Dirt), LAND), Way::Step);
        assert_eq!(way(block(0, Block::TallGrass), LAND), Way::Open);
        assert_eq!(way(block(0, Block::Cactus), LAND), Way::Barred);
        assert_eq!(way(block(1, Block::Dirt), LAND), Way::Barred);
        assert_eq!(way(block(1, Block::Dirt), Manners { climbs: true, ..LAND }), Way::Open);
        assert_eq!(way(pit(3, Block::Stone), LAND), Way::Open);
        assert_eq!(way(pit(4, Block::Stone), LAND), Way::Barred);
        assert_eq!(way(pit(1, Block::Lava), LAND), Way::Barred);
        assert_eq!(way(pit(0, Block::Lava), Manners { dry: false, climbs: true }), Way::Barred);
        assert_eq!(way(pit(0, Block::Water), LAND), Way::Barred);
        assert_eq!(way(pit(0, Block::Water), Manners { dry: false, climbs: false }), Way::Open);
    }

    #[test]
    fn a_barred_way_is_gone_around() {
        let mut voxels = Voxels::empty(16);
        for z in -4..12 {
            for x in -4..8 {
                voxels.set(x, 4, z, Block::Stone);
            }
        }
        for x in -1..2 {
            voxels.set(x, 5, 1, Block::Stone);
            voxels.set(x, 6, 1, Block::Stone);
        }
        let body = Body::new([0.5, 5.0, 0.5], 0.3, 1.95);
        let (right, _) = around(&voxels, &body, 0.0, false, LAND).unwrap();
        let (left, _) = around(&voxels, &body, 0.0, true, LAND).unwrap();
        assert!(right > 60.0 && left == -right, "{right} {left}");
    }
}
