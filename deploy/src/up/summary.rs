//! `summary.json`: the results of a run in one object, and the last words on the terminal.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use vpt_actor::evaluate::EvalSummary;
use vpt_runtime::atomic_file;

use super::Run;

/// One evaluated player; all play the same held-out seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The scripted player.
    Scripted,
    /// The freshly initialised network.
    Untrained,
    /// The clone.
    Bc,
    /// The clone trained on for as long as PPG took.
    BcContinued,
    /// The clone improved by PPG.
    Ppg,
    /// The clone improved by PPG without its auxiliary phase.
    PpoOnly,
    /// The clone improved by PPG without KL to it.
    NoKl,
    /// Random weights improved by PPG.
    FromScratch,
}

impl Arm {
    /// Every arm, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Scripted,
        Self::Untrained,
        Self::Bc,
        Self::BcContinued,
        Self::Ppg,
        Self::PpoOnly,
        Self::NoKl,
        Self::FromScratch,
    ];

    /// Those that reinforcement learning makes.
    pub const LEARNERS: [Self; 4] = [Self::Ppg, Self::PpoOnly, Self::NoKl, Self::FromScratch];

    /// The folder of an arm's learner within that of the run.
    pub fn folder(self, run: &Path) -> PathBuf {
        match self {
            Self::Ppg => run.to_owned(),
            other => run.join(other.to_string()),
        }
    }

    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Scripted => "scripted player",
            Self::Untrained => "untrained",
            Self::Bc => "BC",
            Self::BcContinued => "BC continued (control)",
            Self::Ppg => "BC + PPG",
            Self::PpoOnly => "without auxiliary phase",
            Self::NoKl => "without KL",
            Self::FromScratch => "PPG from scratch",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scripted => "scripted",
            Self::Untrained => "untrained",
            Self::Bc => "bc",
            Self::BcContinued => "bc_continued",
            Self::Ppg => "ppg",
            Self::PpoOnly => "ppo_only",
            Self::NoKl => "no_kl",
            Self::FromScratch => "from_scratch",
        })
    }
}

/// What an arm reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArmResult {
    /// Mean return per episode.
    pub mean: f64,
    /// Standard error of the mean.
    pub stderr: f64,
    /// Episodes played.
    pub episodes: usize,
    /// Share of episodes in which an item was obtained, and its standard error, by item.
    #[serde(default)]
    pub item_shares: BTreeMap<String, (f64, f64)>,
}

impl From<&EvalSummary> for ArmResult {
    fn from(summary: &EvalSummary) -> Self {
        Self {
            mean: summary.mean,
            stderr: summary.stderr,
            episodes: summary.episodes,
            item_shares: summary.item_shares.clone(),
        }
    }
}

/// Writes `summary.json` of a run whose stages are all done.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(run: &Run) -> anyhow::Result<()> {
    let mut object = Map::new();
    object.insert("format_version".into(), json!(1));
    object.insert("task".into(), json!(run.config.world.task));
    object.insert("seed".into(), json!(run.config.run.seed));
    for (arm, result) in run.journal.arms() {
        object.insert(arm.clone(), serde_json::to_value(result)?);
    }
    let seconds = run.journal.all_seconds();
    object.insert("run_seconds".into(), json!(seconds.values().sum::<f64>()));
    object.insert("stage_seconds".into(), serde_json::to_value(seconds)?);
    object.insert("restarts".into(), serde_json::to_value(run.journal.restarts())?);
    atomic_file::write(&run.dir.join("summary.json"), &serde_json::to_vec_pretty(&Value::Object(object))?)?;
    Ok(())
}

/// Reads `summary.json` of the run in `dir`.
///
/// # Errors
/// It is missing or damaged.
pub fn read(dir: &Path) -> anyhow::Result<Value> {
    let path = dir.join("summary.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// What improved and where to look, for the end of the terminal output.
///
/// # Errors
/// As [`read`].
pub fn last_words(dir: &Path) -> anyhow::Result<String> {
    let summary = read(dir)?;
    let arm = |name: &str| -> Option<ArmResult> { serde_json::from_value(summary.get(name)?.clone()).ok() };
    let task = summary["task"].as_str().unwrap_or("?");
    let mut text = format!("\nmean return on {task}, held-out seeds, ± standard error:\n");
    for player in Arm::ALL {
        if let Some(result) = arm(&player.to_string()) {
            // Where nothing was cloned, PPG started from something else.
            let label = if player == Arm::Ppg && arm("bc").is_none() { "PPG" } else { player.label() };
            text += &format!(
                "  {:<24}{:6.3} ± {:.3}   ({} episodes)\n",
                label, result.mean, result.stderr, result.episodes
            );
        }
    }
    if let (Some(bc), Some(ppg)) = (arm("bc"), arm("ppg")) {
        text += &improvement(&bc, &ppg);
    }
    let dir = dir.display();
    text += &format!(
        "took {:.0} s; see {dir}/report.html, {dir}/summary.json, tensorboard --logdir {dir}\n",
        summary["run_seconds"].as_f64().unwrap_or_default()
    );
    Ok(text)
}

fn improvement(bc: &ArmResult, ppg: &ArmResult) -> String {
    let stderr = bc.stderr.hypot(ppg.stderr);
    let errors = (ppg.mean - bc.mean) / stderr.max(1e-9);
    let verdict = if errors > 2.0 {
        "improved on its clone"
    } else if errors < -2.0 {
        "got worse than its clone"
    } else {
        "is not distinguishable from its clone"
    };
    let ratio = ppg.mean / bc.mean.max(1e-9);
    format!("PPG {verdict}: {ratio:.2} x BC, {errors:+.1} standard errors of the difference\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_say_what_improved_and_where_to_look() {
        let dir = tempfile::tempdir().expect("tempdir");
        let summary = json!({
            "task": "chop", "run_seconds": 500.0,
            "bc": {"mean": 0.6, "stderr": 0.05, "episodes": 128},
            "ppg": {"mean": 1.2, "stderr": 0.05, "episodes": 128},
        });
        std::fs::write(dir.path().join("summary.json"), summary.to_string()).expect("write");
        let words = last_words(dir.path()).expect("words");
        assert!(words.contains("2.00 x BC, +8.5 standard errors"), "{words}");
        assert!(words.contains("report.html"), "{words}");
    }

    #[test]
    fn no_difference_is_not_called_an_improvement() {
        let arm = |mean| ArmResult { mean, stderr: 0.1, episodes: 64, item_shares: BTreeMap::new() };
        assert!(improvement(&arm(0.6), &arm(0.7)).contains("not distinguishable"));
        assert!(improvement(&arm(0.9), &arm(0.2)).contains("got worse"));
    }
}
