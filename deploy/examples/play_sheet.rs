//! A contact sheet of recorded play: one row an episode, frames at even distances, as the policy saw them.
//!
//! `cargo run --release -p vpt --example play_sheet -- SHEET.png DATASET [EPISODES]`, with a folder that `vpt record` left behind:
//! `vpt record --player policy --checkpoint RUN/ppg/latest --episodes 4 --out DATASET`.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use vpt_proto::shard::{Dataset, RecordedEpisode};

const ACROSS: usize = 10;
/// A pixel of a frame is a square of so many.
const ZOOM: usize = 2;
const GAP: usize = 2;

fn main() -> anyhow::Result<()> {
    let usage = "usage: play_sheet SHEET.png DATASET [EPISODES]";
    let mut arguments = std::env::args_os().skip(1);
    let out = arguments.next().map(PathBuf::from).context(usage)?;
    let dataset = Dataset::open(&arguments.next().map(PathBuf::from).context(usage)?)?;
    let rows = arguments.next().map_or(Ok(4), |text| text.to_string_lossy().parse())?;
    let rows = dataset.episodes().len().min(rows);
    let (width, height) = (dataset.info().frame_width as usize, dataset.info().frame_height as usize);
    let tile = (width * ZOOM + GAP, height * ZOOM + GAP);
    let size = (ACROSS * tile.0, rows * tile.1);
    let mut sheet = vec![255; size.0 * size.1 * 3];
    for row in 0..rows {
        let episode = dataset.read(row)?;
        for column in 0..ACROSS {
            let frame = frame_at(&episode, column, width * height * 3);
            let corner = (column * tile.0, row * tile.1);
            for y in 0..height * ZOOM {
                for x in 0..width * ZOOM {
                    let from = (y / ZOOM * width + x / ZOOM) * 3;
                    let to = ((corner.1 + y) * size.0 + corner.0 + x) * 3;
                    sheet[to..to + 3].copy_from_slice(&frame[from..from + 3]);
                }
            }
        }
    }
    let mut encoder = png::Encoder::new(File::create(&out)?, size.0 as u32, size.1 as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&sheet)?;
    println!("{} episodes in {}", rows, out.display());
    Ok(())
}

/// The frame of column `column`: the first is the episode's first, the last its last.
fn frame_at(episode: &RecordedEpisode, column: usize, bytes: usize) -> &[u8] {
    let last = episode.steps.len() - 1;
    let step = last * column / (ACROSS - 1);
    &episode.frames[step * bytes..][..bytes]
}
