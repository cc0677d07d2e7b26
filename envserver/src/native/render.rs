//! The software renderer: casts one ray per pixel through the voxels, then draws items and the hand.
//!
//! Two ray casters give the same pixels to the last bit: `scalar`, the reference, and `wide`, eight or
//! sixteen rays at a time, chosen at run time by what the machine has.

mod billboards;
mod hand;
mod mobs;
mod path;
mod scalar;
mod sun;
mod view;
#[cfg(target_arch = "x86_64")]
mod wide;

use super::block::Block;
use super::scene::Scene;
use super::sky::Sky;
use super::textures::{self, FACES, LEVELS, TEXELS};
pub use path::Path;
use view::View;

/// Draws scenes; keeps its buffers from frame to frame.
#[derive(Debug)]
pub struct Renderer {
    path: Path,
    view: View,
    /// The last view of the blocks, before items and hand: colours and depths.
    colours: Vec<u8>,
    depths: Vec<f32>,
    /// The same depths with the mobs before them, while there are any in view.
    nearest: Vec<f32>,
    special: Special,
    drawn: Option<Look>,
    /// Whether the last frame's view was cast anew.
    anew: bool,
}

/// Everything the view of the blocks depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    revision: u64,
    /// Bits of the eye's position, yaw and pitch.
    pose: [u32; 5],
    size: (usize, usize),
    cells: [i32; 2],
    decorations: [Option<Decoration>; 2],
    /// The sky's step between night and day, where that matters.
    sky: Option<u8>,
}

/// Cells that look different this frame: the targeted block and the one being broken.
#[derive(Debug)]
struct Special {
    /// Their places in the volume; -1 where there is none.
    cells: [i32; 2],
    /// Their textures, laid out as the table of all blocks.
    texels: Vec<u32>,
    drawn: [Option<Decoration>; 2],
}

type Decoration = (Block, bool, Option<u8>);

/// What a ray caster reads.
struct Cast<'a> {
    view: &'a View,
    distance: &'a [u8],
    blocks: &'a [u8],
    ground: &'a [u8],
    textures: &'a [u32],
    block_count: usize,
    special: &'a Special,
    /// None where the land is always bright.
    light: Option<&'a [u8]>,
    /// Whether any block needs a closer look than "there is one".
    airy: bool,
    /// Blocks by number, a bit each: leaves if they have holes, and the liquid the eye is in.
    leafy: u32,
    passed: u32,
}

/// Blocks that are two upright pictures, crossed.
const CROSSED: u32 = 1 << Block::Torch as u32
    | 1 << Block::TallGrass as u32
    | 1 << Block::Flower as u32
    | 1 << Block::Sapling as u32
    | 1 << Block::DeadBush as u32;
/// Blocks whose faces have holes at any distance; those of leaves close up before long.
const PIERCED: u32 = 1 << Block::Glass as u32;
/// In place of an axis, where a ray met such a picture.
const ACROSS: usize = 3;
/// Light of a cell above the volume: the open sky's.
const OPEN_SKY: u8 = 15 << 4;

impl Cast<'_> {
    /// The place in the volume's arrays of a cell relative to the eye's block.
    fn index(&self, cell: [i32; 3]) -> usize {
        ((self.view.base[1] + cell[1]) as usize) << 14 | self.column(cell)
    }

    /// The column's place within a layer.
    fn column(&self, cell: [i32; 3]) -> usize {
        let wrap = |axis: usize| ((self.view.base[axis] + cell[axis]) & 127) as usize;
        wrap(2) << 7 | wrap(0)
    }

    /// The place of a cell whose y may lie outside: within, the nearest.
    fn clamped_index(&self, cell: [i32; 3]) -> usize {
        let y = (self.view.base[1] + cell[1]).clamp(0, self.view.top - 1);
        (y as usize) << 14 | self.column(cell)
    }

    fn cells(&self) -> usize {
        (self.view.top as usize) << 14
    }
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new(Path::best())
    }
}

impl Renderer {
    /// A renderer that casts rays the given way if the machine can; `Renderer::default()` takes the widest way it can.
    pub fn new(path: Path) -> Self {
        let special =
            Special { cells: [-1; 2], texels: vec![0; LEVELS * 2 * FACES * TEXELS], drawn: [None; 2] };
        // A vector path must never run where the machine lacks it.
        let path = if path.is_available() { path } else { Path::Scalar };
        let (colours, depths, nearest) = (Vec::new(), Vec::new(), Vec::new());
        let view = View::default();
        Self { path, view, colours, depths, nearest, special, drawn: None, anew: false }
    }

