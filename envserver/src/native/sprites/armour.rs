//! Pictures of armour: coarse masks of eight by eight, twice as large, darker at their lower and right rims.

use crate::native::armour::{ArmourItem, Part};
use crate::native::item::Material;

const HELMET: [&str; 8] =
    ["........", ".######.", "########", "########", "##....##", "##....##", "........", "........"];
const CHESTPLATE: [&str; 8] =
    ["##....##", "###..###", "########", "########", ".######.", ".######.", ".######.", "........"];
const LEGGINGS: [&str; 8] =
    [".######.", ".######.", ".######.", ".##..##.", ".##..##.", ".##..##.", ".##..##.", "........"];
const BOOTS: [&str; 8] =
    ["........", "........", ".##..##.", ".##..##.", ".##..##.", "###..###", "###..###", "........"];

/// The colour of a piece at a texel, if it covers it.
pub(super) fn texel(piece: ArmourItem, x: i32, y: i32) -> Option<[u32; 3]> {
    let mask = match piece.part {
        Part::Head => &HELMET,
        Part::Chest => &CHESTPLATE,
        Part::Legs => &LEGGINGS,
        Part::Feet => &BOOTS,
    };
    let covers = |x: i32, y: i32| {
        let row = mask.get(usize::try_from(y / 2).ok()?)?;
        Some(*row.as_bytes().get(usize::try_from(x / 2).ok()?)? == b'#')
    };
    let base = match piece.material {
        Material::Diamond => [92, 219, 213],
        _ => [214, 214, 214],
    };
    let rim = covers(x + 1, y) != Some(true) || covers(x, y + 1) != Some(true);
    (covers(x, y) == Some(true)).then(|| if rim { base.map(|channel| channel * 3 / 5) } else { base })
}
