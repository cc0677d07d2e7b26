//! The skins of mobs, drawn by rule from integer noise, texel by texel.

use super::super::super::mob::Kind;
use super::super::super::textures::noise;

/// Which box of a mob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bone {
    Head,
    Body,
    Leg,
    Arm,
    Horn,
    Snout,
    Abdomen,
}

/// A face of a mob: across which axis, at its high end or its low, how large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) bone: Bone,
    pub(super) axis: usize,
    pub(super) high: bool,
    pub(super) wide: usize,
    pub(super) tall: usize,
}

impl Place {
    fn is_front(&self) -> bool {
        self.axis == 2 && self.high
    }

    fn is_top(&self) -> bool {
        self.axis == 1 && self.high
    }

    /// Rows from the top, where the face stands upright.
    fn is_upright(&self) -> bool {
        self.axis != 1
    }

    fn salt(&self) -> u32 {
        300 + self.kind as u32 * 50 + self.bone as u32 * 7 + self.axis as u32 * 2 + u32::from(self.high)
    }
}

/// A face's texel, rows counted from the top.
pub(super) fn texel(place: &Place, u: usize, v: usize) -> [u8; 3] {
    let (base, depth) = match place.kind {
        Kind::Cow => cow(place, u, v),
        Kind::Pig => pig(place, u, v),
        Kind::Zombie => zombie(place, u, v),
        Kind::Creeper => creeper(place, u, v),
        Kind::Spider => spider(place, u, v),
    };
    let shift = (noise(u, v, place.salt()) as i32 - 128) * depth / 128;
    base.map(|channel: i32| (channel + shift).clamp(0, 255) as u8)
}

/// A colour, and how much grain makes it lighter or darker.
type Paint = ([i32; 3], i32);

/// Columns counted from the nearer side: what is true of one eye is true of the other.
fn folded(place: &Place, u: usize) -> usize {
    u.min(place.wide - 1 - u)
}

fn cow(place: &Place, u: usize, v: usize) -> Paint {
    const BROWN: Paint = ([88, 58, 38], 10);
    const WHITE: Paint = ([228, 222, 212], 10);
    let side = folded(place, u);
    match place.bone {
        Bone::Horn => ([206, 198, 176], 10),
        Bone::Head if place.is_front() => match (side, v) {
            (0, 3) => ([20, 16, 16], 0),
            (1, 3) => ([240, 240, 240], 0),
            (1, 6) => ([120, 84, 80], 4),
            (_, 5..) => ([216, 176, 166], 6),
            (3, _) => WHITE,
            _ => BROWN,
        },
        Bone::Head if place.axis != 1 && v >= 5 && (u < 2) == place.high => ([216, 176, 166], 6),
        Bone::Leg if place.is_upright() && v + 2 >= place.tall => ([52, 44, 40], 6),
        Bone::Leg if place.is_upright() && v + 5 >= place.tall => WHITE,
        Bone::Body if !place.is_top() && !place.is_upright() => ([206, 172, 162], 8),
        // Large patches with ragged edges.
        Bone::Body => {
            let ragged = |at: usize, salt: u32| (at + noise(u, v, salt) as usize % 2) / 5;
            let patch = noise(ragged(u, 411), ragged(v, 412), place.salt() + 3);
            if patch > 140 { WHITE } else { BROWN }
        }
        _ => BROWN,
    }
}

fn pig(place: &Place, u: usize, v: usize) -> Paint {
    const PINK: Paint = ([238, 162, 158], 10);
    let side = folded(place, u);
    match place.bone {
        Bone::Snout if place.is_front() && side == 0 && v == 1 => ([128, 62, 62], 0),
        Bone::Snout => ([222, 130, 128], 6),
        Bone::Head if place.is_front() => match (side, v) {
            (0, 3) => ([18, 16, 20], 0),
            (1, 3) => ([246, 246, 246], 0),
            (0, 0) => ([214, 134, 132], 6),
            _ => PINK,
        },
        Bone::Leg if place.is_upright() && v + 2 >= place.tall => ([176, 110, 104], 6),
        Bone::Body if !place.is_top() && !place.is_upright() => ([226, 148, 146], 8),
        _ => PINK,
    }
}

fn zombie(place: &Place, u: usize, v: usize) -> Paint {
    const SKIN: Paint = ([92, 138, 72], 12);
    const SHIRT: Paint = ([34, 138, 138], 12);
    let side = folded(place, u);
    match place.bone {
        Bone::Head if place.is_front() => match (side, v) {
            (_, 0) => ([58, 92, 46], 10),
            (1 | 2, 4) => ([12, 16, 12], 0),
            (1 | 2, 3) => ([66, 104, 54], 6),
            (3, 5) => ([72, 112, 58], 4),
            (2 | 3, 6) => ([44, 66, 40], 4),
            _ => SKIN,
        },
        Bone::Head if place.is_top() || place.is_upright() && v < 2 => ([62, 96, 48], 10),
        Bone::Arm if place.is_upright() && v < 5 => SHIRT,
        Bone::Arm | Bone::Head => SKIN,
        Bone::Body if place.is_upright() && v + 2 >= place.tall => ([28, 112, 112], 10),
        Bone::Body => SHIRT,
        _ if place.is_upright() && v + 2 >= place.tall => ([70, 70, 76], 6),
        _ => ([64, 60, 140], 10),
    }
}

fn creeper(place: &Place, u: usize, v: usize) -> Paint {
    let side = folded(place, u);
    if place.bone == Bone::Head && place.is_front() {
        let eye = (1..3).contains(&side) && (2..4).contains(&v);
        let mouth = side == 3 && (4..7).contains(&v) || side == 2 && (5..8).contains(&v);
        if eye || mouth {
            return ([10, 14, 10], 0);
        }
    }
    if place.bone == Bone::Leg && place.is_upright() && v + 1 >= place.tall {
        return ([46, 60, 42], 8);
    }
    // Blots of light and dark leaves.
    match noise(u / 2, v / 2, place.salt() + 1) {
        0..60 => ([56, 130, 52], 16),
        200.. => ([150, 206, 140], 16),
        _ => ([84, 172, 76], 20),
    }
}

fn spider(place: &Place, u: usize, v: usize) -> Paint {
    let side = folded(place, u);
    match place.bone {
        Bone::Head if place.is_front() => match (side, v) {
            (2 | 3, 3 | 4) => ([206, 22, 22], 10),
            (1, 2) | (0, 4) => ([150, 16, 16], 6),
            (2, 7) => ([160, 150, 140], 8),
            _ => ([50, 42, 38], 8),
        },
        Bone::Leg => ([66, 54, 46], 12),
        Bone::Abdomen if place.is_top() && (u / 2 + v / 3).is_multiple_of(2) => ([74, 62, 54], 8),
        Bone::Abdomen => ([48, 40, 36], 10),
        _ => ([56, 48, 42], 8),
    }
}

/// The flame that licks at a place of a burning mob, if one does.
pub(super) fn flame(u: u32, y: u32, flicker: u32) -> Option<[f32; 3]> {
    let tongue = noise(u as usize, flicker as usize, 61) / 18;
    let lick = noise(u as usize, (y + flicker) as usize, 62);
    (y % 12 < tongue && lick > 70).then(|| {
        let heat = lick as f32 / 255.0;
        [255.0, 110.0 + 120.0 * heat, 20.0 + 60.0 * heat]
    })
}
