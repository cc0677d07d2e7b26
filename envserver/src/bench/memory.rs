//! What one more world costs in memory: growth of the process's resident set while worlds are added.

use super::play::Games;
use crate::error::EnvserverError;

/// Worlds that are added.
const WORLDS: u64 = 4;
/// Ticks each is played, so that what is allocated late counts too.
const TICKS: usize = 120;

/// Resident bytes a world adds; none where the system does not tell.
pub(super) fn per_world(games: &Games, size: (usize, usize)) -> Result<Option<u64>, EnvserverError> {
    // The first pays for what all share.
    let mut kept = vec![games.world_at_play(1, TICKS, size)?];
    let before = resident();
    for seed in 0..WORLDS {
        kept.push(games.world_at_play(2 + seed, TICKS, size)?);
    }
    let after = resident();
    drop(kept);
    Ok(before.zip(after).map(|(before, after)| after.saturating_sub(before) / WORLDS))
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
