//! Recorded play as endless parallel streams of fixed-length sequences.
//!
//! Every lane of a batch plays whole episodes one after another, consecutive sequences of an episode in consecutive
//! batches, so that the recurrent state carries over; where an episode ends inside a sequence the next one follows,
//! its first frame marked `is_first`. The order of episodes is shuffled for every pass by a counter-based generator,
//! which makes the batch at any position a function of (seed, position) alone: resuming is skipping.

mod loader;
mod plan;

use std::path::Path;
use std::sync::Arc;

use vpt_policy::action::{self, EnvAction};
use vpt_policy::{CounterRng, PolicyConfig};
use vpt_proto::shard::{Dataset, RecordedEpisode};

use crate::error::LearnerError;

pub(crate) use loader::SequenceLoader;
pub(crate) use plan::{Piece, SequencePlan};

/// Names the streams of random numbers of this module.
const SPLIT_KEY: u64 = 0x0073_706c_6974;

/// One batch on the host: `B` sequences of `T` steps, lane by lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostBatch {
    /// `[B, T, H, W, 3]`.
    pub(crate) frames: Vec<u8>,
    /// `[B, T]`, 0 or 1.
    pub(crate) is_first: Vec<u8>,
    /// `[B * T]`.
    pub(crate) buttons: Vec<u32>,
    /// `[B * T]`.
    pub(crate) camera: Vec<u32>,
    /// `[B * T]`, 1 where the step counts in the loss.
    pub(crate) mask: Vec<f32>,
    /// Steps left out for doing nothing.
    pub(crate) null_actions: u64,
}

/// Recorded play split into training and validation episodes.
#[derive(Debug)]
pub(crate) struct Demonstrations {
    pub(crate) dataset: Dataset,
    /// Episode indices to train on, ascending.
    pub(crate) training: Vec<usize>,
    /// Episode indices held out, ascending.
    pub(crate) validation: Vec<usize>,
}

impl Demonstrations {
    /// Opens the dataset in `dir` and holds out `validation_fraction` of its episodes, chosen by `seed`.
    pub(crate) fn open(
        dir: &Path,
        config: &PolicyConfig,
        validation_fraction: f64,
        seed: u64,
    ) -> Result<Arc<Self>, LearnerError> {
        let dataset = Dataset::open(dir)?;
        let info = dataset.info();
        let size = config.image_size;
        if (info.frame_height as usize, info.frame_width as usize) != (size, size) {
            return Err(LearnerError::DatasetFrames {
                path: dir.to_owned(),
                found: (info.frame_height, info.frame_width),
                expected: size,
            });
        }
        let mut order: Vec<usize> =
            (0..dataset.episodes().len()).filter(|&i| dataset.episodes()[i].steps > 0).collect();
        CounterRng::new(&[seed, SPLIT_KEY]).shuffle(&mut order);
        let held_out = ((order.len() as f64) * validation_fraction).round() as usize;
        let mut training = order.split_off(held_out.min(order.len()));
        training.sort_unstable();
        order.sort_unstable();
        if training.is_empty() {
            return Err(LearnerError::DatasetEmpty { path: dir.to_owned() });
        }
        Ok(Arc::new(Self { dataset, training, validation: order }))
    }

    /// Steps of an episode.
    pub(crate) fn steps(&self, episode: usize) -> usize {
        self.dataset.episodes()[episode].steps as usize
    }

    /// Steps to train on in one pass.
    pub(crate) fn training_steps(&self) -> u64 {
        self.training.iter().map(|&episode| self.steps(episode) as u64).sum()
    }

    /// Reads the pieces of every lane, in lane order.
    pub(crate) fn read(&self, lanes: &[Vec<Piece>], drop_null: bool) -> Result<HostBatch, LearnerError> {
        let mut batch = HostBatch::default();
        for piece in lanes.iter().flatten() {
            let range = self.dataset.read_range(piece.episode, piece.start, piece.len)?;
            batch.append(&range, piece.start == 0, drop_null);
        }
        Ok(batch)
    }
}

impl HostBatch {
    fn append(&mut self, range: &RecordedEpisode, starts_episode: bool, drop_null: bool) {
        self.frames.extend_from_slice(&range.frames);
        for (i, step) in range.steps.iter().enumerate() {
            let human = &step.action;
            let agent = action::to_agent(&EnvAction {
                keys: human.keys,
                pitch: human.pitch_delta,
                yaw: human.yaw_delta,
            });
            let dropped = drop_null && action::is_null(agent);
            self.is_first.push(u8::from(step.is_first || (i == 0 && starts_episode)));
            self.buttons.push(agent.buttons);
            self.camera.push(agent.camera);
            self.mask.push(f32::from(u8::from(!dropped)));
            self.null_actions += u64::from(dropped);
        }
    }
}
