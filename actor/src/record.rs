//! Plays episodes behind the Play stream and writes them as shards: demonstrations for behavioural cloning.

use crate::config::{Deadlines, WorldConfig};
use crate::error::ActorError;
use crate::lockstep::{Event, Lockstep, Plan, Played};
use crate::player::Player;
use crate::seeds::{RECORDED, recorded_seed};
use crate::slips::Slips;
use crate::statistics::mean_stderr;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vpt_proto::shard::{DatasetInfo, RecordedEpisode, RecordedStep, ShardError, ShardWriter};
use vpt_runtime::Security;

/// Finished episodes that may wait for the writer.
const EPISODES_WAITING: usize = 4;

/// What is to be recorded.
#[derive(Debug)]
pub struct RecordSetup {
    /// URL of the envserver.
    pub envserver: String,
    /// How it is reached.
    pub security: Security,
    /// How long its worlds are waited for.
    pub deadlines: Deadlines,
    /// What is played.
    pub world: WorldConfig,
    /// Who plays.
    pub player: Player,
    /// Height and width of frames, in pixels.
    pub frame: (usize, usize),
    /// How many episodes.
    pub episodes: usize,
    /// Sessions played at a time.
    pub slots: usize,
    /// Seed of the episodes.
    pub run_seed: u64,
    /// Chance per step that the scripted player's hand slips for a moment; slips are recorded as played.
    pub slips: f64,
    /// Folder of the new dataset.
    pub out: PathBuf,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSummary {
    /// Episodes written.
    pub episodes: usize,
    /// Steps written.
    pub steps: u64,
    /// Mean return.
    pub mean_return: f64,
    /// Its standard error.
    pub stderr: f64,
}

/// Plays and writes; `progress` is told (steps done, steps expected in all; 0 when the task's length is not known).
///
/// # Errors
/// An envserver that refuses or stays away, a folder that cannot be written, or `shutdown`: the dataset is then
/// unfinished and will not open.
pub async fn record(
    setup: RecordSetup,
    progress: &dyn Fn(u64, u64),
    shutdown: CancellationToken,
) -> Result<RecordSummary, ActorError> {
    let info = DatasetInfo {
        world: setup.world.name.clone(),
        task: setup.world.task.clone(),
        player: setup.player.name().to_owned(),
        frame_height: setup.frame.0 as u32,
        frame_width: setup.frame.1 as u32,
    };
    let writer = ShardWriter::create(&setup.out, info)?;
    let seeds: Vec<u64> = (0..setup.episodes).map(|index| recorded_seed(setup.run_seed, index)).collect();
    let interrupted = |done| ActorError::Interrupted { done, total: setup.episodes };
    let start = Lockstep::start(Plan {
        envserver: &setup.envserver,
        security: &setup.security,
        deadlines: setup.deadlines,
        world: &setup.world,
        player: &setup.player,
        frame: setup.frame,
        seeds: seeds.clone(),
        slots: setup.slots,
        draw_key: [setup.run_seed, RECORDED],
        slips: Slips { seed: setup.run_seed, probability: setup.slips },
    });
    let mut game = shutdown.run_until_cancelled(start).await.ok_or_else(|| interrupted(0))??;
    let (finished, inbox) = mpsc::channel(EPISODES_WAITING);
    let writing = tokio::task::spawn_blocking(move || write(writer, inbox));
    let expected = setup.episodes as u64 * u64::from(setup.world.episode_steps);
    let mut open: BTreeMap<usize, RecordedEpisode> = BTreeMap::new();
    let (mut returns, mut steps) = (Vec::new(), 0);
    while !game.is_over() {
        let events = shutdown.run_until_cancelled(game.tick()).await;
        for event in events.ok_or_else(|| interrupted(returns.len()))?? {
            let played = match event {
                Event::Played(played) => *played,
                Event::Restarted { episode } => {
                    open.remove(&episode);
                    continue;
                }
            };
            let index = played.episode;
            let ended = played.outcome.ended.as_ref().map(|ended| ended.totals.episode_return);
            append(open.entry(index).or_default(), played);
            let Some(episode_return) = ended else {
                continue;
            };
            let mut episode = open.remove(&index).expect("it was appended to");
            episode.seed = seeds[index];
            returns.push(episode_return);
            steps += episode.steps.len() as u64;
            if finished.send(episode).await.is_err() {
                // The writer failed; it says why below.
                return Err(writer_error(writing.await?));
            }
        }
        let under_way: usize = open.values().map(|episode| episode.steps.len()).sum();
        progress(steps + under_way as u64, expected);
    }
    drop(finished);
    writing.await??.finish()?;
    let (mean_return, stderr) = mean_stderr(&returns);
    Ok(RecordSummary { episodes: returns.len(), steps, mean_return, stderr })
}

fn append(episode: &mut RecordedEpisode, played: Played) {
    episode.frames.extend_from_slice(&played.frame);
    episode.steps.push(RecordedStep {
        action: played.action,
        reward: played.outcome.reward,
        is_first: played.is_first,
        terminated: played.outcome.terminated,
        truncated: played.outcome.truncated,
        gui_open: played.gui_open,
        events: played.outcome.events,
    });
}

fn write(
    mut writer: ShardWriter,
    mut inbox: mpsc::Receiver<RecordedEpisode>,
) -> Result<ShardWriter, ShardError> {
    while let Some(episode) = inbox.blocking_recv() {
        writer.push(&episode)?;
    }
    Ok(writer)
}

fn writer_error(result: Result<ShardWriter, ShardError>) -> ActorError {
    match result {
        Err(error) => error.into(),
        Ok(_) => ActorError::ThreadGone { name: "shard writer" },
    }
}
