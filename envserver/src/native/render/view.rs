//! A frame's geometry: the eye, the pixel grid's rays, and how fog and detail depend on depth.
//!
//! Everything the two ray casters share is computed here once, so that their results can be equal
//! to the last bit. No fused multiply-add anywhere: not every machine has it.

use super::super::block::Block;
use super::super::fixed_trig::{look_vector, right_vector};
use super::super::scene::Scene;
use super::super::sky::Sky;
use super::super::voxels::Voxels;

/// How far one sees, in blocks; half a world period, so that nothing is seen twice.
pub(super) const FAR: f32 = 64.0;
/// Tangent of half the vertical field of view (70 degrees).
const TAN_HALF_HEIGHT: f32 = 0.700_207_5;
/// The view is 16:9 whatever the pixel grid: square frames are squashed, as the policy expects.
const ASPECT: f32 = 16.0 / 9.0;
/// Direction components are kept this far from zero.
pub(super) const LEAST: f32 = 1e-6;

/// Light of a block face by how deep below the ground the air before it lies.
pub(super) static LIGHT: [f32; 8] = [1.0, 0.85, 0.72, 0.62, 0.54, 0.48, 0.43, 0.4];
/// Light of the faces across x, across y from below, across z; from above it is full.
pub(super) const LIGHT_X: f32 = 0.62;
pub(super) const LIGHT_BOTTOM: f32 = 0.5;
pub(super) const LIGHT_Z: f32 = 0.8;
/// The sky of always bright land at the horizon, which is also the fog, and overhead (RGB).
const HORIZON: [f32; 3] = [186.0, 212.0, 255.0];
const ZENITH: [f32; 3] = [104.0, 152.0, 250.0];
/// Fog begins at this share of the distance one sees.
const FOG_START: f32 = 0.55;
/// How far one sees in water and in lava, and their colours.
const IN_WATER: (f32, [f32; 3]) = (22.0, [24.0, 62.0, 128.0]);
const IN_LAVA: (f32, [f32; 3]) = (3.0, [214.0, 88.0, 18.0]);
/// The brightness setting of MineRL's tasks for people, which the published policies saw; the game's own menu ends at 1.
const GAMMA: f32 = 2.0;
/// How fast the sky turns from horizon to zenith, per unit of elevation.
pub(super) const SKY_SLOPE: f32 = 1.5;
/// Beyond this slant a face gets no coarser.
pub(super) const SLANT_CAP: f32 = 8.0;

/// The game's light map, in grey: how bright something in light of 0 to 1 is drawn, full light as 1.
fn seen(light: f32) -> f32 {
    let lifted = |light: f32| 0.96 * light + 0.03;
    let dim = lifted(light);
    let rest = 1.0 - dim;
    let bright = 1.0 - rest * rest * rest * rest;
    lifted((dim + GAMMA * (bright - dim)).clamp(0.0, 1.0)) / lifted(1.0)
}

/// The eye and the ray grid of one frame.
#[derive(Debug)]
pub(super) struct View {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Offset along `right` per pixel column.
    pub(super) columns: Vec<f32>,
    /// Offset along `up` per pixel row.
    pub(super) rows: Vec<f32>,
    pub(super) forward: [f32; 3],
    pub(super) right: [f32; 3],
    pub(super) up: [f32; 3],
    /// The block the eye is in; rays are traced relative to it, so precision is the same everywhere.
    pub(super) base: [i32; 3],
    /// The eye within that block, each in [0, 1).
    pub(super) origin: [f32; 3],
    /// Height of the volume.
    pub(super) top: i32,
    /// Depths at which a texture takes the next coarser level.
    pub(super) level_depths: [f32; 4],
    /// The sky at the horizon, which is also the fog, and overhead (RGB).
    pub(super) horizon: [f32; 3],
    pub(super) zenith: [f32; 3],
    /// How far one sees, and from which share of it on through fog.
    pub(super) far: f32,
    pub(super) fog_start: f32,
    /// Brightness of a face by the light of the cell before it.
    pub(super) brightness: [f32; 256],
    /// What the eye is in: air, or a liquid it can look through.
    medium: Block,
}

impl Default for View {
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            columns: Vec::new(),
            rows: Vec::new(),
            forward: [0.0; 3],
            right: [0.0; 3],
            up: [0.0; 3],
            base: [0; 3],
            origin: [0.0; 3],
            top: 0,
            level_depths: [0.0; 4],
            horizon: HORIZON,
            zenith: ZENITH,
            far: FAR,
            fog_start: FOG_START,
            brightness: [1.0; 256],
            medium: Block::Air,
        }
    }
}

