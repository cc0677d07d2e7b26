//! The pixels that differ from the frame before, as positions and colours.
//!
//! Most of a frame of a game stands still, and what moves takes its colours from few textures. So the frames become
//! three streams, each packed by zstd on its own:
//! - map: for every frame a bit a group of 64 pixels, set when one of them changed, all frames first; then for every
//!   set bit 8 bytes, little endian, a bit a pixel
//! - indices: for every changed pixel the place of its colour in a cache of [`PLACES`] colours, or [`MISS`]
//! - colours: the three bytes of every miss, which goes into the cache at the place that [`place`] gives it
//!
//! The frame before the first is black, the cache is empty at the start. In front stand bytes a frame u32 and the number
//! of frames u32. A stream is its plain length u32, its packed length u32 and a zstd frame; a plain length of zero has no
//! frame. All numbers are little-endian.

use super::FrameCodecError;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes a pixel.
pub(super) const PIXEL: usize = 3;

/// Pixels a group.
const GROUP: usize = 64;

/// Colours in the cache.
const PLACES: u32 = 255;

/// The index of a colour that is not in the cache.
const MISS: u8 = 255;

/// No colour: colours have 24 bits.
const NO_COLOUR: u32 = u32::MAX;

/// By measurement the level that packs best for its time.
const ZSTD_LEVEL: i32 = 1;

/// Colours seen lately. One more place than there are, so that any byte is one.
type Cache = [u32; 256];

/// Where a colour stands in the cache when it is there.
fn place(colour: u32) -> u8 {
    // The upper bits of the product depend on all bits of the colour; scaled to the number of places.
    (((colour.wrapping_mul(0x9e37_79b1) >> 16) * PLACES) >> 16) as u8
}

fn colour_of(pixel: &[u8; PIXEL]) -> u32 {
    u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0])
}

/// None when `frame_len` is not a whole number of pixels or zstd fails.
pub(super) fn encode(frames: &[u8], frame_len: usize) -> Option<Vec<u8>> {
    if !frame_len.is_multiple_of(PIXEL) {
        return None;
    }
    let count = frames.len() / frame_len;
    let head = [u32::try_from(frame_len).ok()?, u32::try_from(count).ok()?];
    let mut encoder = Encoder::new(frame_len, count);
    let mut previous: &[u8] = &vec![0; frame_len];
    for frame in frames.chunks_exact(frame_len) {
        encoder.push(frame, previous);
        previous = frame;
    }
    encoder.finish(head)
}

/// The three streams in the making.
struct Encoder {
    groups: Vec<u8>,
    masks: Vec<u8>,
    indices: Vec<u8>,
    colours: Vec<u8>,
    cache: Cache,
    /// Room for one group: its indices and colours, one spare byte for the last colour.
    group_indices: [u8; GROUP],
    group_colours: [u8; GROUP * PIXEL + 1],
}

impl Encoder {
    fn new(frame_len: usize, count: usize) -> Self {
        let pixels = frame_len / PIXEL * count;
        Self {
            groups: Vec::with_capacity(pixels / GROUP / 8 + count),
            masks: Vec::new(),
            indices: Vec::with_capacity(pixels / 4),
            colours: Vec::with_capacity(pixels / 4),
            cache: [NO_COLOUR; 256],
            group_indices: [0; GROUP],
            group_colours: [0; GROUP * PIXEL + 1],
        }
    }

    fn push(&mut self, frame: &[u8], previous: &[u8]) {
        let rows = frame.chunks(8 * GROUP * PIXEL).zip(previous.chunks(8 * GROUP * PIXEL));
        for (row, row_before) in rows {
            let mut bits = 0;
            let groups = row.chunks(GROUP * PIXEL).zip(row_before.chunks(GROUP * PIXEL));
            for (n, (group, before)) in groups.enumerate() {
                if group != before {
                    bits |= 1 << n;
                    let mask = changed(group, before);
                    self.masks.extend_from_slice(&mask.to_le_bytes());
                    self.push_colours(group, mask);
                }
            }
            self.groups.push(bits);
        }
    }

