//! Item pictures: 16x16 texels with transparency, drawn by rule; blocks appear as small cubes.

mod armour;

use std::sync::OnceLock;

use super::block::{Block, Tool};
use super::item::{Item, Material};
use super::textures::{self, Face, SIDE, TEXELS};

/// A picture, `[v * 16 + u]`, each texel `0xAABBGGRR`; alpha is 0 or 255.
pub(super) type Sprite = [u32; TEXELS];

const OPAQUE: u32 = 0xff00_0000;

/// The picture of an item.
pub(super) fn of(item: Item) -> &'static Sprite {
    static SPRITES: OnceLock<Vec<Sprite>> = OnceLock::new();
    &SPRITES.get_or_init(|| Item::ALL.into_iter().map(draw).collect())[item as usize]
}

/// The block an item places, which is also what its picture shows.
pub(super) fn block_of(item: Item) -> Option<Block> {
    match item {
        Item::Log => Some(Block::Log),
        Item::Planks => Some(Block::Planks),
        Item::CraftingTable => Some(Block::CraftingTable),
        Item::Dirt => Some(Block::Dirt),
        Item::Sand => Some(Block::Sand),
        Item::Gravel => Some(Block::Gravel),
        Item::Cobblestone => Some(Block::Cobblestone),
        Item::IronOre => Some(Block::IronOre),
        Item::GoldOre => Some(Block::GoldOre),
        Item::Furnace => Some(Block::Furnace),
        Item::Obsidian => Some(Block::Obsidian),
        Item::Glass => Some(Block::Glass),
        Item::Stone => Some(Block::Stone),
        Item::Sandstone => Some(Block::Sandstone),
        Item::Cactus => Some(Block::Cactus),
        _ => None,
    }
}

fn draw(item: Item) -> Sprite {
    if let Some(block) = block_of(item) {
        return cube(block);
    }
    std::array::from_fn(|at| {
        let (x, y) = ((at % SIDE) as i32, (at / SIDE) as i32);
        let colour = match item {
            Item::Stick => stick(x, y, 1..14),
            Item::Sapling => sapling(x, y),
            Item::Coal => lump(x, y, [44, 44, 46]),
            Item::Diamond => gem(x, y),
            Item::Torch if y < 5 && (6..10).contains(&x) => Some([255, 214, 96]),
            Item::Torch => ((5..14).contains(&y) && (7..9).contains(&x)).then_some([137, 103, 39]),
            Item::Charcoal => lump(x, y, [62, 52, 40]),
            Item::Flint => lump(x, y, [84, 84, 92]),
            Item::IronIngot => ingot(x, y, [206, 206, 206]),
            Item::GoldIngot => ingot(x, y, [236, 196, 60]),
            Item::Apple => lump(x, y, [206, 34, 34]),
            Item::Beef => lump(x, y, [170, 58, 58]),
            Item::CookedBeef => lump(x, y, [112, 66, 40]),
            Item::Porkchop => lump(x, y, [214, 140, 140]),
            Item::CookedPorkchop => lump(x, y, [176, 128, 74]),
            Item::RottenFlesh => lump(x, y, [128, 78, 46]),
            Item::Flower if y < 8 => lump(x, y + 4, [226, 200, 30]),
            Item::Flower => (x == 7).then_some([60, 130, 40]),
            other => match other.armour() {
                Some(piece) => armour::texel(piece, x, y),
                None => other.tool().and_then(|tool| {
                    let head = match tool.material {
                        Material::Wood => [150, 116, 68],
                        Material::Stone => [140, 140, 140],
                        Material::Iron => [222, 222, 222],
                        Material::Diamond => [92, 219, 213],
                    };
                    match tool.kind {
                        Tool::Pickaxe => pickaxe(x, y, head),
                        Tool::Axe => blade(x, y, head, |x, y| (8..13).contains(&x) && (1..8).contains(&y)),
                        Tool::Shovel => {
                            blade(x, y, head, |x, y| (10..15).contains(&x) && (1..6).contains(&y))
                        }
                        Tool::Hoe => blade(x, y, head, |x, y| (6..13).contains(&x) && (1..4).contains(&y)),
                        Tool::Sword => blade(x, y, head, |x, y| x > 4 && (14..17).contains(&(x + y))),
                    }
                }),
            },
        };
        colour.map_or(0, |[r, g, b]: [u32; 3]| OPAQUE | r | g << 8 | b << 16)
    })
}