impl View {
    /// Points the view as the scene says, for a frame of the given size.
    pub(super) fn aim(&mut self, scene: &Scene<'_>, width: usize, height: usize) {
        if (self.width, self.height) != (width, height) {
            (self.width, self.height) = (width, height);
            let spread = |count: usize, reach: f32| {
                (0..count).map(move |at| (2.0 * (at as f32 + 0.5) / count as f32 - 1.0) * reach)
            };
            self.columns = spread(width, TAN_HALF_HEIGHT * ASPECT).collect();
            self.rows = spread(height, -TAN_HALF_HEIGHT).collect();
        }
        self.forward = look_vector(scene.yaw, scene.pitch);
        self.right = right_vector(scene.yaw);
        let ([fx, fy, fz], [rx, _, rz]) = (self.forward, self.right);
        // up = right x forward; right has no y.
        self.up = [-rz * fy, rz * fx - rx * fz, rx * fy];
        for axis in 0..3 {
            // Absurd positions are pulled in; the world repeats in x and z anyway.
            let at = scene.eye[axis];
            let at = if at.is_nan() { 0.0 } else { at.clamp(-8_000_000.0, 8_000_000.0) };
            let floor = at.floor();
            self.base[axis] = floor as i32;
            self.origin[axis] = (at - floor).clamp(0.0, 0.999_999);
        }
        self.top = scene.voxels.height();
        // A pixel covers this many texels per block of depth (the mean of both directions).
        let texels = 16.0 * TAN_HALF_HEIGHT * (1.0 / height as f32 + ASPECT / width as f32);
        self.level_depths = [1.4, 2.8, 5.6, 11.2].map(|wide| wide / texels);
    }

    /// Takes the colours, the sight and the brightness of the moment; `sky` is none in always bright land.
    ///
    /// [`View::aim`] comes first.
    pub(super) fn tint(&mut self, voxels: &Voxels, sky: Option<&Sky>) {
        (self.horizon, self.zenith, self.far, self.fog_start) = (HORIZON, ZENITH, FAR, FOG_START);
        self.medium = Block::Air;
        self.brightness = [1.0; 256];
        let Some(sky) = sky else { return };
        (self.horizon, self.zenith) = (sky.horizon, sky.zenith);
        for (both, brightness) in self.brightness.iter_mut().enumerate().map(|(both, it)| (both as u8, it)) {
            let from_sky = f32::from(both >> 4) * sky.daylight;
            let level = from_sky.max(f32::from(both & 15)) / 15.0;
            *brightness = seen(level / (4.0 - 3.0 * level));
        }
        let [x, y, z] = self.base;
        let (far, colour) = match voxels.get(x, y, z) {
            Block::Water => IN_WATER,
            Block::Lava => IN_LAVA,
            _ => return,
        };
        self.medium = voxels.get(x, y, z);
        (self.far, self.fog_start) = (far, 0.0);
        let (from_sky, _) = voxels.light(x, y, z);
        let bright =
            if self.medium == Block::Lava { 1.0 } else { self.brightness[usize::from(from_sky) << 4] };
        self.horizon = colour.map(|channel| channel * (0.15 + 0.85 * bright));
        self.zenith = self.horizon;
    }

    /// Brightness in a cell with so much light of the sky and of blocks; full in always bright land.
    pub(super) fn brightness_of(&self, (from_sky, from_blocks): (u8, u8)) -> f32 {
        self.brightness[usize::from((from_sky & 15) << 4 | from_blocks & 15)]
    }

    /// Whether the eye is in no liquid.
    pub(super) fn is_in_air(&self) -> bool {
        self.medium == Block::Air
    }

    /// The liquid the eye is in, as a bit by its number; none in air.
    pub(super) fn medium_mask(&self) -> u32 {
        if self.is_in_air() { 0 } else { 1 << self.medium as u32 }
    }

    /// Where a point lies: columns and rows from the frame's top left, and its depth.
    pub(super) fn project(&self, point: [f32; 3], eye: [f32; 3]) -> ([f32; 2], f32) {
        let offset = [point[0] - eye[0], point[1] - eye[1], point[2] - eye[2]];
        let along = |axis: [f32; 3]| offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2];
        let depth = along(self.forward);
        let (right, up) = (along(self.right) / depth, along(self.up) / depth);
        let column = (right / (TAN_HALF_HEIGHT * ASPECT) + 1.0) * 0.5 * self.width as f32;
        let row = (1.0 - up / TAN_HALF_HEIGHT) * 0.5 * self.height as f32;
        ([column, row], depth)
    }

    /// How many pixel columns and rows one block spans at a depth of one block.
    pub(super) fn pixels_per_block(&self) -> [f32; 2] {
        [self.width as f32 / (2.0 * TAN_HALF_HEIGHT * ASPECT), self.height as f32 / (2.0 * TAN_HALF_HEIGHT)]
    }
}

#[cfg(test)]
mod tests {
    use super::seen;

    #[test]
    fn the_dark_can_be_seen_in_and_half_light_is_nearly_full() {
        // (0.96 * (2 * (1 - 0.97^4) - 0.03) + 0.03) / 0.99
        assert!((seen(0.0) - 0.223_6).abs() < 1e-3, "{}", seen(0.0));
        assert!(seen(7.0 / 15.0 / (4.0 - 3.0 * 7.0 / 15.0)) > 0.95);
        assert_eq!(seen(1.0), 1.0);
        let levels: Vec<f32> =
            (0..=15).map(|level| level as f32 / 15.0).map(|l| seen(l / (4.0 - 3.0 * l))).collect();
        assert!(levels.is_sorted(), "{levels:?}");
    }
}