    /// Appends the colours of the pixels in `mask`.
    fn push_colours(&mut self, group: &[u8], mut mask: u64) {
        let (pixels, _) = group.as_chunks::<PIXEL>();
        let (mut count, mut bytes) = (0, 0);
        while mask != 0 {
            let Some(pixel) = pixels.get(mask.trailing_zeros() as usize) else { break };
            mask &= mask - 1;
            let colour = colour_of(pixel);
            let place = place(colour);
            let cached = &mut self.cache[usize::from(place)];
            let hit = *cached == colour;
            *cached = colour;
            // No branch on what cannot be foreseen: a hit's colour is overwritten by the next.
            self.group_indices[count % GROUP] = if hit { place } else { MISS };
            self.group_colours[bytes..bytes + PIXEL + 1].copy_from_slice(&colour.to_le_bytes());
            count += 1;
            bytes += if hit { 0 } else { PIXEL };
        }
        self.indices.extend_from_slice(&self.group_indices[..count]);
        self.colours.extend_from_slice(&self.group_colours[..bytes]);
    }

    fn finish(mut self, head: [u32; 2]) -> Option<Vec<u8>> {
        self.groups.append(&mut self.masks);
        let mut zstd = Compressor::new(ZSTD_LEVEL).ok()?;
        let mut out = Vec::with_capacity((self.groups.len() + self.indices.len() + self.colours.len()) / 2);
        head.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        for plain in [&self.groups, &self.indices, &self.colours] {
            let packed = if plain.is_empty() { Vec::new() } else { zstd.compress(plain).ok()? };
            out.extend_from_slice(&u32::try_from(plain.len()).ok()?.to_le_bytes());
            out.extend_from_slice(&u32::try_from(packed.len()).ok()?.to_le_bytes());
            out.extend_from_slice(&packed);
        }
        Some(out)
    }
}

/// A bit a pixel, set where the two groups differ.
fn changed(group: &[u8], before: &[u8]) -> u64 {
    let (blocks, rest) = group.as_chunks::<24>();
    let (blocks_before, rest_before) = before.as_chunks::<24>();
    let mut mask = 0;
    for (n, (block, before)) in blocks.iter().zip(blocks_before).enumerate() {
        mask |= u64::from(changed_of_eight(block, before)) << (8 * n);
    }
    let rest = rest.chunks_exact(PIXEL).zip(rest_before.chunks_exact(PIXEL));
    for (n, (pixel, before)) in rest.enumerate() {
        mask |= u64::from(pixel != before) << (8 * blocks.len() + n);
    }
    mask
}

fn changed_of_eight(block: &[u8; 24], before: &[u8; 24]) -> u8 {
    let word = |n: usize| {
        let word =
            |bytes: &[u8; 24]| bytes.as_chunks::<8>().0.get(n).map_or(0, |word| u64::from_le_bytes(*word));
        word(block) ^ word(before)
    };
    let (x, y, z) = (word(0), word(1), word(2));
    let differs = |bits: u64, pixel: u32| u8::from(bits & 0xff_ffff != 0) << pixel;
    differs(x, 0)
        | differs(x >> 24, 1)
        | differs(x >> 48 | y << 16, 2)
        | differs(y >> 8, 3)
        | differs(y >> 32, 4)
        | differs(y >> 56 | z << 8, 5)
        | differs(z >> 16, 6)
        | differs(z >> 40, 7)
}

/// Unpacks `count` frames of `frame_len` bytes; the caller has bounded their product.
pub(super) fn decode(data: &[u8], frame_len: usize, count: usize) -> Result<Vec<u8>, FrameCodecError> {
    if !frame_len.is_multiple_of(PIXEL) || frame_len == 0 && count > 0 {
        return Err(FrameCodecError::corrupt(format!("frames of {frame_len} bytes are no whole pixels")));
    }
    let pixels = frame_len / PIXEL;
    let groups_a_frame = pixels.div_ceil(GROUP);
    let bits_bytes = groups_a_frame.div_ceil(8) * count;
    let (found, rest) = head(data)?;
    if found != (frame_len, count) {
        let (expected, found) = (frame_len * count, found.0.saturating_mul(found.1));
        return Err(FrameCodecError::WrongLength { expected, found });
    }
    let mut streams = Streams { rest, zstd: Decompressor::new().map_err(zstd_failed)? };
    let map = streams.next(bits_bytes + groups_a_frame * count * 8)?;
    let indices = streams.next(pixels * count)?;
    let colours = streams.next(pixels * count * PIXEL)?;
    if !streams.rest.is_empty() {
        return Err(FrameCodecError::corrupt(format!("{} bytes too many", streams.rest.len())));
    }
    let (bits, masks) =
        map.split_at_checked(bits_bytes).ok_or_else(|| FrameCodecError::corrupt("short map"))?;
    let (masks, _) = masks.as_chunks::<8>();
    let (colours, _) = colours.as_chunks::<PIXEL>();
    let mut decoder = Decoder {
        masks: masks.iter(),
        indices: indices.iter(),
        colours: colours.iter(),
        cache: [NO_COLOUR; 256],
    };
    let mut frames = Vec::with_capacity(frame_len * count);
    for (n, bits) in bits.chunks_exact(groups_a_frame.div_ceil(8).max(1)).enumerate() {
        match n.checked_sub(1) {
            None => frames.resize(frame_len, 0),
            Some(before) => frames.extend_from_within(before * frame_len..),
        }
        decoder.fill(&mut frames[n * frame_len..], bits)?;
    }
    decoder.is_used_up()?;
    Ok(frames)
}

