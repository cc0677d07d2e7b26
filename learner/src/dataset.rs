//! Recorded play as endless parallel streams of fixed-length sequences.
//!
//! Every lane of a batch plays whole episodes one after another, consecutive sequences of an episode in consecutive
//! batches, so that the recurrent state carries over; where an episode ends inside a sequence the next one follows,
//! its first frame marked `is_first`. The order of episodes is shuffled for every pass by a counter-based generator,
//! which makes the batch at any position a function of (seed, position) alone: resuming is skipping.

mod kept_steps;
mod loader;
mod plan;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use vpt_policy::action::{self, AgentAction, EnvAction};
use vpt_policy::{CounterRng, PolicyConfig};
use vpt_proto::envserver::v1::HumanAction;
use vpt_proto::shard::{BLOCK_STEPS, Dataset};

use crate::config::{BcConfig, NullActions};
use crate::error::LearnerError;

use kept_steps::KeptSteps;
pub(crate) use loader::{LoadedBatch, SequenceLoader};
pub(crate) use plan::{Piece, SequencePlan};

/// Names the streams of random numbers of this module.
const SPLIT_KEY: u64 = 0x0073_706c_6974;

/// Steps left out between two that stay are read with them when they are this few: both are likely in one block.
const READ_OVER_STEPS: usize = BLOCK_STEPS;

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
    /// Steps left out of the loss, or of the stream, for doing nothing.
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
    null_actions: NullActions,
    /// By episode.
    kept: Vec<KeptSteps>,
}

impl Demonstrations {
    /// Opens the dataset in `bc.data_dir` and holds out `bc.validation_fraction` of its episodes, chosen by `seed`.
    pub(crate) fn open(bc: &BcConfig, config: &PolicyConfig, seed: u64) -> Result<Arc<Self>, LearnerError> {
        let dir: &Path = &bc.data_dir;
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
        let kept = (0..dataset.episodes().len())
            .map(|episode| kept_steps(&dataset, episode, bc.null_actions))
            .collect::<Result<Vec<_>, _>>()?;
        let mut order: Vec<usize> = (0..kept.len()).filter(|&i| kept[i].len() > 0).collect();
        CounterRng::new(&[seed, SPLIT_KEY]).shuffle(&mut order);
        let held_out = ((order.len() as f64) * bc.validation_fraction).round() as usize;
        let mut training = order.split_off(held_out.min(order.len()));
        training.sort_unstable();
        order.sort_unstable();
        if training.is_empty() {
            return Err(LearnerError::DatasetEmpty { path: dir.to_owned() });
        }
        Ok(Arc::new(Self { dataset, training, validation: order, null_actions: bc.null_actions, kept }))
    }

    /// Steps of an episode to train on.
    pub(crate) fn steps(&self, episode: usize) -> usize {
        self.kept[episode].len()
    }

    /// Steps to train on in one pass.
    pub(crate) fn training_steps(&self) -> u64 {
        self.training.iter().map(|&episode| self.steps(episode) as u64).sum()
    }

    /// Reads the pieces of every lane, in lane order.
    pub(crate) fn read(&self, lanes: &[Vec<Piece>]) -> Result<HostBatch, LearnerError> {
        let mut batch = HostBatch::default();
        for piece in lanes.iter().flatten() {
            self.append(&mut batch, piece)?;
        }
        Ok(batch)
    }

    fn append(&self, batch: &mut HostBatch, piece: &Piece) -> Result<(), LearnerError> {
        let kept = &self.kept[piece.episode];
        let frame_len = self.dataset.info().frame_len();
        let mut starts_episode = piece.start == 0;
        for together in read_together(&kept.recorded(piece.start, piece.len)) {
            let (first, end) = (together[0].start, together[together.len() - 1].end);
            let read = self.dataset.read_range(piece.episode, first, end - first)?;
            for range in together {
                let range = range.start - first..range.end - first;
                batch.frames.extend_from_slice(&read.frames[range.start * frame_len..range.end * frame_len]);
                for step in &read.steps[range] {
                    batch.push(&step.action, step.is_first || starts_episode, self.null_actions);
                    starts_episode = false;
                }
            }
        }
        batch.null_actions += kept.left_out(piece.start, piece.len) as u64;
        Ok(())
    }
}

/// Which steps of an episode are trained on. Reads its actions only where that depends on them.
fn kept_steps(dataset: &Dataset, episode: usize, setting: NullActions) -> Result<KeptSteps, LearnerError> {
    if setting != NullActions::Drop {
        return Ok(KeptSteps::all(dataset.episodes()[episode].steps as usize));
    }
    let steps = dataset.read_steps(episode)?;
    Ok(KeptSteps::new(steps.iter().map(|step| !action::is_null(agent_action(&step.action)))))
}

/// Splits ranges in ascending order into groups that are read at once.
fn read_together(ranges: &[Range<usize>]) -> impl Iterator<Item = &[Range<usize>]> {
    ranges.chunk_by(|before, after| after.start - before.end <= READ_OVER_STEPS)
}

fn agent_action(human: &HumanAction) -> AgentAction {
    action::to_agent(&EnvAction { keys: human.keys, pitch: human.pitch_delta, yaw: human.yaw_delta })
}

impl HostBatch {
    /// Appends a step whose frame is there already.
    fn push(&mut self, human: &HumanAction, is_first: bool, null_actions: NullActions) {
        let agent = agent_action(human);
        let masked = null_actions == NullActions::Mask && action::is_null(agent);
        self.is_first.push(u8::from(is_first));
        self.buttons.push(agent.buttons);
        self.camera.push(agent.camera);
        self.mask.push(f32::from(u8::from(!masked)));
        self.null_actions += u64::from(masked);
    }
}
