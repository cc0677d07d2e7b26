//! The frames that are sent: random bytes, or the scripted player's video from the embedded world.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use vpt_envserver::Worlds;
use vpt_envserver::episode::Episode;
use vpt_envserver::task::Task;
use vpt_policy::CounterRng;

use super::{FRAME, SIDE};
use crate::cli::bench::FrameKind;

/// Key of the random bytes.
const SEED: u64 = 0x1276;
/// Ticks of an episode that are used: what follows is a player whose work is done.
const TICKS: u32 = 4800;

/// What was made.
pub(super) struct Made {
    pub(super) kind: FrameKind,
    pub(super) count: usize,
    pub(super) bytes: Bytes,
    seconds: f64,
}

impl Made {
    pub(super) fn line(&self) -> String {
        format!("{} {:?} frames of {SIDE}x{SIDE} in {:.1} s", self.count, self.kind, self.seconds)
    }
}

/// Writes `count` frames to `path`, one after the other.
pub(super) fn make(kind: FrameKind, count: usize, path: &Path) -> anyhow::Result<Made> {
    let began = Instant::now();
    let bytes = Bytes::from(match kind {
        FrameKind::Random => random(count),
        FrameKind::Video => video(count)?,
    });
    fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Made { kind, count, bytes, seconds: began.elapsed().as_secs_f64() })
}

fn random(count: usize) -> Vec<u8> {
    let mut rng = CounterRng::new(&[SEED]);
    let words = count * FRAME / size_of::<u64>();
    (0..words).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
}

/// Frames in the order of play; one that equals the one before it is left out, so that all that is sent is news.
fn video(count: usize) -> anyhow::Result<Vec<u8>> {
    let mut world = Worlds::built_in().build("native").context("the embedded world is not built in")?;
    let mut episode = Episode::new(Task::resolve("diamond_pickaxe")?, TICKS);
    let (mut bytes, mut frame, mut before) = (Vec::with_capacity(count * FRAME), Vec::new(), Vec::new());
    for seed in 0.. {
        episode.start(world.as_mut(), seed)?;
        let mut over = false;
        while !over && bytes.len() < count * FRAME {
            world.render(SIDE, SIDE, &mut frame);
            if frame != before {
                bytes.extend_from_slice(&frame);
                std::mem::swap(&mut frame, &mut before);
            }
            let action = world.advise();
            over = episode.step(world.as_mut(), &action).is_last();
        }
        if bytes.len() == count * FRAME {
            break;
        }
    }
    Ok(bytes)
}
