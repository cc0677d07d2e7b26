//! Plays held-out episodes and reports returns and item shares, reproducibly.
//!
//! The same setup gives the same numbers whenever and wherever it runs with the same build.

use crate::config::{Deadlines, WorldConfig};
use crate::error::ActorError;
use crate::lockstep::{Event, Lockstep, Plan};
use crate::player::Player;
use crate::seeds::{EVALUATED, held_out_seed};
use crate::slips::Slips;
use crate::statistics::{mean_stderr, share_stderr};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;
use vpt_runtime::Security;

/// What is to be evaluated.
#[derive(Debug)]
pub struct EvalSetup {
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
    /// Sessions played at a time, which are also the inference batch.
    pub slots: usize,
    /// Seed of the held-out episodes and of the sampled actions.
    pub seed: u64,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalSummary {
    /// Mean return.
    pub mean: f64,
    /// Its standard error, the sample deviation over √n.
    pub stderr: f64,
    /// Episodes played.
    pub episodes: usize,
    /// Return of every episode, in episode order.
    pub returns: Vec<f64>,
    /// Length of every episode in steps, in episode order.
    pub lengths: Vec<u32>,
    /// By item: share of episodes that obtained it (pickup or craft), and its binomial standard error.
    pub item_shares: BTreeMap<String, (f64, f64)>,
    /// By item: mean number obtained in an episode, and its standard error.
    pub mean_items: BTreeMap<String, (f64, f64)>,
}

/// Plays the episodes; `progress` is told (episodes done, episodes in all).
///
/// # Errors
/// An envserver that refuses or stays away, a network that does not fit, or `shutdown`.
pub async fn evaluate(
    setup: EvalSetup,
    progress: &dyn Fn(u64, u64),
    shutdown: CancellationToken,
) -> Result<EvalSummary, ActorError> {
    let total = setup.episodes;
    let interrupted = |done| ActorError::Interrupted { done, total };
    let start = Lockstep::start(Plan {
        envserver: &setup.envserver,
        security: &setup.security,
        deadlines: setup.deadlines,
        world: &setup.world,
        player: &setup.player,
        frame: setup.frame,
        seeds: (0..total).map(|index| held_out_seed(setup.seed, index)).collect(),
        slots: setup.slots,
        slips: Slips::default(),
        draw_key: [setup.seed, EVALUATED],
    });
    let mut game = shutdown.run_until_cancelled(start).await.ok_or_else(|| interrupted(0))??;
    let mut totals = vec![None; total];
    let mut done = 0;
    progress(0, total as u64);
    while !game.is_over() {
        let events = shutdown.run_until_cancelled(game.tick()).await.ok_or_else(|| interrupted(done))?;
        for event in events? {
            let Event::Played(played) = event else {
                continue;
            };
            if let Some(ended) = played.outcome.ended {
                totals[played.episode] = Some(ended.totals);
                done += 1;
                progress(done as u64, total as u64);
            }
        }
    }
    let totals: Vec<_> = totals.into_iter().flatten().collect();
    debug_assert_eq!(totals.len(), total);
    let returns: Vec<f64> = totals.iter().map(|episode| episode.episode_return).collect();
    let (mean, stderr) = mean_stderr(&returns);
    let items: std::collections::BTreeSet<&String> =
        totals.iter().flat_map(|episode| episode.items.keys()).collect();
    let mut item_shares = BTreeMap::new();
    let mut mean_items = BTreeMap::new();
    for item in items {
        let counts: Vec<f64> =
            totals.iter().map(|episode| f64::from(episode.items.get(item).copied().unwrap_or(0))).collect();
        let hits = counts.iter().filter(|&&count| count > 0.0).count();
        item_shares.insert(item.clone(), share_stderr(hits, counts.len()));
        mean_items.insert(item.clone(), mean_stderr(&counts));
    }
    let lengths = totals.iter().map(|episode| episode.length).collect();
    Ok(EvalSummary { mean, stderr, episodes: totals.len(), returns, lengths, item_shares, mean_items })
}
