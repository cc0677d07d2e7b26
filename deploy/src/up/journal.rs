//! `up.json`: what a run has done so far, so that the same command resumes it. Written after every stage, by rename.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vpt_actor::evaluate::EvalSummary;
use vpt_runtime::{atomic_file, config};

use super::stage::Stage;
use super::summary::{Arm, ArmResult};
use crate::commands::Usage;
use crate::run_config::RunConfig;

const FORMAT_VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format_version: u32,
    /// The resolved run file; resuming under another one would mix two experiments.
    run_toml: String,
    done: Vec<Stage>,
    current: Option<Stage>,
    /// Wall-clock seconds by stage, summed over interruptions.
    seconds: BTreeMap<String, f64>,
    /// Restarts by process name, summed over interruptions.
    restarts: BTreeMap<String, u64>,
    arms: BTreeMap<String, ArmResult>,
    finished: bool,
}

/// The file and what it holds.
pub struct Journal {
    path: PathBuf,
    record: Record,
    restarts_before: BTreeMap<String, u64>,
}

impl Journal {
    /// Opens the journal of the run in `dir`, or starts one.
    ///
    /// # Errors
    /// An unreadable file, another format version, or a folder that belongs to another configuration.
    pub fn open(dir: &Path, config: &RunConfig) -> anyhow::Result<Self> {
        let path = dir.join("up.json");
        let run_toml = config::dump(config)?;
        let record = if path.is_file() {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let record: Record =
                serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
            check(&path, &record, &run_toml)?;
            record
        } else {
            Record {
                format_version: FORMAT_VERSION,
                run_toml,
                done: Vec::new(),
                current: None,
                seconds: BTreeMap::new(),
                restarts: BTreeMap::new(),
                arms: BTreeMap::new(),
                finished: false,
            }
        };
        let restarts_before = record.restarts.clone();
        Ok(Self { path, record, restarts_before })
    }

    /// Whether every stage has been performed.
    pub fn finished(&self) -> bool {
        self.record.finished
    }

    /// Whether `stage` has been performed.
    pub fn done(&self, stage: Stage) -> bool {
        self.record.done.contains(&stage)
    }

    /// Notes that `stage` has started.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&mut self, stage: Stage) -> anyhow::Result<()> {
        self.record.current = Some(stage);
        self.save()
    }

    /// Adds wall-clock time to `stage`, and takes over the restarts counted since this process started.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn spent(
        &mut self,
        stage: Stage,
        seconds: f64,
        restarts: &BTreeMap<String, u64>,
    ) -> anyhow::Result<()> {
        *self.record.seconds.entry(key(stage)).or_default() += seconds;
        self.record.restarts.clone_from(&self.restarts_before);
        for (name, count) in restarts {
            *self.record.restarts.entry(name.clone()).or_default() += count;
        }
        self.save()
    }

    /// Notes that `stage` has been performed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&mut self, stage: Stage) -> anyhow::Result<()> {
        self.record.done.push(stage);
        self.record.current = None;
        self.save()
    }

    /// Notes that the run is complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(&mut self) -> anyhow::Result<()> {
        self.record.finished = true;
        self.save()
    }

    /// Keeps the result of an evaluation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record_arm(&mut self, arm: Arm, summary: &EvalSummary) -> anyhow::Result<()> {
        self.record.arms.insert(arm.to_string(), ArmResult::from(summary));
        self.save()
    }

    /// The results so far, by arm.
    pub fn arms(&self) -> &BTreeMap<String, ArmResult> {
        &self.record.arms
    }

    /// Wall-clock seconds spent in `stage`.
    pub fn seconds(&self, stage: Stage) -> f64 {
        self.record.seconds.get(&key(stage)).copied().unwrap_or_default()
    }

    /// Wall-clock seconds by stage.
    pub fn all_seconds(&self) -> &BTreeMap<String, f64> {
        &self.record.seconds
    }

    /// Restarts by process name.
    pub fn restarts(&self) -> &BTreeMap<String, u64> {
        &self.record.restarts
    }

    fn save(&self) -> anyhow::Result<()> {
        atomic_file::write(&self.path, &serde_json::to_vec_pretty(&self.record)?)?;
        Ok(())
    }
}

fn key(stage: Stage) -> String {
    serde_json::to_value(stage).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn check(path: &Path, record: &Record, run_toml: &str) -> anyhow::Result<()> {
    if record.format_version != FORMAT_VERSION {
        let (have, want) = (record.format_version, FORMAT_VERSION);
        anyhow::bail!("{} has format version {have}, this vpt reads {want}", path.display());
    }
    if record.run_toml != run_toml {
        let changed = record.run_toml.lines().zip(run_toml.lines()).find(|(a, b)| a != b);
        let detail = changed.map(|(a, b)| format!(" (there `{a}`, now `{b}`)")).unwrap_or_default();
        let text = format!(
            "{} belongs to another configuration{detail}; name another --out, or remove it to start anew",
            path.display()
        );
        return Err(Usage(text).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_resumed_where_it_stopped_and_refused_under_another_configuration() {
        let dir = tempfile::tempdir().expect("tempdir");
        let config = RunConfig::load(None, &[]).expect("built-in run");
        let mut journal = Journal::open(dir.path(), &config).expect("new");
        journal.begin(Stage::Demonstrations).expect("begin");
        let restarts = BTreeMap::from([("actor-0".to_owned(), 2)]);
        journal.spent(Stage::Demonstrations, 1.5, &restarts).expect("spent");
        journal.finish(Stage::Demonstrations).expect("finish");
        let mut again = Journal::open(dir.path(), &config).expect("again");
        assert!(again.done(Stage::Demonstrations) && !again.done(Stage::Bc) && !again.finished());
        again.spent(Stage::Bc, 1.0, &restarts).expect("spent");
        assert_eq!(again.restarts()["actor-0"], 4, "restarts add up over interruptions");
        let other = RunConfig::load(None, &["run.seed=7".into()]).expect("other");
        let error = Journal::open(dir.path(), &other).err().expect("refused").to_string();
        assert!(error.contains("another configuration") && error.contains("seed"), "{error}");
    }
}