    /// Draws a scene as `height * width * 3` bytes of RGB, rows from the top.
    ///
    /// # Panics
    /// When `out` is not exactly that long.
    pub fn render(&mut self, scene: &Scene<'_>, width: usize, height: usize, out: &mut [u8]) {
        assert_eq!(out.len(), width * height * 3, "the frame buffer must be height x width x 3 bytes");
        if out.is_empty() {
            return;
        }
        self.special.dress(scene);
        let sky = scene.voxels.light_bytes().map(|_| Sky::at(scene.time));
        let look = self.look(scene, (width, height), sky.as_ref());
        // A player who stands and mines sees the same blocks for many frames.
        self.anew = self.drawn != Some(look);
        if self.anew {
            self.view.aim(scene, width, height);
            self.view.tint(scene.voxels, sky.as_ref());
            self.cast(scene);
            self.drawn = Some(look);
        }
        out.copy_from_slice(&self.colours);
        if let Some(sky) = &sky
            && self.view.is_in_air()
        {
            sun::draw(&self.view, scene, sky, &self.depths, out);
        }
        let any = mobs::draw(&self.view, scene, &self.depths, &mut self.nearest, out);
        let depths = if any { &self.nearest } else { &self.depths };
        billboards::draw(&self.view, scene, depths, out);
        hand::draw(scene.hand, width, height, out);
    }

    /// Whether the last frame's view was cast anew rather than kept.
    pub fn drew_anew(&self) -> bool {
        self.anew
    }

    fn look(&self, scene: &Scene<'_>, size: (usize, usize), sky: Option<&Sky>) -> Look {
        let [x, y, z] = scene.eye;
        Look {
            revision: scene.voxels.revision(),
            pose: [x, y, z, scene.yaw, scene.pitch].map(f32::to_bits),
            size,
            cells: self.special.cells,
            decorations: self.special.drawn,
            sky: sky.map(|sky| sky.step),
        }
    }

    /// Casts a ray for every pixel.
    fn cast(&mut self, scene: &Scene<'_>) {
        let (width, height) = (self.view.width, self.view.height);
        self.colours.resize(width * height * 3, 0);
        self.depths.resize(width * height, 0.0);
        let cast = Cast {
            view: &self.view,
            distance: scene.voxels.distance_bytes(),
            blocks: scene.voxels.block_bytes(),
            ground: &scene.voxels.ground,
            textures: textures::table(),
            block_count: Block::SLOTS,
            special: &self.special,
            light: scene.voxels.light_bytes(),
            airy: scene.voxels.is_airy(),
            leafy: u32::from(scene.voxels.light_bytes().is_some()) << Block::Leaves as u32,
            passed: self.view.medium_mask(),
        };
        let (out, depths) = (&mut self.colours[..], &mut self.depths[..]);
        let (across, down) = match self.path {
            // SAFETY: `new` keeps a path only where the machine has its instructions.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { wide::avx2::draw(&cast, out, depths) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { wide::avx512::draw(&cast, out, depths) },
            _ => (0, 0),
        };
        scalar::draw(&cast, across..width, 0..down, out, depths);
        scalar::draw(&cast, 0..width, down..height, out, depths);
    }
}

impl Special {
    /// Prepares the textures of the targeted block and the one being broken.
    fn dress(&mut self, scene: &Scene<'_>) {
        let mut wanted = [None, scene.target.map(|cell| (cell, true, None))];
        if let Some((cell, stage)) = scene.breaking {
            wanted[0] = Some((cell, scene.target == Some(cell), Some(stage)));
        }
        for (slot, want) in wanted.into_iter().enumerate() {
            self.cells[slot] = -1;
            let Some(([x, y, z], outline, crack)) = want else { continue };
            if !(0..scene.voxels.height()).contains(&y) {
                continue;
            }
            self.cells[slot] = y << 14 | (z & 127) << 7 | (x & 127);
            let decoration = (scene.voxels.get(x, y, z), outline, crack);
            if self.drawn[slot] != Some(decoration) {
                self.drawn[slot] = Some(decoration);
                self.paint(slot, decoration);
            }
        }
    }

    fn paint(&mut self, slot: usize, (block, outline, crack): Decoration) {
        let faces: [textures::Face; FACES] =
            std::array::from_fn(|face| textures::decorate(textures::face(block, face), outline, crack));
        let each = FACES * TEXELS;
        for (level, texels) in textures::with_levels(&faces).chunks_exact(each).enumerate() {
            let start = (level * self.cells.len() + slot) * each;
            self.texels[start..start + each].copy_from_slice(texels);
        }
    }
}

#[cfg(test)]
mod tests;