fn zstd_failed(error: std::io::Error) -> FrameCodecError {
    FrameCodecError::corrupt(format!("zstd: {error}"))
}

/// The two lengths in front, and what follows them.
fn head(data: &[u8]) -> Result<((usize, usize), &[u8]), FrameCodecError> {
    let short = || FrameCodecError::corrupt("shorter than its lengths");
    let (first, rest) = data.split_first_chunk().ok_or_else(short)?;
    let (second, rest) = rest.split_first_chunk().ok_or_else(short)?;
    Ok(((u32::from_le_bytes(*first) as usize, u32::from_le_bytes(*second) as usize), rest))
}

/// Takes the streams off the front of the data.
struct Streams<'a> {
    rest: &'a [u8],
    zstd: Decompressor<'a>,
}

impl Streams<'_> {
    /// The next stream, of at most `max` plain bytes.
    fn next(&mut self, max: usize) -> Result<Vec<u8>, FrameCodecError> {
        let short = || FrameCodecError::corrupt("shorter than its streams");
        let ((plain, packed), rest) = head(self.rest)?;
        let (body, rest) = rest.split_at_checked(packed).ok_or_else(short)?;
        if plain > max {
            return Err(FrameCodecError::WrongLength { expected: max, found: plain });
        }
        self.rest = rest;
        if plain == 0 {
            return if body.is_empty() { Ok(Vec::new()) } else { Err(short()) };
        }
        let stream = self.zstd.decompress(body, plain).map_err(zstd_failed)?;
        if stream.len() != plain {
            return Err(FrameCodecError::WrongLength { expected: plain, found: stream.len() });
        }
        Ok(stream)
    }
}

/// What is left of the streams.
struct Decoder<'a> {
    masks: std::slice::Iter<'a, [u8; 8]>,
    indices: std::slice::Iter<'a, u8>,
    colours: std::slice::Iter<'a, [u8; PIXEL]>,
    cache: Cache,
}

impl Decoder<'_> {
    /// Sets the changed pixels of a frame that holds the one before it.
    fn fill(&mut self, frame: &mut [u8], bits: &[u8]) -> Result<(), FrameCodecError> {
        for (row, &bits) in frame.chunks_mut(8 * GROUP * PIXEL).zip(bits) {
            for (n, group) in row.chunks_mut(GROUP * PIXEL).enumerate() {
                if bits >> n & 1 == 1 {
                    let mask = self.masks.next().ok_or_else(|| FrameCodecError::corrupt("too few masks"))?;
                    self.fill_group(group, u64::from_le_bytes(*mask))?;
                }
            }
        }
        Ok(())
    }

    fn fill_group(&mut self, group: &mut [u8], mut mask: u64) -> Result<(), FrameCodecError> {
        let (pixels, _) = group.as_chunks_mut::<PIXEL>();
        while mask != 0 {
            let pixel = pixels.get_mut(mask.trailing_zeros() as usize);
            mask &= mask - 1;
            let (Some(pixel), Some(&index)) = (pixel, self.indices.next()) else {
                return Err(FrameCodecError::corrupt("a mask names pixels that are not there"));
            };
            if index == MISS {
                let Some(colour) = self.colours.next() else {
                    return Err(FrameCodecError::corrupt("too few colours"));
                };
                *pixel = *colour;
                self.cache[usize::from(place(colour_of(colour)))] = colour_of(colour);
            } else {
                let [r, g, b, _] = self.cache[usize::from(index)].to_le_bytes();
                *pixel = [r, g, b];
            }
        }
        Ok(())
    }

    fn is_used_up(&self) -> Result<(), FrameCodecError> {
        if self.masks.len() + self.indices.len() + self.colours.len() == 0 {
            return Ok(());
        }
        Err(FrameCodecError::corrupt("more pixels than the map names"))
    }
}