/// A block seen from a corner: its top as a rhombus, two sides below.
fn cube(block: Block) -> Sprite {
    let (top, side) = (textures::face(block, 0), textures::face(block, 1));
    std::array::from_fn(|at| {
        let (x, y) = ((at % SIDE) as f32 + 0.5, (at / SIDE) as f32 + 0.5);
        let (across, down) = ((x - 8.0) / 8.0, y / 4.0);
        let (u, v) = ((down + across) / 2.0, (down - across) / 2.0);
        let inside = |a: f32| (0.0..1.0).contains(&a);
        if inside(u) && inside(v) {
            return shaded(top, u, v, 256);
        }
        // The left side stands on v = 1, the right one on u = 1.
        let (along, light) = if x < 8.0 { (x / 8.0, 205) } else { ((x - 8.0) / 8.0, 150) };
        let sunk = if x < 8.0 { along } else { 1.0 - along };
        let deep = (y - 4.0 - 4.0 * sunk) / 8.0;
        if inside(deep) { shaded(side, along, deep, light) } else { 0 }
    })
}

fn shaded(face: &Face, u: f32, v: f32, light: u32) -> u32 {
    let texel = face[(v * 16.0) as usize * SIDE + (u * 16.0) as usize];
    let scale = |shift: u32| ((texel >> shift & 255) * light) >> 8 << shift;
    OPAQUE | scale(0) | scale(8) | scale(16)
}

fn stick(x: i32, y: i32, along: std::ops::Range<i32>) -> Option<[u32; 3]> {
    let off = x + y - 15;
    match off {
        0 if along.contains(&x) => Some([137, 103, 39]),
        1 if along.contains(&x) => Some([84, 60, 22]),
        _ => None,
    }
}

/// A handle with a head where `inside` says.
fn blade(x: i32, y: i32, head: [u32; 3], inside: impl Fn(i32, i32) -> bool) -> Option<[u32; 3]> {
    if inside(x, y) {
        let rim = !inside(x - 1, y) || !inside(x, y + 1);
        return Some(if rim { head.map(|channel| channel * 2 / 3) } else { head });
    }
    stick(x, y, 1..12)
}

fn ingot(x: i32, y: i32, base: [u32; 3]) -> Option<[u32; 3]> {
    let inside = (2..14).contains(&x) && (5..12).contains(&y) && (4..22).contains(&(x + y));
    inside.then(|| if y < 8 { base } else { base.map(|channel| channel * 3 / 4) })
}

fn pickaxe(x: i32, y: i32, head: [u32; 3]) -> Option<[u32; 3]> {
    // An arc around the lower left corner, cut to the upper right.
    let (dx, dy) = (x - 2, 13 - y);
    let out = dx * dx + dy * dy;
    let arc = (110..=172).contains(&out) && dx >= 2 && dy >= 2 && x + 15 - y >= 12;
    if arc {
        let rim = !(120..=150).contains(&out);
        return Some(if rim { head.map(|channel| channel * 2 / 3) } else { head });
    }
    stick(x, y, 1..12)
}

fn lump(x: i32, y: i32, base: [u32; 3]) -> Option<[u32; 3]> {
    let (dx, dy) = (x * 2 - 15, y * 2 - 16);
    let rough = textures::noise((x / 2) as usize, (y / 2) as usize, 5) as i32 % 24;
    (dx * dx + dy * dy < 110 + rough).then(|| {
        let light = textures::noise((x / 2) as usize, (y / 3) as usize, 6) / 5;
        base.map(|channel| channel + light)
    })
}

fn gem(x: i32, y: i32) -> Option<[u32; 3]> {
    let (dx, dy) = ((x * 2 - 15).abs(), y * 2 - 16);
    let inside = if dy < -4 { dx <= 12 + (dy + 4) && dy >= -10 } else { dx + dy <= 10 && dx <= 13 };
    let edge = dx + dy.abs() > 9;
    inside.then_some(if edge { [34, 150, 150] } else { [120, 235, 225] })
}

fn sapling(x: i32, y: i32) -> Option<[u32; 3]> {
    let (dx, dy) = (x * 2 - 15, y * 2 - 11);
    if dx * dx + dy * dy < 70 && textures::noise(x as usize, y as usize, 9) > 60 {
        return Some(if textures::noise(x as usize, y as usize, 8) > 128 {
            [72, 150, 44]
        } else {
            [44, 108, 28]
        });
    }
    ((10..15).contains(&y) && (7..9).contains(&x)).then_some([96, 70, 40])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_a_picture_of_its_own() {
        for item in Item::ALL {
            let covered = of(item).iter().filter(|texel| **texel >> 24 == 255).count();
            assert!((20..240).contains(&covered), "{} covers {covered} texels", item.name());
            for other in Item::ALL {
                assert!(item == other || of(item) != of(other), "{} and {}", item.name(), other.name());
            }
        }
    }
}
