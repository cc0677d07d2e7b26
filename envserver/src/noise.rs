//! The noise world: frames that nothing compresses, each unlike the one before, at the cost of a copy; for benches that
//! a world of one fixed frame would flatter.

use std::sync::LazyLock;

use vpt_runtime::counter_hash::counter_hash;

use crate::null::NullWorld;
use crate::snapshot::Snapshot;
use crate::task::Task;
use crate::world::{Action, Tick, World, WorldError};

/// Bytes of noise that frames are cut out of, each at another place.
const POOL_BYTES: usize = 4 << 20;

static POOL: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..POOL_BYTES as u64 / 8).flat_map(|i| counter_hash(&[i]).to_le_bytes()).collect());

/// A [`NullWorld`] that shows noise.
#[derive(Clone, Debug, Default)]
pub struct NoiseWorld {
    null: NullWorld,
}

impl NoiseWorld {
    /// The name sessions ask for it by.
    pub const NAME: &'static str = "noise";
}

impl World for NoiseWorld {
    fn reset(&mut self, seed: u64, task: &Task) -> Result<(), WorldError> {
        self.null.reset(seed, task)
    }

    fn step(&mut self, action: &Action) -> Tick {
        self.null.step(action)
    }

    fn render(&mut self, height: usize, width: usize, out: &mut Vec<u8>) {
        let mut missing = height * width * 3;
        let mut at = self.state_hash() as usize % POOL_BYTES;
        out.clear();
        while missing > 0 {
            let part = missing.min(POOL_BYTES - at);
            out.extend_from_slice(&POOL[at..at + part]);
            missing -= part;
            at = 0;
        }
    }

    fn gui_open(&self) -> bool {
        false
    }

    fn advise(&mut self) -> Action {
        self.null.advise()
    }

    fn state_hash(&self) -> u64 {
        self.null.state_hash()
    }

    fn snapshot(&self) -> Result<Snapshot, WorldError> {
        Ok(Snapshot::new(Self::NAME, self.null.clone()))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), WorldError> {
        self.null = snapshot.state::<NullWorld>(Self::NAME)?.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_noise_and_differ_and_come_again() {
        let mut world = NoiseWorld::default();
        world.reset(7, &NullWorld::task()).unwrap();
        let frame = |world: &mut NoiseWorld| {
            let mut frame = Vec::new();
            world.render(128, 128, &mut frame);
            frame
        };
        let first = frame(&mut world);
        assert_eq!(first.len(), 128 * 128 * 3);
        assert!(first == frame(&mut world));
        world.step(&Action::NOOP);
        let second = frame(&mut world);
        let same = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert!(same < first.len() / 100, "{same} bytes of two frames are the same");
        let mut large = Vec::new();
        world.render(1500, 1500, &mut large);
        assert_eq!(large.len(), 1500 * 1500 * 3);
    }
}
